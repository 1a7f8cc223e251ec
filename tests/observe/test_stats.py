"""Looking at jobs: counts after each kind of ending, workers, waits, lists."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

import counterpunch
from counterpunch import Discard, Handle, InvalidOption, Job, Retry, Status, job, testing

LONG = 10.0  # seconds; a bound that turns a hang into a failure, never reached otherwise


def counts(of: Any) -> dict[str, int]:
    """The statuses that are not at zero, and ``accepted``."""
    values = {status.value: getattr(of, status.value) for status in Status}
    assert of.accepted == sum(values.values())
    return {"accepted": of.accepted, **{name: n for name, n in values.items() if n}}


class Fate(Job):
    retry = Retry(max_attempts=2, wait=60, jitter=0, on=(OSError,))

    def perform(self, fate: str = "ok") -> str:
        if fate == "fail":
            raise ValueError
        if fate == "retry":
            raise OSError
        if fate == "discard":
            raise Discard
        return fate


@pytest.mark.parametrize(
    ("fate", "status", "attempts"),
    [
        ("ok", "succeeded", 1),
        ("fail", "failed", 1),
        ("discard", "discarded", 1),
        ("retry", "retrying", 1),
    ],
)
def test_counts_after_an_attempt(fate: str, status: str, attempts: int) -> None:
    """One job, one status, one attempt."""
    with testing.fake() as recorder:
        Fate.perform_async(fate)
        assert counts(Fate.stats()) == {"accepted": 1, "queued": 1}
        assert Fate.stats().attempts == 0
        if fate == "fail":
            with pytest.raises(ValueError, match=r"^$"):
                recorder.drain()
        else:
            recorder.drain()
        assert counts(Fate.stats()) == {"accepted": 1, status: 1}
        assert Fate.stats().attempts == attempts


def test_counts_without_an_attempt() -> None:
    """Scheduled, cancelled, lost."""
    waiting = Fate.perform_in(60)
    assert counts(Fate.stats()) == {"accepted": 1, "scheduled": 1}
    waiting.cancel()
    assert counts(Fate.stats()) == {"accepted": 1, "cancelled": 1}
    Fate.perform_in(60)
    counterpunch.shutdown(timeout=0)
    assert counts(Fate.stats()) == {"accepted": 2, "cancelled": 1, "lost": 1}
    assert Fate.stats().attempts == 0


def test_a_job_that_retries_is_one_job() -> None:
    """It moves between statuses; only attempts go up."""
    with testing.fake() as recorder:
        Fate.perform_async("retry")
        recorder.drain()
        with pytest.raises(OSError):  # noqa: PT011
            recorder.advance(60)
        assert counts(Fate.stats()) == {"accepted": 1, "failed": 1}
        assert Fate.stats().attempts == 2


def test_counts_while_running() -> None:
    """A running job is neither queued nor ended; its worker is busy."""
    go, started = threading.Event(), threading.Semaphore(0)

    class Slow(Job):
        workers = 2

        def perform(self) -> None:
            started.release()
            assert go.wait(LONG)

    for _ in range(3):
        Slow.perform_async()
    for _ in range(2):
        assert started.acquire(timeout=LONG)
    assert counts(Slow.stats()) == {"accepted": 3, "running": 2, "queued": 1}
    assert Slow.stats().workers == (2, 2, 0)
    assert Slow.stats().workers.busy == 2
    assert 0 < Slow.stats().oldest_wait < LONG
    go.set()
    assert counterpunch.wait_idle(LONG)
    assert counts(Slow.stats()) == {"accepted": 3, "succeeded": 3}
    assert Slow.stats().workers == (2, 0, 2)
    assert Slow.stats().oldest_wait == 0


def test_oldest_wait() -> None:
    """Seconds since the oldest queued job was due, whatever its priority; 0 without one."""
    with testing.fake() as recorder:

        def pass_time(seconds: float) -> None:
            clock = recorder._runtime.clock
            clock.move_to(clock.monotonic() + seconds)
            recorder._runtime.scheduler.run_due()

        assert Fate.stats().oldest_wait == 0
        late = Fate.perform_in(5)
        assert Fate.stats().oldest_wait == 0
        pass_time(8)
        assert Fate.stats().oldest_wait == 3  # since it was due, not since it was enqueued
        Fate.using(priority=9).perform_async()
        pass_time(1)
        assert Fate.stats().oldest_wait == 4
        assert late.cancel()
        assert Fate.stats().oldest_wait == 1
        assert counterpunch.stats().total.oldest_wait == 1
        recorder.drain()
        assert counterpunch.stats().total.oldest_wait == 0


def test_the_total_is_the_sum_of_the_classes() -> None:
    """Per class by qualified name; two classes of one name are both counted."""

    def make() -> Any:
        class Twin(Job):
            def perform(self) -> None: ...

        return Twin

    first, second = make(), make()
    first.perform_async().result(LONG)
    second.perform_bulk(() for _ in range(2))
    Fate.perform_async("discard")
    assert counterpunch.wait_idle(LONG)
    stats = counterpunch.stats()
    assert stats.total.accepted == 4
    assert (stats.total.succeeded, stats.total.discarded) == (3, 1)
    assert sum(one.accepted for one in stats.jobs.values()) == 4
    assert stats.jobs[Fate.__qualname__] == Fate.stats()
    assert (first.stats().accepted, second.stats().accepted) == (1, 2)
    assert stats.total.workers.total == sum(
        cls.stats().workers.total for cls in (first, second, Fate)
    )


def test_workers_of_a_shared_pool_are_counted_once() -> None:
    """Two classes on one pool of two threads: two workers in total."""
    counterpunch.configure(pools={"counted": 2})

    class Left(Job):
        pool = "counted"

        def perform(self) -> None: ...

    class Right(Left):
        pass

    for _ in range(5):
        Left.perform_async()
        Right.perform_async()
    assert counterpunch.wait_idle(LONG)
    total = counterpunch.stats().total
    assert 1 <= total.workers.total <= 2
    assert total.workers.busy == 0
    assert (Left.stats().succeeded, Right.stats().succeeded) == (5, 5)


def test_a_snapshot_is_frozen() -> None:
    """It does not move with the jobs, and cannot be changed."""
    Fate.perform_async().result(LONG)
    before = counterpunch.stats()
    Fate.perform_async().result(LONG)
    after = counterpunch.stats()
    assert after.total.accepted == before.total.accepted + 1
    with pytest.raises(AttributeError):
        after.total.accepted = 5  # type: ignore[misc]
    with pytest.raises(AttributeError):
        after.total = before.total  # type: ignore[misc]


def test_distributions_agree_with_the_counters_under_load() -> None:
    """Read while jobs end, fail and retry: wait and run times hold the same attempts, never
    fewer than have ended, never more than were started, and one per worker ahead at most."""

    class Busy(Job):
        workers = 2
        retry = Retry(max_attempts=2, wait=0, jitter=0, on=(OSError,))

        def perform(self, number: int) -> None:
            if number % 3 == 0 and self.attempt == 1:
                raise OSError
            if number % 7 == 0:
                raise Discard

    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    stop = threading.Event()

    def feed() -> None:
        while not stop.is_set():
            Busy.perform_bulk([(number,) for number in range(100)])
            counterpunch.wait_idle(LONG, scheduled=True)

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    ahead = []
    try:
        while not ahead or Busy.stats().succeeded < 400:
            seen = Busy.stats()
            ended = seen.succeeded + seen.failed + seen.discards.raised + seen.retries
            assert seen.wait_times.total == seen.run_times.total <= seen.attempts
            assert seen.discarded <= sum(seen.discards)
            ahead.append(seen.run_times.total - (ended - seen.discards.raised + seen.discarded))
    finally:
        stop.set()
        feeder.join(LONG)
        logging.getLogger("counterpunch").setLevel(logging.NOTSET)
    assert min(ahead) >= 0
    assert max(ahead) <= 2
    assert counterpunch.wait_idle(LONG, scheduled=True)
    seen = Busy.stats()
    assert seen.run_times.total == seen.attempts
    assert seen.attempts == seen.succeeded + seen.discarded + seen.retries
    assert sum(seen.discards) == seen.discarded


def test_a_class_that_was_never_used() -> None:
    """All zeros, without a thread or a queue being made for asking."""

    class Unused(Job):
        def perform(self) -> None: ...

    assert counts(Unused.stats()) == {"accepted": 0}
    assert Unused.stats().workers == (0, 0, 0)
    assert Unused.__qualname__ not in counterpunch.stats().jobs


def test_a_refused_job_is_not_accepted() -> None:
    """Bad arguments, a full queue, a stop: nothing was counted."""
    with testing.fake():

        class Small(Job):
            max_jobs = 1

            def perform(self, number: int) -> None: ...

        Small.perform_async(1)
        for call in (
            lambda: Small.perform_async(2),
            lambda: Small.perform_async(),  # type: ignore[call-arg]
            lambda: Small.perform_in(-1, 2),
            lambda: Small.perform_now(),  # type: ignore[call-arg]
        ):
            with pytest.raises((counterpunch.QueueFull, TypeError, ValueError)):
                call()
        assert counts(Small.stats()) == {"accepted": 1, "queued": 1}


def test_counters_start_afresh_after_a_shutdown() -> None:
    """The report has what the old runtime did; the next enqueue counts from one."""
    Fate.perform_async().result(LONG)
    assert Fate.stats().accepted == 1
    counterpunch.shutdown(LONG)
    assert Fate.stats().accepted == 1  # still to be seen until the next enqueue
    Fate.perform_async().result(LONG)
    assert Fate.stats().accepted == 1


# jobs()


def test_jobs() -> None:
    """Live ones first, then finished ones, newest first; every condition may be left out."""

    class Other(Job):
        tags = ("daily",)

        def perform(self) -> None: ...

    @job
    def hello() -> None: ...

    with testing.fake() as recorder:
        done = Fate.perform_async()
        dropped = Fate.perform_async("discard")
        recorder.drain()
        queued = Fate.using(tags=("nightly",)).perform_async("x")
        scheduled = Fate.perform_in(60)
        other = Other.using(tags=("nightly",)).perform_async()
        third = hello.perform_async()

        def found(*args: Any, **kwargs: Any) -> list[Handle[Any]]:
            return counterpunch.jobs(*args, **kwargs)

        assert set(found()) == {done, dropped, queued, scheduled, other, third}
        assert found(Fate) == [queued, scheduled, dropped, done]
        assert found(hello) == [third]
        assert found(status="queued") == [queued, other, third]
        assert found(Fate, Status.SUCCEEDED) == [done]
        assert found(status=Status.LOST) == []
        assert set(found(tag="nightly")) == {queued, other}
        assert found(tag="daily") == [other]
        assert found(tag="weekly") == []
        assert found(where=lambda handle: handle.args == ("x",)) == [queued]
        assert found(Fate, "discarded", where=lambda handle: handle.attempt == 1) == [dropped]


def test_jobs_refuses_what_does_not_exist() -> None:
    """An unknown status or class is an error, not an empty list."""
    with pytest.raises(InvalidOption, match=r"jobs: status='done' .*deferred, scheduled, queued"):
        counterpunch.jobs(status="done")
    with pytest.raises(TypeError, match="neither a Job class nor a function"):
        counterpunch.jobs(int)


def test_jobs_sees_each_state_on_real_threads() -> None:
    """Running, queued, scheduled and finished jobs of one class, each under its status."""
    go, started = threading.Event(), threading.Event()

    class Held(Job):
        workers = 1

        def perform(self, hold: bool = False) -> None:
            if hold:
                started.set()
                assert go.wait(LONG)

    finished = Held.perform_async()
    finished.result(LONG)
    running = Held.perform_async(True)
    assert started.wait(LONG)
    queued, scheduled = Held.perform_async(), Held.perform_in(60)
    by_status = {
        Status.RUNNING: running,
        Status.QUEUED: queued,
        Status.SCHEDULED: scheduled,
        Status.SUCCEEDED: finished,
    }
    for status, handle in by_status.items():
        assert counterpunch.jobs(Held, status) == [handle]
        assert counterpunch.find(handle.id) is handle
    assert counterpunch.jobs(Held) == [running, queued, scheduled, finished]
    go.set()
    queued.result(LONG)
    assert counterpunch.jobs(Held, Status.SUCCEEDED) == [queued, running, finished]


def test_a_snapshot_cannot_be_changed() -> None:
    """Neither its numbers nor its classes."""
    snapshot = counterpunch.stats()
    with pytest.raises(TypeError):
        snapshot.jobs["x"] = snapshot.total  # type: ignore[index]
    with pytest.raises(AttributeError):
        snapshot.total = snapshot.total  # type: ignore[misc]


def named(module):
    """A class ``SendJob`` of that module."""
    return type("SendJob", (Job,), {"__module__": module, "perform": lambda self: None})


@pytest.mark.parametrize("order", [("shop.jobs", "crm.jobs"), ("crm.jobs", "shop.jobs")])
def test_the_name_of_a_class_does_not_depend_on_which_was_used_first(order):
    """Of two that share one, both have their module in front; alone, neither has."""
    classes = [named(module) for module in order]
    classes[0].perform_async()
    assert list(counterpunch.stats().jobs) == ["SendJob"]
    classes[1].perform_async()
    assert counterpunch.wait_idle(10)
    assert list(counterpunch.stats().jobs) == [f"{module}.SendJob" for module in order]
