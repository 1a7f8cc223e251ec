"""Where due jobs of a rated class wait for their start: by priority, then first come first served.

They are in the table of delayed jobs all the while, and taking them out of there is the right to
change them; here is only whose turn it is.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque

from ..values.handle import Call
from .steps import entries

__all__ = ["Lineup"]

#: What decides between two jobs, and the job. The numbers of a class's jobs differ.
Entry = tuple[int, float, float, int, Call]
#: Below this many entries those of jobs that have left may stay.
SMALL = 64


def _entry_of(call: Call) -> Entry:
    return -call.option("priority"), call.due, call.enqueued, call.number, call


class Lineup:
    """The due jobs of one class. A job that leaves costs no search: its entry in the heap is void
    from then on."""

    __slots__ = ("_entered", "_heap", "_lock", "back", "table")

    def __init__(self) -> None:
        #: Of each job that waits here, the entry that counts.
        self.table: dict[Call, Entry] = {}
        #: Those of them that a worker has sent back: some that came later may be queued still.
        self.back: dict[Call, None] = {}
        self._heap: list[Entry] = []
        # Re-entrant: a signal handler may enqueue in the middle of an enqueue. ``_entered`` tells
        # whoever was interrupted so that the heap is another by now.
        self._lock = threading.RLock()
        self._entered = 0

    def enter(self, call: Call) -> None:
        """Line up a job; the place follows from its priority and from when it was due."""
        entry = _entry_of(call)
        with self._lock:
            self._sweep()
            self.table[call] = entry  # in one breath with the rest, see ``record``
            self._entered += 1
            heapq.heappush(self._heap, entry)

    def leave(self, call: Call) -> None:
        self.table.pop(call, None)
        self.back.pop(call, None)

    def first(self) -> Call | None:
        """Whose turn is next; None if nobody waits."""
        with self._lock:
            while self._heap:
                seen = self._entered
                entry = self._heap[0]
                if self.table.get(entry[-1]) is entry:
                    return entry[-1]
                if self._entered == seen:
                    heapq.heappop(self._heap)
        return None

    def precedes(self, call: Call) -> bool:
        """True if somebody who waits here is to start before ``call``, who does not."""
        first = self.first()
        entry = None if first is None else self.table.get(first)
        return entry is not None and entry < _entry_of(call)

    @staticmethod
    def turn_in(queue: deque[Call], call: Call) -> int | None:
        """Where in the queue of its priority a job is to go, before those of its class that came
        later; None at its end."""
        mine = _entry_of(call)
        for place, other in enumerate(entries(queue)):
            if other.lane is call.lane and mine < _entry_of(other):
                return place
        return None

    def calls(self) -> list[Call]:
        """In the order in which they start."""
        return [entry[-1] for entry in sorted(self.table.copy().values())]

    def ahead_of(self, call: Call) -> int:
        """How many start before this one, which waits here."""
        mine = self.table.get(call)
        return 0 if mine is None else sum(one < mine for one in self.table.copy().values())

    def _sweep(self) -> None:
        if len(self._heap) <= 2 * len(self.table) + SMALL:
            return
        seen = self._entered
        sound = [entry for entry in self._heap if self.table.get(entry[-1]) is entry]
        heapq.heapify(sound)
        if self._entered == seen:
            self._heap[:] = sound
