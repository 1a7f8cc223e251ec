"""Before and after an attempt: may the job start, and what follows from how it went."""

from __future__ import annotations

from threading import get_ident
from typing import Any

from ._execution import execute
from ._overrun import watch_for_overrun
from ._status import CANCELLED, DISCARDED, RETRYING, Status
from ._unique import Unique
from .handle import Handle

__all__ = ["Performing"]


class Performing(Unique):
    """What the worker asks around an attempt."""

    def may_start(self, call: Handle[Any]) -> bool:
        """The look that some jobs need before they start, while they are in no container;
        False if it was put elsewhere."""
        lane, now = call._lane, self.clock.monotonic()
        more = call._extra()
        expires = call._option("expires_in")
        if expires is not None and call.attempt == 0:
            waited = now - (call._due if more.since is None else more.since)
            if waited > expires:
                reason = f"waited {waited:.3g} s, expires_in={expires:g}"
                self.end(call, DISCARDED, reason, "expired")
                return False
        if lane.bucket is not None:
            later = lane.bucket.start(now)
            if later is not None:  # a busy pool held others back; this start would be too many
                self._wait_for_rate(call, later)
                return False
            more.planned = False
        if lane.options.unique == "queued":
            self.free_key(call)
        retry = call._option("retry")
        if retry is not None and retry.budget is not None and call.attempt == 0:
            lane.recent.append(False)
        self.arm_timeout(call, now)
        return True

    def arm_timeout(self, call: Handle[Any], now: float) -> None:
        """Have the attempt that starts ``now`` looked at once its ``timeout`` is over."""
        timeout = call._option("timeout")
        if timeout is not None and self.threads:
            call._extra().timer = watch_for_overrun(self.whole, call, timeout, now)

    def settle(self, call: Handle[Any], status: Status) -> None:
        """After an attempt: end the job, or let it wait for the next one."""
        lane = call._lane
        try:
            lane.running.remove(call)
        except KeyError:
            return  # the drain gave it up as lost; that was its one ending
        self.no_timer(call)
        if status is not RETRYING:
            self.end(call, status)
            return
        dropped = "cancelled while it ran; its next attempt was dropped"
        if call in self.cancels:
            self.end(call, CANCELLED, dropped)
            return
        call._state = RETRYING
        self.overruns.discard(call)  # the time limit is each attempt's own
        if lane.options.unique == "queued":
            self.retake_key(call)  # it waits again
        self._schedule(call, call._due)
        if call in self.cancels and lane.claim_delayed(call):  # since the look before
            self.end(call, CANCELLED, dropped)

    def run_here(self, call: Handle[Any], final: bool = False) -> None:
        """Run one attempt of a job that the caller owns on this thread."""
        stack = self.here_runs.setdefault(get_ident(), [])
        stack.append(call)
        try:
            if call._lane.plan.is_async:
                from ._loop import execute_here

                execute_here(call, final)
            else:
                execute(call, worker=False, final=final)
        finally:
            stack.pop()
            if not stack:
                self.here_runs.pop(get_ident(), None)
            if self.resting.sleepers:
                self.resting.wake_all()  # no worker falls asleep after it
