"""Many threads at once: nothing lost, nothing run twice, nothing asleep beside its work."""

from __future__ import annotations

import _thread
import logging
import random
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from operator import call
from typing import Any

import pytest

import counterpunch
from counterpunch import Discard, Handle, Job, QueueFull, Retry, Status
from counterpunch.core.places.parking import Parking
from counterpunch.core.places.permits import Permits
from counterpunch.core.process.in_force import accepting, current
from counterpunch.core.workers import pool as _pool

LONG = 30.0  # seconds; a bound that turns a hang into a failure, never reached otherwise
STATUSES = [status.value for status in Status]
TERMINAL = ("succeeded", "failed", "cancelled", "discarded", "lost")


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Threads change places five hundred times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def no_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand expected failures with tracebacks are no news."""
    monkeypatch.setattr(logging.getLogger("counterpunch"), "disabled", True)


def together(count: int, work: Callable[[int], object]) -> None:
    """Run ``work(number)`` on ``count`` threads that start at the same moment."""
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait(LONG)
            work(number)
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()
    assert errors == []


# Conservation


@pytest.mark.usefixtures("quick_switches", "no_logs")
def test_conservation_at_every_sampled_instant() -> None:
    """Eight producers, jobs of every fate: ``accepted`` equals the sum over all statuses, no
    count is negative, no total goes back, and accepted is what the producers know it to be."""
    producers, each = 8, 500
    begun = [0] * producers
    returned = [0] * producers
    refused = [0] * producers
    handles: list[list[Handle[Any]]] = [[] for _ in range(producers)]

    class Fated(Job):
        workers = 2
        max_jobs = 200
        retry = Retry(max_attempts=2, wait=0.001, on=(OSError,))

        def perform(self, number: int) -> None:
            if number % 10 == 1:
                raise ValueError
            if number % 10 == 2:
                raise OSError
            if number % 10 == 3 and self.attempt == 1:
                raise OSError
            if number % 10 == 4:
                raise Discard

    class Dropping(Fated):
        overflow = "discard_oldest"
        max_jobs = 20

    def produce(producer: int) -> None:
        source = random.Random(producer)
        for number in range(each):
            cls: Any = Dropping if number % 4 == 0 else Fated
            begun[producer] += 1
            try:
                if number % 10 == 5:
                    handle = cls.perform_in(source.random() * 0.01, number)
                else:
                    handle = cls.perform_async(number)
            except QueueFull:
                refused[producer] += 1
            else:
                returned[producer] += 1
                handles[producer].append(handle)
            if source.random() < 0.2 and handles[producer]:
                source.choice(handles[producer][-20:]).cancel()

    accepting()  # a fresh runtime, with its counters at zero, before the first look
    stop = threading.Event()
    samples = 0
    complaints: list[str] = []

    def observe() -> None:
        nonlocal samples
        ended_before: dict[str, tuple[int, ...]] = {}
        while not stop.is_set():
            low = sum(returned)
            snapshot = counterpunch.stats()
            high = sum(begun)
            samples += 1
            for name, counts in [("total", snapshot.total), *snapshot.jobs.items()]:
                by_status = [getattr(counts, status) for status in STATUSES]
                ended = tuple(getattr(counts, status) for status in TERMINAL)
                if counts.accepted != sum(by_status):
                    complaints.append(f"{name}: {counts.accepted} != sum of {by_status}")
                if min(by_status) < 0:
                    complaints.append(f"{name}: negative in {by_status}")
                if any(a > b for a, b in zip(ended_before.get(name, ended), ended, strict=True)):
                    complaints.append(f"{name}: {ended_before[name]} went back to {ended}")
                ended_before[name] = ended
            if not low <= snapshot.total.accepted <= high:
                complaints.append(f"accepted {snapshot.total.accepted}, not in {low}..{high}")

    observer = threading.Thread(target=observe, daemon=True)
    observer.start()
    together(producers, produce)
    assert counterpunch.wait_idle(LONG, scheduled=True)
    stop.set()
    observer.join(LONG)
    assert complaints == []
    assert samples > 20
    everything = [handle for some in handles for handle in some]
    assert len(everything) == sum(returned) == producers * each - sum(refused)
    total = counterpunch.stats().total
    assert total.accepted == len(everything)
    for status in Status:
        expected = sum(1 for handle in everything if handle.status is status)
        assert getattr(total, status.value) == expected
    ended = {status for status in TERMINAL if getattr(total, status)}
    assert ended == {"succeeded", "failed", "cancelled", "discarded"}


@pytest.mark.usefixtures("quick_switches")
def test_thirty_thousand_jobs_none_lost_none_run_twice() -> None:
    """From eight producers, through one pool. Ten million: ``tests/benchmarks/stress.py``."""
    producers, each = 8, 4_000
    runs = bytearray(producers * each)

    class Counting(Job):
        workers = 4
        max_jobs = None

        def perform(self, number: int) -> None:
            runs[number] += 1  # no other job has this cell, so a second run would show

    def produce(producer: int) -> None:
        enqueue = Counting.perform_async
        for number in range(producer * each, (producer + 1) * each):
            enqueue(number)

    together(producers, produce)
    assert counterpunch.wait_idle(LONG)
    assert runs.count(1) == producers * each
    stats = Counting.stats()
    assert stats.accepted == stats.succeeded == stats.attempts == producers * each


# The first enqueue, and the threads of a pool


@pytest.mark.usefixtures("quick_switches")
def test_the_first_enqueue_of_a_process_from_many_threads() -> None:
    """All of them find the same runtime: none is left in one that nobody knows."""

    class First(Job):
        def perform(self) -> None: ...

    for _ in range(50):
        counterpunch.shutdown(timeout=0)
        together(8, lambda number: First.perform_async())
        assert counterpunch.wait_idle(LONG)
        assert First.stats().succeeded == 8


@pytest.mark.usefixtures("quick_switches")
def test_workers_that_give_their_threads_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle workers leave at the very moment jobs arrive: each job still finds one."""
    monkeypatch.setattr(_pool, "IDLE_SECONDS", 0.0002)
    source = random.Random(4)
    pause = _thread.allocate_lock()
    pause.acquire()

    class Intermittent(Job):
        workers = 2

        def perform(self) -> None: ...

    for number in range(300):
        Intermittent.perform_async().result(LONG)
        if number % 3:
            pause.acquire(True, source.random() * 0.0006)
    stats = Intermittent.stats()
    assert stats.succeeded == 300
    assert stats.workers.total <= 2


