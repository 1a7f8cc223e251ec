"""When a periodic class comes next: its period or crontab, its last run and a clock reading in, an
epoch time out. Pure: no clock is read."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core.values.clock import moment
from ..core.values.plan import plan_of

__all__ = ["Last", "Schedule", "schedule_of"]


#: Seconds; of a short period half of it.
SHORTLY = 600.0


class Last(NamedTuple):
    """When the last run was due, in epoch seconds; if none ever ``ran``, when time began."""

    due: float
    ran: bool


class Schedule(NamedTuple):
    """What ``every``, ``cron`` and ``timezone`` say, and by how much ``jitter`` may delay a run."""

    every: float | None
    cron: Any  # a Cron
    jitter: float

    def __str__(self) -> str:
        if self.cron is None:
            return f"every {self.every:g}"
        return f"cron {self.cron.expression} {self.cron.timezone}"

    def after(self, instant: float) -> float:
        """The first run after an instant; both in epoch seconds."""
        if self.cron is None:
            return instant + (self.every or 0.0)
        try:
            return float(self.cron.next_after(moment(instant)).timestamp())
        except OverflowError:  # none before the year 10000
            return float("inf")

    def due(self, last: Last, now: float) -> float:
        """When the next run is due, in epoch seconds: in the past if one was missed.

        Where ``last`` lies ahead of ``now`` the clock has been set back since. A run that would
        come again so is left out, if it is near: within half of the time to the one after it. Else
        the clock was wrong then, and ``last`` says nothing.
        """
        if last.due <= now:
            return self.after(last.due)
        following = self.after(last.due)
        near = last.due - now <= (following - last.due) / 2
        return following if last.ran and near else self.after(now)

    def moved(self, last: Last, step: float, now: float) -> Last:
        """``last`` by a clock that was set forward by ``step`` seconds, if that is to count: so
        shortly after a run nothing that the clock has left out is made up for."""
        if step > 0.0 and last.ran:
            ago = now - (last.due + step)
            if 0.0 <= ago < min(SHORTLY, (self.after(last.due) - last.due) / 2):
                return Last(last.due + step, True)
        return last

    def done(self, due: float, now: float) -> Last:
        """What counts as the last run once that of ``due`` is done at ``now``; what was missed in
        between is done with it. A period keeps its grid."""
        if self.every is None:
            return Last(
                max(due, now), True
            )  # it may show a little less than the instant that was waited for
        return Last(due + self.every * (max(0.0, now - due) // self.every), True)


def schedule_of(job: Any) -> Schedule | None:
    """None for a class that does not come again."""
    options = plan_of(job).options
    if options.every is None and options.cron is None:
        return None
    return Schedule(options.every, options.cron, options.jitter)
