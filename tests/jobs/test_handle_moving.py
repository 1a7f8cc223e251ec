"""Cancelling, moving and running again, in every state; the table of transitions."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from doors import LONG, Boom, Door, raising
from doors import door as door

import counterpunch
from counterpunch import Cancelled, CounterpunchError, Discard, Handle, Job, Retry, Status, testing
from counterpunch.core.values.record import Record
from counterpunch.core.values.status import TERMINAL, TRANSITIONS

# Cancelling


def test_cancel_in_each_state() -> None:
    """True if the job will now never start; False, and the token set, once it runs."""

    class Stoppable(Job):
        retry = Retry(max_attempts=2, wait=60, jitter=0)

        def perform(self, fail: bool) -> None:
            if fail:
                raise Boom

    with testing.fake() as recorder:
        queued = Stoppable.perform_async(False)
        scheduled = Stoppable.perform_in(60, False)
        retrying = Stoppable.perform_async(True)
        assert queued.cancel()
        recorder.drain()
        assert [h.status for h in (queued, scheduled, retrying)] == [
            Status.CANCELLED,
            Status.SCHEDULED,
            Status.RETRYING,
        ]
        for handle in (scheduled, retrying):
            assert handle.cancel()
            assert handle.status is Status.CANCELLED
            assert handle.cancelled()
            assert handle.cancel()  # again: still true
        assert recorder.jobs == []
        assert recorder.advance(3600) == 0
        done = Stoppable.perform_async(False)
        recorder.drain()
        assert not done.cancel()
        assert done.status is Status.SUCCEEDED
        stats = Stoppable.stats()
        assert (stats.accepted, stats.cancelled, stats.succeeded) == (4, 3, 1)


def test_cancel_while_it_runs(door: Door) -> None:
    """The token shows in ``self.cancelled``; ``check_cancelled`` ends the job as cancelled."""
    seen: list[bool] = []

    def act(job: Any) -> None:
        seen.append(job.cancelled)
        job.check_cancelled()

    handle = door.enter(act)
    assert not handle.cancel()
    assert handle.status is Status.RUNNING
    door.open.set()
    with pytest.raises(Cancelled):
        handle.result(LONG)
    assert seen == [True]
    assert handle.cancelled()
    untouched = door.enter(act)
    untouched.result(LONG)
    assert seen == [True, False]


def test_cancel_that_the_job_ignores(door: Door) -> None:
    """A job that does not look at its token ends as it ends."""
    handle = door.enter(lambda job: "anyway")
    assert not handle.cancel()
    door.open.set()
    assert handle.result(LONG) == "anyway"
    assert handle.status is Status.SUCCEEDED


def test_cancel_while_it_runs_stops_the_retry() -> None:
    """A cancelled job that fails is not tried again."""
    door = Door(retry=Retry(max_attempts=5, wait=0))
    handle = door.enter(raising(Boom("x")))
    assert not handle.cancel()
    door.open.set()
    with pytest.raises(Cancelled, match="next attempt was dropped"):
        handle.result(LONG)
    assert (handle.attempt, handle.status) == (1, Status.CANCELLED)


def test_cancelled_raised_without_being_told_is_a_failure() -> None:
    """``Cancelled`` out of a job whose token is not set is an exception like any other."""

    class Odd(Job):
        def perform(self) -> None:
            raise Cancelled("from somewhere else")

    handle = Odd.perform_async()
    handle.exception(LONG)
    assert handle.status is Status.FAILED


def test_one_cancel_wins_over_many_workers() -> None:
    """Jobs cancelled while workers take them: each ran or was cancelled, never both."""
    ran: list[int] = []

    class Contested(Job):
        workers = 2

        def perform(self, number: int) -> None:
            ran.append(number)

    handles = [Contested.perform_async(number) for number in range(2000)]
    cancelled = [number for number, handle in enumerate(handles) if handle.cancel()]
    assert counterpunch.wait_idle(LONG)
    assert sorted(ran + cancelled) == list(range(2000))
    stats = Contested.stats()
    assert (stats.cancelled, stats.succeeded) == (len(cancelled), len(ran))


# Moving


def test_reschedule_in_each_state(door: Door) -> None:
    """True while it waits, for a queued, a scheduled and a retry-waiting job."""
    door.job.retry = Retry(max_attempts=2, wait=60, jitter=0)
    running = door.enter(raising(Boom("x")))
    queued = door.job.perform_async()
    scheduled = door.job.perform_in(60)
    assert not running.reschedule(1)
    assert not running.run_now()
    assert queued.reschedule(3600)
    assert queued.status is Status.SCHEDULED
    assert scheduled.reschedule(timedelta(hours=2))
    assert scheduled.run_at - datetime.now(timezone.utc) > timedelta(hours=1.9)
    door.open.set()
    assert counterpunch.wait_idle(LONG)
    assert running.status is Status.RETRYING
    assert running.reschedule(3600)
    assert running.status is Status.RETRYING
    for handle in (queued, scheduled, running):
        assert handle.run_now()
    assert queued.result(LONG) is scheduled.result(LONG) is None
    assert isinstance(running.exception(LONG), Boom)
    assert running.attempt == 2
    for handle in (queued, scheduled, running):
        assert not handle.run_now()
        assert not handle.reschedule(1)


def test_reschedule_moves_both_ways() -> None:
    """Later or sooner: the job runs once, at its latest due time."""
    with testing.fake() as recorder:

        class Moved(Job):
            def perform(self) -> datetime:
                return recorder.now

        start = recorder.now
        handle = Moved.perform_in(60)
        for seconds in (600, 30, 90):
            assert handle.reschedule(seconds)
        assert recorder.advance(3600) == 1
        assert handle.result() == start + timedelta(seconds=90)
        absolute = Moved.perform_at(recorder.now + timedelta(seconds=60))
        assert absolute.reschedule(5)
        assert recorder.advance(5) == 1
        assert recorder.advance(3600) == 0
        assert absolute.attempt == 1


def test_run_now_leaves_a_queued_job_at_its_place() -> None:
    """It is due already: it neither goes to the end of the queue nor counts as a new one."""
    with testing.fake() as recorder:

        class Queue(Job):
            max_jobs = 2

            def perform(self) -> None: ...

        first, second = Queue.perform_async(), Queue.perform_async()
        assert first.run_now()
        assert first.reschedule(0)
        assert recorder.jobs == [first, second]
        recorder.drain()
        assert (first.status, second.status) == (Status.SUCCEEDED, Status.SUCCEEDED)


def test_retry_of_a_finished_job() -> None:
    """``handle.retry()``: the same arguments and options as a new job; not before the end."""

    class Repeat(Job):
        def perform(self, number: int, *, scale: int) -> int:
            return number * scale

    with testing.fake() as recorder:
        handle = Repeat.using(tags=("night",)).perform_async(2, scale=3)
        with pytest.raises(CounterpunchError, match=r"has not ended; run_now\(\)"):
            handle.retry()
        recorder.drain()
        again = handle.retry()
        recorder.drain()
        assert again.id != handle.id
        assert (again.result(), again.kwargs, again.tags) == (6, {"scale": 3}, {"night"})


# The table of transitions


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Status | None, Status]]:
    """Every change of every job's state, checked against the table as it happens."""
    seen: list[tuple[Status | None, Status]] = []
    slot: Any = Record.__dict__["state"]

    def change(handle: Any, status: Status) -> None:
        try:
            old = slot.__get__(handle, Handle)
        except AttributeError:
            old = None
        seen.append((old, status))
        slot.__set__(handle, status)

    monkeypatch.setattr(Record, "state", property(lambda handle: slot.__get__(handle), change))
    return seen


