"""Measure 2: no-op jobs per second, from the first enqueue to the end of the last job."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import threading
import time

from contenders import Counterpunch, make
from figures import BASELINE, Measure, Target

__all__ = ["MEASURE"]

#: Jobs for each contender, so that each runs for a comparable time.
JOBS = {"counterpunch": 40_000, "queue": 40_000, "executor": 16_000, "huey": 6_000}
FEW = 2_000


def child(contender: str, quick: bool) -> dict[str, float]:
    jobs = JOBS.get(contender, FEW)
    if quick and contender not in ("counterpunch", "queue"):
        jobs //= 2
    if contender == "starlette":
        return {"1 producer /s": _starlette(jobs)}
    figures = {"1 producer /s": _produce(contender, jobs, 1)}
    if contender in ("counterpunch", "queue", "executor"):
        figures["4 producers /s"] = _produce(contender, jobs, 4)
    return figures


def _produce(contender: str, jobs: int, producers: int) -> float:
    ended, last = itertools.count(1).__next__, threading.Event()

    def body(n: int) -> None:
        if ended() == jobs:
            last.set()

    under = make(contender, body)
    if isinstance(under, Counterpunch):
        under.unbounded()
    start = threading.Event()

    def produce() -> None:
        enqueue = under.enqueue
        start.wait()
        for n in range(jobs // producers):
            enqueue(n)

    threads = [threading.Thread(target=produce) for _ in range(producers - 1)]
    for thread in threads:
        thread.start()
    before = time.perf_counter()
    start.set()
    produce()
    if not last.wait(120):
        raise TimeoutError(f"{contender} lost jobs")
    seconds = time.perf_counter() - before
    under.close()
    return jobs / seconds


def _starlette(jobs: int) -> float:
    """Background tasks of many responses at once, as a server has them."""
    background = importlib.import_module("starlette.background")
    ended = itertools.count(1).__next__

    def body(n: int) -> None:
        ended()

    async def response(n: int) -> None:
        tasks = background.BackgroundTasks()
        tasks.add_task(body, n)
        await tasks()

    async def serve() -> None:
        for _ in range(jobs // 100):
            await asyncio.gather(*(response(n) for n in range(100)))

    before = time.perf_counter()
    asyncio.run(serve())
    return jobs / (time.perf_counter() - before)


MEASURE = Measure(
    name="throughput",
    contenders=(
        "executor",
        "counterpunch",
        "queue",
        "flask-executor",
        "huey",
        "dramatiq",
        "apscheduler",
        "starlette",
        "django-tasks-local",
    ),
    child=child,
    targets=(
        Target("no-op jobs per second, 1 producer", "1 producer /s", BASELINE, 6, 10, more=True),
        Target("no-op jobs per second, 4 producers", "4 producers /s", BASELINE, 7, 12, more=True),
        Target("end to end", "1 producer /s", "flask-executor", 12, 22, more=True),
        Target("end to end", "1 producer /s", "huey", 5, 9, more=True),
        Target("end to end", "1 producer /s", "dramatiq", 12, 21, more=True),
        Target("end to end", "1 producer /s", "apscheduler", 18, 29, more=True),
    ),
    rounds=(2, 9),
)
