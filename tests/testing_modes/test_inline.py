"""``testing.inline``: jobs run where they are enqueued, through the pipeline of production."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from sample_jobs import LONG, Unlucky, Welcome

import counterpunch
from counterpunch import Discarded, Job, Status, current_job, job, testing

# inline


def test_inline_runs_where_it_is_enqueued() -> None:
    """On the caller's thread, before the call returns; the handle is finished."""

    class Where(Job):
        def perform(self) -> str:
            assert current_job() is self.handle
            return threading.current_thread().name

    with testing.inline():
        handle = Where.perform_async()
        assert handle.status is Status.SUCCEEDED
        assert handle.result() == threading.current_thread().name
        assert Where.stats().succeeded == 1
        assert Where.stats().workers.total == 0
    assert Where.perform_async().result(LONG) == "counterpunch-Where_0"


@pytest.mark.parametrize("how", ["in", "at", "using", "bulk", "function"])
def test_inline_waits_for_nothing(how: str) -> None:
    """Delays are skipped, by whatever call."""

    @job
    def hello(user_id: int) -> int:
        return user_id

    with testing.inline():
        handle: Any = {
            "in": lambda: Welcome.perform_in(3600, 1),
            "at": lambda: Welcome.perform_at(time.time() + 3600, 1),
            "using": lambda: Welcome.using(delay=3600, priority=3).perform_async(1),
            "bulk": lambda: Welcome.perform_bulk([(1,)])[0],
            "function": lambda: hello.perform_in(3600, 1),
        }[how]()
        assert handle.result() in ("hi 1", 1)
        assert counterpunch.find(handle.id) is handle


def test_inline_retries_at_once_and_then_raises() -> None:
    """All attempts follow without a wait; the last failure reaches the caller."""
    begin = time.monotonic()
    with testing.inline():
        with pytest.raises(OSError, match="attempt 3") as caught:
            Unlucky.perform_async()
        assert caught.traceback[-1].name == "perform"
        (handle,) = counterpunch.jobs(Unlucky)
        assert (handle.status, handle.attempt) == (Status.FAILED, 3)
        stats = Unlucky.stats()
        assert (stats.accepted, stats.attempts, stats.failed) == (1, 3, 1)
    assert time.monotonic() - begin < 5


def test_inline_runs_the_children_too() -> None:
    """A job that enqueues from inside runs the child inline, to its end."""
    order: list[str] = []

    class Parent(Job):
        def perform(self, depth: int) -> str:
            order.append(f"in {depth}")
            if depth:
                assert Parent.perform_in(60, depth - 1).result() == f"done {depth - 1}"
            order.append(f"out {depth}")
            return f"done {depth}"

    with testing.inline():
        assert Parent.perform_async(2).result() == "done 2"
    assert order == ["in 2", "in 1", "in 0", "out 0", "out 1", "out 2"]


def test_inline_discards_quietly() -> None:
    """A discarded job raises nothing at the enqueue; its result does."""

    class Dropped(Job):
        discard_on = (KeyError,)

        def perform(self) -> None:
            raise KeyError("stale")

    with testing.inline():
        handle = Dropped.perform_async()
        assert handle.status is Status.DISCARDED
        with pytest.raises(Discarded):
            handle.result()


def test_inline_in_threads_started_inside() -> None:
    """A thread started inside the block runs its jobs inline as well."""
    names: list[str] = []

    class Named(Job):
        def perform(self) -> None:
            names.append(threading.current_thread().name)

    with testing.inline():
        thread = threading.Thread(target=Named.perform_async, name="mine")
        thread.start()
        thread.join(LONG)
    assert names == ["mine"]


def test_inline_says_which_job_still_waits_for_its_commit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Django's TestCase never commits: what the job does would be looked for in vain."""

    class Open:
        """A transaction that nobody ends."""

        def defer(self, commit: object, rollback: object) -> bool:
            return True

    with testing.inline():
        handle = Welcome.using(after_commit=Open()).perform_async(1)
        assert handle.status is Status.DEFERRED
    assert handle.status is Status.LOST
    assert f"{handle.id} deferred> waits for its transaction to commit" in caplog.text