@pytest.mark.usefixtures("quick_switches")
def test_a_pool_that_is_resized_under_load() -> None:
    """Never more at once than the limit in force since before, and none is left behind."""
    inside: deque[None] = deque()
    most: list[int] = [0]

    class Breathing(Job):
        workers = 1

        def perform(self) -> None:
            inside.append(None)
            most[0] = max(most[0], len(inside))
            inside.pop()

    done = threading.Event()

    def resize() -> None:
        source = random.Random(6)
        while not done.is_set():
            Breathing.workers = source.randint(1, 3)

    resizer = threading.Thread(target=resize, daemon=True)
    resizer.start()
    handles = [Breathing.perform_async() for _ in range(3000)]
    for handle in handles:
        handle.result(LONG)
    done.set()
    resizer.join(LONG)
    assert most[0] <= 3
    Breathing.workers = 2
    assert counterpunch.wait_idle(LONG)
    assert Breathing.stats().succeeded == 3000
    assert Breathing.stats().workers.total <= 2


# The hand-over


class Yielding:
    """Gives the interpreter lock away for a random time, or not at all."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random
        self._never = _thread.allocate_lock()
        self._never.acquire()

    def __call__(self) -> None:
        draw = self._random()
        if draw < 0.7:
            self._never.acquire(True, draw * 0.0003)


class YieldingDeque(deque):  # type: ignore[type-arg]
    """A deque whose every step may be followed, and preceded, by any other thread's."""

    yields: Callable[[], None]

    def append(self, item: Any) -> None:
        self.yields()
        super().append(item)
        self.yields()

    def pop(self) -> Any:  # type: ignore[override]
        self.yields()
        try:
            return super().pop()
        finally:
            self.yields()

    def __bool__(self) -> bool:
        self.yields()
        found = len(self) > 0
        self.yields()
        return found


