"""The scheduler: what is due when, by either clock; memory of what was cancelled; no polling."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import counterpunch
from counterpunch import Job, Status
from counterpunch.core.places import scheduler as _scheduler
from counterpunch.core.places.parking import Parking
from counterpunch.core.places.scheduler import Scheduler, Timer
from counterpunch.core.process.in_force import current
from counterpunch.core.process.installed import installed
from counterpunch.core.process.runtime import Runtime
from counterpunch.testing import fake

LONG = 10.0  # seconds; a bound that turns a hang into a failure, never reached otherwise


class HandClock:
    """Both clocks in the test's hand: time passes for both, only the wall clock can be set."""

    def __init__(self) -> None:
        self.instant = 1000.0
        self.wall = 1_700_000_000.0

    def monotonic(self) -> float:
        return self.instant

    def time(self) -> float:
        return self.wall

    def passes(self, seconds: float) -> None:
        self.instant += seconds
        self.wall += seconds

    def is_set(self, seconds: float) -> None:
        self.wall += seconds


class Bench:
    """A runtime without threads: the test plays the scheduler's thread, and reads the queue."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.runtime = Runtime(threads=False, clock=self.clock)
        self.scheduler = self.runtime.scheduler

    def queued(self, job: Any) -> list[Any]:
        return self.runtime.lane(job).queued_calls()

    def look(self, seconds: float = 0.0) -> float | None:
        self.clock.passes(seconds)
        return self.scheduler.run_due()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    before = installed.modes
    installed.modes = (bench.runtime,)
    yield bench
    installed.modes = before


class Tick(Job):
    def perform(self, name: object = None) -> object:
        return name


def wall(bench: Bench, seconds: float) -> float:
    return bench.clock.time() + seconds


# Due times


def test_run_due_says_when_to_come_back(bench: Bench) -> None:
    """It does what is due and returns the seconds until the next entry, None without one."""
    assert bench.look() is None
    Tick.perform_in(10)
    Tick.perform_in(4)
    assert bench.look() == 4
    assert bench.look(3) == 1
    assert bench.look(1) == 6
    assert len(bench.queued(Tick)) == 1
    assert bench.look(100) is None
    assert len(bench.queued(Tick)) == 2


@pytest.mark.parametrize("delay", [0.001, 0.1, 1 / 3, 59.999999, 1e6])
def test_never_early(bench: Bench, delay: float) -> None:
    """Not one representable instant before its time."""
    import math

    due = bench.clock.instant + delay
    handle = Tick.perform_in(delay)
    bench.clock.instant = math.nextafter(due, 0.0)
    wait = bench.look()
    assert wait is not None
    assert wait > 0
    assert handle.status is Status.SCHEDULED
    bench.clock.instant = due
    bench.look()
    assert handle.status is Status.QUEUED


def test_due_order(bench: Bench) -> None:
    """By due time, whatever the order of the enqueues; equal ones in the order of enqueue."""
    source = random.Random(5)
    delays = [source.randrange(1, 50) for _ in range(300)]
    for number, delay in enumerate(delays):
        Tick.perform_in(delay, number)
    bench.look(60)
    expected = sorted(range(300), key=lambda number: (delays[number], number))
    assert [call.args[0] for call in bench.queued(Tick)] == expected


def test_both_clocks_in_one_order(bench: Bench) -> None:
    """Jobs by delay and jobs by wall time fall due side by side."""
    Tick.perform_in(2, "in 2")
    Tick.perform_at(wall(bench, 1), "at 1")
    Tick.perform_at(wall(bench, 3), "at 3")
    for _ in range(3):
        bench.look(1)
    assert [call.args[0] for call in bench.queued(Tick)] == ["at 1", "in 2", "at 3"]


# The wall clock is set


def test_a_clock_set_forward_makes_it_due(bench: Bench) -> None:
    """``perform_at`` follows the wall clock; ``perform_in`` does not care."""
    absolute = Tick.perform_at(wall(bench, 3600))
    relative = Tick.perform_in(3600)
    bench.look()
    bench.clock.is_set(+3600)
    bench.look()
    assert (absolute.status, relative.status) == (Status.QUEUED, Status.SCHEDULED)
    bench.look(3599)
    assert relative.status is Status.SCHEDULED
    bench.look(1)
    assert relative.status is Status.QUEUED
    assert bench.queued(Tick) == [absolute, relative]


def test_a_clock_set_back_makes_it_later(bench: Bench) -> None:
    """Still not early by the wall clock, and not lost either."""
    absolute = Tick.perform_at(wall(bench, 60))
    relative = Tick.perform_in(60)
    bench.clock.is_set(-3600)
    bench.look(60)
    assert (absolute.status, relative.status) == (Status.SCHEDULED, Status.QUEUED)
    wait = bench.look()
    assert wait == pytest.approx(3600)
    bench.look(3600)
    assert absolute.status is Status.QUEUED


def test_a_clock_that_goes_back_and_forth_neither_loses_nor_duplicates(bench: Bench) -> None:
    """Two hundred jobs by the wall clock under one that jumps: each is queued once, not early."""
    source = random.Random(11)
    start = bench.clock.wall
    early: list[Any] = []
    handles = {}
    for number in range(200):
        due = source.uniform(1, 3600)
        handles[Tick.perform_at(start + due, number)] = start + due
    seen: list[Any] = []
    for _ in range(300):
        bench.clock.is_set(source.uniform(-600, 600))
        bench.look(source.uniform(0, 60))
        fresh = bench.queued(Tick)[len(seen) :]
        early += [call for call in fresh if handles[call] > bench.clock.wall]
        seen += fresh
    bench.clock.wall = start + 10_000
    bench.look()
    queued = bench.queued(Tick)
    assert early == []
    assert sorted(call.args[0] for call in queued) == list(range(200))


def test_expiry_counts_from_when_the_wall_clock_made_it_due(bench: Bench) -> None:
    """A clock set back delays the start; that is not waiting in the queue."""
    handle = Tick.using(expires_in=10).perform_at(wall(bench, 60))
    bench.clock.is_set(-3600)
    bench.look(3660)
    assert handle.status is Status.QUEUED
    assert Tick.stats().oldest_wait == 0
    bench.runtime.withdraw(handle, bench.runtime.here.run)
    assert handle.status is Status.SUCCEEDED


def test_a_real_scheduler_notices_a_clock_set_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing tells a process that the clock was set, so the thread looks now and then."""
    monkeypatch.setattr(_scheduler, "WALL_CHECK_SECONDS", 0.01)
    clock = HandClock()
    clock.monotonic = time.monotonic  # type: ignore[method-assign]
    runtime = Runtime(clock=clock)
    before = installed.modes
    installed.modes = (runtime,)
    try:
        handle = Tick.perform_at(clock.time() + 3600, "on time")
        assert handle.status is Status.SCHEDULED
        clock.is_set(+7200)
        assert handle.result(LONG) == "on time"
        clock.is_set(-7200)
        assert runtime.wait_idle(LONG, delayed=True)
        assert handle.attempt == 1
        assert Tick.stats().attempts == 1
    finally:
        installed.modes = before
        counterpunch.core.process.drain.drain(runtime, 0, leaving=False)


