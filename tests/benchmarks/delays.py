"""Measure 3: ``perform_in``: its cost, how late a timer is, and what a cancellation costs."""

from __future__ import annotations

import heapq
import itertools
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from figures import Measure, Target, clock_cost, percentile, wait_for

__all__ = ["MEASURE", "HeapTimers"]


class HeapTimers:
    """What one writes by hand: a heap, a Condition, one thread, an executor for what is due.

    Args:
        futures: Give the caller a ``Future``, to wait for the result or to cancel.
    """

    def __init__(self, futures: bool) -> None:
        self.futures = futures
        self.executor = ThreadPoolExecutor(max_workers=2)
        self.changed = threading.Condition()
        self.heap: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self.numbers = itertools.count()
        threading.Thread(target=self._run, daemon=True).start()

    def perform_in(
        self, delay: float, fn: Callable[..., object], *args: Any
    ) -> Future[object] | None:
        due = time.monotonic() + delay
        future: Future[object] | None = None
        if self.futures:
            future = Future()
            fn, args = _follow, (future, fn, args)
        with self.changed:
            entry = (due, next(self.numbers), fn, args)
            heapq.heappush(self.heap, entry)
            if self.heap[0] is entry:
                self.changed.notify()
        return future

    def _run(self) -> None:
        while True:
            with self.changed:
                while not self.heap:
                    self.changed.wait()
                left = self.heap[0][0] - time.monotonic()
                if left > 0:
                    self.changed.wait(left)
                    continue
                _, _, fn, args = heapq.heappop(self.heap)
            self.executor.submit(fn, *args)


def _follow(future: Future[object], fn: Callable[..., object], args: tuple[Any, ...]) -> None:
    if future.set_running_or_notify_cancel():
        future.set_result(fn(*args))


def child(contender: str, quick: bool) -> dict[str, float]:
    record: list[tuple[int, float]] = []

    def body(n: int) -> None:
        record.append((n, time.monotonic()))

    perform_in: Callable[[float, int], Any]
    if contender == "counterpunch":
        import counterpunch

        class Delayed(counterpunch.Job):
            def perform(self, n: int) -> None:
                body(n)

        perform_in = Delayed.perform_in
    elif contender == "timer":

        def start_timer(delay: float, n: int) -> None:
            timer = threading.Timer(delay, body, (n,))
            timer.daemon = True
            timer.start()

        perform_in = start_timer
    else:
        timers = HeapTimers(futures=contender == "heap+condition+future")
        perform_in = lambda delay, n: timers.perform_in(delay, body, n)  # noqa: E731
    if contender == "timer":  # a thread for each: few, and no crowd
        return _cost(perform_in, 200)
    figures = _single(perform_in, record, 50 if quick else 150)
    figures |= _crowd(perform_in, record, 10_000)
    figures |= _cost(perform_in, 5_000 if quick else 20_000)
    if contender == "counterpunch":
        figures |= _cancellation(perform_in, 5_000)
    return figures


def _single(
    perform_in: Callable[[float, int], Any], record: list[tuple[int, float]], count: int
) -> dict[str, float]:
    """One timer at a time on an idle machine."""
    late: list[float] = []
    for n in range(count):
        record.clear()
        before = time.monotonic()
        perform_in(0.005, n)
        wait_for(lambda: record)
        late.append((record[0][1] - before - 0.005) * 1e3)
    return {
        "lateness p50 ms": percentile(late, 50),
        "lateness p99 ms": percentile(late, 99),
        "early": float(sum(one < 0 for one in late)),
    }


def _crowd(
    perform_in: Callable[[float, int], Any], record: list[tuple[int, float]], count: int
) -> dict[str, float]:
    """Ten thousand timers due within one second."""
    record.clear()
    chance = random.Random(1)
    due: list[float] = []
    for n in range(count):
        delay = 1.0 + chance.random()
        due.append(time.monotonic() + delay)
        perform_in(delay, n)
    wait_for(lambda: len(record) == count)
    late = [(at - due[n]) * 1e3 for n, at in record]
    return {
        "crowd lateness p50 ms": percentile(late, 50),
        "crowd lateness p99 ms": percentile(late, 99),
        "crowd early": float(sum(one < 0 for one in late)),
    }


def _cost(perform_in: Callable[[float, int], Any], count: int) -> dict[str, float]:
    """Delays as requests have them: drawn at random between one minute and two."""
    chance, cost, clock = random.Random(2), clock_cost(), time.perf_counter_ns
    perform_in(59.0, -1)
    samples: list[float] = []
    for n in range(count):
        delay = 60.0 + 60.0 * chance.random()
        before = clock()
        perform_in(delay, n)
        samples.append(clock() - before - cost)
    return {
        "perform_in p50 ns": percentile(samples, 50),
        "perform_in p99 ns": percentile(samples, 99),
    }


def _cancellation(perform_in: Callable[[float, int], Any], count: int) -> dict[str, float]:
    handles = [perform_in(300.0, n) for n in range(count)]
    random.Random(3).shuffle(handles)
    cost, clock = clock_cost(), time.perf_counter_ns
    samples: list[float] = []
    for handle in handles:
        before = clock()
        handle.cancel()
        samples.append(clock() - before - cost)
    return {"cancel p50 ns": percentile(samples, 50), "cancel p99 ns": percentile(samples, 99)}


MEASURE = Measure(
    name="delays",
    contenders=("heap+condition", "counterpunch", "heap+condition+future", "timer"),
    child=child,
    targets=(
        Target("perform_in, p50", "perform_in p50 ns", "heap+condition", 0.75, 0.6),
        Target("perform_in, p50", "perform_in p50 ns", "heap+condition+future", 0.75, 0.6),
        Target("lateness of a timer, p50, ms", "lateness p50 ms", None, 0.5, 0.15),
        Target("lateness of a timer, p99, ms", "lateness p99 ms", None, 5, 0.5),
        Target("timers that fired early", "early", None, 0, 0),
        Target("timers of the crowd that fired early", "crowd early", None, 0, 0),
    ),
    rounds=(2, 9),
)
