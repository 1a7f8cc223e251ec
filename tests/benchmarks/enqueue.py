"""Measure 1: what an enqueue costs the caller's thread, and how soon the job starts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from contenders import make
from figures import BASELINE, Measure, Target, clock_cost, percentile, wait_for

__all__ = ["MEASURE"]

WORKERS = 2


def child(contender: str, quick: bool) -> dict[str, float]:
    """Nanoseconds per call: workers occupied, CPU-bound, and idle; bursts; start latency."""
    figures: dict[str, float] = {}
    for name, run in (("busy", _busy), ("fight", _fight), ("idle", _idle), ("burst", _burst)):
        figures.update({f"{name} {key}": value for key, value in run(contender, quick).items()})
    return figures


def _sample(enqueue: Callable[[int], object], calls: int, cost: int) -> list[float]:
    clock = time.perf_counter_ns
    samples: list[float] = []
    for n in range(calls):
        before = clock()
        enqueue(n)
        samples.append(clock() - before - cost)
    return samples


def _quantiles(samples: list[float]) -> dict[str, float]:
    return {
        "p50 ns": max(1.0, percentile(samples, 50)),
        "p99 ns": max(1.0, percentile(samples, 99)),
    }


def _busy(contender: str, quick: bool) -> dict[str, float]:
    """Every worker is inside a job that waits, so jobs pile up, a thousand at a time.

    They run between the rounds, as in a process that has been up for a while: the first
    fill would measure the kernel handing out fresh pages.
    """
    entered, leave, ended = threading.Semaphore(0), threading.Semaphore(0), threading.Semaphore(0)

    def body(n: int) -> None:
        if n < 0:
            entered.release()
            leave.acquire()
            ended.release()

    under = make(contender, body, WORKERS)
    cost = clock_cost()
    samples: list[float] = []
    for number in range(6 if quick else 20):
        for _ in range(WORKERS):
            under.enqueue(-1)
        for _ in range(WORKERS):
            entered.acquire()
        of_round = _sample(under.enqueue, 1_000, cost)
        if number >= 2:
            samples += of_round
        leave.release(WORKERS)
        for _ in range(WORKERS):
            ended.acquire()
    under.close()
    return _quantiles(samples)


def _fight(contender: str, quick: bool) -> dict[str, float]:
    """Every worker runs CPU-bound jobs of 0.1 ms, so each step may lose the interpreter lock."""
    left = [0]

    def body(n: int) -> None:
        end = time.perf_counter() + 0.0001
        while time.perf_counter() < end:
            pass
        left[0] -= 1  # approximate on purpose: only tells when to stop waiting

    under = make(contender, body, WORKERS)
    calls = 1_000 if quick else 4_000
    left[0] = calls
    samples = _sample(under.enqueue, calls, clock_cost())
    wait_for(lambda: left[0] <= calls // 20)
    under.close()
    return _quantiles(samples)


def _idle(contender: str, quick: bool) -> dict[str, float]:
    """Every worker sleeps; one call wakes one."""
    started = [0]
    ran = threading.Event()

    def body(n: int) -> None:
        started[0] = time.perf_counter_ns()
        ran.set()

    under = make(contender, body, WORKERS)
    cost, clock = clock_cost(), time.perf_counter_ns
    costs: list[float] = []
    waits: list[float] = []
    for n in range(200 if quick else 500):
        ran.clear()
        before = clock()
        under.enqueue(n)
        costs.append(clock() - before - cost)
        ran.wait(10)
        waits.append(started[0] - before)
        time.sleep(0.001)
    under.close()
    return {
        **_quantiles(costs[20:]),
        "start p50 ns": percentile(waits[20:], 50),
        "start p99 ns": percentile(waits[20:], 99),
    }


def _burst(contender: str, quick: bool) -> dict[str, float]:
    """Ten calls in a row on sleeping workers: the cost of one of the ten."""
    ran = threading.Event()

    def body(n: int) -> None:
        if n == 9:
            ran.set()

    under = make(contender, body, WORKERS)
    clock = time.perf_counter_ns
    samples: list[float] = []
    for _ in range(200 if quick else 500):
        ran.clear()
        enqueue = under.enqueue
        before = clock()
        for n in range(10):
            enqueue(n)
        samples.append((clock() - before) / 10)
        ran.wait(10)
        time.sleep(0.001)
    under.close()
    return _quantiles(samples[20:])


MEASURE = Measure(
    name="enqueue",
    contenders=("executor", "counterpunch", "queue"),
    child=child,
    targets=(
        Target("perform_async, workers busy, p50", "busy p50 ns", BASELINE, 0.12, 0.07),
        Target("perform_async, workers busy, p99", "busy p99 ns", BASELINE, 0.08, 0.04),
        Target("under a fight for the GIL, p99", "fight p99 ns", BASELINE, 0.35, 0.22),
        Target("idle pool, p50", "idle p50 ns", BASELINE, 1.0, 0.75),
        Target("burst of ten, p50", "burst p50 ns", BASELINE, 0.40, 0.20),
        Target("start latency, idle, p50", "idle start p50 ns", BASELINE, 1.2, 0.75),
    ),
    rounds=(3, 15),
)
