"""dump(): every worker with what it is at and its stack."""

from __future__ import annotations

import asyncio
import os
import threading

import counterpunch
from counterpunch import Job, testing
from counterpunch.core.process.in_force import current

SOON = 10.0  # seconds


class Dumped(Job):
    workers = 2
    gate = threading.Event()
    entered = threading.Event()

    def perform(self) -> None:
        self.wait_for_the_gate()

    def wait_for_the_gate(self) -> None:
        self.entered.set()
        self.gate.wait(SOON)


def test_it_shows_running_idle_and_scheduler_threads():
    """The busy worker with job, id and the user's own frames; the idle one; the scheduler."""
    Dumped.gate.set()
    Dumped.perform_async().result(SOON)
    Dumped.gate.clear()
    Dumped.entered.clear()
    handle = Dumped.perform_async()
    Dumped.perform_in(3600)
    assert Dumped.entered.wait(SOON)
    try:
        text = counterpunch.dump()
    finally:
        Dumped.gate.set()
    handle.result(SOON)
    assert f"process {os.getpid()}" in text
    assert f"Dumped {handle.id} attempt 1 for " in text
    assert "in wait_for_the_gate" in text
    assert "counterpunch-scheduler: alive" in text
    assert counterpunch.wait_idle(SOON)
    assert "counterpunch-Dumped_0: idle" in counterpunch.dump()


def test_an_unused_process_has_no_threads():
    """Looking starts none either."""
    with testing.fake():
        assert "no threads" in counterpunch.dump()


def test_an_async_job_is_shown_where_it_waits():
    """Down to the innermost coroutine; the idle task has no stack, the loop's thread is named."""
    gate, entered = asyncio.Event(), threading.Event()

    class Fetch(Job):
        workers = 2

        async def perform(self, hold: bool) -> None:
            if hold:
                await self.wait_for_the_answer()

        async def wait_for_the_answer(self) -> None:
            entered.set()
            await gate.wait()

    Fetch.perform_async(False).result(SOON)
    handle = Fetch.perform_async(True)
    assert entered.wait(SOON)
    text = counterpunch.dump()
    current().loops.event_loop().call(gate.set)
    handle.result(SOON)
    block = next(b for b in text.split("\n\n") if f"Fetch {handle.id} attempt 1 for " in b)
    assert "in wait_for_the_answer" in block
    assert "run_forever" not in block
    assert "counterpunch-loop: alive" in text
    assert counterpunch.wait_idle(SOON)
    assert "counterpunch-Fetch_0: idle" in counterpunch.dump()


def test_an_async_job_that_computes_is_shown_on_the_loop():
    """While it holds the loop, the stack is that of the loop's thread."""
    gate, entered = threading.Event(), threading.Event()

    class Blocking(Job):
        async def perform(self) -> None:
            entered.set()
            gate.wait(SOON)

    handle = Blocking.perform_async()
    assert entered.wait(SOON)
    text = counterpunch.dump()
    gate.set()
    handle.result(SOON)
    block = next(b for b in text.split("\n\n") if f"Blocking {handle.id}" in b)
    assert "gate.wait(SOON)" in block


def test_no_argument_is_shown():
    """Neither in a headline nor in a stack."""
    Dumped.gate.clear()
    Dumped.entered.clear()

    class Told(Dumped):
        def perform(self, secret: str) -> None:  # type: ignore[override]
            self.wait_for_the_gate()

    handle = Told.perform_async("hunter2")
    assert Dumped.entered.wait(SOON)
    text = counterpunch.dump()
    Dumped.gate.set()
    handle.result(SOON)
    assert handle.id in text
    assert "hunter2" not in text