# Cancelled entries


def heaps(scheduler: Scheduler) -> int:
    """Jobs in the scheduler, cancelled ones included."""
    entries = [entry for _, entry in [*scheduler._heap, *scheduler._wall]]
    return sum(not isinstance(entry, Timer) for entry in [*entries, *scheduler.inbox])


@pytest.mark.parametrize("absolute", [False, True])
def test_cancelled_entries_are_freed(bench: Bench, absolute: bool) -> None:
    """Once more than half of a large heap is dead it shrinks, long before they are due."""
    if absolute:
        handles = [Tick.perform_at(wall(bench, 3600 + n)) for n in range(1000)]
    else:
        handles = [Tick.perform_in(3600 + n) for n in range(1000)]
    bench.look()
    assert heaps(bench.scheduler) == 1000
    for handle in handles[:400]:
        handle.cancel()
    bench.look()
    assert heaps(bench.scheduler) == 1000  # not worth it yet
    for handle in handles[400:990]:
        handle.cancel()
    bench.look()
    assert heaps(bench.scheduler) == 10
    bench.look(7200)
    assert bench.queued(Tick) == handles[990:]


def test_rescheduling_leaves_no_trail(bench: Bench) -> None:
    """A job that is moved again and again has one entry, not one for each move."""
    handle = Tick.perform_in(3600)
    for number in range(500):
        assert handle.reschedule(3600 + number)
        bench.look()
    assert heaps(bench.scheduler) <= _scheduler.SMALL
    bench.look(3600)
    assert bench.queued(Tick) == []
    bench.look(499)
    assert bench.queued(Tick) == [handle]


