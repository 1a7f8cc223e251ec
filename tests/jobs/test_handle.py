"""The handle: every attribute and method, in every state; history; nothing kept alive."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import gc
import json
import logging
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import counterpunch
from counterpunch import (
    Cancelled,
    CounterpunchError,
    Discard,
    Discarded,
    Handle,
    Job,
    Lost,
    Retry,
    Status,
    testing,
)
from counterpunch._hooks import process
from counterpunch._lane import Lane
from counterpunch._parking import Parking
from counterpunch._status import TERMINAL, TRANSITIONS

LONG = 10.0  # seconds; a bound that turns a hang into a failure, never reached otherwise


class Boom(Exception):
    pass


class Door:
    """A job class whose jobs stop in the middle until the test opens the door."""

    def __init__(self, **options: Any) -> None:
        self.inside = threading.Semaphore(0)
        self.open = threading.Event()
        door = self

        class Visitor(Job):
            workers = 1

            def perform(self, act: Callable[[Job], Any] | None = None) -> Any:
                door.inside.release()
                assert door.open.wait(LONG)
                return None if act is None else act(self)

        for name, value in options.items():
            setattr(Visitor, name, value)
        self.job: Any = Visitor

    def enter(self, act: Callable[[Any], Any] | None = None) -> Handle[Any]:
        handle: Handle[Any] = self.job.perform_async(act)
        assert self.inside.acquire(timeout=LONG)
        return handle


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.open.set()


def raising(exc: BaseException) -> Callable[[Any], Any]:
    def act(job: Any) -> Any:
        raise exc

    return act


# Attributes


def test_attributes_along_the_way(door: Door) -> None:
    """What each attribute shows before, during and after the run."""
    blocker = door.enter()
    before = datetime.now(timezone.utc) - timedelta(seconds=0.001)

    def act(job: Any) -> str:
        assert job.handle is handle
        assert (handle.status, handle.running(), handle.done()) == (Status.RUNNING, True, False)
        job.progress(3, 10, "rows")
        job.set_status(stage="one", rows=3)
        job.set_status(rows=4, self="a name like others")
        return "done"

    handle = door.job.perform_async(act)
    assert (handle.status, handle.attempt) == (Status.QUEUED, 0)
    assert (handle.job, handle.args, handle.kwargs) == (door.job, (act,), {})
    assert (handle.started_at, handle.finished_at, handle.progress) == (None, None, None)
    assert (handle.data, handle.error) == ({}, None)
    assert (handle.done(), handle.running(), handle.cancelled()) == (False, False, False)
    assert before <= handle.enqueued_at == handle.run_at <= datetime.now(timezone.utc)
    assert repr(handle) == f"<Handle {door.job.__qualname__} {handle.id} queued>"

    door.open.set()
    assert handle.result(LONG) == "done"
    assert blocker.result(LONG) is None
    assert (handle.status, handle.attempt) == (Status.SUCCEEDED, 1)
    assert (handle.done(), handle.running(), handle.cancelled()) == (True, False, False)
    assert handle.started_at is not None
    assert handle.finished_at is not None
    assert handle.enqueued_at <= handle.started_at <= handle.finished_at
    assert handle.finished_at <= datetime.now(timezone.utc) + timedelta(seconds=0.001)
    assert handle.finished_at.tzinfo is timezone.utc
    assert handle.progress == (3, 10, "rows")
    assert handle.data == {"stage": "one", "rows": 4, "self": "a name like others"}
    assert handle.error is None


def test_copies_protect_the_handle(door: Door) -> None:
    """``kwargs`` and ``data`` are copies: changing them changes nothing."""

    class Stored(Job):
        def perform(self, *, rows: int) -> int:
            self.set_status(rows=rows)
            return rows

    with testing.fake() as recorder:
        handle = Stored.perform_async(rows=1)
        handle.kwargs["rows"] = 2
        recorder.drain()
        handle.data["rows"] = 3
        assert (handle.result(), handle.kwargs, handle.data) == (1, {"rows": 1}, {"rows": 1})


def test_run_at_follows_the_retry() -> None:
    """While it waits for its next attempt ``run_at`` is when that is due."""

    class Again(Job):
        retry = Retry(max_attempts=2, wait=30, jitter=0)

        def perform(self) -> None:
            raise Boom("first line\nsecond line")

    with testing.fake() as recorder:
        handle = Again.perform_in(60)
        assert handle.run_at - recorder.now == timedelta(seconds=60)
        recorder.advance(60)
        assert handle.status is Status.RETRYING
        assert handle.run_at - recorder.now == timedelta(seconds=30)
        assert handle.error is not None
        assert handle.error.startswith("Traceback")
        assert handle.error.rstrip().endswith("Boom: first line\nsecond line")


def test_as_dict_is_plain_json(door: Door) -> None:
    """What a page polls: JSON values, no arguments."""
    door.open.set()

    def act(job: Any) -> None:
        job.progress(1, 2)
        raise Boom("why")

    handle = door.enter(act)
    handle.exception(LONG)
    shown = json.loads(json.dumps(handle.as_dict()))
    assert shown["id"] == handle.id
    assert (shown["status"], shown["attempt"]) == ("failed", 1)
    assert shown["progress"] == [1, 2, ""]
    assert shown["error"].endswith("Boom: why")
    assert datetime.fromisoformat(shown["finished_at"]) == handle.finished_at
    assert "args" not in shown


def test_track_reports_progress_and_stops_when_told() -> None:
    """``self.track(rows)`` counts them and looks at the cancel token for each."""
    reached, go = threading.Event(), threading.Event()

    class Import(Job):
        def perform(self, rows: Any) -> list[int]:
            seen = []
            for row in self.track(rows):
                seen.append(row)
                if row == 2:
                    reached.set()
                    assert go.wait(LONG)
            return seen

    go.set()
    handle = Import.perform_async([1, 2, 3])
    assert handle.result(LONG) == [1, 2, 3]
    assert handle.progress == (3, 3, "")
    endless = Import.perform_async(iter([1]))
    assert endless.result(LONG) == [1]
    assert endless.progress == (1, None, "")

    go.clear()
    reached.clear()
    stopped = Import.perform_async([1, 2, 3])
    assert reached.wait(LONG)
    assert not stopped.cancel()
    go.set()
    with pytest.raises(Cancelled):
        stopped.result(LONG)
    assert (stopped.status, stopped.progress) == (Status.CANCELLED, (2, 3, ""))


# result, exception


def test_result_and_exception_of_each_ending() -> None:
    """As on a Future, with an error of its own for what is neither success nor failure."""

    class Ending(Job):
        discard_on = (KeyError,)

        def perform(self, act: str) -> str:
            if act == "fail":
                raise Boom("own")
            if act == "discard":
                raise Discard("not needed")
            if act == "discard_on":
                raise KeyError("stale")
            return act

    ok = Ending.perform_async("ok")
    assert (ok.result(LONG), ok.exception(LONG)) == ("ok", None)

    failed = Ending.perform_async("fail")
    with pytest.raises(Boom, match="own") as caught:
        failed.result(LONG)
    assert failed.exception(LONG) is caught.value
    assert failed.status is Status.FAILED

    for act, reason in (("discard", "not needed"), ("discard_on", "stale")):
        handle = Ending.perform_async(act)
        with pytest.raises(Discarded, match=reason):
            handle.result(LONG)
        assert isinstance(handle.exception(LONG), Discarded)
        assert handle.status is Status.DISCARDED

    waiting = Ending.perform_in(60, "ok")
    assert waiting.cancel()
    for method in (waiting.result, waiting.exception):
        with pytest.raises(Cancelled, match=waiting.id) as stopped:
            method(LONG)
        assert isinstance(stopped.value, concurrent.futures.CancelledError)
        assert isinstance(stopped.value, CounterpunchError)

    lost = Ending.perform_in(60, "ok")
    counterpunch.shutdown(timeout=0)
    with pytest.raises(Lost, match="due after the stop"):
        lost.result(LONG)
    assert isinstance(lost.exception(LONG), Lost)
    assert lost.status is Status.LOST


@pytest.mark.parametrize("timeout", [0, 0.01, -1, -0.5, -1e9])
@pytest.mark.parametrize("method", ["result", "exception"])
def test_timeouts(door: Door, method: str, timeout: float) -> None:
    """``TimeoutError`` when it runs out; one that has run out already waits no more."""
    handle = door.enter()
    with pytest.raises(TimeoutError, match=f"{handle.id} running> has not ended"):
        getattr(handle, method)(timeout)
    assert not counterpunch._runtime.current().watchers.get(handle)  # nobody waits any more
    door.open.set()
    assert getattr(handle, method)(LONG) is None


def test_result_waits_through_retries() -> None:
    """It is the end of the job that counts, not of an attempt."""

    class Third(Job):
        retry = Retry(max_attempts=3, wait=0.001)

        def perform(self) -> int:
            if self.attempt < 3:
                raise Boom
            return self.attempt

    assert Third.perform_async().result(LONG) == 3


def test_many_threads_wait_for_one_job(door: Door) -> None:
    """Each of them gets the result."""
    handle = door.enter(lambda job: "value")
    with concurrent.futures.ThreadPoolExecutor(8) as waiters:
        results = [waiters.submit(handle.result, LONG) for _ in range(8)]
        door.open.set()
        assert [result.result(LONG) for result in results] == ["value"] * 8


# Callbacks, futures, await


def test_done_callbacks(caplog: pytest.LogCaptureFixture, door: Door) -> None:
    """Called once with the handle, in order; one that raises is logged, the next still runs."""
    calls: list[Any] = []

    def broken(handle: Any) -> None:
        raise Boom("callback")

    handle = door.enter()
    handle.add_done_callback(lambda h: calls.append((1, h.status)))
    handle.add_done_callback(broken)
    handle.add_done_callback(lambda h: calls.append((2, h.status)))
    door.open.set()
    handle.result(LONG)
    assert counterpunch.wait_idle(LONG)
    assert calls == [(1, Status.SUCCEEDED), (2, Status.SUCCEEDED)]
    assert "a done callback" in caplog.text
    assert "callback" in caplog.text
    handle.add_done_callback(lambda h: calls.append((3, threading.current_thread().name)))
    assert calls[2:] == [(3, threading.current_thread().name)]


@pytest.mark.parametrize("ending", ["cancel", "discard", "lose"])
def test_done_callbacks_of_jobs_that_never_ran(ending: str) -> None:
    """Every ending calls them, not only that of an attempt."""

    class Idle(Job):
        def perform(self) -> None: ...

    calls: list[Any] = []
    handle = Idle.using(expires_in=1).perform_in(60)
    handle.add_done_callback(calls.append)
    if ending == "cancel":
        handle.cancel()
    elif ending == "lose":
        counterpunch.shutdown(timeout=0)
    else:
        with testing.fake() as recorder:
            handle = Idle.using(expires_in=1).perform_async()
            handle.add_done_callback(calls.append)
            recorder._runtime.virtual.move_to(recorder._runtime.clock.monotonic() + 5)
            recorder.drain()
    assert calls == [handle]


def test_future(door: Door) -> None:
    """A real Future that follows the job: for ``wait``, ``as_completed`` and the like."""
    first = door.enter(lambda job: "value")
    second = door.job.perform_async(raising(Boom("own")))
    third = door.job.perform_async()
    futures = [handle.future() for handle in (first, second, third)]
    assert not any(future.done() for future in futures)
    abandoned = first.future()
    assert abandoned.cancel()
    third.cancel()
    door.open.set()
    done, _ = concurrent.futures.wait(futures, timeout=LONG)
    assert done == set(futures)
    assert futures[0].result() == "value"
    assert isinstance(futures[1].exception(), Boom)
    assert isinstance(futures[2].exception(), Cancelled)
    assert first.result(LONG) == "value"
    assert first.future().result(0) == "value"


def test_await(door: Door) -> None:
    """``await handle`` without blocking the loop: value, exception, cancellation."""

    async def main() -> None:
        first = door.enter(lambda job: "value")
        second = door.job.perform_async(raising(Boom("own")))
        third = door.job.perform_async()
        third.cancel()

        async def opener() -> None:
            door.open.set()

        waiter = asyncio.ensure_future(_awaited(first))
        await asyncio.wait_for(opener(), LONG)
        assert await asyncio.wait_for(waiter, LONG) == "value"
        with pytest.raises(Boom, match="own"):
            await asyncio.wait_for(_awaited(second), LONG)
        with pytest.raises(Cancelled):
            await third
        assert await first == "value"

    asyncio.run(main())


async def _awaited(handle: Handle[Any]) -> Any:
    return await handle


def test_cancelling_the_waiting_task_leaves_the_job_alone(door: Door) -> None:
    """A timeout of the one who waits is not the job's business."""

    async def main() -> Handle[Any]:
        handle = door.enter(lambda job: job.cancelled)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(_awaited(handle), 0.01)
        return handle

    handle = asyncio.run(main())
    assert handle.status is Status.RUNNING
    door.open.set()  # its loop is closed by now; nobody is told, nothing is logged
    assert handle.result(LONG) is False


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


