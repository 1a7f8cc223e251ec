"""The handle of a job that runs on the thread of whoever enqueued it."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time

import pytest
from doors import LONG

import counterpunch
from counterpunch import Job, Status

# Jobs on the thread of whoever enqueued them


def test_a_job_inside_a_job_does_not_wait_for_the_outer_one() -> None:
    """Neither ``wait_idle()`` nor ``shutdown()``: it would never end."""

    class Inner(Job):
        def perform(self, stop: bool) -> bool:
            return counterpunch.shutdown(0.5).clean if stop else counterpunch.wait_idle(0.5)

    class Outer(Job):
        def perform(self, stop: bool) -> bool:
            return Inner.perform_now(stop)

    assert Outer.perform_async(False).result(LONG) is True
    assert Outer.perform_now(False) is True
    outer = Outer.perform_async(True)
    assert outer.result(LONG) is True
    assert outer.status is Status.SUCCEEDED


@pytest.mark.parametrize("kind", ["perform_now", "caller_runs", "async"])
def test_the_end_of_a_job_on_a_callers_thread_wakes_who_waits_for_idleness(kind: str) -> None:
    """No worker falls asleep after it, which is what usually does."""
    entered, gate, hold = threading.Semaphore(0), threading.Event(), threading.Event()

    class Here(Job):
        max_jobs = 1
        overflow = "caller_runs"

        def perform(self, name: str) -> None:
            entered.release()
            (gate if name == "here" else hold).wait(LONG)

    class HereAsync(Job):
        async def perform(self, name: str) -> None:
            entered.release()
            gate.wait(LONG)

    def run() -> None:
        if kind == "async":
            HereAsync.perform_now("here")
        elif kind == "perform_now":
            Here.perform_now("here")
        else:
            Here.perform_async("here")

    if kind == "caller_runs":
        for _ in range(Here.options["workers"]):
            Here.perform_async("on the worker")
            assert entered.acquire(timeout=LONG)
        Here.perform_async("queued")
    caller = threading.Thread(target=run, daemon=True)
    caller.start()
    assert entered.acquire(timeout=LONG)
    hold.set()  # the worker comes to rest first, if there is one
    idle: list[bool] = []
    waiter = threading.Thread(target=lambda: idle.append(counterpunch.wait_idle()), daemon=True)
    waiter.start()
    if kind == "caller_runs":
        assert entered.acquire(timeout=LONG)
    gate.set()
    waiter.join(LONG)
    assert idle == [True]
    caller.join(LONG)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_time_limit_holds_for_perform_now(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """The token is set and the overrun reported, with the stack of the caller's thread."""

    class Bounded(Job):
        timeout = 0.01

        def perform(self) -> bool:
            deadline = time.monotonic() + LONG
            while not self.cancelled and time.monotonic() < deadline:
                threading.Event().wait(0.001)
            return self.cancelled

    class BoundedAsync(Job):
        timeout = 0.01

        async def perform(self) -> bool:
            deadline = time.monotonic() + LONG
            while not self.cancelled and time.monotonic() < deadline:
                await asyncio.sleep(0.001)
            return self.cancelled

    reports: queue.SimpleQueue[str] = queue.SimpleQueue()

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            reports.put(record.getMessage())

    listening = Listening()
    logging.getLogger("counterpunch").addHandler(listening)
    try:
        assert (Bounded if kind == "sync" else BoundedAsync).perform_now() is True
        report = reports.get(timeout=LONG)  # the token is set before it is logged
    finally:
        logging.getLogger("counterpunch").removeHandler(listening)
    assert "more than timeout=0.01 s" in report
    if kind == "sync":
        assert ", in perform\n" in report
