"""The counters of one job class in one process, and one consistent reading of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..values.counts import Count, Counts, Discards, WorkerCounts
from ..values.status import CANCELLED, DISCARDED, FAILED, LOST, SUCCEEDED, Status
from .timings import Timings

__all__ = ["Ledger"]

#: Where the numbers of jobs of ``unique`` classes begin.
UNIQUE_NUMBERS = 1 << 40


#: What a reading counts, in this order.
_WHERE = (*map(str, (SUCCEEDED, FAILED, CANCELLED, DISCARDED, LOST)), "running", "retrying",
          "scheduled", "deferred")  # fmt: skip


class Ledger:
    """What was accepted, what began and what has ended; no lock, see ``counts``.

    Args:
        waiting: How many jobs are queued.
        elsewhere: How many run, wait for a retry, are scheduled, are deferred: in that order,
            from the far end of a job's way to its beginning.
        now: The monotonic instant.
        day: Notes what has ended as a slot of the day begins, see ``Timings``.
    """

    __slots__ = ("_elsewhere", "accepted", "attempts", "drawn", "ended", "timings")

    def __init__(
        self,
        waiting: Callable[[], int],
        elsewhere: Callable[[], tuple[int, ...]],
        now: float,
        day: Callable[[int, int, int], None] = lambda *_: None,
    ) -> None:
        self._elsewhere = elsewhere
        #: Jobs accepted so far. Its next value is the number, and so the id, of a job.
        self.accepted = Count()
        #: Numbers of a ``unique`` class, where a job has its number before it is accepted: never
        #: one that ``accepted`` gives.
        self.drawn = Count(UNIQUE_NUMBERS)
        self.attempts = Count()
        self.ended: dict[Status, Count] = {
            status: Count() for status in (SUCCEEDED, FAILED, CANCELLED, DISCARDED, LOST)
        }
        self.timings = Timings(self.ended, waiting, now, day)

    def issued(self, number: int) -> bool:
        """False for a number that no job has yet."""
        if number < UNIQUE_NUMBERS:
            return number < self.accepted.value
        return number - UNIQUE_NUMBERS < self.drawn.value

    def counts(self, workers: int, oldest_wait: Callable[[], float]) -> Counts:
        """One consistent reading: taken twice, until nothing changed in between.

        ``queued`` is what was accepted and is nowhere else, so the sum is exact by
        construction; what is read first lies furthest down a job's way, so a job on the
        move is at worst still counted where it came from. The distributions are read in
        between: an attempt is noted there first and counted as ended afterwards, so they are
        never behind the counters, and ahead by the attempts that are at their end just now.
        """
        _, settled, found = self._whole_reading()
        for _ in range(100):
            if settled:
                break
            sound, settled, latest = self._whole_reading()
            if sound:
                found = latest
        (*elsewhere, retries, _, accepted), (wait_times, run_times), discards, attempts = found
        where = dict(zip(_WHERE, elsewhere, strict=True))
        where["queued"] = queued = max(0, accepted - sum(elsewhere))
        where["running"] -= max(0, sum(elsewhere) - accepted)  # never yet observed
        busy = min(where["running"], workers)
        return Counts(
            accepted=accepted,
            **where,
            workers=WorkerCounts(workers, busy, workers - busy),
            attempts=attempts,
            oldest_wait=oldest_wait() if queued or where["scheduled"] or where["retrying"] else 0.0,
            retries=retries,
            discards=discards,
            wait_times=wait_times,
            run_times=run_times,
        )

    def _whole_reading(self) -> tuple[bool, bool, tuple[Any, ...]]:
        """The counters with the distributions, and what to think of them: whether no job was
        seen twice, on its way back, and whether nothing changed meanwhile either."""
        timings = self.timings
        before = self._reading()
        times = timings.durations.read()
        discards = Discards(**{cause: count.value for cause, count in timings.discards.items()})
        after = self._reading()
        sound = before[-1] >= sum(before[:-3])
        # Attempts from afterwards: the distributions hold none that it does not count.
        return sound, sound and before == after, (before, times, discards, after[-2])

    def _reading(self) -> tuple[int, ...]:
        ended = tuple(count.value for count in self.ended.values())
        elsewhere = self._elsewhere()
        counted = (self.timings.retries.value, self.attempts.value, self.accepted.value)
        return (*ended, *elsewhere, *counted)
