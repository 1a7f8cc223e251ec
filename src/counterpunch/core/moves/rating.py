"""How due jobs of a rated class wait for their start, and how they are let go.

No job is promised an instant. They stand in line, and only of the first one it is asked when it may
start; so a place that somebody does not need, for whatever reason, is the next one's, and another
rate counts for all who wait. At that instant the first ones leave the line for the queue, each with
a place; whoever has one may start whenever a worker comes to it.
"""

from __future__ import annotations

from functools import partial
from math import inf

from ..places.lane import Lane
from ..places.site import Site
from ..values.handle import Call
from ..values.stage import STOPPED
from ..values.status import RETRYING, SCHEDULED, checked_move
from .endings import Endings
from .queueing import Queueing
from .taking import Taking

__all__ = ["Rating"]


class Rating:
    """Keeps the rates of all classes."""

    def __init__(self, site: Site, taking: Taking, endings: Endings, queueing: Queueing) -> None:
        self._stage, self._clock, self._scheduler = site.stage, site.clock, site.scheduler
        self._taking, self._endings, self._queueing = taking, endings, queueing

    def enter(self, call: Call) -> None:
        """Queue a job that is due and that the caller owns, or line it up."""
        lane: Lane = call.lane
        bucket = lane.bucket
        if lane.options.expires_in is not None or (call.more and call.more.options):
            lane.moves.expect(call)
        if bucket is None or (not lane.lineup.table and bucket.take(call, self._clock.monotonic())):
            self._queueing.push(call)
        else:
            self._line_up(call)
            self.advance(lane)

    def advance(self, lane: Lane) -> None:
        """Let go who may start by now, and come back when the next one may."""
        if lane.hold:
            self._queueing.release_hold(lane)  # after a pause they come first
        while (call := lane.lineup.first()) is not None:
            bucket, now = lane.bucket, self._clock.monotonic()
            later = now if bucket is None else bucket.next(now)
            if later > now:
                if later < inf:
                    lane.alarm.set(later, partial(self.advance, lane))
                return
            if not self._taking.out_of(call, lane.scheduled, lane.retrying, follow=self._let_go):
                lane.lineup.leave(call)  # somebody else has it, and will say so

    def may_start(self, call: Call, now: float) -> bool:
        """On a worker, about to start a job of a rated class: note the start. False if it is not
        its turn: it stands in line then."""
        lane: Lane = call.lane
        bucket = lane.bucket
        if bucket is None:
            return True
        # Somebody may have come meanwhile who is to be first; or the class had no rate before.
        if bucket.crowded(now) or lane.lineup.precedes(call) or not bucket.take(call, now):
            bucket.give_back(call)
            lane.lineup.back[call] = None
            self._line_up(call)
            self.advance(lane)
            return False
        bucket.start(call, now)
        if lane.lineup.table:
            self.advance(lane)
        return True

    def settle(self, lane: Lane) -> None:
        """The process stops: who would have to wait past its deadline is lost now; the others are
        as good as queued."""
        for call, instant in lane.forecast().items():
            self._settle(call, instant)

    def _settle(self, call: Call, instant: float) -> None:
        deadline = self._stage.deadline
        if deadline is None or self._stage.serving:
            return
        if call.lane.options.on_shutdown == "drop":
            reason = "queued when the process stopped (on_shutdown='drop')"
        elif self._stage.phase is STOPPED or instant >= deadline:
            reason = f"waited for its class's {call.lane.options.rate!r} as the process stopped"
        elif instant > self._clock.monotonic() and self._scheduler.stranded():
            reason = "no thread could be started to wait for its time"
        else:
            return
        lane: Lane = call.lane
        lose = partial(self._endings.lose, reason=reason)
        self._taking.out_of(call, lane.scheduled, lane.retrying, follow=lose)

    def _line_up(self, call: Call) -> None:
        lane: Lane = call.lane
        state, table = RETRYING, lane.retrying
        if call.state is not RETRYING:
            state, table = checked_move(call.state, SCHEDULED), lane.scheduled
        call.extra().when, call.state = None, state
        table[call] = None
        lane.lineup.enter(call)
        if not self._stage.serving:
            self._settle(call, lane.expected(call))

    def _let_go(self, call: Call) -> None:
        lane: Lane = call.lane
        bucket, back = lane.bucket, call in lane.lineup.back
        lane.lineup.leave(call)
        if bucket is None or bucket.take(call, self._clock.monotonic()):
            self._queueing.push(call, back)
        else:  # another thread was faster
            if back:
                lane.lineup.back[call] = None
            self._line_up(call)
