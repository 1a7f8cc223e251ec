"""``testing.fake``: jobs are recorded, run on demand, in virtual time, and asserted."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from sample_jobs import LONG, Cleanup, Unlucky, Welcome

import counterpunch
from counterpunch import (
    CounterpunchError,
    InvalidOption,
    Job,
    QueueFull,
    Retry,
    Status,
    job,
    testing,
)

# fake: jobs, drain, perform_one, clear


def test_fake_records_and_runs_nothing() -> None:
    """``jobs``: what waits, in the order in which it would run."""
    with testing.fake() as recorder:
        late = Welcome.perform_in(60, 1)
        soon = Welcome.perform_in(5, 2)
        first = Welcome.perform_async(3)
        other = Cleanup.perform_async()
        urgent = Welcome.using(priority=5).perform_async(4)
        assert recorder.jobs == [urgent, first, other, soon, late]
        assert {handle.attempt for handle in recorder.jobs} == {0}
        assert counterpunch.stats().total.accepted == 5


def test_drain_runs_what_is_due_and_what_that_enqueues() -> None:
    """Here, in order; delayed jobs stay. Returns how many ran."""
    order: list[int] = []

    class Chain(Job):
        def perform(self, number: int) -> None:
            order.append(number)
            assert threading.current_thread() is here
            if number < 3:
                Chain.perform_async(number + 1)
                Chain.perform_in(60, 100 + number)

    here = threading.current_thread()
    with testing.fake() as recorder:
        Chain.perform_async(0)
        assert recorder.drain() == 4
        assert order == [0, 1, 2, 3]
        assert [handle.args for handle in recorder.jobs] == [(100,), (101,), (102,)]
        assert recorder.drain() == 0


def test_drain_raises_the_first_failure_and_runs_the_rest() -> None:
    """The job's own exception, after its last attempt; the others still had their turn."""
    ran: list[int] = []

    class Mixed(Job):
        def perform(self, number: int) -> None:
            ran.append(number)
            if number in (1, 2):
                raise OSError(f"job {number}")

    with testing.fake() as recorder:
        for number in range(4):
            Mixed.perform_async(number)
        with pytest.raises(OSError, match="job 1") as caught:
            recorder.drain()
        assert caught.traceback[-1].name == "perform"  # shows where
        assert ran == [0, 1, 2, 3]
        Unlucky.perform_async()
        assert recorder.drain() == 1  # it has attempts left, so it has not failed
        with pytest.raises(OSError, match="attempt 3"):
            recorder.advance(30)


def test_drain_has_a_limit() -> None:
    """A job that enqueues itself for ever ends the test with a message, not the day."""

    class Endless(Job):
        def perform(self, number: int) -> None:
            Endless.perform_async(number + 1)

    with testing.fake() as recorder:
        Endless.perform_async(0)
        with pytest.raises(CounterpunchError, match=r"50 attempts ran .*Endless.*without end"):
            recorder.drain(limit=50)
        assert [handle.args for handle in recorder.jobs] == [(50,)]
        with pytest.raises(CounterpunchError, match=f"{testing.DRAIN_LIMIT} attempts ran"):
            recorder.drain()
        assert Endless.stats().attempts == 50 + testing.DRAIN_LIMIT


def test_advance_has_the_same_limit() -> None:
    """Also over virtual time, for a job that reschedules itself without a delay."""

    class Tight(Job):
        def perform(self) -> None:
            Tight.perform_in(0)

    with testing.fake() as recorder:
        Tight.perform_in(5)
        with pytest.raises(CounterpunchError, match="20 attempts ran"):
            recorder.advance(10, limit=20)


def test_the_limit_that_an_advance_names_is_the_one_given() -> None:
    """Not what was left of it after the instants before."""

    class Spread(Job):
        def perform(self) -> None: ...

    with testing.fake() as recorder:
        for second in range(30):
            Spread.perform_in(second)
        with pytest.raises(CounterpunchError, match=r"^20 attempts ran"):
            recorder.advance(60, limit=20)
        assert Spread.stats().attempts == 20


def test_exactly_the_limit_is_enough() -> None:
    """Jobs that are done within the limit raise nothing."""
    with testing.fake() as recorder:
        Cleanup.perform_bulk(() for _ in range(50))
        assert recorder.drain(limit=50) == 50


