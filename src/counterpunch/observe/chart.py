"""The last ten minutes of a class, from the notes of its ``Timings``, and its last day."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from ..core.port import DAY_SECONDS, DAY_SLOTS, SLOT_SECONDS, SLOTS, Lane, Runtime, Timings, entries
from ..core.values.counts import Sample

__all__ = ["Slot", "day", "depths", "recent"]


class Slot(NamedTuple):
    """What ended in one slot of the ring."""

    succeeded: int
    failed: int


def depths(timings: Timings, now: float, waiting: int) -> list[int]:
    """How many jobs were queued at the start of each slot of the ring, oldest first; the
    last is ``waiting``, how many are now.

    A slot without a note is like the one before it: the watchdog looks as long as there
    is work, and once more when there is none.
    """
    last = int(now // SLOT_SECONDS)
    notes = [*entries(timings.depths), (last + 1, waiting)]
    found, position, depth = [], 0, 0
    for slot in range(last - SLOTS + 2, last + 2):
        while position < len(notes) and notes[position][0] <= slot:
            depth = notes[position][1]
            position += 1
        found.append(depth)
    return found


def recent(timings: Timings, now: float) -> tuple[list[Slot], Sample]:
    """The slots of the ring, oldest first and the current one last, and their sum."""
    last = int(now // SLOT_SECONDS)
    latest = timings.now(last + 1)
    samples = [*entries(timings.ring), latest]
    slots = []
    position = 0
    at_start: list[Sample] = []
    for slot in range(last - SLOTS + 1, last + 2):
        # The value at the start of a slot is that of the first note made in it or later.
        while samples[position].slot < slot and samples[position] is not latest:
            position += 1
        at_start.append(samples[position])
    for start, end in pairwise(at_start):
        slots.append(Slot(end.succeeded - start.succeeded, end.failed - start.failed))
    first = at_start[0]
    return slots, Sample(
        last,
        latest.succeeded - first.succeeded,
        latest.failed - first.failed,
        latest.retries - first.retries,
        latest.waits.since(first.waits),
        latest.runs.since(first.runs),
    )


def day(runtime: Runtime, lane: Lane, now: float) -> list[Slot]:
    """What ended in each half hour of the last 24 hours, oldest first and the current one last."""
    last = int(now // DAY_SECONDS)
    latest = lane.timings.now(0)
    notes = [*runtime.day.of(lane.index), (last + 1, latest.succeeded, latest.failed)]
    at_start = []
    position = 0
    for slot in range(last - DAY_SLOTS + 1, last + 2):
        # As in ``recent``: the first note made in the slot or later.
        while notes[position][0] < slot:
            position += 1
        at_start.append(notes[position])
    return [Slot(end[1] - start[1], end[2] - start[2]) for start, end in pairwise(at_start)]
