"""The stop of the process against what happens at the same instant: each job ends once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

import counterpunch
from counterpunch import Job, Rate, ShutdownReport, Status
from counterpunch.core.moves.performing import Performing
from counterpunch.core.places.lane import Lane
from counterpunch.core.places.lineup import Lineup
from counterpunch.core.process import drain as drain_module

LONG, HOUR = 30.0, 3600.0


def stop_elsewhere() -> ShutdownReport:
    """A whole stop, on another thread, while this one stands still."""
    reports: list[ShutdownReport] = []
    thread = threading.Thread(target=lambda: reports.append(counterpunch.shutdown(timeout=0)))
    thread.start()
    thread.join(LONG)
    return reports[0]


def was_lost_once(handle: Any) -> None:
    """It is lost, says so to whoever asks, and its class has counted one ending."""
    assert handle.status is Status.LOST
    with pytest.raises(counterpunch.Lost):
        handle.result(0)
    lane = handle.lane
    assert (
        sum(count.value for count in lane.ledger.ended.values()) == lane.ledger.accepted.value == 1
    )


@pytest.fixture
def after_the_look(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What is put here is called once, as a worker has found that its job may start."""
    pending: list[Callable[[], object]] = []
    slot: Any = Lane.__dict__["stopped"]

    def look(lane: Lane) -> bool:
        value: bool = slot.__get__(lane, Lane)
        if pending and threading.current_thread() is not threading.main_thread():
            pending.pop()()
        return value

    monkeypatch.setattr(
        Lane, "stopped", property(look, lambda lane, value: slot.__set__(lane, value))
    )
    return pending


@pytest.mark.parametrize("limit", [None, 60.0], ids=["short path", "long path"])
def test_a_job_that_the_stop_gives_up_as_it_starts_stays_lost(
    after_the_look: list[Callable[[], object]], limit: float | None
) -> None:
    """The time is up between a worker's last look and the first line of the job."""
    seen: list[Status] = []
    performed = threading.Event()

    class Starting(Job):
        timeout = limit  # one with a time limit goes the long way

        def perform(self) -> None:
            seen.append(self.handle.status)
            performed.set()

    after_the_look.append(stop_elsewhere)
    handle = Starting.perform_async()
    assert performed.wait(LONG)
    assert seen == [Status.LOST]
    was_lost_once(handle)


@pytest.mark.parametrize("why", ["expired", "rate"])
def test_a_job_that_is_not_to_start_is_lost_once(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is up while a worker looks whether the job may start, and it may not."""
    may_start, looked = Performing.may_start, threading.Event()

    def stop_first(self: Performing, call: Any, forced: bool) -> bool:
        stop_elsewhere()
        if why == "expired":
            call.due -= 2 * HOUR  # not before, or the timer of the class would be faster
        try:
            return may_start(self, call, forced)
        finally:
            looked.set()

    monkeypatch.setattr(Performing, "may_start", stop_first)
    monkeypatch.setattr(Lineup, "precedes", lambda self, call: True)

    class Late(Job):
        expires_in = HOUR if why == "expired" else None
        rate = Rate(10) if why == "rate" else None

        def perform(self) -> None: ...

    handle = Late.perform_async()
    assert looked.wait(LONG)
    lane = handle.lane
    assert (
        sum(count.value for count in lane.ledger.ended.values()) == lane.ledger.accepted.value == 1
    )
    assert handle.done()


def test_two_stops_at_the_same_instant_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One drains and the other waits for its report; what is lost is given out once."""
    lost: list[Any] = []
    counterpunch.configure(on_lost=lost.extend)
    ended, second = drain_module._ended, threading.Event()
    reports: list[ShutdownReport] = []
    other = threading.Thread(target=lambda: reports.append(counterpunch.shutdown(timeout=0)))

    class Waiting(Job):
        def perform(self) -> None: ...

    handle = Waiting.perform_in(3600)
    runtime = handle.lane.keeper

    def in_the_midst(of: Any) -> Any:
        if second.is_set() or other.ident is not None:
            second.set()  # the other one drains as well
            return ended(of)
        other.start()
        pause = threading.Event()
        for _ in range(int(LONG / 0.002)):
            if second.is_set() or runtime.resting.sleepers:
                break
            pause.wait(0.002)  # nothing tells
        return ended(of)

    monkeypatch.setattr(drain_module, "_ended", in_the_midst)
    first = counterpunch.shutdown(timeout=0)
    other.join(LONG)
    assert reports == [first]
    assert reports[0] is first
    assert lost == [handle]


def test_a_held_job_that_is_let_go_as_the_stop_ends_is_lost() -> None:
    """``resume()`` has taken it out of the held ones, and the stop finds it nowhere."""

    class Held(Job):
        def perform(self) -> None: ...

    Held.pause()
    handle = Held.perform_async()
    queueing = handle.lane.keeper.queueing
    push = queueing.push

    def stop_first(call: Any) -> None:
        queueing.push = push
        stop_elsewhere()
        push(call)

    queueing.push = stop_first
    Held.resume()
    was_lost_once(handle)


def test_a_second_stop_waits_until_the_first_one_has_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It comes as the first one says what was lost: that is said once, and both have the report."""
    others: list[threading.Thread] = []
    reports: list[ShutdownReport] = []
    told: list[Any] = []

    class Second(logging.Handler):
        """Another thread stops as well; it gets as far as it can."""

        def emit(self, record: logging.LogRecord) -> None:
            if others or "jobs lost" not in record.getMessage():
                return
            second = threading.Thread(target=lambda: reports.append(counterpunch.shutdown(1)))
            others.append(second)
            second.start()
            second.join(0.2)

    class Left(Job):
        def perform(self) -> None: ...

    counterpunch.configure(on_lost=told.extend)
    Left.pause()
    handle = Left.perform_async()
    handler = Second()
    logger = logging.getLogger("counterpunch")
    logger.addHandler(handler)
    try:
        reports.append(counterpunch.shutdown(timeout=1))
        others[0].join(LONG)
    finally:
        logger.removeHandler(handler)
    assert told == [handle]
    assert [report.lost for report in reports] == [[handle], [handle]]
    assert sum("jobs lost" in record.getMessage() for record in caplog.records) == 1
