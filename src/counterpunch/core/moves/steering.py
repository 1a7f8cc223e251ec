"""Cancelling, rescheduling and pausing: what is done to jobs from outside."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..places.lane import Lane
from ..places.site import Site
from ..values.handle import Call
from ..values.status import CANCELLED, DEFERRED, QUEUED, RUNNING, TERMINAL
from ..workers.registry import Registry
from ..workers.whereabouts import Whereabouts
from .endings import Endings
from .queueing import Queueing
from .rating import Rating
from .taking import Follow, Taking
from .waiting import Waiting, refuse_full

__all__ = ["Steering"]


class Steering:
    """What handles and classes offer to steer jobs with.

    Args:
        paused: Called when a class was paused: its queue may grow without a worker getting up.
    """

    def __init__(
        self,
        site: Site,
        taking: Taking,
        registry: Registry,
        whereabouts: Whereabouts,
        endings: Endings,
        queueing: Queueing,
        rating: Rating,
        waiting: Waiting,
        paused: Callable[[], object],
    ) -> None:
        self._clock, self._tokens, self._scheduler = site.clock, site.tokens, site.scheduler
        self._moved, self._paused = site.resting.wake_all, paused
        self._taking, self._registry, self._whereabouts = taking, registry, whereabouts
        self._endings, self._queueing = endings, queueing
        self._rating, self._waiting = rating, waiting

    def cancel(self, call: Call) -> bool:
        """True if the job will now never start (again); else its cancel token is set."""
        if self.cancel_enqueue(call):
            return True
        for _ in range(3):  # it may be on its way from one place to the next
            state = call.state
            if state in TERMINAL:
                return state is CANCELLED
            if state is RUNNING:
                break
            if self.take_back(call, self._cancelled):
                return True
        self._tokens.cancels.add(call)
        if call.state in TERMINAL:
            self._tokens.cancels.discard(call)
        return False

    def cancel_enqueue(self, call: Call) -> bool:
        """Have a job end that is just being enqueued, once its middleware and hook are through;
        False if they are."""
        lane: Lane = call.lane
        if call not in lane.announced:
            return False
        self._tokens.cancels.add(call)
        if call in lane.announced:
            return True  # whoever enqueues it looks for the token afterwards
        self._tokens.cancels.discard(call)
        return False

    def _cancelled(self, call: Call) -> None:
        self._endings.end(call, CANCELLED, "cancelled before it ran")

    def take_back(self, call: Call, follow: Follow) -> bool:
        """Take a waiting job out of wherever it waits; False if it is not there."""
        self._taking.ready()
        lane: Lane = call.lane
        if call.state is QUEUED:
            return self._waiting.withdraw(call, follow)
        if call.state is DEFERRED:
            return self._taking.out_of(call, lane.deferred, follow=follow)
        entry = call, call.due

        def no_timer_first(call: Call) -> None:
            self._endings.no_timer(call)
            follow(call)

        lined_up = call in lane.lineup.table
        if not self._waiting.take_delayed(call, no_timer_first):
            return False
        if lined_up:
            return True
        # The scheduler still has an entry for it, or it was due and waited for room.
        self._scheduler.forget()
        if lane.overdue:
            try:
                lane.overdue.remove(entry)
            except ValueError:
                pass
        return True

    def reschedule(self, call: Call, seconds: float) -> bool:
        """Make a waiting job due in so many seconds; False if it does not wait for a time.

        Raises:
            QueueFull: If it is to be due now, and would be discarded.
        """
        if call.state is DEFERRED or call.state is RUNNING or call.state in TERMINAL:
            return False
        if seconds == 0.0 and (call.state is QUEUED or self._waiting.due_already(call)):
            return True  # and keeps its place
        full: list[Call] = []
        if not self.take_back(call, partial(self._reschedule, seconds=seconds, full=full)):
            return False
        if full:
            refuse_full(call.lane, f"{call!r} was not queued")
        self._moved()  # it left a queue, and no worker falls asleep after it
        return True

    def _reschedule(self, call: Call, seconds: float, full: list[Call]) -> None:
        lane: Lane = call.lane
        if seconds == 0.0 and self._waiting.refuses(call):
            full.append(call)
            self._waiting.schedule(call, call.due)  # as before: somebody is there to be told
            return
        call.extra().when = None
        call.due = self._clock.monotonic() + seconds
        if seconds == 0.0:
            self._waiting.admit(call)
        else:
            self._waiting.schedule(call, call.due)
            if lane.bucket is not None and lane.bucket.give_back(call):
                self._rating.advance(lane)

    def pause(self, job: type) -> None:
        """Start no more jobs of a class; accept them all the same."""
        self._taking.ready()
        lane = self._registry.lane(job)
        self._registry.must_be_here(job, "it cannot be paused")
        lane.halt(paused=True)
        self._paused()
        for call in lane.queued_calls():
            self._queueing.turned_away(call)

    def resume(self, job: type) -> None:
        """End a pause."""
        self._taking.ready()
        lane = self._registry.lane(job)
        self._registry.must_be_here(job, "it cannot be resumed")
        release = partial(self._queueing.release_hold, lane)
        lane.unpause()
        self._taking.surely(release)

    def cancel_all(self, job: type) -> int:
        """Cancel every live job of a class; the number of those that will never start."""
        self._taking.ready()
        lane = self._registry.lane(job)
        self._registry.must_be_here(job, "its jobs cannot all be cancelled")
        live = self._whereabouts.live(lane)
        return sum(1 for call in live if call.state not in TERMINAL and self.cancel(call))
