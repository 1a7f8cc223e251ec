"""How a job that has waited longer than its ``expires_in`` ends: at that instant, wherever it is.

Its key, its room and its place in the line are the next one's from then on, though no worker looks
at it. A timer for each class, not for each job: it is set for the first that will expire, and looks
at all that wait. Who finds a key taken or a queue full looks first whether that is still so.
"""

from __future__ import annotations

import math
from functools import partial

from ..places.lane import Lane
from ..places.site import Site
from ..places.steps import entries
from ..values.handle import Call
from ..values.status import DISCARDED
from .endings import Endings
from .rating import Rating
from .steering import Steering
from .waiting import Waiting

__all__ = ["Expiry"]

#: A look at so many costs next to nothing; above, each adds to the pause before the next look.
MANY, SECONDS_EACH = 1000, 1e-5


class Expiry:
    """Looks after the jobs that expire."""

    def __init__(
        self, site: Site, endings: Endings, rating: Rating, waiting: Waiting, steering: Steering
    ) -> None:
        self._clock, self._scheduler = site.clock, site.scheduler
        self._endings, self._rating = endings, rating
        self._waiting, self._steering = waiting, steering

    @staticmethod
    def instant(call: Call) -> float:
        """The last instant at which the job may start; infinite if it does not expire."""
        expires: float | None = call.option("expires_in")
        return math.inf if expires is None or call.attempt else call.due + expires

    def over(self, call: Call) -> bool:
        """End a job that the caller owns, if it has expired."""
        now = self._clock.monotonic()
        if now <= self.instant(call):
            return False
        reason = f"waited {now - call.due:.3g} s, expires_in={call.option('expires_in'):g}"
        self._endings.end(call, DISCARDED, reason, "expired")
        return True

    def gone(self, call: Call) -> bool:
        """End a job that waits somewhere, if it has expired; True if it has."""
        if self._clock.monotonic() <= self.instant(call):
            return False
        return self._steering.take_back(call, self._end) and call.done()

    def _end(self, call: Call) -> None:
        if self.over(call):
            return
        if call.due > self._clock.monotonic():  # rescheduled between the look and the claim
            self._waiting.schedule(call, call.due)
        else:
            self._rating.enter(call)

    def expect(self, call: Call) -> None:
        """A job begins to wait for its start."""
        self._look_at(call.lane, math.nextafter(self.instant(call), math.inf))

    def busy(self, lane: Lane, now: float) -> None:
        """A worker is about to start a job of a class that expires: others may have to wait, which
        came the short way."""
        if lane.options.expires_in is not None:
            self._look_at(lane, now + lane.options.expires_in)

    def ask(self, lane: Lane) -> None:
        """The queue is full: some of those that wait may have expired."""
        if lane.expiry.over(self._clock.monotonic()):
            self.look(lane)

    def look(self, lane: Lane) -> None:
        """End those that have expired, and come back when the next one does."""
        now, usual = self._clock.monotonic(), lane.options.expires_in
        overdue = [call for call, _ in entries(lane.overdue)]
        calls = [*lane.queued_calls(), *lane.lineup.calls(), *overdue]
        first = math.inf
        for call in calls:
            instant = self.instant(call)
            if instant < now:
                self.gone(call)
            else:
                first = min(first, math.nextafter(instant, math.inf))
        if usual is not None and (calls or not lane.pool.idle()):
            first = min(first, now + usual)  # of those that come the short way
        if len(calls) > MANY:
            first = max(first, now + len(calls) * SECONDS_EACH)
        self._look_at(lane, first)

    def _look_at(self, lane: Lane, instant: float) -> None:
        if instant < lane.expiry.due:
            lane.expiry.set(instant, partial(self.look, lane))
