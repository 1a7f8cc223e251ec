"""Measure 4: resident bytes of a waiting and of a delayed job; growth after many that ended."""

from __future__ import annotations

import gc
import os
import threading
import time
from contextvars import Context
from typing import Any

from contenders import Contender, Counterpunch, make
from delays import HeapTimers
from figures import BASELINE, Measure, Target

__all__ = ["MEASURE", "resident"]


def resident() -> int:
    """Bytes of this process that are in memory (Linux), or the most so far (elsewhere)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def child(contender: str, quick: bool) -> dict[str, float]:
    """The growth comes first, then what piles up; nothing is freed in between.

    A job enqueued where no context variable is set carries no context; a request has some,
    and the copy is another 72 bytes. An executor carries none.
    """
    figures = {}
    if contender in ("counterpunch", "executor"):
        figures["growth KiB after many"] = _growth(contender, 200_000 if quick else 5_000_000)
    count = 100_000 if quick else 1_000_000
    measure, kind = (_waiting, "waiting") if contender == "executor" else (_delayed, "delayed")
    if contender == "counterpunch":
        figures["bytes per waiting job"] = Context().run(_waiting, contender, count)
        figures["bytes per waiting job, in a context"] = _waiting(contender, count)
    figures[f"bytes per {kind} job"] = Context().run(measure, contender, count)
    if contender == "counterpunch":
        figures["bytes per delayed job, in a context"] = _delayed(contender, count)
    return figures


def _waiting(contender: str, count: int) -> float:
    leave = threading.Event()
    under = make(contender, lambda n: leave.wait())
    if isinstance(under, Counterpunch):
        under.unbounded()
    enqueue = under.enqueue
    for n in range(3):
        enqueue(n)
    gc.collect()
    before = resident()
    for n in range(count):
        enqueue(n)
    return (resident() - before) / count


def _delayed(contender: str, count: int) -> float:
    def body(n: int) -> None:
        pass

    if contender == "counterpunch":
        import counterpunch

        class Delayed(counterpunch.Job):
            def perform(self, n: int) -> None:
                body(n)

        perform_in = Delayed.perform_in
        perform_in(7200.0, 0)
        gc.collect()
        before = resident()
        for n in range(count):
            perform_in(3600.0 + n * 0.001, n)
    else:
        timers = HeapTimers(futures=False)
        timers.perform_in(7200.0, body, 0)
        gc.collect()
        before = resident()
        for n in range(count):
            timers.perform_in(3600.0 + n * 0.001, body, n)
    time.sleep(2.0)  # the scheduler's thread sorts what came in; its heap counts as well
    return (resident() - before) / count


def _growth(contender: str, count: int) -> float:
    under = make(contender, lambda n: None)
    if isinstance(under, Counterpunch):
        under.unbounded()
    _finish(under, 100_000 if count > 1_000_000 else 20_000)
    gc.collect()
    before = resident()
    _finish(under, count)
    gc.collect()
    after = resident()
    under.close()
    return (after - before) / 1024


def _finish(under: Contender, count: int) -> None:
    """Run ``count`` jobs, at most 1,000 of them waiting."""
    for first in range(0, count, 1_000):
        handles: list[Any] = [under.enqueue(n) for n in range(first, first + 1_000)]
        for handle in handles:
            handle.result()


MEASURE = Measure(
    name="memory",
    contenders=("executor", "counterpunch", "heap+condition"),
    child=child,
    targets=(
        Target("bytes per waiting job", "bytes per waiting job", None, 320, 220),
        Target("bytes per waiting job", "bytes per waiting job", BASELINE, 1.0, 0.2),
        Target("bytes per delayed job", "bytes per delayed job", None, 420, 320),
        Target("growth in KiB after many ended", "growth KiB after many", None, 1024, 256),
    ),
    rounds=(1, 3),
)
