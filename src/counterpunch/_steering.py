"""Cancelling, rescheduling and pausing: what is done to jobs from outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ._lane import Lane
from ._status import CANCELLED, DEFERRED, QUEUED, RUNNING, TERMINAL
from ._waiting import Waiting
from .handle import Handle

__all__ = ["Steering"]


class Steering(Waiting):
    """What handles and classes offer to steer jobs with."""

    def cancel(self, call: Handle[Any]) -> bool:
        lane = call._lane
        for _ in range(3):  # it may be on its way from one place to the next
            state = call._state
            if state in TERMINAL:
                return state is CANCELLED
            if state is RUNNING:
                break
            if self._take_back(call, lane):
                self.end(call, CANCELLED, "cancelled before it ran")
                return True
        self.cancels.add(call)
        if call._state in TERMINAL:
            self.cancels.discard(call)
        return False

    def overrun(self, call: Handle[Any], attempt: int) -> None:
        """A running job is past its ``timeout``: set its cancel token, for this attempt."""
        self.overruns.add(call)
        if call._state is not RUNNING or call.attempt != attempt:  # over since the look
            self.overruns.discard(call)

    def _take_back(self, call: Handle[Any], lane: Lane) -> bool:
        """Take a waiting job out of wherever it waits; False if it is not there."""
        state = call._state
        if state is QUEUED:
            return lane.withdraw(call)
        if state is DEFERRED:
            try:
                lane.deferred.remove(call)
            except KeyError:
                return False
            return True
        if lane.claim_delayed(call):
            # The scheduler still has an entry for it, or it was due and waited for room.
            self.scheduler.forget()
            self.no_timer(call)
            if lane.overdue:
                try:
                    lane.overdue.remove((call, call._due))
                except ValueError:
                    pass
            return True
        return False

    def reschedule(self, call: Handle[Any], seconds: float) -> bool:
        lane = call._lane
        if call._state is DEFERRED or call._state is RUNNING or call._state in TERMINAL:
            return False
        if seconds == 0.0 and call._state is QUEUED:
            return True  # it is due already, and keeps its place
        if not self._take_back(call, lane):
            return False
        more, now = call._extra(), self.clock.monotonic()
        if more.planned:
            self.give_back_start(call, now)
            more.planned = seconds == 0.0  # it goes to a worker, who asks again for this start
        more.when = more.since = None
        call._due = now + seconds
        if seconds == 0.0:
            self._admit(call)
        else:
            self._schedule(call, call._due)
            if self.resting.sleepers:
                self.resting.wake_all()  # it left a queue, and no worker falls asleep after it
        return True

    def pause(self, job: type) -> None:
        """Start no more jobs of a class; accept them all the same.

        Every way to a start looks at ``halted`` after the job has left the queue, and every
        enqueue looks after the job has entered it; so none slips past.
        """
        lane = self.lane(job)
        self.must_be_here(job, "it cannot be paused", lane.options)
        lane.halt(paused=True)
        self.watchdog.wake()  # its queue may grow without a worker ever getting up
        for call in lane.queued_calls():
            self.turned_away(call)

    def turned_away(self, call: Handle[Any], taken: bool = False) -> bool:
        """A job was queued, or taken out by a worker, while its class is stopped or paused.

        Returns:
            False if it may go on all the same: somebody runs it on a thread of his own.
        """
        lane = call._lane
        if lane.stopped:
            # Who queued it leaves a running one alone: it may be the very job that drained.
            if self._unstart(call) if taken else lane.withdraw(call):
                self.lose(call)
        elif taken:
            if all(worker.call is not call for worker in list(lane.home(call).workers)):
                return False
            if self._unstart(call):
                lane.keep(call)
        elif lane.home(call).withdraw(call):
            lane.left(call)
            lane.keep(call)  # where it counts as waiting, as before
        return True

    def _unstart(self, call: Handle[Any]) -> bool:
        """Take back a job that was about to start; False if the drain was faster."""
        lane = call._lane
        try:
            lane.running.remove(call)
        except KeyError:
            return False
        if call._state is RUNNING:  # one on its way to the event loop is not marked yet
            call._state = QUEUED
            call.attempt -= 1
            if not call.attempt:
                call._started = None
            self.no_timer(call)
            if lane.options.unique == "queued":
                self.retake_key(call)
        return True

    def resume(self, job: type) -> None:
        lane = self.lane(job)
        self.must_be_here(job, "it cannot be resumed", lane.options)
        lane.paused = False
        lane.halted = False
        if lane.stopped or lane.paused:  # the order matters: what came in between must be seen
            lane.halted = True
        lane.release_hold()

    def cancel_all(self, job: type) -> int:
        """Cancel every live job of a class; the number of those that will never start."""
        lane = self.lane(job)
        self.must_be_here(job, "its jobs cannot all be cancelled", lane.options)
        return sum(1 for call in self.live(lane) if not call.done() and call.cancel())

    def cancel_requested(self, call: Handle[Any]) -> bool:
        return call in self.cancels or call in self.overruns

    def live(self, lane: Lane) -> list[Handle[Any]]:
        """The jobs of a class that have not ended or are just about to: running, queued,
        delayed, deferred. One that moves meanwhile may be there twice."""
        # Looked at in the order in which a job moves, so that one on its way is not missed; a
        # retry or reschedule() goes back to where the look began.
        deferred = list(lane.deferred)
        delayed = {*lane.scheduled, *lane.retrying}
        queued = lane.queued_calls()
        running = dict.fromkeys([*self._in_hand(lane), *lane.running])
        delayed.update(lane.scheduled, lane.retrying)
        return [*running, *queued, *sorted(delayed, key=_due), *deferred]

    def _in_hand(self, lane: Lane) -> Iterator[Handle[Any]]:
        """What a thread has taken out of the queue and is not yet done with."""
        for pool in lane.pools():
            for worker in list(pool.workers):
                call = worker.call
                if call is not None and call._lane is lane:
                    yield call
        for calls in list(self.here_runs.values()):
            yield from (call for call in list(calls) if call._lane is lane)


def _due(call: Handle[Any]) -> float:
    return call._due
