"""What a measure is, and how its figures become rows: medians, spread, ratios, verdicts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["BASELINE", "OURS", "Measure", "Target", "clock_cost", "percentile", "wait_for"]

OURS = "counterpunch"
BASELINE = "executor"

#: Figures of one child process: what was measured -> value, in the unit of its name.
Figures = dict[str, float]


@dataclass(frozen=True)
class Target:
    """One line of the summary: what must be reached, and what is believed possible.

    Args:
        label: What is measured, in words.
        figure: Name of the figure a child reports.
        against: The contender to divide by; None compares the figure itself.
        must: Bound that has to be kept.
        aim: Bound that is believed possible.
        more: True if higher is better.
    """

    label: str
    figure: str
    against: str | None
    must: float
    aim: float
    more: bool = False

    def met(self, value: float, bound: float) -> bool:
        return value >= bound if self.more else value <= bound


@dataclass(frozen=True)
class Measure:
    """One measurement, run in a fresh process per contender and round.

    Args:
        name: What ``--only`` takes.
        contenders: Names for ``contenders.make``, or others the child understands.
        child: Runs in the fresh process: ``child(contender, quick)`` gives the figures.
        targets: What is compared with the bounds of the project.
        rounds: How many rounds with ``--quick``, and without.
    """

    name: str
    contenders: Sequence[str]
    child: Callable[[str, bool], Figures]
    targets: Sequence[Target]
    rounds: tuple[int, int]


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` of the values lie; the nearest one, not interpolated."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round, so that a slow minute of the machine weighs on both alike."""
    return [a / b for a, b in zip(ours, theirs, strict=False) if b]


def value_of(target: Target, values: Mapping[str, Mapping[str, Sequence[float]]]) -> float | None:
    """The median that a target is about; None if a contender is not installed."""
    ours = values.get(OURS, {}).get(target.figure)
    if not ours:
        return None
    if target.against is None:
        return statistics.median(ours)
    theirs = values.get(target.against, {}).get(target.figure)
    both = ratios(ours, theirs) if theirs else []
    return statistics.median(both) if both else None


def clock_cost() -> int:
    """Nanoseconds that two readings of the clock take: subtracted from each sample."""
    clock = time.perf_counter_ns
    samples = []
    for _ in range(2000):
        before = clock()
        samples.append(clock() - before)
    return int(statistics.median(samples))


def wait_for(ready: Callable[[], object], seconds: float = 120.0) -> None:
    """Poll until ``ready()`` is true.

    Raises:
        TimeoutError: After ``seconds``: a contender has lost jobs, or hangs.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError("the jobs did not end")
        time.sleep(0.0005)
