"""A full queue: every policy for a new job, and that none vanishes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from producers import LONG, in_background, until_waiting

import counterpunch
from counterpunch import Discarded, Handle, Job, QueueFull, Retry, ShuttingDown, Status, testing
from counterpunch.core.process.in_force import current

POLICIES = ("raise", "discard", "discard_oldest", "caller_runs", "block")


class Counter:
    """Workers that are held by their first jobs, and a queue of bounded length behind them."""

    def __init__(self, **options: Any) -> None:
        self.started = threading.Event()
        self.go = threading.Event()
        self.order: list[Any] = []
        self.threads: list[str] = []
        counter = self

        class Till(Job):
            workers = 2 if options.get("overflow") == "caller_runs" else 1

            def perform(self, name: Any = None) -> Any:
                if name == "held":
                    counter.started.set()
                    assert counter.go.wait(LONG)
                counter.order.append(name)
                counter.threads.append(threading.current_thread().name)
                return name

        for name, value in options.items():
            setattr(Till, name, value)
        self.job: Any = Till

    def hold(self) -> Handle[Any]:
        for _ in range(self.job.workers):
            self.started.clear()
            handle: Handle[Any] = self.job.perform_async("held")
            assert self.started.wait(LONG)
        return handle

    def fill(self) -> list[Handle[Any]]:
        return [self.job.perform_async(number) for number in range(self.job.max_jobs)]


@pytest.fixture
def counter() -> Any:
    made: list[Counter] = []

    def make(**options: Any) -> Counter:
        made.append(Counter(**options))
        return made[-1]

    yield make
    for one in made:
        one.go.set()


# A new job


@pytest.mark.parametrize("bound", [1, 2, 7, 100])
def test_the_bound_is_exact(counter: Callable[..., Counter], bound: int) -> None:
    """One producer: exactly ``max_jobs`` wait; the running job is not counted."""
    till = counter(max_jobs=bound)
    till.hold()
    till.fill()
    for _ in range(3):
        with pytest.raises(QueueFull, match=rf"Till was not enqueued: max_jobs={bound} jobs wait"):
            till.job.perform_async("one more")
    stats = till.job.stats()
    assert (stats.accepted, stats.queued, stats.running) == (bound + 1, bound, 1)
    till.go.set()
    assert counterpunch.wait_idle(LONG)
    assert till.order == ["held", *range(bound)]
    till.job.perform_async("again").result(LONG)


def test_the_bound_holds_over_all_priorities(counter: Callable[..., Counter]) -> None:
    """A class has one bound, however its jobs are ranked."""
    till = counter(max_jobs=3)
    till.hold()
    for priority in (0, 5, -5):
        till.job.using(priority=priority).perform_async(priority)
    for priority in (0, 5, 9):
        with pytest.raises(QueueFull):
            till.job.using(priority=priority).perform_async()


def test_many_producers_overshoot_by_less_than_their_number(
    counter: Callable[..., Counter],
) -> None:
    """Nobody holds a lock between the look and the append; the excess stays that small."""
    till = counter(max_jobs=50)
    till.hold()
    barrier = threading.Barrier(8)

    def produce() -> int:
        barrier.wait(LONG)
        refused = 0
        for _ in range(100):
            try:
                till.job.perform_async()
            except QueueFull:
                refused += 1
        return refused

    futures = [in_background(produce) for _ in range(8)]
    refused = sum(future.result(LONG) for future in futures)
    stats = till.job.stats()
    assert 50 <= stats.queued < 50 + 8
    assert stats.queued + refused == 800
    assert stats.accepted == stats.queued + 1


def test_no_bound(counter: Callable[..., Counter]) -> None:
    """``max_jobs = None`` takes everything."""
    till = counter(max_jobs=None)
    till.hold()
    for number in range(1000):
        till.job.perform_async(number)
    assert till.job.stats().queued == 1000


def test_discard(counter: Callable[..., Counter]) -> None:
    """The new job is accepted and ends at once as discarded, and says why."""
    till = counter(max_jobs=2, overflow="discard")
    till.hold()
    till.fill()
    told: list[Any] = []
    handle = till.job.perform_async("new")
    handle.add_done_callback(told.append)
    assert handle.status is Status.DISCARDED
    assert told == [handle]
    with pytest.raises(Discarded, match=r"Till .* was discarded: the queue was full \(max_jobs=2"):
        handle.result(LONG)
    stats = till.job.stats()
    assert (stats.accepted, stats.discarded, stats.queued) == (4, 1, 2)


def test_discard_oldest(counter: Callable[..., Counter]) -> None:
    """The job that has waited longest makes room; the new one is queued."""
    till = counter(max_jobs=2, overflow="discard_oldest")
    till.hold()
    first, second = till.fill()
    third = till.job.perform_async("third")
    fourth = till.job.perform_async("fourth")
    assert [h.status for h in (first, second)] == [Status.DISCARDED] * 2
    assert "made room" in (first.error or "")
    till.go.set()
    assert (third.result(LONG), fourth.result(LONG)) == ("third", "fourth")
    assert till.order == ["held", "third", "fourth"]


def test_discard_oldest_goes_by_age_not_by_rank(counter: Callable[..., Counter]) -> None:
    """With several priorities it is still the oldest that goes, not the most urgent."""
    till = counter(max_jobs=3, overflow="discard_oldest")
    till.hold()
    low = till.job.using(priority=-1).perform_async("low")
    high = till.job.using(priority=9).perform_async("high")
    normal = till.job.perform_async("normal")
    newest = till.job.perform_async("newest")
    assert low.status is Status.DISCARDED
    till.go.set()
    for handle in (high, normal, newest):
        handle.result(LONG)
    assert till.order == ["held", "high", "normal", "newest"]


def test_discard_oldest_in_a_shared_pool_spares_other_classes() -> None:
    """Only a job of the same class is dropped, though another class's is older."""
    counterpunch.configure(pools={"overflow": 1})
    go, started = threading.Event(), threading.Event()

    class Patient(Job):
        pool = "overflow"

        def perform(self) -> None:
            started.set()
            assert go.wait(LONG)

    class Hasty(Job):
        pool = "overflow"
        max_jobs = 1
        overflow = "discard_oldest"

        def perform(self) -> None: ...

    Patient.perform_async()
    assert started.wait(LONG)
    older = Patient.perform_async()
    first, second = Hasty.perform_async(), Hasty.perform_async()
    assert (older.status, first.status) == (Status.QUEUED, Status.DISCARDED)
    go.set()
    second.result(LONG)
    older.result(LONG)


