"""Apps under load: no request waits for a job, and a stop loses none."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGTERM
from typing import NamedTuple

import pytest
from serving import EXAMPLES, LONG, Ledger, Server, eventually, require

pytestmark = pytest.mark.hosts

CLIENTS = 200
REQUESTS = 600


class Site(NamedTuple):
    """One app on one server.

    ``says``: the number of the user, in a line of the ledger. ``requests`` and ``clients``: how
    many make the load, and how many are sent at once; SQLite's one writer bounds Django's.
    """

    needs: tuple[str, ...]
    command: tuple[str, ...]
    cwd: Path
    path: str
    body: str | None
    says: str
    requests: int = REQUESTS
    clients: int = CLIENTS


APPS = Path(__file__).parent / "apps"
DJANGO = EXAMPLES / "django_app"
SITES = {
    "flask": Site(
        ("flask", "gunicorn"),
        ("gunicorn", "-w", "2", "-k", "gthread", "--threads", "8", "load_flask:app"),
        APPS,
        "/signup/{n}",
        None,
        r"hi, user (\d+)",
    ),
    "fastapi": Site(
        ("fastapi", "uvicorn"),
        ("uvicorn", "--port", "{port}", "--log-level", "warning", "load_fastapi:app"),
        APPS,
        "/signup/{n}",
        None,
        r"hi, user (\d+)",
    ),
    "django": Site(
        ("django.tasks", "uvicorn"),  # the example has a @task: Django 6.0
        ("uvicorn", "--port", "{port}", "--log-level", "warning", "project.asgi:application"),
        DJANGO,
        "/signup",
        "email=u{n}@example.com",
        r"hi, u(\d+)@",
        100,
        50,
    ),
}


class Load:
    """Many clients that post new users until told to stop, or until the server is gone."""

    def __init__(self, server: Server, site: Site) -> None:
        self.server, self.site = server, site
        self.numbers = itertools.count()
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.accepted: list[int] = []
        self.seconds: list[float] = []

    def post(self) -> None:
        number = next(self.numbers)
        path = self.site.path.format(n=number)
        body = None if self.site.body is None else self.site.body.format(n=number)
        start = time.monotonic()
        status, _ = self.server.request("POST", path, body)
        with self.lock:
            self.seconds.append(time.monotonic() - start)
            if status == 202:
                self.accepted.append(number)

    def until_stopped(self) -> None:
        while not self.stopped.is_set():
            try:
                self.post()
            except OSError:
                return  # it does not listen any more


def serve(name: str, tmp_path: Path, job_seconds: float) -> tuple[Server, Path]:
    site = SITES[name]
    require(*site.needs)
    ledger = tmp_path / "ledger"
    ledger.touch()
    environ = {
        "JOB_LEDGER": str(ledger),
        "JOB_SECONDS": str(job_seconds),
        "DATABASE": str(tmp_path / "db.sqlite3"),
        "GUNICORN_CMD_ARGS": "-b 127.0.0.1:{port}",
    }
    if name == "django":
        environ["PYTHONPATH"] = os.pathsep.join([str(DJANGO), str(APPS), *sys.path])
        environ["DJANGO_SETTINGS_MODULE"] = "load_django"
        migrate = [sys.executable, "manage.py", "migrate", "-v", "0"]
        subprocess.run(migrate, cwd=DJANGO, env={**os.environ, **environ}, timeout=LONG, check=True)
    command = [sys.executable, "-m", *site.command]
    return Server(command, Ledger(ledger), site.cwd, **environ), ledger


def performed(site: Site, ledger: Path) -> Counter[int]:
    return Counter(int(number) for number in re.findall(site.says, ledger.read_text()))


@pytest.mark.parametrize("name", SITES)
def test_no_request_waits_for_a_job(name: str, tmp_path: Path) -> None:
    """All requests are answered although not one of their jobs ever ends."""
    site = SITES[name]
    started, ledger = serve(name, tmp_path, job_seconds=600)
    with started as server, ThreadPoolExecutor(site.clients) as clients:
        load = Load(server, site)
        for posted in [clients.submit(load.post) for _ in range(site.requests)]:
            posted.result(LONG)
        assert sorted(load.accepted) == list(range(site.requests))
        assert sum(performed(site, ledger).values()) == 0
        median = sorted(load.seconds)[site.requests // 2]
        print(f"{name}: median {median * 1000:.1f} ms, worst {max(load.seconds) * 1000:.1f} ms")


@pytest.mark.parametrize("name", SITES)
def test_a_stop_under_load_loses_nothing(name: str, tmp_path: Path) -> None:
    """Requests keep coming when the signal does: every accepted job is performed, once."""
    site = SITES[name]
    started, ledger = serve(name, tmp_path, job_seconds=0.005)
    with started as server, ThreadPoolExecutor(site.clients) as clients:
        load = Load(server, site)
        waiting = [clients.submit(load.until_stopped) for _ in range(site.clients)]
        try:
            eventually(lambda: len(load.accepted) >= site.requests, "the load")
            server.send(SIGTERM)
            server.end()
        finally:
            load.stopped.set()
        for client in waiting:
            client.result(LONG)
        count = performed(site, ledger)
        assert set(load.accepted) - set(count) == set(), "accepted and not performed"
        assert set(count.values()) == {1}
        assert "jobs lost" not in server.output
        if name == "django":
            greeted = subprocess.run(
                [sys.executable, "manage.py", "shell", "-v", "0", "-c", COUNT],
                cwd=DJANGO,
                env={
                    **os.environ,
                    "DATABASE": str(tmp_path / "db.sqlite3"),
                    "PYTHONPATH": os.pathsep.join([str(DJANGO), *sys.path]),
                },
                capture_output=True,
                timeout=LONG,
                check=True,
            )
            rows, done = json.loads(greeted.stdout)
            assert rows == done == len(count)


COUNT = (
    "from signups.models import Signup; "
    "print([Signup.objects.count(), Signup.objects.filter(greeted=True).count()])"
)
