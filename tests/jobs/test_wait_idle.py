"""Whoever waits for idleness hears of all that makes a process idle, whatever it is."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from process import LONG

import counterpunch
from counterpunch import Job
from counterpunch.core.places.parking import Parking
from counterpunch.core.places.permits import Permits
from counterpunch.core.process.in_force import accepting
from counterpunch.core.workers.loop import Loop


class Boom(Exception):
    pass


class Resting:
    """A thread in ``wait_idle`` without a limit, of which is known that it has lain down."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done = threading.Event()
        self.looks = threading.Semaphore(0)
        idleness = accepting().idleness
        idle = idleness.idle

        def look(*args: Any) -> bool:
            try:
                return idle(*args)
            finally:
                self.looks.release()

        monkeypatch.setattr(idleness, "idle", look)

    lies = False

    def lie_down(self) -> None:
        self.lies = True
        threading.Thread(target=self.wait, name="resting", daemon=True).start()
        for _ in range(2):  # the second look comes after it can be woken
            assert self.looks.acquire(timeout=LONG)
        assert not self.done.is_set()

    def wait(self) -> None:
        counterpunch.wait_idle()
        self.done.set()


class Late(Permits):
    """Where what is put back shows that all is at rest: somebody lies down just before."""

    def __init__(self, resting: Resting) -> None:
        super().__init__(1)
        self.resting = resting

    def give_back(self, hand: list[None]) -> None:
        if not self.resting.lies:
            self.resting.lie_down()
        super().give_back(hand)


def test_who_waits_for_idleness_hears_of_a_job_that_left_the_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last queued job is put off, and neither a worker nor the scheduler falls asleep."""

    class Far(Job):
        def perform(self) -> None: ...

    class Held(Job):
        def perform(self) -> None: ...

    counterpunch.configure(starved_after=None)  # a pause would have the scheduler get up
    Far.perform_in(1000)  # what is due after it wakes nobody
    assert counterpunch.wait_idle(LONG)  # the scheduler sleeps, and for so long
    accepting().scheduler.resters = Parking()  # it may not have told everybody so yet
    Held.pause()
    held = Held.perform_async()
    resting = Resting(monkeypatch)
    resting.lie_down()
    assert held.reschedule(5000)
    assert resting.done.wait(LONG)


@pytest.mark.parametrize("kind", ["pool", "loop", "scheduler"])
def test_who_waits_for_idleness_hears_of_a_thread_that_does_not_start(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody lies down while it counts as on its way, and no thread falls asleep after it."""

    class Sync(Job):
        workers = 1

        def perform(self) -> None: ...

    class Async(Sync):
        async def perform(self) -> None: ...

    runtime, resting, start = accepting(), Resting(monkeypatch), threading.Thread.start
    pool = runtime.lane(Async if kind == "loop" else Sync).pool
    pool.vacancies = Late(resting)
    runtime.scheduler._unstarted = Late(resting)

    def interrupted(*args: Any) -> None:
        if not args or args[0].name == "counterpunch-scheduler":
            raise Boom
        start(*args)

    if kind == "pool":
        monkeypatch.setattr(runtime.ceiling, "may_start", lambda pool: interrupted())
        with pytest.raises(Boom):
            pool.offer()
    elif kind == "loop":
        monkeypatch.setattr(Loop, "call", lambda *args: False)  # it was closed meanwhile
        pool.offer()
    else:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", interrupted)
            with pytest.raises(Boom):
                Sync.perform_in(1000)
    assert resting.done.wait(LONG)


def test_who_waits_for_idleness_hears_of_a_job_that_its_caller_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A Ctrl-C ends the wait of ``perform_now`` for a job that runs on a thread of its own."""
    gate = threading.Event()

    class Alone(Job):
        async def perform(self) -> None:
            gate.wait(LONG)

    def interrupted(*args: Any) -> None:
        raise Boom

    async def leave() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "join", interrupted)
            with pytest.raises(Boom):
                Alone.perform_now()

    resting = Resting(monkeypatch)
    asyncio.run(leave())
    resting.lie_down()
    gate.set()
    assert resting.done.wait(LONG)
