"""Classes that rely on an integration, moved to an engine: Flask, Django and SQLAlchemy there.

The web process and the worker are processes of their own, set up as the README says. Both use
one SQLite file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from engine_places import ENGINES
from engine_processes import APPS, LONG, Ledger, Redis, Worker, require

import counterpunch

pytestmark = pytest.mark.timeout(120)


class Site(NamedTuple):
    """A web process that has ended: what it said, and the key of its jobs."""

    said: dict[str, Any]
    key: str


class Sites:
    """A shop on each engine: its worker, started with the others, and its web process."""

    def __init__(self, name: str, redis: Redis, ledger: Ledger, directory: Path, db: int) -> None:
        self.name = name
        self._ledger = ledger
        self._stack = ExitStack()
        self._urls = {engine: redis.database(db + n) for n, engine in enumerate(ENGINES)}
        self._databases = {
            engine: str(directory / f"{name}-{engine}.sqlite3") for engine in ENGINES
        }
        self._workers = {
            engine: Worker(
                engine,
                url,
                ledger,
                slots=1,
                site=f"engine_{name}_worker:broker",
                ENGINE_DATABASE=self._databases[engine],
            )
            for engine, url in self._urls.items()
        }
        self._sites: dict[str, Site] = {}

    def visit(self, engine: str) -> Site:
        """Run the web process of the shop on that engine, once."""
        if engine not in self._sites:
            with self._workers[engine]:
                self._sites[engine] = self._visit(engine)
        return self._sites[engine]

    def _visit(self, engine: str) -> Site:
        key = uuid.uuid4().hex
        source = Path(counterpunch.__file__).parents[1]
        done = subprocess.run(
            [sys.executable, "-m", f"engine_{self.name}_web", key],
            env={
                **os.environ,
                "PYTHONPATH": f"{source}{os.pathsep}{APPS}",
                "ENGINE": engine,
                "ENGINE_REDIS": self._urls[engine],
                "ENGINE_DATABASE": self._databases[engine],
            },
            capture_output=True,
            text=True,
            timeout=LONG,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return Site(json.loads(done.stdout), key)

    def close(self) -> None:
        for worker in self._workers.values():
            worker.kill()


def _sites(name: str, host: str, db: int, request: pytest.FixtureRequest) -> Iterator[Sites]:
    require("redis-server", "redis", *ENGINES, host)
    directory = request.getfixturevalue("tmp_path_factory").mktemp(name)
    redis, ledger = request.getfixturevalue("redis"), request.getfixturevalue("ledger")
    sites = Sites(name, redis, ledger, directory, db)
    yield sites
    sites.close()


@pytest.fixture(scope="module")
def flask_sites(request: pytest.FixtureRequest) -> Iterator[Sites]:
    yield from _sites("flask", "flask_sqlalchemy", 1, request)


@pytest.fixture(scope="module")
def django_sites(request: pytest.FixtureRequest) -> Iterator[Sites]:
    yield from _sites("django", "django", 4, request)


@pytest.mark.parametrize("engine", ENGINES)
def test_flask(engine: str, flask_sites: Sites, ledger: Ledger) -> None:
    """Every attempt and its hooks have a fresh app context of the worker's app, and a session
    of their own: what a failed attempt left unfinished is gone."""
    said, key = flask_sites.visit(engine)
    in_the_shop = ["shop", False, True, None]
    assert said["committed"] == ["deferred", in_the_shop]
    assert ledger.words(key) == [
        "teardown-OSError",
        "on_error-shop-None",
        "teardown-NoneType",
        "on_success-shop-None",
    ]
    assert (said["rolled back"], ledger.words(f"{key}-dropped")) == ("discarded", [])
    assert said["async"] == "shop"
    assert ledger.words(f"{key}-parent") == ledger.words(f"{key}-here") == ["child-shop"]


@pytest.mark.parametrize("engine", ENGINES)
def test_sqlalchemy(engine: str, flask_sites: Sites, ledger: Ledger) -> None:
    """``remove_around_jobs``: no job, and no hook, sees a session of the one before it."""
    said, key = flask_sites.visit(engine)
    first, second = said["sessions"]
    assert (first[0], second[0]) == (False, False)
    if engine != "rq":  # which forks for each job
        assert first[1:] == second[1:], "on the same thread of the same process"
    assert ledger.words(f"{key}-left") == ["on_success-False"] * 2


@pytest.mark.parametrize("engine", ENGINES)
def test_flask_runs_in_the_app_of_the_worker(engine: str, flask_sites: Sites) -> None:
    """Whatever app the request was for: the message does not say."""
    assert flask_sites.visit(engine).said["from the other app"] == "shop"


@pytest.mark.parametrize("engine", ENGINES)
def test_django(engine: str, django_sites: Sites, ledger: Ledger) -> None:
    """Connections are closed before and after a job and its hooks; jobs are sent after the
    commit, or not at all; Django's own tasks stay in the threads of the web process."""
    said, key = django_sites.visit(engine)
    before, first = said["committed"]
    assert (before, first[:2]) == ("deferred", [True, False])
    assert ledger.words(key) == ["ran", "on_success-False-True"]
    again = said["again"]
    assert again[:2] == [False, False]
    if engine != "rq":  # which forks for each job
        assert first[2:] == again[2:], "on the same thread of the same process"
    assert first[2] != said["own"]
    assert (said["rolled back"], ledger.words(f"{key}-dropped")) == ("discarded", [])
    assert said["async"] is True
    assert said["a task of Django's"] is True