def test_perform_one() -> None:
    """One attempt of the next job, or of the next of a class; its handle comes back."""
    with testing.fake() as recorder:
        first, second = Welcome.perform_async(1), Cleanup.perform_async()
        third = Welcome.perform_async(2)
        assert recorder.perform_one(Cleanup) is second
        assert recorder.perform_one() is first
        assert first.result() == "hi 1"
        assert recorder.jobs == [third]
        recorder.clear()
        Welcome.perform_in(60, 1)
        with pytest.raises(CounterpunchError, match=r"no job is queued; waiting: \n  Welcome"):
            recorder.perform_one()
        with pytest.raises(CounterpunchError, match="no Cleanup is queued"):
            recorder.perform_one(Cleanup)
        failing = Unlucky.perform_async()
        assert recorder.perform_one() is failing
        assert failing.status is Status.RETRYING


def test_a_paused_class_is_left_out() -> None:
    """By ``drain`` and by ``perform_one``; the other classes run, and it does afterwards."""

    class PausedModeJob(Job):
        def perform(self) -> None: ...

    with testing.fake() as recorder:
        PausedModeJob.pause()
        held = PausedModeJob.perform_async()
        other = Welcome.perform_async(1)
        assert recorder.perform_one() is other
        with pytest.raises(CounterpunchError, match="no job is queued"):
            recorder.perform_one()
        assert recorder.drain() == 0
        assert recorder.jobs == [held]
        PausedModeJob.resume()
        assert recorder.perform_one() is held


def test_perform_one_raises_the_last_failure() -> None:
    """The job's own exception reaches the test."""

    class Single(Job):
        def perform(self) -> None:
            raise OSError("only one")

    with testing.fake() as recorder:
        Single.perform_async()
        with pytest.raises(OSError, match="only one"):
            recorder.perform_one()


def test_clear() -> None:
    """What waits is cancelled: queued, scheduled and retrying jobs."""
    with testing.fake() as recorder:
        handles = [Welcome.perform_async(1), Welcome.perform_in(5, 1), Unlucky.perform_async()]
        recorder.perform_one(Unlucky)
        recorder.clear()
        assert recorder.jobs == []
        assert {handle.status for handle in handles} == {Status.CANCELLED}
        assert recorder.advance(3600) == 0


def test_waiting_for_a_result_in_fake_says_what_to_do() -> None:
    """Nothing runs by itself there, so waiting would never end: an error, not a hang."""
    with testing.fake() as recorder:
        handle = Welcome.perform_async(1)
        for wait in (handle.result, handle.exception):
            with pytest.raises(CounterpunchError, match=r"fake\(\).*call drain\(\)"):
                wait(LONG)

        async def main() -> str:
            return await handle

        with pytest.raises(CounterpunchError, match=r"call drain\(\)"):
            asyncio.run(asyncio.wait_for(main(), LONG))
        recorder.drain()
        assert handle.result() == "hi 1"
        assert asyncio.run(main()) == "hi 1"


def test_the_bound_holds_in_fake() -> None:
    """The real pipeline: options such as ``max_jobs`` are in force, in a shared pool as well."""
    counterpunch.configure(pools={"imaginary": 1})

    class Bounded(Job):
        max_jobs = 2

        def perform(self) -> None: ...

    class Pooled(Bounded):
        pool = "imaginary"

    for cls in (Bounded, Pooled):
        with testing.fake() as recorder:
            for _ in range(3):
                cls.perform_async()
                cls.perform_async()
                with pytest.raises(QueueFull):
                    cls.perform_async()
                recorder.perform_one()
                cls.perform_async()
                with pytest.raises(QueueFull):
                    cls.perform_async()
                assert recorder.drain() == 2


# fake: virtual time


def test_advance_runs_at_the_due_time_in_due_order() -> None:
    """Each job sees the virtual clock at its own due time, and so do its children."""
    with testing.fake() as recorder:
        start = recorder.now
        seen: list[tuple[str, float]] = []

        class Timed(Job):
            def perform(self, name: str, child: float | None = None) -> None:
                seen.append((name, (recorder.now - start).total_seconds()))
                if child is not None:
                    Timed.perform_in(child, f"child of {name}")

        Timed.perform_in(30, "c")
        Timed.perform_in(10, "a", child=5)
        Timed.perform_at(start + timedelta(seconds=20), "b")
        Timed.perform_in(100, "later")
        Timed.perform_async("now")
        assert recorder.advance(60) == 5
        assert seen == [("now", 0), ("a", 10), ("child of a", 15), ("b", 20), ("c", 30)]
        assert (recorder.now - start).total_seconds() == 60
        assert recorder.advance(timedelta(seconds=40)) == 1
        assert seen[-1] == ("later", 100)