def test_who_waits_for_idleness_hears_of_a_job_that_left_the_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last queued job is put off, and neither a worker nor the scheduler falls asleep."""

    class Far(Job):
        def perform(self) -> None: ...

    class Held(Job):
        def perform(self) -> None: ...

    Far.perform_in(1000)  # what is due after it wakes nobody
    Held.pause()
    held = Held.perform_async()
    runtime = held._lane.runtime
    runtime.scheduler.resters = Parking()  # its thread may still be on its way to sleep
    idle, looks = runtime.idle, threading.Semaphore(0)

    def look(*args: Any) -> bool:
        try:
            return idle(*args)
        finally:
            looks.release()

    monkeypatch.setattr(runtime, "idle", look)
    at_rest = threading.Event()
    waiting = threading.Thread(target=lambda: counterpunch.wait_idle() and at_rest.set())
    waiting.daemon = True
    waiting.start()
    for _ in range(2):  # the second one when it has lain down
        assert looks.acquire(timeout=LONG)
    assert held.reschedule(5000)
    assert at_rest.wait(LONG)


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
    slot: Any = Handle.__dict__["_state"]

    def change(handle: Any, status: Status) -> None:
        try:
            old = slot.__get__(handle, Handle)
        except AttributeError:
            old = None
        seen.append((old, status))
        slot.__set__(handle, status)

    monkeypatch.setattr(Handle, "_state", property(lambda handle: slot.__get__(handle), change))
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


# find, history


def test_find_in_each_state(door: Door) -> None:
    """Live jobs are always found, wherever they wait; finished ones as long as remembered."""
    running = door.enter()
    queued = door.job.perform_async()
    scheduled = door.job.perform_in(60)
    for handle in (running, queued, scheduled):
        assert counterpunch.find(handle.id) is handle
    door.open.set()
    queued.result(LONG)
    assert counterpunch.find(queued.id) is queued
    prefix, _, number = scheduled.id.rpartition("-")
    unknown_ids = ["", "x", "a-b-c", running.id + "0", "0-0-0", running.id[:-1] + "zz"]
    unknown_ids += [f"{prefix}-{also}" for also in ("0x" + number, "+" + number, "0" + number)]
    for unknown in unknown_ids:
        assert counterpunch.find(unknown) is None
    assert counterpunch.find(None) is None  # type: ignore[arg-type]


def test_find_on_the_way_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that has stopped running and is not remembered yet is found all the same."""
    seen: list[object] = []
    ids: list[str] = []

    class Ending(Job):
        timeout = 60.0  # one that goes the long way, past ``keep``

        @staticmethod
        def identity(go: threading.Event) -> str:
            return "the only one"

        def perform(self, go: threading.Event) -> None:
            assert go.wait(LONG)

    def look(context: contextvars.Context) -> None:
        seen.append(counterpunch.find(ids[0]))
        seen.append(Ending.latest("the only one"))
        seen.extend(counterpunch.jobs(Ending))

    monkeypatch.setattr(process, "keep", look)
    go = threading.Event()
    contextvars.ContextVar[str]("one makes a context").set("that is kept")
    handle = Ending.perform_async(go)
    ids.append(handle.id)
    go.set()
    handle.result(LONG)
    assert seen == [handle] * 3