class YieldingPermits(YieldingDeque, Permits):
    """The same for what is only counted."""


class Widened(Parking):
    """Parking with a pause at each step of its protocol; ``second_look=False`` breaks it."""

    def __init__(self, yields: Callable[[], None], second_look: bool) -> None:
        super().__init__()
        self.yields, self.second_look = yields, second_look
        self.parked = YieldingPermits()
        self.sleepers = YieldingDeque()
        self.parked.yields = self.sleepers.yields = yields  # type: ignore[attr-defined]
        self.wake_one = map(call, iter(self.sleepers.pop, None)).__next__

    def park(self, sleeper: Any, ready: Callable[[], object], timeout: float | None = None) -> bool:
        def look() -> object:
            self.yields()
            found = ready() if self.second_look else False
            self.yields()
            return found

        return super().park(sleeper, look, timeout)


def hand_overs(count: int, second_look: bool, patience: float) -> int:
    """One producer, one worker; the next job comes just as the worker falls asleep.

    Returns how many were run before one was not taken within ``patience`` seconds.
    """

    class Handed(Job):
        workers = 1

        def perform(self) -> None: ...

    yields = Yielding(seed=8)
    lane = accepting().lane(Handed)  # before its first worker
    lane.pool.parking = parking = Widened(yields, second_look)
    lane.parked, lane.sleepers, lane.wake_one = parking.parked, parking.sleepers, parking.wake_one
    for number in range(count):
        handle = Handed.perform_async()
        try:
            handle.result(patience)
        except TimeoutError:
            if not second_look and handle.status is not Status.QUEUED:
                continue  # nothing but slow: it has been taken in the meantime
            assert handle.status is Status.QUEUED
            assert lane.pool.parking.sleepers  # asleep beside its work
            return number
        yields()
    return count


def test_no_lost_wake_up_in_a_widened_hand_over() -> None:
    """With the second look no interleaving leaves a job beside a sleeping worker."""
    assert hand_overs(300, second_look=True, patience=LONG) == 300


def test_without_the_second_look_it_is_caught() -> None:
    """The negative control: the same test does find the fault, and soon."""
    assert hand_overs(1000, second_look=False, patience=0.1) < 300


@pytest.mark.usefixtures("quick_switches")
def test_ping_pong_between_idle_pools() -> None:
    """Each job wakes a worker that has just fallen asleep: thousands of real hand-overs."""

    class Ping(Job):
        workers = 1

        def perform(self, left: int) -> None:
            Pong.perform_async(left - 1) if left else done.set()

    class Pong(Ping):
        pass

    done = threading.Event()
    Ping.perform_async(3000)
    # Pong inherits perform: it hands on to itself, so its worker is woken and falls asleep.
    assert done.wait(LONG)
    assert Pong.stats().accepted == 3000


# Ends seen from other threads


