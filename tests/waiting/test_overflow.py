"""A full queue: every policy, for a new job and for one that falls due on it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

import counterpunch
from counterpunch import (
    Discard,
    Discarded,
    Handle,
    Job,
    QueueFull,
    Retry,
    ShuttingDown,
    Status,
    testing,
)
from counterpunch._runtime import current

LONG = 10.0  # seconds; a bound that turns a hang into a failure, never reached otherwise
POLICIES = ("raise", "discard", "discard_oldest", "caller_runs", "block")


class Counter:
    """One worker that is held by its first job, and a queue of bounded length behind it."""

    def __init__(self, **options: Any) -> None:
        self.started = threading.Event()
        self.go = threading.Event()
        self.order: list[Any] = []
        self.threads: list[str] = []
        counter = self

        class Till(Job):
            workers = 1

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


def in_background(fn: Callable[..., Any], *args: Any) -> Future[Any]:
    """Call on a daemon thread: a bug that leaves it blocked then fails, and does not hang."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(fn(*args))
        except BaseException as exc:
            future.set_exception(exc)

    threading.Thread(target=run, daemon=True).start()
    return future


def until_waiting(job: Any, where: str = "blocked") -> None:
    """Wait until a producer sleeps for want of room (or a due job, in ``"overdue"``).

    Nothing tells, so this looks.
    """
    pause, lane = threading.Event(), current().lane(job)
    for _ in range(int(LONG / 0.002)):
        if getattr(lane, where):
            return
        pause.wait(0.002)
    pytest.fail(f"nobody is {where}")


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


# A job that falls due


@pytest.fixture
def recorder() -> Iterator[testing.Fake]:
    with testing.fake() as recorder:
        yield recorder


def full_queue(
    recorder: testing.Fake, policy: str, retrying: bool, **options: Any
) -> tuple[Handle[Any], Handle[Any]]:
    """A delayed job (scheduled, or waiting for its retry) that falls due on a full queue; and
    the one that fills it. The recorder's clock stands at that instant."""

    class Due(Job):
        max_jobs = 1
        overflow = policy
        retry = Retry(max_attempts=2, wait=60, jitter=0)

        def perform(self, name: str) -> str:
            if name == "late" and retrying and self.attempt == 1:
                raise OSError
            return name

    for name, value in options.items():
        setattr(Due, name, value)
    if retrying:
        late = Due.perform_async("late")
        recorder.drain()
        assert late.status is Status.RETRYING
    else:
        late = Due.perform_in(60, "late")
    blocker = Due.perform_async("blocker")
    runtime = recorder._runtime
    runtime.virtual.move_to(runtime.clock.monotonic() + 60)
    runtime.scheduler.run_due()
    return late, blocker