def test_a_job_that_starts_while_one_looks_for_it_is_seen(
    monkeypatch: pytest.MonkeyPatch, door: Door
) -> None:
    """It leaves the queue before the queue is looked at; once, whichever way it goes."""
    queued_calls = Lane.queued_calls
    hold = threading.Event()
    first = door.enter()
    second = door.job.perform_async(lambda job: hold.wait(LONG))

    def start_first(lane: Lane) -> list[Any]:
        monkeypatch.setattr(Lane, "queued_calls", queued_calls)
        door.open.set()
        assert door.inside.acquire(timeout=LONG)
        return queued_calls(lane)

    monkeypatch.setattr(Lane, "queued_calls", start_first)
    found = counterpunch.jobs(door.job)
    assert found.count(second) == 1
    assert second.status is Status.RUNNING
    assert found.count(first) == 1
    hold.set()


def test_history_is_bounded_by_count(door: Door) -> None:
    """``configure(history=n)`` remembers the newest n; 0 none at all."""
    door.open.set()
    counterpunch.configure(history=3)
    handles = [door.job.perform_async() for _ in range(10)]
    for handle in handles:
        handle.result(LONG)
    assert counterpunch.wait_idle(LONG)
    assert [h for h in handles if counterpunch.find(h.id)] == handles[-3:]
    counterpunch.configure(history=1)
    assert [h for h in handles if counterpunch.find(h.id)] == handles[-1:]
    counterpunch.configure(history=0)
    assert counterpunch.find(handles[-1].id) is None
    last = door.enter()
    last.result(LONG)
    assert counterpunch.find(last.id) is None


