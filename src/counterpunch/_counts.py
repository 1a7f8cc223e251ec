"""Counters that need no lock, and the frozen snapshots that are read from them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import NamedTuple

__all__ = ["NO_COUNTS", "Count", "Counts", "Stats", "WorkerCounts"]


class Count:
    """A counter for many writers: ``add()`` is one call into C, and so cannot lose one.

    ``itertools.count`` is the only counter of the standard library that is exact without a
    lock, and it never shows its value; its ``repr`` does.
    """

    __slots__ = ("_counter", "add")

    def __init__(self) -> None:
        self._counter = count()
        self.add = self._counter.__next__

    @property
    def value(self) -> int:
        return int(repr(self._counter)[6:-1])  # "count(42)"


class WorkerCounts(NamedTuple):
    """Threads (for ``async def`` classes: slots of the event loop) of a pool."""

    total: int
    busy: int
    idle: int


class Counts(NamedTuple):
    """The jobs of one class, or of all, at one instant, in this process.

    ``accepted`` counts from the first enqueue of the process and equals the sum of the ten
    statuses. ``attempts`` counts started attempts. ``oldest_wait`` is the age in seconds
    of the job that has been queued longest, 0.0 if none is.
    """

    accepted: int
    deferred: int
    scheduled: int
    queued: int
    running: int
    retrying: int
    succeeded: int
    failed: int
    cancelled: int
    discarded: int
    lost: int
    workers: WorkerCounts
    attempts: int
    oldest_wait: float


#: The counts of a class that has not been used.
NO_COUNTS = Counts(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, WorkerCounts(0, 0, 0), 0, 0.0)


class Stats(NamedTuple):
    """What ``stats()`` returns: ``jobs`` maps a class's qualified name to its counts.

    Of two classes with the same qualified name the later one has its module in front.
    """

    total: Counts
    jobs: Mapping[str, Counts]