@pytest.fixture(params=[False, True], ids=["scheduled", "retrying"])
def retrying(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("policy", ["raise", "discard"])
def test_due_on_a_full_queue_is_discarded(
    recorder: testing.Fake, policy: str, retrying: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """``"raise"`` has nobody to raise to: discarded, and reported as an error."""
    caplog.set_level("INFO")
    late, blocker = full_queue(recorder, policy, retrying)
    assert late.status is Status.DISCARDED
    assert "fell due on a full queue (max_jobs=1)" in late.error
    records = [r for r in caplog.records if "fell due on a full queue" in r.getMessage()]
    assert [r.levelname for r in records] == ["ERROR" if policy == "raise" else "INFO"]
    assert late.id in records[0].getMessage()
    recorder.drain()
    assert blocker.status is Status.SUCCEEDED
    assert counterpunch.stats().total.discarded == 1


def test_due_on_a_full_queue_drops_the_oldest(recorder: testing.Fake, retrying: bool) -> None:
    """``"discard_oldest"``: the job that waits makes room for the one that is due."""
    late, blocker = full_queue(recorder, "discard_oldest", retrying)
    assert (late.status, blocker.status) == (Status.QUEUED, Status.DISCARDED)
    recorder.drain()
    assert late.result() == "late"


@pytest.mark.parametrize("policy", ["caller_runs", "block"])
def test_due_on_a_full_queue_waits_for_room(
    recorder: testing.Fake, policy: str, retrying: bool
) -> None:
    """Nobody is there to run it or to block: it stays where it waits until there is room."""
    late, blocker = full_queue(recorder, policy, retrying)
    assert late.status is (Status.RETRYING if retrying else Status.SCHEDULED)
    assert recorder.perform_one() is blocker
    assert late.status is Status.QUEUED
    assert recorder.perform_one() is late
    assert late.result() == "late"


def test_due_on_a_blocked_queue_gives_up_after_the_timeout(
    recorder: testing.Fake, retrying: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """``"block"`` waits ``block_timeout`` for it as for a producer, then discards it."""
    late, _ = full_queue(recorder, "block", retrying, block_timeout=5)
    runtime = recorder._runtime
    for seconds, status in ((4.9, late.status), (0.1, Status.DISCARDED)):
        runtime.virtual.move_to(runtime.clock.monotonic() + seconds)
        runtime.scheduler.run_due()
        assert late.status is status
    assert "stayed full for 5 s" in late.error
    assert late.id in caplog.text


@pytest.mark.parametrize("policy", ["caller_runs", "block"])
def test_a_job_that_waits_for_room_can_be_cancelled(
    recorder: testing.Fake, policy: str, retrying: bool
) -> None:
    """It ends as cancelled, and the room goes to the next in line."""
    late, _ = full_queue(recorder, policy, retrying)
    cls = late.job
    second = cls.perform_in(0.5, "second")
    runtime = recorder._runtime
    runtime.virtual.move_to(runtime.clock.monotonic() + 1)
    runtime.scheduler.run_due()
    assert second.status is Status.SCHEDULED
    assert late.cancel()
    recorder.perform_one()
    assert (late.status, second.status) == (Status.CANCELLED, Status.QUEUED)


@pytest.mark.parametrize("policy", ["caller_runs", "block"])
def test_a_job_that_waits_for_room_can_be_rescheduled(
    recorder: testing.Fake, policy: str, retrying: bool
) -> None:
    """It then waits for its new time: room does not start it early, and nothing ends it."""
    late, _ = full_queue(recorder, policy, retrying, block_timeout=5)
    assert late.reschedule(3600)
    recorder.drain()
    assert late.status is (Status.RETRYING if retrying else Status.SCHEDULED)
    assert recorder.advance(3599) == 0
    assert not late.done()
    assert recorder.advance(1) == 1
    assert late.result() == "late"


class Interrupting(deque[Any]):
    """A thread that is interrupted just before its first append, where others then go on."""

    def __init__(self, others: Callable[[], object]) -> None:
        super().__init__()
        self.others: Callable[[], object] | None = others

    def append(self, entry: Any) -> None:
        others, self.others = self.others, None
        if others is not None:
            others()
        super().append(entry)


@pytest.mark.parametrize("policy", ["caller_runs", "block"])
def test_a_job_rescheduled_on_its_way_to_the_wait_for_room(
    recorder: testing.Fake, policy: str
) -> None:
    """Whoever reschedules it is faster than the thread that lets it wait: its new time counts;
    neither room nor the end of a wait that never was concerns it."""
    moved: list[bool] = []

    class Late(Job):
        max_jobs = 1
        overflow = policy
        block_timeout = 5

        def perform(self) -> None: ...

    late = Late.perform_in(60)
    for _ in range(2):  # rescheduled a second time under the same entry
        runtime = recorder._runtime
        lane = runtime.lane(Late)
        lane.overdue = Interrupting(lambda: moved.append(late.reschedule(3600)))
        runtime.virtual.move_to(late._due - 1)
        blocker = Late.perform_async()
        for seconds in (1, 10):
            runtime.virtual.move_to(runtime.clock.monotonic() + seconds)
            runtime.scheduler.run_due()
            assert late.status is Status.SCHEDULED
        assert recorder.perform_one() is blocker
        assert late.status is Status.SCHEDULED
        assert recorder.advance(3589) == 0
    assert moved == [True, True]
    assert recorder.advance(1) == 1
    assert late.status is Status.SUCCEEDED


def test_a_job_started_on_its_way_to_the_wait_for_room_keeps_its_time_limit() -> None:
    """It is started, under a ``timeout``, before the thread that lets it wait goes on: that
    one does not put the end of the wait in place of the time limit."""
    held, leave, began, go = (threading.Event() for _ in range(4))
    timers: list[Any] = []

    class Limited(Job):
        workers = 1
        max_jobs = 1
        overflow = "block"
        block_timeout = 60
        timeout = 3600

        def perform(self, name: str) -> None:
            if name == "held":
                held.set()
                assert leave.wait(LONG)
            else:
                began.set()
                assert go.wait(LONG)

    def others() -> None:
        assert blocker.cancel()
        assert late.run_now()
        leave.set()
        assert began.wait(LONG)
        timers.append(late._more.timer)

    late = Limited.perform_in(3600, "late")
    Limited.perform_async("held")
    assert held.wait(LONG)
    blocker = Limited.perform_async("blocker")
    current().lane(Limited).overdue = Interrupting(others)
    assert late.run_now()
    assert late._more.timer is timers[0]
    go.set()
    late.result(LONG)


def test_a_second_wait_for_room_has_all_of_its_time(recorder: testing.Fake, retrying: bool) -> None:
    """What was left of the first one does not end it, and leaves nothing in the scheduler."""
    late, _ = full_queue(recorder, "block", retrying, block_timeout=5)
    runtime = recorder._runtime

    def pass_time(seconds: float) -> None:
        runtime.virtual.move_to(runtime.clock.monotonic() + seconds)
        runtime.scheduler.run_due()

    for _ in range(3):  # each time it is moved away just before its time would be up
        pass_time(3)
        assert late.reschedule(1)
        pass_time(1)
        assert not late.done()
    assert len(runtime.scheduler._heap) == 1
    pass_time(4.9)
    assert not late.done()
    pass_time(0.1)
    assert late.status is Status.DISCARDED


def test_a_due_job_and_a_timer_at_the_same_instant() -> None:
    """The end of a wait for room and another job's due time may coincide, in any order."""
    with testing.fake() as recorder:

        class Tied(Job):
            max_jobs = 1
            overflow = "block"
            block_timeout = 5.0

            def perform(self) -> None: ...

        runtime = recorder._runtime
        start = runtime.clock.monotonic()
        Tied.perform_async()
        handles = [Tied.perform_in(delay) for delay in (6, 6, 1, 1, 6, 6)]
        for instant in (1, 6, 11):
            runtime.virtual.move_to(start + instant)
            runtime.scheduler.run_due()
        assert [handle.status for handle in handles].count(Status.DISCARDED) == 6


def test_a_cancelled_due_job_does_not_keep_a_producer_blocked() -> None:
    """Room that a cancelled job waited for goes to the producer behind it, at once."""
    go, started = threading.Event(), threading.Event()

    class Mixed(Job):
        workers = 1
        max_jobs = 1
        overflow = "block"
        block_timeout = None

        def perform(self, name: str) -> None:
            if name == "held":
                started.set()
                assert go.wait(LONG)

    Mixed.perform_async("held")
    assert started.wait(LONG)
    Mixed.perform_async("queued")
    late = Mixed.perform_in(0.01, "late")
    blocked = in_background(Mixed.perform_async, "blocked")
    until_waiting(Mixed)
    until_waiting(Mixed, "overdue")
    assert late.cancel()
    go.set()
    blocked.result(LONG).result(LONG)


def test_room_that_a_refused_job_leaves_goes_to_the_next_producer() -> None:
    """The first producer is woken and then refused; nothing else will ever leave the queue."""
    go, started = threading.Event(), threading.Event()

    class Picky(Job):
        workers = 1
        max_jobs = 1
        overflow = "block"
        block_timeout = None

        def on_enqueue(self) -> None:
            if self.handle.args[0] == "refused":
                raise Discard("not this one")

        def perform(self, name: str) -> None:
            if name == "held":
                started.set()
                assert go.wait(LONG)

    Picky.perform_async("held")
    assert started.wait(LONG)
    Picky.perform_async("queued")
    refused = in_background(Picky.perform_async, "refused")
    until_waiting(Picky)
    first = current().lane(Picky).blocked[0]
    behind = in_background(Picky.perform_async, "behind")
    pause = threading.Event()
    for _ in range(int(LONG / 0.002)):
        if len(current().lane(Picky).blocked) == 2:
            break
        pause.wait(0.002)
    assert current().lane(Picky).blocked[0] is first
    go.set()
    assert refused.result(LONG).status is Status.DISCARDED
    behind.result(LONG).result(LONG)


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


def test_nobody_blocks_in_a_test_mode() -> None:
    """Nothing can make room meanwhile: the answer to a full queue comes at once."""

    class Patient(Job):
        max_jobs = 1
        overflow = "block"
        block_timeout = None

        def perform(self) -> None: ...

    with testing.fake() as recorder:
        Patient.perform_async()
        with pytest.raises(QueueFull, match="test mode"):
            Patient.perform_async()
        assert recorder.drain() == 1
