"""A full queue: every policy for a job that falls due on it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from producers import LONG, in_background, until_waiting

import counterpunch
from counterpunch import Discard, Handle, Job, QueueFull, Retry, Status, testing
from counterpunch.core.process.in_force import current

# A job that falls due


@pytest.fixture
def recorder() -> Iterator[testing.Fake]:
    with testing.fake() as recorder:
        yield recorder


def full_queue(
    recorder: testing.Fake, policy: str, retrying: bool = False, **options: Any
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
    runtime.clock.move_to(runtime.clock.monotonic() + 60)
    runtime.scheduler.run_due()
    return late, blocker


@pytest.mark.parametrize("policy", ["raise", "discard"])
def test_due_on_a_full_queue_is_discarded(
    recorder: testing.Fake, policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    """``"raise"`` has nobody to raise to: discarded, and reported as an error."""
    caplog.set_level("INFO")
    late, blocker = full_queue(recorder, policy)
    assert late.status is Status.DISCARDED
    assert "fell due on a full queue (max_jobs=1)" in late.error
    records = [r for r in caplog.records if "fell due on a full queue" in r.getMessage()]
    assert [r.levelname for r in records] == ["ERROR" if policy == "raise" else "INFO"]
    assert late.id in records[0].getMessage()
    recorder.drain()
    assert blocker.status is Status.SUCCEEDED
    assert counterpunch.stats().total.discarded == 1


@pytest.mark.parametrize("policy", ["raise", "discard", "discard_oldest", "caller_runs", "block"])
def test_another_attempt_always_has_room(recorder: testing.Fake, policy: str) -> None:
    """The job was admitted once: it has begun, and it is not given up because others wait."""
    late, blocker = full_queue(recorder, policy, retrying=True)
    assert (late.status, blocker.status) == (Status.QUEUED, Status.QUEUED)
    recorder.drain()
    assert late.result() == "late"
    assert blocker.result() == "blocker"


def test_what_makes_room_has_not_begun(recorder: testing.Fake) -> None:
    """``"discard_oldest"`` takes the oldest of those that wait for their first attempt."""
    late, blocker = full_queue(recorder, "discard_oldest", retrying=True)
    first, second = late.job.perform_async("a"), late.job.perform_async("b")
    assert [one.status for one in (late, blocker, first, second)] == [
        Status.QUEUED,
        Status.DISCARDED,
        Status.DISCARDED,
        Status.QUEUED,
    ]


@pytest.mark.parametrize("policy", ["raise", "discard"])
def test_run_now_on_a_full_queue_says_so(recorder: testing.Fake, policy: str) -> None:
    """Somebody is there to be told: the job waits on, for the time that it had."""

    class Full(Job):
        max_jobs, overflow = 1, policy

        def perform(self) -> None: ...

    queued, late = Full.perform_async(), Full.perform_in(60)
    at = Full.perform_at(recorder.now + timedelta(seconds=90))
    for handle in (late, at):
        due = handle.run_at
        with pytest.raises(QueueFull, match=f"{handle.id}.* was not queued: max_jobs=1"):
            handle.run_now()
        with pytest.raises(QueueFull, match="was not queued"):
            handle.reschedule(0)
        assert (handle.status, handle.run_at) == (Status.SCHEDULED, due)
    recorder.drain()
    assert queued.status is Status.SUCCEEDED
    assert late.run_now()
    recorder.advance(89)
    assert (late.status, at.status) == (Status.SUCCEEDED, Status.SCHEDULED)
    recorder.advance(1)
    assert at.status is Status.SUCCEEDED


@pytest.mark.parametrize("policy", ["discard_oldest", "caller_runs", "block"])
def test_run_now_on_a_full_queue_makes_room_or_waits_for_it(
    recorder: testing.Fake, policy: str
) -> None:
    """As a job that falls due: it is due now, and the answer says so."""

    class Full(Job):
        max_jobs, overflow = 1, policy

        def perform(self) -> None: ...

    Full.perform_async()
    late = Full.perform_in(60)
    assert late.run_now()
    recorder.drain()
    assert late.status is Status.SUCCEEDED


def test_run_now_of_a_waiting_retry_on_a_full_queue(recorder: testing.Fake) -> None:
    """It has room in any case."""

    class Again(Job):
        max_jobs, retry = 1, Retry(2, wait=60, jitter=0)

        def perform(self, fails: bool) -> None:
            if fails and self.attempt == 1:
                raise OSError

    late = Again.perform_async(True)
    recorder.drain()
    Again.perform_async(False)
    assert late.run_now()
    recorder.drain()
    assert late.status is Status.SUCCEEDED


def test_due_on_a_full_queue_drops_the_oldest(recorder: testing.Fake) -> None:
    """``"discard_oldest"``: the job that waits makes room for the one that is due."""
    late, blocker = full_queue(recorder, "discard_oldest")
    assert (late.status, blocker.status) == (Status.QUEUED, Status.DISCARDED)
    recorder.drain()
    assert late.result() == "late"


@pytest.mark.parametrize("policy", ["caller_runs", "block"])
def test_due_on_a_full_queue_waits_for_room(recorder: testing.Fake, policy: str) -> None:
    """Nobody is there to run it or to block: it stays where it waits until there is room."""
    late, blocker = full_queue(recorder, policy)
    assert late.status is Status.SCHEDULED
    assert recorder.perform_one() is blocker
    assert late.status is Status.QUEUED
    assert recorder.perform_one() is late
    assert late.result() == "late"


def test_due_on_a_blocked_queue_gives_up_after_the_timeout(
    recorder: testing.Fake, caplog: pytest.LogCaptureFixture
) -> None:
    """``"block"`` waits ``block_timeout`` for it as for a producer, then discards it."""
    late, _ = full_queue(recorder, "block", block_timeout=5)
    runtime = recorder._runtime
    for seconds, status in ((4.9, late.status), (0.1, Status.DISCARDED)):
        runtime.clock.move_to(runtime.clock.monotonic() + seconds)
        runtime.scheduler.run_due()
        assert late.status is status
    assert "stayed full for 5 s" in late.error
    assert late.id in caplog.text


@pytest.mark.parametrize("policy", ["caller_runs", "block"])
def test_a_job_that_waits_for_room_can_be_cancelled(recorder: testing.Fake, policy: str) -> None:
    """It ends as cancelled, and the room goes to the next in line."""
    late, _ = full_queue(recorder, policy)
    cls = late.job
    second = cls.perform_in(0.5, "second")
    runtime = recorder._runtime
    runtime.clock.move_to(runtime.clock.monotonic() + 1)
    runtime.scheduler.run_due()
    assert second.status is Status.SCHEDULED
    assert late.cancel()
    recorder.perform_one()
    assert (late.status, second.status) == (Status.CANCELLED, Status.QUEUED)


@pytest.mark.parametrize("policy", ["caller_runs", "block"])
def test_a_job_that_waits_for_room_can_be_rescheduled(recorder: testing.Fake, policy: str) -> None:
    """It then waits for its new time: room does not start it early, and nothing ends it."""
    late, _ = full_queue(recorder, policy, block_timeout=5)
    assert late.reschedule(3600)
    recorder.drain()
    assert late.status is Status.SCHEDULED
    assert recorder.advance(3599) == 0
    assert not late.done()
    assert recorder.advance(1) == 1
    assert late.result() == "late"


@pytest.mark.parametrize("policy", ["caller_runs", "block"])
def test_run_now_leaves_a_job_its_place_among_those_that_wait_for_room(
    recorder: testing.Fake, policy: str
) -> None:
    """It is due already: asked for again it is not put behind those that came later."""
    late, _ = full_queue(recorder, policy)
    later = late.job.perform_in(0.5, "later")
    runtime = recorder._runtime
    runtime.clock.move_to(runtime.clock.monotonic() + 1)
    runtime.scheduler.run_due()
    assert late.run_now()
    assert late.reschedule(0)
    recorder.perform_one()
    assert (late.status, later.status) == (Status.QUEUED, Status.SCHEDULED)


def test_who_waits_for_room_has_that_of_a_replaced_job(recorder: testing.Fake) -> None:
    """Not its successor, which finds the queue full; refused, it leaves the older job alone."""

    class Only(Job):
        max_jobs, overflow = 1, "block"
        unique, on_duplicate = "active", "replace"
        identity = staticmethod(lambda name: name)

        def perform(self, name: str) -> str:
            return name

    Only.perform_in(60, "late")
    old = Only.perform_async("old")
    runtime = recorder._runtime
    runtime.clock.move_to(runtime.clock.monotonic() + 60)
    runtime.scheduler.run_due()
    with pytest.raises(QueueFull):  # in virtual time nobody makes room meanwhile
        Only.perform_async("old")
    assert old.status is Status.QUEUED
    Only.overflow = "caller_runs"
    late = recorder.jobs[1]
    assert Only.perform_async("old").result() == "old"
    assert (old.status, late.status) == (Status.CANCELLED, Status.QUEUED)


class Interrupting(deque[Any]):
    """A thread that is interrupted just before its first append, where others then go on."""

    def __init__(self, others: Callable[[], object]) -> None:
        super().__init__()
        self.others: Callable[[], object] | None = others

    def __iadd__(self, entries: Any) -> Any:
        others, self.others = self.others, None
        if others is not None:
            others()
        return super().__iadd__(entries)


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
        runtime.clock.move_to(late.due - 1)
        blocker = Late.perform_async()
        for seconds in (1, 10):
            runtime.clock.move_to(runtime.clock.monotonic() + seconds)
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
        timers.append(late.more.timer)

    late = Limited.perform_in(3600, "late")
    Limited.perform_async("held")
    assert held.wait(LONG)
    blocker = Limited.perform_async("blocker")
    current().lane(Limited).overdue = Interrupting(others)
    assert late.run_now()
    assert late.more.timer is timers[0]
    go.set()
    late.result(LONG)


def test_a_second_wait_for_room_has_all_of_its_time(recorder: testing.Fake) -> None:
    """What was left of the first one does not end it, and leaves nothing in the scheduler."""
    late, _ = full_queue(recorder, "block", block_timeout=5)
    runtime = recorder._runtime

    def pass_time(seconds: float) -> None:
        runtime.clock.move_to(runtime.clock.monotonic() + seconds)
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
            runtime.clock.move_to(start + instant)
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
