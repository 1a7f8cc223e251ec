"""A token bucket: how many jobs may start in a period, and when the next one may."""

from __future__ import annotations

import heapq
import sys
import threading
from collections import deque
from datetime import timedelta

from .checks import amount, whole

__all__ = ["Rate", "TokenBucket"]


class Rate:
    """At most ``limit`` starts in any window of ``per`` seconds, per class and process.

    Args:
        limit: Starts per period, 1 or more. The instants of that many starts are kept, 32
            bytes each, as far as there have been so many.
        per: Length of the period in seconds (or a ``timedelta``). Default 1.

    Raises:
        InvalidOption: For a limit or a period that is not positive.
    """

    __slots__ = ("limit", "per")

    def __init__(self, limit: int, per: float | timedelta = 1.0) -> None:
        self.limit: int = whole(1, high=float("inf"))("Rate", "limit", limit)
        allowed = "seconds above 0, as a number or a timedelta"
        self.per = amount("Rate", "per", per, allowed, sys.float_info.min)

    def __repr__(self) -> str:
        return f"Rate({self.limit}, per={self.per:g})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rate):
            return NotImplemented
        return (self.limit, self.per) == (other.limit, other.per)

    def __hash__(self) -> int:
        return hash((self.limit, self.per))


class TokenBucket:
    """Hands out starts so that no window of ``per`` seconds ever holds more than ``limit``.

    A sliding log of the last ``limit`` starts, not a refilled counter: a counter lets up to
    twice the limit through around the instant of a refill.

    Two logs: ``reserve`` plans when a job may leave the scheduler; ``start`` decides when
    a worker is about to run it, because a busy pool may have held it back since.
    """

    __slots__ = ("_again", "_lock", "_planned", "_spare", "_started", "rate")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        # Guards the logs. Re-entrant: a signal handler may enqueue in the middle of an enqueue.
        self._lock = threading.RLock()
        self._planned = _Log(rate)
        #: A heap of planned instants whose jobs have been cancelled or replaced.
        self._spare: list[float] = []
        self._started = _Log(rate)
        # When those that were refused a start are to come back: no more of them at a time
        # than may start then, or a thousand would be turned away each period.
        self._again = _Log(rate)

    def reserve(self, now: float) -> float:
        """The earliest instant, ``now`` or later, for one more start; it is then taken."""
        with self._lock:
            while self._spare and self._spare[0] < now:
                heapq.heappop(self._spare)
            while True:
                spare, taken = self._spare, self._planned.taken
                instant = self._planned.next(now)
                # A spare one may be later than a new one, if the class had another rate before.
                if spare and spare[0] <= instant:
                    return heapq.heappop(spare)
                if self._planned.take(instant, taken):
                    return instant

    def give_back(self, instant: float) -> None:
        """A job that had this instant of ``reserve`` will not start: the next one may."""
        with self._lock:
            heapq.heappush(self._spare, instant)

    def start(self, now: float) -> float | None:
        """None if a job may start now (the start is then on record), or when to come back."""
        with self._lock:
            while True:
                taken, refused = self._started.taken, self._again.taken
                allowed = self._started.next(now)
                if allowed <= now:
                    if self._started.take(now, taken):
                        return None
                else:
                    later = self._again.next(allowed)
                    if self._again.take(later, refused):
                        return later


class _Log(deque[float]):
    """The last ``limit`` instants. It grows as they come, so that a limit of millions costs
    nothing while there are few."""

    __slots__ = ("_limit", "_per", "taken")

    def __init__(self, rate: Rate) -> None:
        super().__init__()
        self._limit, self._per = rate.limit, rate.per
        #: How many were taken: who sees another number than before was overtaken, by a signal
        #: handler in his own thread.
        self.taken = 0

    def next(self, earliest: float) -> float:
        """The first instant, ``earliest`` or later, that keeps the rate."""
        if len(self) < self._limit:
            return earliest
        return max(earliest, self[-self._limit] + self._per)

    def take(self, instant: float, seen: int) -> bool:
        """Note a start, unless others were noted since ``taken`` was ``seen``."""
        # Threads that read the clock in one order may come here in another.
        one = (max(instant, self[-1]) if self else instant,)
        if self.taken != seen:
            return False
        self.taken += 1  # in one breath with the next line, see ``record``
        self += one
        while len(self) > self._limit:
            self.popleft()
        return True
