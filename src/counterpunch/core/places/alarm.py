"""When to look next at something of one class: the earliest instant that anybody asked for."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from .scheduler import Scheduler, Timer

__all__ = ["Alarm"]


class Alarm:
    """At most one timer at a time that counts; a look sets the next one itself."""

    __slots__ = ("_scheduler", "_timer")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._timer: Timer | None = None

    @property
    def due(self) -> float:
        """The monotonic instant; infinite if it is not set."""
        timer = self._timer
        return inf if timer is None else timer.due

    def set(self, instant: float, look: Callable[[], object]) -> None:
        """Call ``look`` at ``instant``, unless that, or an earlier look, is to come already."""
        if instant >= self.due:
            return

        def ring() -> None:
            if self._timer is timer:
                self._timer = None  # first: whoever comes from here on sets it anew
                look()

        timer = Timer(ring)
        timer.due = instant
        try:
            self._timer = timer
            self._scheduler.add(timer, instant)
        except BaseException:
            self._timer = None
            raise

    def over(self, now: float) -> bool:
        """True if it is time to look, of which the scheduler may not know yet: whoever asks does
        it then."""
        if self.due > now:
            return False
        self._timer = None
        return True
