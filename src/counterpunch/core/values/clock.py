"""The only module that reads time. Seconds, as float, everywhere.

A deadline or a delay is an instant of the monotonic clock, which nobody can set; only
``perform_at`` and crontabs look at the wall clock. Who shows an instant adds the ``Offset``.
"""

from __future__ import annotations

import time as _time
from datetime import datetime, timezone
from functools import partial
from typing import Protocol

__all__ = ["Clock", "Offset", "SystemClock", "VirtualClock", "epoch", "moment", "monotonic"]

# Objects of our own. What a module has of ``time``, freezegun finds and stops; but jobs run on
# threads that it does not stop, and a due time by one clock is none by the other.
monotonic = partial(_time.monotonic)
epoch = partial(_time.time)


def moment(seconds: float) -> datetime:
    """Epoch seconds as an aware datetime, UTC; what lies beyond the calendar is its end."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):
        end = datetime.max if seconds > 0 else datetime.min
        return end.replace(tzinfo=timezone.utc)


class Clock(Protocol):
    """What the runtime needs to know about time."""

    def monotonic(self) -> float: ...
    def time(self) -> float: ...


#: A wall clock that is off by more than so many seconds was set; less is slewing and rounding.
STEP = 1.0


class Offset:
    """What an instant of the monotonic clock lacks to epoch seconds: the same at each look, unless
    the wall clock was set in between."""

    __slots__ = ("_clock", "seconds")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.seconds = clock.time() - clock.monotonic()

    def step(self) -> float:
        """Seconds by which the clock was set since the last look; 0.0 if it was not."""
        step = self._clock.time() - self._clock.monotonic() - self.seconds
        return step if abs(step) > STEP else 0.0

    def look(self) -> float:
        """The same, and it is noted."""
        step = self.step()
        if step:
            self.seconds = self._clock.time() - self._clock.monotonic()
        return step


class SystemClock:
    """The clocks of the operating system."""

    __slots__ = ()
    monotonic = staticmethod(_time.monotonic)
    time = staticmethod(_time.time)


class VirtualClock:
    """A clock that moves only when told to: an hour passes in microseconds."""

    __slots__ = ("_offset", "_start", "_wall")

    def __init__(self, start: float | None = None) -> None:
        # A whole number, so that due times are as exact as the delays they are made of.
        self._start = float(int(_time.monotonic()))
        self._wall = _time.time() if start is None else start
        self._offset = 0.0

    def monotonic(self) -> float:
        return self._start + self._offset

    def time(self) -> float:
        return self._wall + self._offset

    def move_to(self, instant: float) -> None:
        """Move to a monotonic ``instant``; never backwards."""
        self._offset = max(self._offset, instant - self._start)
