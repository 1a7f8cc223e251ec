"""A token bucket: how many jobs may start in a period, and when the next one may."""

from __future__ import annotations

import math
import threading
from collections import deque
from datetime import timedelta

from .errors import InvalidOption

__all__ = ["Rate", "TokenBucket"]


class Rate:
    """At most ``limit`` starts in any window of ``per`` seconds, per class and process.

    Args:
        limit: Starts per period, 1 or more.
        per: Length of the period in seconds (or a ``timedelta``). Default 1.

    Raises:
        InvalidOption: For a limit or a period that is not positive.
    """

    __slots__ = ("limit", "per")

    def __init__(self, limit: int, per: float | timedelta = 1.0) -> None:
        seconds = per.total_seconds() if isinstance(per, timedelta) else per
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise InvalidOption("Rate", "limit", limit, "an int of 1 or more")
        if (
            not isinstance(seconds, (int, float))
            or isinstance(seconds, bool)
            or not math.isfinite(seconds)
            or seconds <= 0
        ):
            raise InvalidOption("Rate", "per", per, "seconds above 0")
        self.limit = limit
        self.per = float(seconds)

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

    __slots__ = ("_again", "_lock", "_planned", "_started", "rate")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        # Guards both logs. Re-entrant: a signal handler may enqueue in the middle of an
        # enqueue; it then finds one entry less, which can only make a start later.
        self._lock = threading.RLock()
        self._planned: deque[float] = deque([-math.inf] * rate.limit)
        self._started: deque[float] = deque([-math.inf] * rate.limit)
        # When those that were refused a start are to come back: no more of them at a time
        # than may start then, or a thousand would be turned away each period.
        self._again: deque[float] = deque([-math.inf] * rate.limit)

    def reserve(self, now: float) -> float:
        """The earliest instant, ``now`` or later, for one more start; it is then taken."""
        with self._lock:
            oldest = self._planned.popleft() if self._planned else now
            instant = max(now, oldest + self.rate.per)
            self._planned.append(instant)
            return instant

    def start(self, now: float) -> float | None:
        """None if a job may start now (the start is then on record), or when to come back."""
        with self._lock:
            allowed = self._started[0] + self.rate.per if self._started else now + self.rate.per
            if now < allowed:
                oldest = self._again.popleft() if self._again else now
                again = max(allowed, oldest + self.rate.per)
                self._again.append(again)
                return again
            # Threads that read the clock in one order may come here in another.
            self._started.append(max(now, self._started[-1]) if self._started else now)
            self._started.popleft()
            return None
