"""How long jobs waited and ran, and what the last minutes looked like, per class.

The hot path adds two floats to a list, which is one call into C: no lock, nothing to lose.
Every so many jobs, and whenever somebody looks, the floats are folded into buckets.
Measured per value, folding included: 40 to 90 ns; a bisect and a counter in place cost 65
to 80 ns, and then there is no sum.
"""

from __future__ import annotations

import _thread
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping

from ..values.counts import BOUNDS, NO_TIMES, Count, Discards, Sample, Times
from ..values.handle import Call
from ..values.status import FAILED, LOST, SUCCEEDED, Status

__all__ = ["DAY_SECONDS", "DAY_SLOTS", "FOLD_MASK", "SLOTS", "SLOT_SECONDS", "Day", "Durations",
           "Timings"]  # fmt: skip

#: The ring has this many slots of this many seconds: the last ten minutes.
SLOT_SECONDS = 10.0
SLOTS = 60
#: The day has this many slots of this many seconds: the last 24 hours.
DAY_SECONDS = 1800.0
DAY_SLOTS = 48
#: So many notes are kept of the day, of all classes together: about 170 kB. One class needs 49 of
#: them at most, so with more than 60 that are busy day and night it is a shorter day.
DAY_NOTES = 3000
#: Every 512th job that ends in one status folds. A power of two less one: the test is one ``&``.
FOLD_MASK = 0x1FF


class Durations:
    """Wait and run time of each attempt: ``note((waited, ran))`` for any thread, ``read()``
    to look. Both have the same number of values at any time."""

    __slots__ = ("_folded", "_lock", "note", "pending")

    def __init__(self) -> None:
        #: Waited, ran, waited, ran ... ``pending += waited, ran`` is ``note`` in one breath.
        self.pending: list[float] = []
        self.note: Callable[[tuple[float, float]], None] = self.pending.extend
        #: Replaced, never changed: who reads gets counts and sums of the same moment.
        self._folded = (NO_TIMES, NO_TIMES)
        # Held while pending values move into ``_folded``; never waited for without a limit.
        self._lock = _thread.allocate_lock()

    def fold(self, wait: float = 0.0) -> None:
        """Move what was noted into the buckets; if another thread is at it, it may do it alone.

        Args:
            wait: Seconds to wait for that other thread.
        """
        if not (self._lock.acquire(True, wait) if wait else self._lock.acquire(False)):
            return
        try:
            pending = self.pending
            # Each line is one step in C; what is noted in between stays for the next fold.
            values = pending[:]
            del pending[: len(values)]
            if values:
                waits, runs = self._folded
                self._folded = (waits.plus(_times(values[::2])), runs.plus(_times(values[1::2])))
        finally:
            self._lock.release()

    def read(self) -> tuple[Times, Times]:
        """Wait and run times so far. Waits at most a moment for a thread that folds just now."""
        self.fold(wait=0.1)
        return self._folded


def _times(values: list[float]) -> Times:
    values.sort()
    up_to = [bisect_right(values, bound) for bound in BOUNDS]
    edges = zip([0, *up_to], [*up_to, len(values)], strict=True)
    return Times(tuple(high - low for low, high in edges), sum(values))


class Day:
    """How many jobs of each class had ended as a slot of the day began; one for a process.

    A note is one number, a third of what a tuple of four would weigh.
    """

    __slots__ = ("_notes",)

    def __init__(self) -> None:
        self._notes: deque[int] = deque(maxlen=DAY_NOTES)

    def note(self, lane: int, slot: int, succeeded: int, failed: int) -> None:
        """For any thread. Of several notes of a slot the first one counts."""
        self._notes.append((lane << 112) | (slot << 80) | (succeeded << 40) | failed)

    def of(self, lane: int) -> list[tuple[int, int, int]]:
        """Slot, succeeded and failed of each note of a class, oldest first."""
        mask = (1 << 40) - 1
        return [
            (note >> 80 & 0xFFFFFFFF, note >> 40 & mask, note & mask)
            for note in self._notes.copy()
            if note >> 112 == lane
        ]


class Timings:
    """What the lane of a class records about time; ``note`` is the hot path."""

    __slots__ = (
        "_day",
        "_day_slot",
        "_ended",
        "_waiting",
        "depths",
        "discards",
        "durations",
        "note",
        "retries",
        "ring",
        "tick",
    )  # fmt: skip

    def __init__(
        self,
        ended: Mapping[Status, Count],
        waiting: Callable[[], int],
        now: float,
        day: Callable[[int, int, int], None] = lambda *_: None,
    ) -> None:
        self._ended = ended
        self._day, self._day_slot = day, -1
        self._waiting = waiting
        self.durations = Durations()
        self.note = self.durations.note
        #: Failed attempts that another one was to follow.
        self.retries = Count()
        self.discards = {cause: Count() for cause in Discards._fields}
        self.ring: deque[Sample] = deque(maxlen=SLOTS + 1)
        #: How many jobs were queued as a slot began: the slot, and the number.
        self.depths: deque[tuple[int, int]] = deque(maxlen=SLOTS + 1)
        #: The monotonic instant at which the next slot begins.
        self.tick = 0.0
        self.sample(now)

    def retried(self, call: Call, now: float) -> None:
        """An attempt has failed and another follows. ``Endings.end`` notes the last one."""
        if now >= self.tick:
            self.sample(now)
        started = call.started or now
        self.note((started - call.due, now - started))
        if not self.retries.add() & FOLD_MASK:
            self.durations.fold()

    def sample(self, now: float) -> None:
        """Note the counters before the first attempt that ends in a slot is counted.

        Slots in which nothing ended need no note: nothing has changed in them.
        """
        slot = int(now // SLOT_SECONDS)
        self.tick = (slot + 1) * SLOT_SECONDS
        sample = self.now(slot)
        self.ring.append(sample)
        self.note_depth(now, self._waiting())
        day_slot = int(now // DAY_SECONDS)
        if day_slot != self._day_slot:
            self._day_slot = day_slot
            self._day(day_slot, sample.succeeded, sample.failed)

    def note_depth(self, now: float, waiting: int) -> None:
        """At the start of a slot, for whoever looks first: the length of the queue."""
        self.depths.append((int(now // SLOT_SECONDS), waiting))

    def now(self, slot: int) -> Sample:
        """The counters as they are."""
        ended = self._ended
        return Sample(
            slot,
            ended[SUCCEEDED].value,
            ended[FAILED].value + ended[LOST].value,
            self.retries.value,
            *self.durations.read(),
        )