def test_every_transition_is_in_the_table(
    watched: list[tuple[Status | None, Status]], caplog: pytest.LogCaptureFixture
) -> None:
    """Jobs with every kind of fate, on real threads: no move that the table does not have."""
    caplog.set_level(logging.CRITICAL)

    class Fate(Job):
        workers = 2
        max_jobs = 20
        overflow = "discard_oldest"
        retry = Retry(max_attempts=3, wait=0.001, on=(Boom,))
        expires_in = 5

        def perform(self, number: int) -> None:
            if number % 5 == 1:
                raise Boom
            if number % 5 == 2:
                raise KeyError
            if number % 5 == 3:
                raise Discard

    handles = []
    for number in range(400):
        if number % 3:
            handles.append(Fate.perform_async(number))
        else:
            handles.append(Fate.perform_in(0.002, number))
        if number % 7 == 0:
            handles[number // 2].cancel()
        if number % 11 == 0:
            handles[-1].reschedule(0.001)
        if number % 13 == 0:
            handles[-1].run_now()
    assert counterpunch.wait_idle(LONG, scheduled=True)
    Fate.perform_in(60, 0)
    counterpunch.shutdown(timeout=0)
    moves = set(watched)
    wrong = {
        (old, new) for old, new in moves if old is not None and new not in TRANSITIONS[old]
    } - {(status, status) for status in Status if status not in TERMINAL}
    assert wrong == set()
    assert {new for _, new in moves} >= TERMINAL | {Status.RETRYING, Status.SCHEDULED}
    assert all(handle.status in TERMINAL for handle in handles)


def test_terminal_is_terminal() -> None:
    """The table lets nothing out of a terminal status, and something out of every other."""
    assert {status for status in Status if not TRANSITIONS[status]} == TERMINAL
    assert set(TRANSITIONS) == set(Status)
    for targets in TRANSITIONS.values():
        assert targets <= set(Status)
    assert all(
        Status.LOST in TRANSITIONS[status] and Status.CANCELLED in TRANSITIONS[status]
        for status in Status
        if status not in TERMINAL
    )
