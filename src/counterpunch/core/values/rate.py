"""A rate: how many jobs may start in a period, and when the next one may."""

from __future__ import annotations

import sys
import threading
from collections import deque
from datetime import timedelta
from typing import Any

from .checks import amount, named_options, whole
from .replaceable import Replaceable

__all__ = ["Rate", "TokenBucket"]


class Rate(Replaceable):
    """At most ``limit`` starts in any window of ``per`` seconds, per class and process.

    Retries are starts as well; ``perform_now()`` neither asks nor counts. Jobs that are due wait
    in line, by priority and then first come first served, and count in ``max_jobs``.

    Args:
        limit: Starts per period, 1 or more. The instants of that many starts are kept, 32
            bytes each, as far as there have been so many.
        per: Length of the period in seconds (or a ``timedelta``). Default 1.

    Raises:
        InvalidOption: For a limit or a period that is not positive.
    """

    __slots__ = ("limit", "per")

    @named_options
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
    """Says when a job may start, so that no window of ``per`` seconds holds more than ``limit``.

    A sliding log of the starts, not a refilled counter: a counter lets up to twice the limit
    through around the instant of a refill. A job on its way to a worker has a place, which its
    start turns into an entry of the log; so places and recent starts together are never more than
    the limit, and whoever has a place may start whenever a worker comes to it.
    """

    __slots__ = ("_changes", "_lock", "_starts", "places", "rate")

    def __init__(self, rate: Rate) -> None:
        #: May be set to another one: what has started counts for that as well.
        self.rate = rate
        #: The jobs that may start.
        self.places: dict[Any, None] = {}
        # Re-entrant: a signal handler may enqueue in the middle of an enqueue. ``_changes`` tells
        # whoever was interrupted so.
        self._lock = threading.RLock()
        self._changes = 0
        #: The starts of the last ``per`` seconds.
        self._starts: deque[float] = deque()

    def next(self, now: float) -> float:
        """The first instant, ``now`` or later, at which a place is free; infinite if that depends
        on those who have one."""
        with self._lock:
            return self._next(now)

    def take(self, call: Any, now: float) -> bool:
        """Give a job a place, if one is free or it has one."""
        with self._lock:
            while call not in self.places:
                seen = self._changes
                if self._next(now) > now:
                    return False
                if self._changes == seen:
                    self._changes += 1  # in one breath with the next line, see ``record``
                    self.places[call] = None
        return True

    def crowded(self, now: float) -> bool:
        """True if more have a place than the rate, another one since, allows."""
        with self._lock:
            self._forget(now)
            return len(self._starts) + len(self.places) > self.rate.limit

    def give_back(self, call: Any) -> bool:
        """The job does not start: its place is free. False if it had none."""
        return self.places.pop(call, self) is None

    def start(self, call: Any, now: float) -> None:
        """A job that has a place starts."""
        with self._lock:
            # Threads that read the clock in one order may come here in another.
            one = (max(now, self._starts[-1]) if self._starts else now,)
            self._changes += 1
            self._starts += one  # in one breath
            if call in self.places:
                del self.places[call]

    def forecast(self, now: float, count: int) -> list[float]:
        """When the next ``count`` jobs may start, if those who have a place do so now."""
        starts = [*self.starts(now), *([now] * len(self.places))]
        known = len(starts)
        for _ in range(count):
            starts.append(self.after(starts, now))
        return starts[known:]

    def starts(self, now: float) -> list[float]:
        """Those of the last period."""
        with self._lock:
            self._forget(now)
            return [*self._starts.copy()]

    def after(self, starts: list[float], now: float) -> float:
        """When another job may start, ``now`` or later, if those before start then."""
        limit = self.rate.limit
        return now if len(starts) < limit else max(now, starts[-limit] + self.rate.per)

    def _next(self, now: float) -> float:
        self._forget(now)
        over = len(self._starts) + len(self.places) - self.rate.limit
        if over < 0:
            return now
        return self._starts[over] + self.rate.per if over < len(self._starts) else float("inf")

    def _forget(self, now: float) -> None:
        while self._starts and self._starts[0] + self.rate.per <= now:
            self._starts.popleft()
