"""Does one process hold the load? A simulation to play with before anything is moved.

Standard library only, nothing to install:

    python3 examples/sizing.py --rate 6 --seconds 7 --workers 50

Six purchases a second with seven seconds of work each keep 6 x 7 = 42 workers busy on
average, whatever runs them. Jobs arrive at random, each worker takes one at a time, first
come first served; that is simulated for ``--hours`` and set against what one process can
give: workers, memory and one interpreter's share of a processor.

Rate, seconds and cpu are to be measured in your application: ``counterpunch.stats()`` has
``run_times.mean``; the rate is what ``accepted`` grew by. The memory figures are assumptions
until you have looked at your own process.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

#: Bytes of one waiting job with small arguments.
WAITING_BYTES = 300
#: Above this share of one processor the requests of the same process feel the jobs.
CPU_SHARE = 0.5


class Load(NamedTuple):
    """What is asked of the process. ``cpu`` of the ``seconds`` of a job are spent computing,
    the rest waiting for others. A fixed length models jobs that all take about as long."""

    rate: float  # jobs per second
    seconds: float  # per job
    workers: int
    cpu: float = 0.05
    fixed: bool = False

    @property
    def busy(self) -> float:
        """Workers busy on average if none is missing (Little's law)."""
        return self.rate * self.seconds


class Memory(NamedTuple):
    """In MiB: of the dyno, of the application without jobs, of one running job."""

    dyno: float = 512.0
    application: float = 150.0
    job: float = 3.0


class Outcome(NamedTuple):
    """What the simulation saw. ``waits`` are sorted, in seconds."""

    waits: Sequence[float]
    utilisation: float  # share of the workers' time that was spent on jobs
    longest: int  # jobs waiting at the worst moment

    def wait(self, fraction: float) -> float:
        """Seconds that ``fraction`` of the jobs did not wait longer than."""
        return self.waits[min(len(self.waits) - 1, int(fraction * len(self.waits)))]

    @property
    def mean(self) -> float:
        return sum(self.waits) / len(self.waits)


def simulate(load: Load, hours: float, seed: int = 1) -> Outcome:
    """Every job of so many hours, one after the other."""
    source = random.Random(seed)
    end = hours * 3600.0
    free = [0.0] * load.workers  # a heap of the instants at which each worker is free
    starts: deque[float] = deque()  # of the jobs that wait, in order
    waits: list[float] = []
    worked, longest, now = 0.0, 0, 0.0
    while (now := now + source.expovariate(load.rate)) < end:
        start = max(now, heapq.heappop(free))
        length = load.seconds if load.fixed else source.expovariate(1 / load.seconds)
        heapq.heappush(free, start + length)
        waits.append(start - now)
        worked += length
        while starts and starts[0] <= now:
            starts.popleft()
        if start > now:
            starts.append(start)
        longest = max(longest, len(starts))
    over = max(end, *free)
    return Outcome(sorted(waits) or [0.0], worked / (load.workers * over), longest)


def expected_wait(load: Load) -> float:
    """The mean wait by Erlang's C formula, for jobs of random length; infinite if overloaded.

    A. K. Erlang, 1917. The check on the simulation, and the other way round.
    """
    if load.busy >= load.workers:
        return math.inf
    blocked = 1.0  # Erlang's B, by the recursion over the number of workers
    for n in range(1, load.workers + 1):
        blocked = load.busy * blocked / (n + load.busy * blocked)
    utilisation = load.busy / load.workers
    waiting = blocked / (1 - utilisation * (1 - blocked))
    return waiting * load.seconds / (load.workers - load.busy)


def enough_workers(load: Load, goal: float, hours: float) -> int:
    """The fewest workers with which 95 of 100 jobs wait no longer than ``goal`` seconds."""
    workers = max(1, math.ceil(load.busy))
    while simulate(load._replace(workers=workers), hours).wait(0.95) > goal:
        workers += 1
    return workers


def mebibytes(load: Load, outcome: Outcome, memory: Memory) -> float:
    """What the process needs at the worst moment: all workers busy, the longest queue."""
    waiting = outcome.longest * WAITING_BYTES / 2**20
    return memory.application + load.workers * memory.job + waiting


def objections(load: Load, outcome: Outcome, memory: Memory, goal: float) -> list[str]:
    """Why one process does not hold this load; empty if it does."""
    found: list[str] = []
    if load.busy >= load.workers:
        found.append(
            f"the queue grows without end: {load.busy:.3g} workers are needed on average, "
            f"there are {load.workers}"
        )
    elif outcome.wait(0.95) > goal:
        found.append(f"1 job in 20 waits more than {goal:g} s: {outcome.wait(0.95):.3g} s")
    if load.rate * load.cpu > CPU_SHARE:
        found.append(
            f"the jobs compute for {load.rate * load.cpu:.0%} of the time: requests in the same "
            f"interpreter suffer above {CPU_SHARE:.0%}"
        )
    needed = mebibytes(load, outcome, memory)
    if needed > memory.dyno:
        found.append(f"{needed:.0f} MiB are needed, there are {memory.dyno:.0f}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Does one process hold the load?")
    parser.add_argument("--rate", type=float, default=6.0, help="jobs per second")
    parser.add_argument("--seconds", type=float, default=7.0, help="per job")
    parser.add_argument("--workers", type=int, default=50, help="workers of the class")
    parser.add_argument("--cpu", type=float, default=0.05, help="seconds of each job computing")
    parser.add_argument("--fixed", action="store_true", help="all jobs take as long")
    parser.add_argument("--goal", type=float, default=1.0, help="seconds 19 of 20 may wait")
    parser.add_argument("--hours", type=float, default=4.0, help="simulated")
    parser.add_argument("--dyno", type=float, default=512.0, help="MiB of the machine")
    parser.add_argument("--application", type=float, default=150.0, help="MiB without jobs")
    parser.add_argument("--job", type=float, default=3.0, help="MiB of a running job")
    given = parser.parse_args(arguments)
    if min(given.rate, given.seconds, given.hours) <= 0 or given.workers < 1:
        parser.error("rate, seconds and hours are above 0, workers 1 or more")
    load = Load(given.rate, given.seconds, given.workers, given.cpu, given.fixed)
    memory = Memory(given.dyno, given.application, given.job)
    outcome = simulate(load, given.hours)
    print(f"{load.rate:g} jobs/s x {load.seconds:g} s = {load.busy:g} workers busy on average")
    print(
        f"with {load.workers}: {outcome.utilisation:.0%} busy, {outcome.longest} waiting at worst"
    )
    print("waits: " + ", ".join(f"{q:.0%} {outcome.wait(q):.3g} s" for q in (0.5, 0.95, 0.99)))
    print(f"memory: {mebibytes(load, outcome, memory):.0f} of {memory.dyno:.0f} MiB")
    print(f"fewest workers for the goal: {enough_workers(load, given.goal, given.hours)}")
    reasons = objections(load, outcome, memory, given.goal)
    for reason in reasons:
        print(f"one process does not hold it: {reason}")
    if not reasons:
        print("one process holds it")
    return 1 if reasons else 0


if __name__ == "__main__":
    raise SystemExit(main())