def test_a_live_scheduler_frees_cancelled_entries_by_itself() -> None:
    """Cancelling wakes its thread when the dead weigh too much; nobody waits an hour."""
    handles = [Tick.perform_in(3600) for _ in range(500)]
    for handle in handles:
        assert handle.cancel()
    scheduler, pause = current().scheduler, threading.Event()
    for _ in range(int(LONG / 0.005)):
        if heaps(scheduler) == 0:
            break
        pause.wait(0.005)
    assert heaps(scheduler) == 0
    assert scheduler.parking.sleepers


def test_the_dead_are_counted_right(bench: Bench) -> None:
    """Cancelled ones that simply fall due are gone too, and nothing living goes with them."""
    source = random.Random(3)
    live = set()
    for number in range(2000):
        handle = Tick.perform_in(source.uniform(1, 50), number)
        if source.random() < 0.5:
            handle.cancel()
        else:
            live.add(number)
        if number % 50 == 0:
            bench.look(0.5)
    bench.look(100)
    assert {call.args[0] for call in bench.queued(Tick)} == live
    assert len(bench.queued(Tick)) == len(live)
    assert heaps(bench.scheduler) == 0


# The thread


class Recording(Parking):
    """Notes how long each sleep was meant to be, and how often its thread got up."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts: list[float | None] = []
        self.asleep = threading.Semaphore(0)

    def park(self, sleeper: Any, ready: Callable[[], object], timeout: float | None = None) -> bool:
        def look() -> object:
            found = ready()
            if not found:
                self.timeouts.append(timeout)
                self.asleep.release()
            return found

        return super().park(sleeper, look, timeout)

    def wait_asleep(self) -> None:
        assert self.asleep.acquire(timeout=LONG)


@pytest.fixture
def recording() -> Recording:
    """The parking of the real runtime's scheduler, before its thread exists."""
    Tick.perform_async().result(LONG)
    parking = current().scheduler.parking = Recording()
    return parking


def test_no_polling(recording: Recording) -> None:
    """The thread sleeps the whole way to the next due time; a later entry does not wake it."""
    Tick.perform_in(3600)
    recording.wait_asleep()
    (first,) = recording.timeouts
    assert first is not None
    assert 3599 < first <= 3600
    for _ in range(100):
        Tick.perform_in(7200)
    assert not recording.asleep.acquire(timeout=0.05)
    assert recording.sleepers
    Tick.perform_in(1800)
    recording.wait_asleep()
    assert recording.timeouts[1:] == [pytest.approx(1800, abs=1)]


def test_no_thread_without_delays() -> None:
    """Immediate jobs need no scheduler; the first delay starts its one thread."""
    before = set(threading.enumerate())  # those of earlier tests may still be on their way out

    def schedulers() -> list[str]:
        fresh = set(threading.enumerate()) - before
        return [thread.name for thread in fresh if thread.name == "counterpunch-scheduler"]

    Tick.perform_async().result(LONG)
    assert schedulers() == []
    handles = [Tick.perform_in(0.001 * n) for n in range(1, 20)]
    for handle in handles:
        handle.result(LONG)
    assert schedulers() == ["counterpunch-scheduler"]


def test_an_earlier_entry_wakes_the_thread(recording: Recording) -> None:
    """A job due soon does not wait behind one that is due in an hour."""
    Tick.perform_in(3600)
    recording.wait_asleep()
    assert Tick.perform_in(0.01, "soon").result(LONG) == "soon"