@pytest.mark.usefixtures("quick_switches", "no_logs")
@pytest.mark.parametrize("failing", [False, True])
def test_waiting_and_watching_race_with_the_end(failing: bool) -> None:
    """Two threads ask for the result and register callbacks while the job ends: both get it,
    each callback is called exactly once, and none is kept."""
    calls: list[int] = []

    class Quick(Job):
        workers = 1

        def perform(self, number: int) -> int:
            if failing:
                raise OSError(number)
            return number

    rounds = 300
    current_handle: list[Handle[int]] = []
    ready, seen = threading.Barrier(3), threading.Barrier(3)
    errors: list[BaseException] = []

    def watch(which: int) -> None:
        try:
            for number in range(rounds):
                ready.wait(LONG)
                handle = current_handle[0]
                handle.add_done_callback(lambda _, key=(number * 2 + which): calls.append(key))  # type: ignore[misc]
                if failing:
                    assert isinstance(handle.exception(LONG), OSError)
                else:
                    assert handle.result(LONG) == number
                seen.wait(LONG)
        except BaseException as exc:
            errors.append(exc)
            ready.abort()
            seen.abort()
            raise

    watchers = [threading.Thread(target=watch, args=(n,), daemon=True) for n in range(2)]
    for watcher in watchers:
        watcher.start()
    for number in range(rounds):
        current_handle[:] = [Quick.perform_async(number)]
        ready.wait(LONG)
        seen.wait(LONG)
    for watcher in watchers:
        watcher.join(LONG)
    assert errors == []
    assert counterpunch.wait_idle(LONG)
    assert sorted(calls) == list(range(rounds * 2))
    assert current().watchers.table == {}


@pytest.mark.usefixtures("quick_switches")
def test_cancel_and_run_race_for_a_job() -> None:
    """Two threads cancel while workers run and the scheduler releases: one winner each."""
    ran = bytearray(4000)

    class Contested(Job):
        workers = 2

        def perform(self, number: int) -> None:
            ran[number] += 1

    handles: list[Handle[None]] = []
    for number in range(4000):
        handles.append(
            Contested.perform_in(0.001, number) if number % 2 else Contested.perform_async(number)
        )
    won: list[list[int]] = [[], []]

    def cancel(which: int) -> None:
        for number in range(0, 4000, 3):
            if handles[number].status is not Status.CANCELLED and handles[number].cancel():
                won[which].append(number)

    together(2, cancel)
    assert counterpunch.wait_idle(LONG, scheduled=True)
    cancelled = {number for number, handle in enumerate(handles) if handle.cancelled()}
    assert cancelled == set(won[0]) | set(won[1])
    assert all(ran[number] == (number not in cancelled) for number in range(4000))
    stats = Contested.stats()
    assert (stats.cancelled, stats.succeeded) == (len(cancelled), 4000 - len(cancelled))


@pytest.mark.usefixtures("quick_switches")
def test_stopping_and_starting_under_load() -> None:
    """Shutdowns while four threads enqueue: each job that was accepted has one ending."""
    producers, each = 4, 500
    ends: list[str] = []
    progress = threading.Semaphore(0)
    reports: list[counterpunch.ShutdownReport] = []

    class Persistent(Job):
        def perform(self) -> None: ...

    def produce(_: int) -> None:
        accepted = 0
        while accepted < each:
            try:
                handle = Persistent.perform_async()
            except counterpunch.ShuttingDown:
                continue
            accepted += 1
            handle.add_done_callback(lambda h: ends.append(h.id))
            progress.release()

    def stop_now_and_then() -> None:
        for _ in range(producers * each // 50):
            for _ in range(50):
                assert progress.acquire(timeout=LONG)
            reports.append(counterpunch.shutdown(timeout=LONG))

    stopper = threading.Thread(target=stop_now_and_then, daemon=True)
    stopper.start()
    together(producers, produce)
    stopper.join(LONG)
    assert not stopper.is_alive()
    assert counterpunch.wait_idle(LONG)
    assert len(ends) == len(set(ends)) == producers * each
    assert len(reports) == producers * each // 50
    assert sum(1 for report in reports if report.counts[Status.SUCCEEDED]) > 1


def test_idle_after_a_shutdown() -> None:
    """A runtime that has stopped is idle, also if its scheduler had a thread."""

    class Ended(Job):
        def perform(self) -> None: ...

    Ended.perform_in(0.001).result(LONG)
    counterpunch.shutdown(timeout=LONG)
    assert counterpunch.wait_idle(1)
    assert counterpunch.wait_idle(1, scheduled=True)