@pytest.mark.parametrize("steps", [1, 7, 60, 600])
def test_small_steps_reach_as_far_as_one_big_one(steps: int) -> None:
    """Sixty times a second is a minute: no job is missed by a rounding error."""
    with testing.fake() as recorder:
        Welcome.perform_in(60, 1)
        Welcome.perform_at(recorder.now + timedelta(seconds=60), 2)
        assert sum(recorder.advance(60 / steps) for _ in range(steps)) == 2


def test_no_real_time_passes() -> None:
    """A year of retries takes no time."""

    class Patient(Job):
        retry = Retry(max_attempts=100, wait=86_400 * 4, factor=1, max_wait=1e9, jitter=0)

        def perform(self) -> int:
            if self.attempt < 90:
                raise OSError
            return self.attempt

    begin = time.monotonic()
    with testing.fake() as recorder:
        handle = Patient.perform_async()
        recorder.advance(86_400 * 365)
        assert handle.result() == 90
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("seconds", [-1, float("nan"), "60"])
def test_advance_refuses_what_is_no_span_of_time(seconds: Any) -> None:
    """As every delay."""
    with testing.fake() as recorder, pytest.raises(ValueError, match=r"fake\.advance: delay="):
        recorder.advance(seconds)


# fake: assertions


def test_assert_enqueued() -> None:
    """Returns the handle that matches; every condition may be left out."""

    @job
    def hello(user_id: int) -> None: ...

    with testing.fake() as recorder:
        first = Welcome.perform_async(1, greeting="hej")
        second = Welcome.perform_in(60, 2)
        third = hello.perform_async(3)
        assert recorder.assert_enqueued(Welcome) is first
        assert recorder.assert_enqueued(Welcome, args=(2,)) is second
        assert recorder.assert_enqueued(Welcome, kwargs={"greeting": "hej"}) is first
        assert recorder.assert_enqueued(Welcome, args=(2,), kwargs={}, within=60) is second
        assert recorder.assert_enqueued(hello) is third
        recorder.assert_not_enqueued(Cleanup)


@pytest.mark.parametrize(
    "conditions",
    [
        {"args": (1,)},
        {"kwargs": {"greeting": "ho"}},
        {"args": (42,), "kwargs": {}},
        {"within": 59},
        {"within": timedelta(seconds=59.9)},
    ],
)
def test_assert_enqueued_says_what_was_enqueued_instead(conditions: dict[str, Any]) -> None:
    """The message has what was wanted and every job that waits, with its arguments."""
    with testing.fake() as recorder:
        Welcome.perform_in(60, 42, greeting="hej")
        Cleanup.perform_async()
        with pytest.raises(AssertionError) as caught:
            recorder.assert_enqueued(Welcome, **conditions)
        wanted, _, listed = str(caught.value).partition("\nenqueued: ")
        assert wanted.startswith("not enqueued: Welcome ")
        assert all(f"{name}=" in wanted for name in conditions)
        assert listed == (
            "\n  Cleanup args=() kwargs={}\n  Welcome args=(42,) kwargs={'greeting': 'hej'} in 60 s"
        )


def test_arguments_that_are_no_tuple_are_refused() -> None:
    """``args=(42)`` is the number: the message shows how the tuple is written."""
    with testing.fake() as recorder:
        Welcome.perform_async(42)
        with pytest.raises(InvalidOption, match=r"args=42 is not valid; .* such as \(42,\)"):
            recorder.assert_enqueued(Welcome, args=(42))  # type: ignore[arg-type]


def test_assertion_messages_with_nothing_and_with_too_much() -> None:
    """Nothing is called nothing, and an unwanted job is shown."""
    with testing.fake() as recorder:
        with pytest.raises(AssertionError, match="not enqueued: Cleanup\nenqueued: nothing"):
            recorder.assert_enqueued(Cleanup)
        Cleanup.perform_async()
        recorder.drain()
        recorder.assert_not_enqueued(Cleanup)  # it ran; it waits no more
        with pytest.raises(AssertionError, match=r"\n  no longer: <Handle Cleanup .* succeeded>"):
            recorder.assert_enqueued(Cleanup)
        Welcome.perform_async(1)
        with pytest.raises(AssertionError, match=r"should not be: Welcome\n.*\n  Welcome args=\(1"):
            recorder.assert_not_enqueued(Welcome)
        with pytest.raises(TypeError, match="neither a Job class nor a function"):
            recorder.assert_enqueued(len)