def test_the_scheduler_runs_no_user_code() -> None:
    """A due job runs on a worker, and so do its hooks; a stuck one holds no other up."""
    go, started = threading.Event(), threading.Event()
    names: list[str] = []

    class Stuck(Job):
        workers = 1

        def before(self) -> None:
            names.append(threading.current_thread().name)

        def perform(self) -> None:
            started.set()
            assert go.wait(LONG)

    stuck = Stuck.perform_in(0.001)
    assert started.wait(LONG)
    assert Tick.perform_in(0.001, "other").result(LONG) == "other"
    go.set()
    stuck.result(LONG)
    assert names == ["counterpunch-Stuck_0"]


def test_a_defect_at_one_entry_does_not_stop_the_others(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """It is reported, and what is due besides is still done."""

    def broken() -> None:
        raise SystemExit

    bench.scheduler.add(Timer(broken), bench.clock.instant + 1)
    handle = Tick.perform_in(1)
    bench.look(2)
    assert handle.status is Status.QUEUED
    assert "the scheduler failed" in caplog.text


def test_a_cancelled_timer_does_nothing(bench: Bench) -> None:
    """Nor does it hold on to what it was to do."""
    calls: list[int] = []
    timer = Timer(lambda: calls.append(1))
    bench.scheduler.add(timer, bench.clock.instant + 1)
    timer.cancel()
    bench.scheduler.forget()
    bench.look()
    assert heaps(bench.scheduler) == 0
    bench.look(5)
    assert calls == []


def test_entries_of_the_same_instant_of_any_kind(bench: Bench) -> None:
    """Jobs and timers that are due together can stand in one heap in any order."""
    source = random.Random(2)
    fired: list[int] = []
    for number in range(200):
        if source.random() < 0.5:
            Tick.perform_in(5)
        else:
            due = bench.clock.instant + 5
            bench.scheduler.add(Timer(lambda number=number: fired.append(number)), due)  # type: ignore[misc]
    bench.look(5)
    assert len(fired) + len(bench.queued(Tick)) == 200


def test_many_threads_schedule_at_once() -> None:
    """Four producers of short delays and cancels: every job runs or was cancelled, once."""
    ran: list[Any] = []

    class Due(Job):
        workers = 2

        def perform(self, number: tuple[int, int]) -> None:
            ran.append(number)

    cancelled: list[Any] = []
    barrier = threading.Barrier(4)

    def produce(producer: int) -> None:
        source = random.Random(producer)
        barrier.wait(LONG)
        for number in range(300):
            handle = Due.perform_in(source.random() * 0.02, (producer, number))
            if source.random() < 0.3 and handle.cancel():
                cancelled.append((producer, number))

    threads = [threading.Thread(target=produce, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert counterpunch.wait_idle(LONG, scheduled=True)
    assert sorted(ran + cancelled) == [(p, n) for p in range(4) for n in range(300)]


def test_started_at_is_never_before_run_at() -> None:
    """On real clocks, for many jobs at once, by delay and by wall time."""
    handles = [Tick.perform_in(0.0005 * n) for n in range(1, 50)]
    soon = datetime.now(timezone.utc)
    handles += [Tick.perform_at(soon + timedelta(milliseconds=n)) for n in range(1, 50)]
    for handle in handles:
        handle.result(LONG)
        assert handle.started_at is not None
        # Shown times are monotonic instants on the wall clock of the runtime's start, and the
        # system may slew that clock meanwhile.
        assert handle.started_at - handle.run_at > timedelta(milliseconds=-1)


def test_a_job_that_enqueues_its_next_run_is_unique_while_it_waits() -> None:
    """``"queued"`` is for those; with ``"active"`` it is given its own handle, as it runs still."""
    given: list[bool] = []

    class Poll(Job):
        identity = staticmethod(lambda number: number)
        unique: Any = "queued"

        def perform(self, number: int) -> None:
            given.append(Poll.perform_in(60, number) is self.handle)

    with fake() as recorder:
        Poll.perform_async(1)
        recorder.advance(599)
        assert given == [False] * 10
        assert len(recorder.jobs) == 1
        Poll.unique = "active"
        recorder.advance(600)
        assert given == [False] * 10 + [True]
        assert recorder.jobs == []
