"""The thread ceiling where two threads come or go at the same instant."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import counterpunch
from counterpunch import Job, configure
from counterpunch.core.workers.ceiling import Ceiling
from counterpunch.core.workers.hiring import Hiring

WAIT = 10.0


def test_of_two_threads_that_may_leave_at_once_both_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one looks while the first asks for the guest, whose thread is counted then."""
    configure(max_threads=4)
    may_start, drop = Ceiling.may_start, Hiring.drop
    hog, hogging, left = (threading.Semaphore(0) for _ in range(3))
    first, together = threading.Event(), threading.Barrier(2)

    class HogJob(Job):
        workers = 4

        def perform(self) -> None:
            hogging.release()
            assert hog.acquire(timeout=WAIT)

    class GuestJob(Job):
        workers = 4

        def perform(self) -> None:
            together.wait(WAIT)  # breaks unless two of them run at once

    def leaves(self: Hiring) -> None:
        drop(self)
        left.release()

    def another_ends(self: Ceiling, pool: Any) -> bool:
        if "HogJob" in threading.current_thread().name and not first.is_set():
            first.set()
            hog.release()
            for _ in range(2):  # itself and the other one
                assert left.acquire(timeout=WAIT)
        return may_start(self, pool)

    for _ in range(12):
        HogJob.perform_async()
    for _ in range(4):
        assert hogging.acquire(timeout=WAIT)
    monkeypatch.setattr(Hiring, "drop", leaves)
    monkeypatch.setattr(Ceiling, "may_start", another_ends)
    guests = [GuestJob.perform_async() for _ in range(2)]
    hog.release()
    for handle in guests:
        handle.result(WAIT)
    hog.release(10)
    assert counterpunch.wait_idle(WAIT)
