"""Two attempts to make the hand-over of a job to a worker lose one.

``python tests/benchmarks/stress.py [flood|handover] [--jobs N] [--handovers N]``

``flood``: eight producers, a switch interval of 10 us, ten million jobs: each ran exactly
once and the counters add up. It cannot see a worker that falls asleep beside a queued job:
the next enqueue wakes it.

``handover`` sees that. One producer, one worker, and the next job is enqueued as the worker
falls asleep; a trace function yields at random between any two lines of the protocol, so
that every interleaving gets its turn. A job that has not run after a second was lost. The
same is then done to a pool whose worker does not look at the queue a second time: unless
that is caught, the attempt proves nothing.

Exit status 0 if no job was lost and the control was caught.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

if importlib.util.find_spec("counterpunch") is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

PRODUCERS = 8
#: The files between whose lines the widened hand-over yields.
PROTOCOL = (
    "core/places/parking.py",
    "core/places/backlog.py",
    "core/workers/pool.py",
    "core/process/express.py",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", nargs="?", choices=("flood", "handover", "control"))
    parser.add_argument("--jobs", type=int, default=10_000_000, help="of the flood")
    parser.add_argument("--handovers", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    if given.which == "flood":
        return flood(given.jobs)
    if given.which is not None:
        return handover(given.handovers, given.seed, control=given.which == "control")
    results = []
    for which in ("handover", "control", "flood"):
        rest = ["--jobs", str(given.jobs), "--handovers", str(given.handovers)]
        command = [sys.executable, __file__, which, *rest, "--seed", str(given.seed)]
        results.append(subprocess.run(command, check=False).returncode)
    return max(results)


def flood(jobs: int) -> int:
    """Many producers at once; each waits for one of its jobs now and then."""
    import counterpunch

    ran = itertools.count()

    class Flood(counterpunch.Job):
        workers = 4
        max_jobs = None

        def perform(self, n: int) -> None:
            next(ran)

    def produce() -> None:
        enqueue: Callable[[int], Any] = Flood.perform_async
        for n in range(jobs // PRODUCERS):
            handle = enqueue(n)
            if n % 1000 == 999:  # else the queue would take gigabytes
                handle.result(60)

    sys.setswitchinterval(1e-5)
    before = time.perf_counter()
    producers = [threading.Thread(target=produce) for _ in range(PRODUCERS)]
    for producer in producers:
        producer.start()
    for producer in producers:
        producer.join()
    idle = counterpunch.wait_idle(60)
    seconds = time.perf_counter() - before
    wanted = jobs // PRODUCERS * PRODUCERS
    total = counterpunch.stats().total
    counts = (total.accepted, total.succeeded, total.attempts, next(ran))
    good = idle and counts == (wanted,) * 4
    print(
        f"flood: {wanted:,} jobs, {PRODUCERS} producers, {seconds:.0f} s: "
        f"accepted, succeeded, attempts, ran = {counts}: {'ok' if good else 'LOST'}"
    )
    return 0 if good else 1


def handover(handovers: int, seed: int, control: bool) -> int:
    """One job at a time, enqueued as the only worker falls asleep."""
    import counterpunch
    from counterpunch.core.workers.pool import Pool

    if control:  # the worker publishes itself as asleep and does not look again
        Pool.second_look = lambda pool: False  # type: ignore[method-assign]

    class Single(counterpunch.Job):
        workers = 1

        def perform(self) -> None:
            pass

    chance = random.Random(seed)
    Single.perform_async().result(10)  # what comes before the first worker is not traced
    threading.settrace(_trace(chance))
    counterpunch.shutdown()
    sys.settrace(_trace(chance))
    lost = None
    for n in range(handovers):
        handle = Single.perform_async()
        try:
            handle.result(1.0)
        except TimeoutError:
            lost = n
            break
        # The worker is now somewhere between the end of the job and its sleep.
        pause = time.perf_counter() + chance.random() * 0.0004
        while time.perf_counter() < pause:
            time.sleep(0)
    sys.settrace(None)
    name = "control without the second look" if control else "handover"
    found = f"{handovers:,} hand-overs, none lost" if lost is None else f"lost number {lost + 1}"
    good = (lost is not None) == control
    print(f"{name} (seed {seed}): {found}: {'ok' if good else 'WRONG'}")
    sys.stdout.flush()
    os._exit(0 if good else 1)  # a lost job would keep the drain waiting


def _trace(chance: random.Random) -> Callable[..., Any]:
    """A trace function that gives other threads a turn between lines of the protocol."""
    files = {os.path.join(_package(), name) for name in PROTOCOL}

    def line(frame: FrameType, event: str, arg: object) -> Callable[..., Any]:
        if event == "line" and chance.random() < 0.3:
            time.sleep(chance.random() * 0.0001)
        return line

    def call(frame: FrameType, event: str, arg: object) -> Callable[..., Any] | None:
        return line if frame.f_code.co_filename in files else None

    return call


def _package() -> str:
    import counterpunch

    return os.path.dirname(counterpunch.__file__)


if __name__ == "__main__":
    sys.exit(main())