def test_caller_runs(counter: Callable[..., Counter]) -> None:
    """The new job runs on the thread that enqueues it, before the call returns."""
    till = counter(max_jobs=1, overflow="caller_runs")
    till.hold()
    till.fill()
    handle = till.job.perform_async("here")
    assert handle.status is Status.SUCCEEDED
    assert (till.order, till.threads) == (["here"], [threading.current_thread().name])
    assert till.job.stats().queued == 1


def test_caller_runs_keeps_the_failure_in_the_handle() -> None:
    """A job that fails in its caller's hands raises nothing there; a retry waits its turn."""
    with testing.fake() as recorder:

        class Broken(Job):
            max_jobs = 1
            overflow = "caller_runs"
            retry = Retry(max_attempts=2, wait=5, jitter=0)

            def perform(self, failing: bool) -> None:
                if failing:
                    raise OSError("down")

        Broken.perform_async(False)
        handle = Broken.perform_async(True)
        assert (handle.status, handle.attempt) == (Status.RETRYING, 1)
        recorder.drain()
        with pytest.raises(OSError, match="down"):
            recorder.advance(5)
        assert handle.attempt == 2


def test_block_waits_for_room(counter: Callable[..., Counter]) -> None:
    """The producer sleeps until a job is taken, then goes on; nothing is refused."""
    till = counter(max_jobs=1, overflow="block", block_timeout=None)
    till.hold()
    till.fill()
    blocked = in_background(till.job.perform_async, "late")
    until_waiting(till.job)
    assert till.job.stats().accepted == 2
    till.go.set()
    blocked.result(LONG).result(LONG)
    assert till.order == ["held", 0, "late"]


def test_block_with_timeout(counter: Callable[..., Counter]) -> None:
    """After ``block_timeout`` it is QueueFull, and the job was not accepted."""
    till = counter(max_jobs=1, overflow="block", block_timeout=0.02)
    till.hold()
    till.fill()
    with pytest.raises(QueueFull, match=r"Till .*max_jobs=1 jobs waited .*block_timeout=0\.02 s"):
        till.job.perform_async("late")
    till.job.block_timeout = 0
    with pytest.raises(QueueFull):
        till.job.perform_async("later")
    assert till.job.stats().accepted == 2
    assert not current().lane(till.job).blocked  # nobody waits any more