def test_history_is_bounded_by_age() -> None:
    """``configure(history_ttl=s)`` forgets what ended longer ago; None has no such limit."""

    class Aged(Job):
        def perform(self) -> None: ...

    counterpunch.configure(history_ttl=100)
    with testing.fake() as recorder:
        old = Aged.perform_async()
        recorder.drain()
        recorder.advance(60)
        young = Aged.perform_async()
        recorder.drain()
        recorder.advance(39)
        assert counterpunch.jobs(Aged) == [young, old]
        recorder.advance(2)
        assert counterpunch.find(old.id) is None
        assert counterpunch.jobs(Aged) == [young]
        counterpunch.configure(history_ttl=None)
        recorder.advance(10_000)
        assert counterpunch.find(young.id) is young


def test_what_is_too_old_is_let_go_at_the_next_ending(door: Door) -> None:
    """Age is not only a filter: the memory is given back while other jobs end."""
    door.open.set()
    counterpunch.configure(history_ttl=0)
    gone = weakref.ref(door.enter())
    assert counterpunch.wait_idle(LONG)
    door.enter()
    assert counterpunch.wait_idle(LONG)
    gc.collect()
    assert gone() is None


# Nothing is kept alive


class Payload:
    """An argument, or a local of perform, whose end can be seen."""


