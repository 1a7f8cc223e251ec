"""The backends under test: threads, the test modes, and each engine with a worker of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from engine_places import BACKENDS, ENGINES, Place
from engine_processes import APPS, LONG, Ledger, Redis, Worker, require

import counterpunch
from counterpunch import Retry, testing
from counterpunch.backends.protocol import Backend, InProcess
from counterpunch.core.values.backend import engines


@pytest.fixture(scope="session", autouse=True)
def apps() -> None:
    """The apps are imported by name, here and in the workers."""
    sys.path.insert(0, str(APPS))


@pytest.fixture(autouse=True)
def engines_are_forgotten() -> Iterator[None]:
    """``find`` asks every engine of the process: none of another test, on a server long gone."""
    before = set(engines)
    yield
    for engine in set(engines) - before - set(_made.values()):
        engines.discard(engine)


@pytest.fixture(scope="session")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    path: Path = tmp_path_factory.mktemp("ledger") / "ledger"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENGINE_LEDGER", str(path))
        yield Ledger(path)


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    """One server for all tests that do not harm it."""
    require("redis-server", "redis")
    server = Redis()
    yield server
    server.close()


@pytest.fixture(scope="session")
def workers(redis: Redis, ledger: Ledger) -> Iterator[dict[str, Worker]]:
    """One worker per engine, started by the first test that needs it."""
    started: dict[str, Worker] = {}
    yield started
    for worker in started.values():
        worker.popen.terminate()  # all of them at once
    for worker in started.values():
        try:
            worker.popen.wait(LONG)
        finally:
            worker.kill()
    for worker in started.values():
        assert worker.popen.returncode == 0, worker.output


@pytest.fixture(params=BACKENDS)
def place(request: pytest.FixtureRequest, ledger: Ledger) -> Iterator[Place]:
    """Each backend in turn, in force for the whole process."""
    import engine_jobs

    name: str = request.param
    with ExitStack() as stack:
        recorder = None
        backend: Backend
        if name in ENGINES:
            require(name)
            backend = _engine(name, request)
            counterpunch.configure(backend=backend)
        else:
            if name == "inline":
                stack.enter_context(testing.inline())
            elif name == "fake":
                recorder = stack.enter_context(testing.fake())
            stack.callback(engine_jobs.watch_attempts())
            # Nobody has to see from another process what happens in these pauses.
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.setattr(engine_jobs.Hooked, "retry", Retry(3, wait=0.05, factor=2, jitter=0))
            patch.setattr(engine_jobs.Child, "seconds", 0.03)
            backend = InProcess()
        yield Place(backend, recorder)


#: Made once: Celery keeps a task, and Dramatiq an actor, for as long as the process lives.
_made: dict[str, Any] = {}


def _engine(name: str, request: pytest.FixtureRequest) -> Any:
    import engine_set

    redis: Redis = request.getfixturevalue("redis")
    workers: dict[str, Worker] = request.getfixturevalue("workers")
    if name not in workers:
        worker = Worker(name, redis.url, request.getfixturevalue("ledger"))
        workers[name] = worker.__enter__()
        _made[name] = engine_set.SETS[name](redis.url)[1]
    return _made[name]
