"""Every server, stopped with work in its queues: what ran, what was reported, how it ended.

One scenario for all. Each process of the server is given short jobs, one that is not due and
one that never ends; then it is stopped. Afterwards every short job has run, the other two are
in the lost report, the deadline of one second has held, and the exit status is the one that
the host has without jobs. ``DIES`` lists what no library can help, as the README says.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from serving import Ledger, Server, eventually, program, require

pytestmark = pytest.mark.hosts

TERM, INT, QUIT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP

#: Seconds that the drain may take (``shutdown_timeout``), and that a host may take besides.
DEADLINE, SLACK = 1.0, 5.0


class Host(NamedTuple):
    """How to start one server.

    ``command``: ``{port}`` is filled in; a first word without a slash is a module to run.
    ``needs``: what must be installed. ``processes``: how many serve.
    """

    command: str
    needs: tuple[str, ...] = ()
    environ: dict[str, str] = {}  # noqa: RUF012  (never changed)
    processes: int = 1

    def argv(self) -> list[str]:
        first, *rest = self.command.split()
        if first.startswith("bin/"):
            found = program(first.removeprefix("bin/"))
            assert found is not None
            return [found, *rest]
        return [sys.executable, *([] if first.endswith(".py") else ["-m"]), first, *rest]


GUNICORN = "gunicorn -b 127.0.0.1:{port} --graceful-timeout 5 --timeout 10 "
HOSTS = {
    "gunicorn-sync": Host(GUNICORN + "wsgi_site:application", ("gunicorn",)),
    "gunicorn-sync-worker_exit": Host(
        GUNICORN + "-c gunicorn_conf.py wsgi_site:application", ("gunicorn",)
    ),
    "gunicorn-sync-2": Host(GUNICORN + "-w 2 wsgi_site:application", ("gunicorn",), {}, 2),
    "gunicorn-sync-preload": Host(
        GUNICORN + "-w 2 --preload wsgi_site:application", ("gunicorn",), {}, 2
    ),
    "gunicorn-gthread": Host(
        GUNICORN + "-k gthread --threads 4 flask_site:app", ("gunicorn", "flask")
    ),
    "gunicorn-gthread-preload": Host(
        GUNICORN + "-k gthread --threads 4 --preload flask_site:app", ("gunicorn", "flask")
    ),
    "gunicorn-gevent": Host(GUNICORN + "-k gevent wsgi_site:application", ("gunicorn", "gevent")),
    "gunicorn-gevent-preload": Host(
        GUNICORN + "-k gevent --preload wsgi_site:application", ("gunicorn", "gevent")
    ),
    "gunicorn-uvicorn": Host(
        GUNICORN + "-k uvicorn_worker.UvicornWorker fastapi_site:app",
        ("gunicorn", "uvicorn_worker", "fastapi"),
    ),
    "uvicorn": Host("uvicorn --port {port} fastapi_site:app", ("uvicorn", "fastapi")),
    "uvicorn-wrap": Host("uvicorn --port {port} asgi_site:wrapped", ("uvicorn",)),
    "uvicorn-bare": Host("uvicorn --port {port} asgi_site:bare", ("uvicorn",)),
    "uvicorn-workers": Host(
        "uvicorn --port {port} --workers 2 fastapi_site:app", ("uvicorn", "fastapi"), {}, 2
    ),
    "uvicorn-reload": Host(
        "uvicorn --port {port} --reload fastapi_site:app", ("uvicorn", "fastapi")
    ),
    "waitress": Host("wsgi_site.py waitress {port}", ("waitress",), {"HOSTS_SIGNALS": "1"}),
    "waitress-plain": Host("wsgi_site.py waitress {port}", ("waitress",)),
    "wsgiref": Host("wsgi_site.py wsgiref {port}", (), {"HOSTS_SIGNALS": "1"}),
    "wsgiref-plain": Host("wsgi_site.py wsgiref {port}"),
}


class Stop(NamedTuple):
    """One way to stop one host. ``status`` is the host's own, measured without any job."""

    host: str
    number: signal.Signals
    status: int
    group: bool = False

    def __str__(self) -> str:
        return f"{self.host}-{self.number.name}{'-group' if self.group else ''}"