@pytest.fixture
def no_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log records keep the traceback, and pytest keeps the records."""
    monkeypatch.setattr(logging.getLogger("counterpunch"), "disabled", True)


VARIABLE: contextvars.ContextVar[Any] = contextvars.ContextVar("variable")


@pytest.mark.usefixtures("no_logs")
@pytest.mark.parametrize("ending", ["success", "failure", "chained", "retry", "discard", "cancel"])
def test_a_finished_job_keeps_no_frames_and_no_context(ending: str) -> None:
    """The handle remains; what perform had in its locals and the caller's context are gone."""
    kept: list[weakref.ref[Any]] = []

    class Frames(Job):
        retry = Retry(max_attempts=3, wait=0.001, on=(OSError,))

        def perform(self) -> None:
            local = Payload()
            kept.append(weakref.ref(local))
            if ending == "failure":
                raise Boom
            if ending == "retry":
                raise OSError
            if ending == "discard":
                raise Discard
            if ending == "chained":
                try:
                    raise KeyError
                except KeyError as exc:
                    raise Boom from exc

    marker = Payload()
    token = VARIABLE.set(marker)
    handle = Frames.perform_in(60) if ending == "cancel" else Frames.perform_async()
    VARIABLE.reset(token)
    if ending == "cancel":
        assert handle.cancel()
    kept.append(weakref.ref(marker))
    del marker, token
    assert counterpunch.wait_idle(LONG, scheduled=True)
    assert handle.done()
    gc.collect()
    assert [ref() for ref in kept] == [None] * len(kept)
    assert len(kept) == {"cancel": 1, "retry": 4}.get(ending, 2)
    if ending in ("failure", "chained"):
        failure = handle.exception(0)
        assert failure is not None
        assert failure.__traceback__ is None
        assert "in perform" in (handle.error or "")


@pytest.mark.usefixtures("no_logs")
@pytest.mark.parametrize("fail", [False, True])
def test_perform_now_keeps_no_frames_in_the_history(fail: bool) -> None:
    """The caller got the whole traceback; the remembered job does not hold on to it."""

    class Direct(Job):
        def perform(self, payload: Any) -> None:
            local = Payload()
            kept.append(weakref.ref(local))
            if fail:
                raise Boom

    kept: list[weakref.ref[Any]] = []

    def call() -> None:
        mine = Payload()
        kept.append(weakref.ref(mine))
        with contextlib.suppress(Boom):
            Direct.perform_now(None)

    call()
    gc.collect()
    assert len(counterpunch.jobs(Direct)) == 1
    assert [ref() for ref in kept] == [None, None]


