"""Pause and resume: jobs are held and go on in order, whatever comes between."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import counterpunch
from counterpunch import Handle, Job, Status
from counterpunch.core.process import drain as drain_module
from counterpunch.core.values.hooks import process
from counterpunch.core.workers import pool as pool_module

WAIT = 10.0


def test_pause_holds_jobs_and_resume_lets_them_go_in_order() -> None:
    """Running ones end, new ones are accepted, cancelled ones stay away; order is kept."""
    running, go, ran = threading.Event(), threading.Event(), []

    class PausableJob(Job):
        workers = 1

        def perform(self, name: str) -> None:
            if name == "first":
                running.set()
                assert go.wait(WAIT)
            ran.append(name)

    first = PausableJob.perform_async("first")
    assert running.wait(WAIT)
    PausableJob.perform_async("second")
    PausableJob.pause()
    go.set()
    first.result(WAIT)
    PausableJob.perform_async("third")
    PausableJob.perform_in(0, "fourth")
    gone = PausableJob.perform_async("gone")
    assert gone.cancel()
    assert PausableJob.stats().queued == 3
    assert ran == ["first"]
    assert not counterpunch.wait_idle(0.01)
    PausableJob.resume()
    assert counterpunch.wait_idle(WAIT)
    assert ran == ["first", "second", "third", "fourth"]


@pytest.fixture
def short_paths(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without what integrations and logging have installed for the tests before."""
    logger = logging.getLogger("counterpunch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    for name in ("around_enqueue", "around_perform", "around_hooks"):
        monkeypatch.setattr(process, name, ())
    monkeypatch.setattr(process, "copy_context", contextvars.copy_context)
    yield
    logger.setLevel(level)
    process.changed()


@pytest.mark.usefixtures("short_paths")
def test_a_push_under_way_when_the_class_is_paused_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The class is paused between the look at the gate and the append: nothing starts."""

    class UnderWayJob(Job):
        def perform(self) -> None: ...

    UnderWayJob.perform_async().result(WAIT)  # opens the short way

    def paused_now() -> contextvars.Context:
        UnderWayJob.pause()
        return contextvars.copy_context()

    with monkeypatch.context() as patch:
        patch.setattr(process, "copy_context", paused_now)
        held = UnderWayJob.perform_async()
    assert held.lane.pool.queued() == 0
    assert (held.status, UnderWayJob.stats().queued) == (Status.QUEUED, 1)
    UnderWayJob.resume()
    held.result(WAIT)


@pytest.mark.usefixtures("short_paths")
@pytest.mark.parametrize("shared", [False, True])
def test_a_job_that_a_worker_has_just_taken_when_the_class_is_paused_goes_back(
    shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has not started; it is held in its old place, in front of later ones."""
    counterpunch.configure(pools={"taken": 1})
    name = "execute" if shared else "execute_plain"
    execute, paused, ran = getattr(pool_module, name), threading.Event(), []

    class TakenJob(Job):
        workers = 2 if shared else 1
        pool = "taken" if shared else None
        timeout = 60.0 if shared else None  # not one for the short way

        def perform(self, name: str) -> None:
            ran.append(name)

    def pause_first(call: Any, how: Any) -> None:
        if not paused.is_set():
            TakenJob.perform_async("second")
            TakenJob.pause()
            execute(call, how)
            paused.set()
        else:
            execute(call, how)

    monkeypatch.setattr(pool_module, name, pause_first)
    first = TakenJob.perform_async("first")
    assert paused.wait(WAIT)
    assert (first.status, first.attempt, TakenJob.stats().queued) == (Status.QUEUED, 0, 2)
    TakenJob.resume()
    assert counterpunch.wait_idle(WAIT)
    assert ran == ["first", "second"]


def test_jobs_that_arrive_while_the_class_is_being_paused_stay_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One is enqueued when the class is paused already and those before it are not held yet."""
    busy, go, ran = threading.Event(), threading.Event(), []

    class OrderedJob(Job):
        workers = 1

        def perform(self, number: int) -> None:
            if number == 0:
                busy.set()
                assert go.wait(WAIT)
            ran.append(number)

    OrderedJob.perform_async(0)
    assert busy.wait(WAIT)
    for number in (1, 2, 3):
        OrderedJob.perform_async(number)
    queueing = counterpunch.core.port.current().queueing
    turned_away = queueing.turned_away

    def enqueue_first(*args: Any) -> bool:
        monkeypatch.setattr(queueing, "turned_away", turned_away)
        OrderedJob.perform_async(4)
        return turned_away(*args)

    monkeypatch.setattr(queueing, "turned_away", enqueue_first)
    OrderedJob.pause()
    assert [handle.args[0] for handle in counterpunch.jobs(OrderedJob, "queued")] == [1, 2, 3, 4]
    go.set()
    OrderedJob.resume()
    assert counterpunch.wait_idle(WAIT)
    assert ran == [0, 1, 2, 3, 4]


class Fleeting(deque[Any]):
    """Held jobs that another thread lets go between any two looks at them."""

    def __init__(self, resume: Callable[[], None]) -> None:
        super().__init__()
        self.resume: Callable[[], None] | None = resume

    def __bool__(self) -> bool:
        found = len(self) > 0
        resume = self.resume
        if found and resume is not None:
            self.resume = None
            resume()
        return found

    def copy(self) -> deque[Any]:
        return deque(self)


def test_a_class_that_is_resumed_while_a_job_is_being_held_loses_none() -> None:
    """What was held before is gone again when the next one is put beside it."""

    class HeldJob(Job):
        def perform(self) -> None: ...

    HeldJob.pause()
    first = HeldJob.perform_async()
    lane = first.lane
    held = Fleeting(HeldJob.resume)
    held.extend(lane.hold)
    lane.hold = held
    second = HeldJob.perform_async()
    HeldJob.resume()
    first.result(WAIT)
    second.result(WAIT)


def test_a_stop_does_not_wait_for_a_paused_class() -> None:
    """Whoever enqueues to it, or pauses it, while the process stops: the jobs are lost at once."""
    go = threading.Event()

    class PausedTargetJob(Job):
        def perform(self) -> None: ...

    class LateEnqueuerJob(Job):
        def perform(self) -> list[Handle[None]]:
            assert go.wait(WAIT)
            return [PausedTargetJob.perform_async() for _ in range(2)]

    PausedTargetJob.pause()
    enqueuer = LateEnqueuerJob.perform_async()
    earlier = PausedTargetJob.perform_async()
    earlier.add_done_callback(lambda _: go.set())  # lost: the stop has begun
    report = counterpunch.shutdown(WAIT)
    later = enqueuer.result(0)
    assert set(report.lost) == {earlier, *later}
    for handle in report.lost:
        assert "paused when the process stopped" in (handle.error or "")


@pytest.mark.usefixtures("short_paths")
@pytest.mark.parametrize("when", ["before the list is made", "before it is out", "afterwards"])
def test_a_job_that_arrives_while_the_stop_makes_its_report_is_reported_once(
    when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The enqueue was accepted before the stop, and appends its job behind the sweep."""
    reported: list[list[Handle[None]]] = []
    counterpunch.configure(on_lost=reported.append)
    there, appended = threading.Event(), threading.Event()

    class ArrivingJob(Job):
        def perform(self) -> None: ...

    ArrivingJob.perform_async().result(WAIT)  # opens the short way
    ended, publish = drain_module._ended, drain_module.publish

    def meet() -> None:
        there.set()
        assert appended.wait(WAIT)

    def listing(runtime: Any) -> Any:
        if when == "before the list is made" and runtime.stage.phase == "stopped":
            meet()
        return ended(runtime)

    def out(*report: Any) -> None:
        if when == "before it is out":
            meet()
        publish(*report)
        if when == "afterwards":
            meet()

    def late_now() -> contextvars.Context:
        stopping.start()
        assert there.wait(WAIT)
        return contextvars.copy_context()

    stopping = threading.Thread(target=counterpunch.shutdown, args=(0,), daemon=True)
    with monkeypatch.context() as patch:
        patch.setattr(drain_module, "_ended", listing)
        patch.setattr(drain_module, "publish", out)
        patch.setattr(process, "copy_context", late_now)
        handle = ArrivingJob.perform_async()
        appended.set()
        stopping.join(WAIT)
    assert handle.status is Status.LOST
    assert reported == [[handle]]


def test_pause_is_one_classes_own() -> None:
    """Others of the same shared pool go on."""
    counterpunch.configure(pools={"common": 1})

    class HeldJob(Job):
        pool = "common"

        def perform(self) -> None: ...

    class FreeJob(Job):
        pool = "common"

        def perform(self) -> str:
            return "ran"

    HeldJob.pause()
    held = HeldJob.perform_async()
    assert FreeJob.perform_async().result(WAIT) == "ran"
    assert held.status is Status.QUEUED
    HeldJob.resume()
    held.result(WAIT)
