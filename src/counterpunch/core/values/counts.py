"""Counters that need no lock, and the frozen snapshots that are read from them."""

# No "from __future__ import annotations" here: typing.NamedTuple would compile each annotation
# from its text when the class is made, a tenth of what the package takes to import.
from collections.abc import Mapping
from itertools import count
from typing import NamedTuple

from .errors import InvalidOption

__all__ = [
    "BOUNDS", "NO_COUNTS", "NO_TIMES", "Count", "Counts", "Discards", "Sample", "Stats",
    "Times", "WorkerCounts",
]  # fmt: skip

#: Upper bounds, in seconds, of the buckets of wait and run times; one more holds what is above.
BOUNDS = (
    0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip


class Count:
    """A counter for many writers: ``add()`` is one call into C, and so cannot lose one.

    ``itertools.count`` is the only counter of the standard library that is exact without a
    lock, and it never shows its value; its ``repr`` does.
    """

    __slots__ = ("_start", "add", "numbers")

    def __init__(self, start: int = 0) -> None:
        self._start = start
        #: ``for number in count.numbers: break`` is ``number = count.add()`` in one breath: no
        #: exception out of a signal handler can come between the two, see ``record``.
        self.numbers = count(start)
        self.add = self.numbers.__next__

    @property
    def value(self) -> int:
        return int(repr(self.numbers)[6:-1]) - self._start  # "count(42)"


class WorkerCounts(NamedTuple):
    """Threads (for ``async def`` classes: slots of the event loop) of a pool."""

    total: int
    busy: int
    idle: int


class Times(NamedTuple):
    """Durations of attempts: how many in each bucket, and their sum in seconds.

    ``buckets[i]`` counts those up to ``BOUNDS[i]`` and above the bound before it; the last
    one counts what is longer than all bounds.
    """

    buckets: tuple[int, ...]
    sum: float

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.buckets)

    @property
    def mean(self) -> float | None:
        """Seconds on average; None if there are none."""
        return self.sum / self.total if self.total else None

    def percentile(self, fraction: float) -> float | None:
        """About how many seconds ``fraction`` (0 to 1) of them did not exceed.

        Interpolated within a bucket; of the last bucket only its lower bound is known.
        None if there are none.

        Raises:
            InvalidOption: (a ``ValueError``) for a fraction outside 0 to 1, such as 95.
        """
        if not 0 <= fraction <= 1:
            raise InvalidOption("percentile", "fraction", fraction, "a number from 0 to 1")
        rank = fraction * self.total
        if not self.total:
            return None
        below, low = 0, 0.0
        for number, high in zip(self.buckets, BOUNDS, strict=False):
            if number and below + number >= rank:
                return low + (high - low) * max(0.0, rank - below) / number
            below, low = below + number, high
        return low

    def plus(self, other: "Times") -> "Times":
        """Both together."""
        pairs = zip(self.buckets, other.buckets, strict=True)
        return Times(tuple(one + two for one, two in pairs), self.sum + other.sum)

    def since(self, earlier: "Times") -> "Times":
        """What came after an earlier reading of the same distribution."""
        pairs = zip(self.buckets, earlier.buckets, strict=True)
        return Times(tuple(now - then for now, then in pairs), self.sum - earlier.sum)


#: No durations at all.
NO_TIMES = Times((0,) * (len(BOUNDS) + 1), 0.0)


class Discards(NamedTuple):
    """Why jobs were discarded. They add up to ``Counts.discarded``."""

    expired: int = 0  # waited longer than expires_in
    queue_full: int = 0  # by the class's overflow policy, or fell due on a full queue
    duplicate: int = 0  # on_duplicate="discard"
    refused: int = 0  # by a middleware or on_enqueue, at the enqueue
    rolled_back: int = 0  # the transaction it waited for was
    raised: int = 0  # the job raised Discard, or an exception of discard_on


class Counts(NamedTuple):
    """The jobs of one class, or of all, at one instant, in this process.

    ``accepted`` counts from the first enqueue of the process and equals the sum of the ten
    statuses. ``attempts`` counts started attempts. ``oldest_wait`` is the age in seconds
    of the job that has been queued longest, 0.0 if none is. ``retries`` counts failed
    attempts that another one was to follow. ``wait_times`` are the seconds from due to
    started, ``run_times`` those from started to ended, of each attempt that has ended.
    ``threads`` are those of the workers; in the total the scheduler's and the event loop's
    come on top.

    ``wait_times`` and ``run_times`` always hold the same attempts: all that the statuses and
    ``retries`` count as ended, at most ``attempts`` of them. No lock joins the two, so they
    may be ahead by those that are at their end at that instant, one per worker at most, and
    so may ``discards`` be ahead of ``discarded``. When no job runs they agree.
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
    retries: int = 0
    discards: Discards = Discards()
    wait_times: Times = NO_TIMES
    run_times: Times = NO_TIMES
    threads: int = 0


#: The counts of a class that has not been used.
NO_COUNTS = Counts(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, WorkerCounts(0, 0, 0), 0, 0.0)


class Sample(NamedTuple):
    """The counters of a class as they were when a slot of the ring began."""

    slot: int
    succeeded: int
    failed: int
    retries: int
    waits: Times
    runs: Times


class Stats(NamedTuple):
    """What ``stats()`` returns: ``jobs`` maps a class's qualified name to its counts.

    Classes that share a qualified name have their module in front, each of them; those that
    share that as well, such as an app factory makes, a number behind: ``#2``, ``#3``.
    """

    total: Counts
    jobs: Mapping[str, Counts]