@pytest.mark.usefixtures("no_logs")
@pytest.mark.parametrize("way", ["result", "await", "perform_now"])
def test_a_failure_goes_with_the_one_who_was_told(way: str) -> None:
    """Exception, frames and handle hold no circle: no garbage collection is needed."""

    class Failing(Job):
        def perform(self) -> None:
            raise Boom

    async def ask() -> None:
        mine = Payload()
        kept.append(weakref.ref(mine))
        with contextlib.suppress(Boom):
            if way == "result":
                Failing.perform_async().result(LONG)
            elif way == "perform_now":
                Failing.perform_now()
            else:
                await Failing.perform_async()

    kept: list[weakref.ref[Any]] = []
    counterpunch.configure(history=0)
    with asyncio.Runner() as runner:
        gc.collect()
        gc.disable()
        try:
            runner.run(ask())
            assert counterpunch.wait_idle(LONG)
            assert kept[0]() is None
        finally:
            gc.enable()


@pytest.mark.usefixtures("no_logs")
def test_the_event_loop_keeps_nothing_of_who_started_it() -> None:
    """The workers of async classes live on, without the first caller's context variables."""
    request: contextvars.ContextVar[object] = contextvars.ContextVar("request")

    class Awaiting(Job):
        async def perform(self) -> None: ...

    def enqueue() -> weakref.ref[Any]:
        mine = Payload()
        request.set(mine)
        Awaiting.perform_async()
        return weakref.ref(mine)

    kept = [contextvars.copy_context().run(enqueue) for _ in range(3)]
    assert counterpunch.wait_idle(LONG)
    gc.collect()
    assert [ref() for ref in kept] == [None] * 3


class NoUser(Exception):
    """Its constructor does not take what it keeps."""

    def __init__(self, user_id: int) -> None:
        super().__init__(f"no user {user_id}")
        self.user_id = user_id


class TwoArguments(Exception):
    def __init__(self, user_id: int, why: str) -> None:
        super().__init__(f"{user_id}: {why}")
        self.why = why


@pytest.mark.usefixtures("no_logs")
@pytest.mark.parametrize(
    "failure",
    [NoUser(5), TwoArguments(5, "gone"), OSError(2, "no such file", "x"), KeyError("x"), Boom()],
    ids=lambda failure: type(failure).__name__,
)
def test_what_is_remembered_of_a_perform_now_says_what_was_raised(failure: Exception) -> None:
    """Type, text, attributes and cause are those of the exception that the caller got."""

    class Direct(Job):
        def perform(self) -> None:
            raise failure from ValueError("the cause")

    with pytest.raises(type(failure)) as raised:
        Direct.perform_now()
    assert raised.value is failure
    (handle,) = counterpunch.jobs(Direct)
    remembered = handle.exception()
    assert type(remembered) is type(failure)
    assert (str(remembered), remembered.args) == (str(failure), failure.args)
    assert vars(remembered) == vars(failure)
    assert remembered.__cause__ is failure.__cause__
    assert remembered is not failure


@pytest.mark.usefixtures("no_logs")
@pytest.mark.parametrize("fail", [False, True])
def test_nothing_holds_the_arguments_of_a_forgotten_job(fail: bool) -> None:
    """With no history the idle worker, the runtime and the pool let go of them as well."""
    counterpunch.configure(history=0)

    class Forgotten(Job):
        workers = 1

        def perform(self, payload: Any) -> None:
            if fail:
                raise Boom

    payload = Payload()
    gone = weakref.ref(payload)
    Forgotten.perform_async(payload).exception(LONG)
    assert counterpunch.wait_idle(LONG)
    assert Forgotten.stats().workers == (1, 0, 1)
    del payload
    gc.collect()
    assert gone() is None


@pytest.mark.usefixtures("no_logs")
def test_a_finished_jobs_callbacks_are_let_go() -> None:
    """Neither callbacks nor those who waited in vain stay in the runtime."""
    door = Door()
    handle = door.enter()
    payload = Payload()
    handle.add_done_callback(lambda _, payload=payload: None)  # type: ignore[misc]
    runtime: Any = handle._lane.runtime
    (callbacks,) = runtime.watchers.values()

    async def give_up() -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(handle, 0.01)

    with pytest.raises(TimeoutError):
        handle.result(0)
    with pytest.raises(TimeoutError):
        handle.result(0.001)
    asyncio.run(give_up())
    assert len(callbacks) == 1
    gone = weakref.ref(payload)
    del payload
    door.open.set()
    handle.result(LONG)
    assert counterpunch.wait_idle(LONG)
    gc.collect()
    assert gone() is None


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
        workers = max_jobs = 1
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
