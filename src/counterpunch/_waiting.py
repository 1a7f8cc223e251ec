"""How a job waits: for a time, for its class's rate, for room in the queue, for a commit."""

from __future__ import annotations

import logging
from typing import Any

from . import _commit
from ._ending import Ending
from ._hooks import report
from ._lane import Lane
from ._scheduler import Timer
from ._state import OPEN, QUIET, STOPPED
from ._status import DEFERRED, DISCARDED, QUEUED, RETRYING, SCHEDULED
from .handle import Handle

__all__ = ["Waiting"]


class Waiting(Ending):
    """Where a job goes that cannot be queued yet, and how it comes back."""

    def _defer(self, call: Handle[Any], due: float | None, deferral: _commit.Deferral) -> None:
        lane = call._lane
        call._state = DEFERRED
        lane.deferred.add(call)
        deferral.hold(call, due)
        if lane.stopped:  # the drain ended in between and may not have seen it
            try:
                lane.deferred.remove(call)
            except KeyError:
                return
            self.lose(call, "it arrived as the process stopped")

    def undefer(self, call: Handle[Any], due: float | None, dropped: str | None) -> None:
        """The transaction of a deferred job has ended: queue it, schedule it, or, if there is
        a reason to, drop it."""
        try:
            call._lane.deferred.remove(call)
        except KeyError:
            return  # it was cancelled, or lost in the drain
        if dropped is not None:
            self.end(call, DISCARDED, dropped, "rolled_back")
        elif self.may_follow(call, due):
            if due is not None and due > self.clock.monotonic():
                self._schedule(call, due)
            else:
                self._admit(call)

    def may_follow(self, call: Handle[Any], due: float | None) -> bool:
        """The transaction of a job that the caller owns has been committed: False if the job
        was ended, as a duplicate."""
        return True

    def _schedule(self, call: Handle[Any], due: float) -> None:
        """Give a job that the caller owns to the scheduler."""
        lane = call._lane
        more = call._more
        call._due = due
        if call._state is not RETRYING:
            call._state = SCHEDULED
            lane.scheduled.add(call)
        else:
            lane.retrying.add(call)
        if more is not None and more.when is not None:
            self.scheduler.add(call, more.when, wall=True)
        else:
            self.scheduler.add(call, due)
        if self.phase is not OPEN:
            self.settle_delayed(call)

    def settle_delayed(self, call: Handle[Any]) -> None:
        """A job that got a due time while the process stops: its policy says what becomes of it."""
        from ._drain import fate

        if self.phase is QUIET or self.deadline is None:
            return
        policy = call._option("delayed_on_shutdown")
        decision = fate(policy, call._due, self.deadline)
        reason = f"due after the stop of the process (delayed_on_shutdown={policy!r})"
        if decision == "wait" and self.scheduler.stranded():
            decision, reason = "drop", "no thread could be started to wait for its time"
        if self.phase is STOPPED:
            decision = "drop"
        if decision != "wait" and call._lane.claim_delayed(call):
            if decision == "run":
                self._admit(call)
            else:
                self.lose(call, reason)

    def release(self, call: Handle[Any]) -> None:
        """On the scheduler's thread: a job is due."""
        if call._lane.claim_delayed(call):
            more = call._more
            if more is not None and more.when is not None:  # by a clock that may have been set
                call._due = self.clock.monotonic()
            self._admit(call)

    def _admit(self, call: Handle[Any]) -> None:
        """Queue a job that has become due. A full queue has a defined answer here as well."""
        lane = call._lane
        if lane.bucket is not None and self._hold_back(call):
            return
        if lane.full():
            policy = lane.options.overflow
            if policy in ("raise", "discard"):
                reason = f"fell due on a full queue (max_jobs={lane.max_jobs})"
                self.end(call, DISCARDED, reason, "queue_full")
                level = logging.ERROR if policy == "raise" else logging.INFO
                report(level, "%r was discarded: it %s", call, reason)
                return
            if policy == "discard_oldest":
                self._drop_oldest(lane)
            else:  # nobody is there to block or to run it: it waits until there is room
                self._hold_for_room(call, lane)
                return
        call._state = QUEUED
        lane.push(call)

    def _hold_for_room(self, call: Handle[Any], lane: Lane) -> None:
        waiting = lane.retrying if call._state is RETRYING else lane.scheduled
        if call._state is not RETRYING:
            call._state = SCHEDULED
        self.no_timer(call)  # of a wait for room that a stop has ended
        timer = None
        entry = call, call._due
        limit = lane.options.block_timeout
        if lane.options.overflow == "block" and limit is not None:

            def give_up() -> None:
                try:
                    lane.overdue.remove(entry)
                except ValueError:
                    return
                if self._claim_overdue(*entry):
                    reason = f"fell due on a queue that stayed full for {limit:g} s"
                    self.end(call, DISCARDED, reason, "queue_full")
                    report(logging.ERROR, "%r was discarded: it %s", call, reason)

            # While the job is still the caller's: one that has been moved on or started by
            # then has another timer, or none.
            timer = call._extra().timer = Timer(give_up)
        waiting.add(call)
        lane.overdue.append(entry)
        if timer is not None and limit is not None:
            self.scheduler.add(timer, self.clock.monotonic() + limit)
        if not lane.full():
            self.admit_overdue(lane)

    def admit_overdue(self, lane: Lane) -> None:
        """There is room again: queue the due jobs that have waited for it, in order."""
        while not lane.full():
            try:
                call, due = lane.overdue.popleft()
            except IndexError:
                return
            if self._claim_overdue(call, due):
                self.no_timer(call)
                call._state = QUEUED
                lane.push(call)

    def _claim_overdue(self, call: Handle[Any], due: float) -> bool:
        """Take a job that waits for room; False if it is gone, or waits for another time now:
        rescheduled before its entry was there, it leaves one that nobody takes out."""
        if call._due != due or not call._lane.claim_delayed(call):
            return False
        if call._due == due:
            return True
        self._schedule(call, call._due)  # rescheduled between the look and the claim
        return False

    def no_timer(self, call: Handle[Any]) -> None:
        """What the job's timer was to look at is over: its attempt, or its wait for room."""
        more = call._more
        if more is not None and more.timer is not None:
            more.timer.cancel()
            more.timer = None
            self.scheduler.forget()

    def _hold_back(self, call: Handle[Any]) -> bool:
        """Plan the start of a job of a rated class; True if it now waits in the scheduler."""
        bucket = call._lane.bucket
        more = call._extra()
        if bucket is None or more.planned:
            return False
        now = self.clock.monotonic()
        due = bucket.reserve(now)
        more.planned = True
        if due <= now:
            return False
        self._wait_for_rate(call, due)
        return True

    def _wait_for_rate(self, call: Handle[Any], due: float) -> None:
        more = call._extra()
        if more.since is None:
            more.since = call._due
        more.planned, more.when = True, None
        self._schedule(call, due)

    def _drop_oldest(self, lane: Lane) -> None:
        oldest = lane.take_oldest()
        if oldest is not None:
            reason = f"made room for a newer job (max_jobs={lane.max_jobs})"
            self.end(oldest, DISCARDED, reason, "queue_full")
