"""The jobs that every app of these tests enqueues, and the ledger that tells what became of them.

Environment: ``HOSTS_LEDGER``, the file that gets one line per job; ``HOSTS_TIMEOUT``, the
``shutdown_timeout`` in seconds; ``HOSTS_SIGNALS``, set to install the SIGTERM handler;
``HOSTS_PERIODIC``, set to have a periodic job.
"""

from __future__ import annotations

import json
import os
import time

import counterpunch
from counterpunch import Handle, Job

SHORT_JOBS = 6


def note(word: str, job_id: str) -> None:
    """One line, by one write: processes and threads do not mix theirs."""
    ledger = os.open(os.environ["HOSTS_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(ledger, f"{word} {job_id}\n".encode())
    finally:
        os.close(ledger)


class ShortJob(Job):
    workers = 2

    def perform(self, seconds: float = 0.1) -> None:
        time.sleep(seconds)
        note("ran", self.handle.id)


class StuckJob(Job):
    """Never ends, and is deaf to everything: it sleeps in C."""

    def perform(self) -> None:
        time.sleep(600)


if os.environ.get("HOSTS_PERIODIC"):

    class TickJob(Job):
        every = 0.1
        once_per = "process"

        def perform(self) -> None:
            note("tick", str(os.getpid()))


def lost(handles: list[Handle[object]]) -> None:
    for handle in handles:
        note("lost", handle.id)


counterpunch.configure(
    shutdown_timeout=float(os.environ.get("HOSTS_TIMEOUT", "1")),
    on_lost=lost,
    signals=bool(os.environ.get("HOSTS_SIGNALS")),
)


def enqueue(kind: str) -> list[str]:
    """Enqueue what the path asks for; the ids of the accepted jobs.

    ``mixed``: short ones, one that is not due and one that never ends; only the first time
    in each process, so that a test can ask until every process has them.
    """
    handles: list[Handle[object]] = []
    if kind == "mixed":
        if os.getpid() in served:
            return []
        served.add(os.getpid())
        handles = [StuckJob.perform_async(), ShortJob.perform_in(60)]
    handles += [ShortJob.perform_async() for _ in range(SHORT_JOBS)]
    return [handle.id for handle in handles]


served: set[int] = set()


def answer(path: str) -> bytes:
    """``/``: who answers. ``/jobs/<kind>``: enqueue. ``/slow``: enqueue late in the request.
    ``/block``: never answers."""
    ids: list[str] = []
    if path.startswith("/jobs/"):
        ids = enqueue(path.removeprefix("/jobs/"))
    elif path == "/slow":
        note("waiting", str(os.getpid()))
        time.sleep(0.5)
        ids = enqueue("short")
    elif path == "/block":
        note("blocked", str(os.getpid()))
        time.sleep(600)
    return json.dumps({"pid": os.getpid(), "ids": ids}).encode()