DRAINS = [
    Stop("gunicorn-sync", TERM, 0),
    Stop("gunicorn-sync", INT, 0),
    Stop("gunicorn-sync", TERM, 0, group=True),
    Stop("gunicorn-sync-worker_exit", TERM, 0),
    Stop("gunicorn-sync-2", TERM, 0),
    Stop("gunicorn-sync-preload", TERM, 0),
    Stop("gunicorn-gthread", TERM, 0),
    Stop("gunicorn-gthread", QUIT, 0),
    Stop("gunicorn-gthread-preload", TERM, 0),
    Stop("gunicorn-gevent", TERM, 0),
    Stop("gunicorn-gevent-preload", TERM, 0),
    Stop("gunicorn-uvicorn", TERM, 0),
    Stop("uvicorn", TERM, -15),
    Stop("uvicorn", INT, 0),
    Stop("uvicorn-wrap", TERM, -15),
    Stop("uvicorn-bare", INT, 0),
    Stop("uvicorn-workers", TERM, 0),
    Stop("uvicorn-workers", INT, 0, group=True),
    Stop("uvicorn-reload", TERM, 0),
    Stop("waitress", TERM, 0),  # it catches the SystemExit
    Stop("waitress", INT, 0),
    Stop("waitress-plain", INT, 0),
    Stop("wsgiref", TERM, 143),
    Stop("wsgiref-plain", INT, -2),
]

DIES = [
    Stop("uvicorn-bare", TERM, -15),
    Stop("waitress-plain", TERM, -15),
    Stop("wsgiref-plain", TERM, -15),
]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


def start(name: str, ledger: Ledger, timeout: float = DEADLINE) -> Server:
    host = HOSTS[name]
    require(*host.needs)
    return Server(host.argv(), ledger, HOSTS_TIMEOUT=str(timeout), **host.environ)


def load(server: Server, kind: str, processes: int = 1) -> list[str]:
    """Enqueue in every process of the server; the ids of the accepted jobs."""
    ids: list[str] = []
    seen: set[int] = set()

    def all_have_some() -> bool:
        answer = server.get(f"/jobs/{kind}")
        ids.extend(answer["ids"])
        seen.add(answer["pid"])
        return len(seen) >= processes

    eventually(all_have_some, f"an answer from each of {processes} processes")
    return ids


@pytest.mark.parametrize("stop", DRAINS, ids=str)
def test_a_stop_accounts_for_every_job_within_the_deadline(stop: Stop, ledger: Ledger) -> None:
    processes = HOSTS[stop.host].processes
    with start(stop.host, ledger) as server:
        ids = load(server, "mixed", processes)
        before = time.monotonic()
        server.send(stop.number, stop.group)
        status = server.end()
        seconds = time.monotonic() - before
        ran, lost = ledger.of("ran"), ledger.of("lost")
        assert sorted(ran + lost) == sorted(ids), f"ran {len(ran)}, lost {len(lost)}"
        # Each process has one job that never ends, and one that is not due.
        assert len(lost) == 2 * len(ids) // 8
        assert seconds < DEADLINE + SLACK
        assert "Fatal Python error" not in server.output
        assert status == stop.status


@pytest.mark.parametrize("stop", DIES, ids=str)
def test_what_no_library_can_help(stop: Stop, ledger: Ledger) -> None:
    """The host leaves, or is killed, without a word to Python: the queue goes with it."""
    with start(stop.host, ledger) as server:
        ids = load(server, "mixed")
        server.send(stop.number, stop.group)
        status = server.end()
        assert len(ledger.of("ran")) + len(ledger.of("lost")) < len(ids)
        assert status == stop.status
