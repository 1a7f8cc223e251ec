"""The handle: what it tells of its job, and every way to wait for the end."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import threading
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest.mock import Mock

import pytest
from doors import LONG, Boom, Door, raising
from doors import door as door

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
        assert handle.error.startswith("Boom: first line\nsecond line\n\nTraceback")
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
    assert shown["error"] == "Boom: why"
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
    asked = failed.exception(LONG)
    assert (type(asked), str(asked)) == (Boom, "own")
    assert asked is not caught.value  # each may raise his own
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
    assert not counterpunch.core.port.current().watchers.table.get(handle)  # nobody waits any more
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
    """Called once with the handle, in order; one that raises is logged, the next still runs; a mock
    is such a callback as well, though it has every attribute there is."""
    calls: list[Any] = []
    broken = Mock(side_effect=Boom("callback"))

    handle = door.enter()
    handle.add_done_callback(lambda h: calls.append((1, h.status)))
    handle.add_done_callback(broken)
    handle.add_done_callback(lambda h: calls.append((2, h.status)))
    door.open.set()
    handle.result(LONG)
    assert counterpunch.wait_idle(LONG)
    assert calls == [(1, Status.SUCCEEDED), (2, Status.SUCCEEDED)]
    assert broken.call_count == caplog.text.count("a done callback") == 1
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
            recorder._runtime.clock.move_to(recorder._runtime.clock.monotonic() + 5)
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