def test_a_job_that_blocks_on_its_own_class_is_freed_by_the_stop() -> None:
    """Without a limit its only worker waits for room that nobody else can make; both the job
    and the one that filled the queue are reported then."""
    waiting, ended, reported = threading.Event(), threading.Event(), threading.Event()

    class SelfFeedingJob(Job):
        workers = 1
        max_jobs = 1
        overflow = "block"
        block_timeout = None

        def perform(self, again: bool) -> None:
            first = SelfFeedingJob.perform_async(False)
            assert first.status is Status.QUEUED
            waiting.set()
            try:
                SelfFeedingJob.perform_async(False)
            finally:
                ended.set()
                assert reported.wait(LONG)  # it is still at it when the time is up

    handle = SelfFeedingJob.perform_async(True)
    assert waiting.wait(LONG)
    report = counterpunch.shutdown(0)
    reported.set()
    assert handle in report.lost
    assert [lost.status for lost in report.lost] == [Status.LOST] * 2
    assert ended.wait(LONG), "its thread does not wait any longer"


def test_block_under_pressure() -> None:
    """Eight producers through a queue of two: all get in, nobody is forgotten."""

    class Narrow(Job):
        workers = 2
        max_jobs = 2
        overflow = "block"
        block_timeout = None

        def perform(self) -> None: ...

    barrier = threading.Barrier(8)

    def produce() -> None:
        barrier.wait(LONG)
        for _ in range(200):
            Narrow.perform_async()

    producers = [threading.Thread(target=produce, daemon=True) for _ in range(8)]
    for producer in producers:
        producer.start()
    for producer in producers:
        producer.join(LONG)
        assert not producer.is_alive()
    assert counterpunch.wait_idle(LONG)
    assert Narrow.stats().succeeded == 1600


def test_a_cancelled_job_makes_room_for_a_blocked_producer(
    counter: Callable[..., Counter],
) -> None:
    """Room is room, however it came about."""
    till = counter(max_jobs=1, overflow="block", block_timeout=None)
    till.hold()
    (waiting,) = till.fill()
    blocked = in_background(till.job.perform_async, "late")
    until_waiting(till.job)
    assert waiting.cancel()
    late = blocked.result(LONG)
    till.go.set()
    late.result(LONG)


def test_a_larger_queue_has_room_for_blocked_producers(counter: Callable[..., Counter]) -> None:
    """They go on as soon as ``max_jobs`` is raised, not when the next job leaves."""
    till = counter(max_jobs=1, overflow="block", block_timeout=None)
    till.hold()
    till.fill()
    blocked = [in_background(till.job.perform_async, name) for name in ("second", "third")]
    until_waiting(till.job)
    till.job.max_jobs = 10
    late = [producer.result(LONG) for producer in blocked]
    till.go.set()
    for handle in late:
        handle.result(LONG)


def test_a_stop_frees_blocked_producers(counter: Callable[..., Counter]) -> None:
    """A producer that waits without limit is refused when the stop's time is up."""
    till = counter(max_jobs=1, overflow="block", block_timeout=None)
    till.hold()
    till.fill()
    blocked = in_background(till.job.perform_async, "late")
    until_waiting(till.job)
    report = counterpunch.shutdown(timeout=0.05)
    with pytest.raises(ShuttingDown, match="Till was not enqueued"):
        blocked.result(LONG)
    assert len(report.lost) == 2


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_ever_vanishes(policy: str) -> None:
    """A flood of due, retrying and new jobs on a short queue: each has exactly one end."""

    class Flood(Job):
        workers = 2
        max_jobs = 3
        overflow = policy
        block_timeout = 0.001
        retry = Retry(max_attempts=3, wait=0.001)

        def perform(self, number: int) -> None:
            if number % 3 == 0:
                raise OSError

    handles: list[Handle[None]] = []
    refused = 0
    for number in range(300):
        try:
            handles.append(
                Flood.perform_in(0.001, number) if number % 2 else Flood.perform_async(number)
            )
        except QueueFull:
            refused += 1
    ends: list[Handle[Any]] = []
    for handle in handles:
        handle.add_done_callback(ends.append)
    assert counterpunch.wait_idle(LONG, scheduled=True)
    stats = Flood.stats()
    assert stats.accepted == len(handles) == 300 - refused
    assert stats.succeeded + stats.failed + stats.discarded == len(handles)
    assert sorted(map(id, ends)) == sorted(map(id, handles))
