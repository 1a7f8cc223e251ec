"""dump(): every worker with what it is at and its stack."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import counterpunch
from counterpunch import Job, testing
from counterpunch.core.process.in_force import current
from counterpunch.observe.dump import stacks

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


class Local:
    """In a frame; its end can be seen."""


LOOKS: dict[str, Callable[[Any], object]] = {
    "dump": lambda handle: counterpunch.dump(),
    "running page": lambda handle: stacks(),
    "overrun": lambda handle: current().stacks.whole_of(handle),
    "watchdog": lambda handle: current().stacks.describe(current().whereabouts.workers(), 0.0),
}


@pytest.mark.parametrize("inside", [False, True], ids=["beside it", "inside it"])
@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_a_look_keeps_no_frame(look: Callable[[Any], object], inside: bool) -> None:
    """What the job that was looked at had in its locals goes with it, without a collection."""
    kept: list[weakref.ref[Local]] = []
    looked, entered = threading.Event(), threading.Event()

    class Seen(Job):
        def perform(self) -> None:
            local = Local()
            kept.append(weakref.ref(local))
            if inside:
                look(self.handle)
                looked.set()
            entered.set()
            assert looked.wait(SOON)

    gc.collect()
    gc.disable()
    try:
        handle = Seen.perform_async()
        assert entered.wait(SOON)
        if not inside:
            look(handle)
            looked.set()
        handle.result(SOON)
        assert [ref() for ref in kept] == [None]
    finally:
        gc.enable()


def test_a_job_that_looks_shows_itself() -> None:
    """Its own frames are part of the text."""

    class Looking(Job):
        def perform(self) -> str:
            return counterpunch.dump()

    text = Looking.perform_async().result(SOON)
    block = next(b for b in text.split("\n\n") if "Looking" in b and "attempt 1" in b)
    assert "in perform" in block
    assert "in dump" in block
