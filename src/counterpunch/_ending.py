"""How a job ends: its one terminal status, who is told of it, and what is remembered."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

from ._config import config
from ._hooks import process, report, safely
from ._lane import Lane
from ._state import State, Watcher
from ._status import DISCARDED, FAILED, LOST, TERMINAL, Status
from ._timings import FOLD_MASK
from .handle import Handle

__all__ = ["Ending", "key_of"]

_NEVER = float("inf")


class Ending(State):
    """Endings, the history of them, and those who wait for one."""

    def end(
        self,
        call: Handle[Any],
        status: Status,
        reason: str | None = None,
        cause: str = "raised",
    ) -> None:
        """Give a job that the caller owns its terminal status, and tell whoever waits.

        No ``reason`` means that its attempt brought it there. ``cause`` is the field of
        ``Discards`` that counts a discarded one.
        """
        lane = call._lane
        if reason is not None:
            call._extra().reason = reason
        more = call._more
        if process.keep is not None and call._context is not None:
            kept = process.keep(call._context)
            if kept is not None:
                more = call._extra()
                more.kept = kept
        if more is not None:
            more.exception = None
        call._context = None
        call._finished = now = lane.monotonic()
        timings = lane.timings
        if now >= timings.tick:
            timings.sample(now)
        if reason is None:
            started = call._started or now
            timings.note((started - call._due, now - started))
        if more is not None and more.planned:
            self.give_back_start(call, now)
        if status is DISCARDED:
            timings.discards[cause].add()
        if not lane.ended[status].add() & FOLD_MASK:
            timings.durations.fold()
        if self.unique:
            self.free_key(call)  # first: nobody is to be given a job that has ended
        call._state = status
        if self.cancels:
            self.cancels.discard(call)
        if self.overruns:
            self.overruns.discard(call)
        history = self.failed if status is FAILED else self.history
        history.append(call)
        if now >= self._look_back:
            self._forget_old(now)
        if self.watchers:
            watchers = self.watchers.pop(call, None)
            if watchers is not None:
                self._tell(call, watchers)
        if reason is not None and self.resting.sleepers:
            self.resting.wake_all()  # it ended where no worker falls asleep afterwards

    def give_back_start(self, call: Handle[Any], now: float) -> None:
        """A job that waits for its class's rate will not start then: another one may."""
        bucket = call._lane.bucket
        if bucket is not None and call._due > now:
            bucket.give_back(call._due)

    def lose(self, call: Handle[Any], reason: str = "the process stopped before it ran") -> None:
        """End a job that the caller owns as lost, and put it on the list."""
        self.end(call, LOST, reason)
        self.lost.append(call)
        if self.report is not None:
            self.report_late()

    def report_late(self) -> None:
        """Say of each job that was lost too late for the report of the drain.

        The drain takes what is on the list, publishes its report, and looks again; whoever
        loses a job puts it on the list, and then looks for the report. So one of them has it.
        """
        while self.lost:
            try:
                call = self.lost.popleft()
            except IndexError:
                return
            report(logging.ERROR, "%r was lost: it arrived as the process stopped", call)
            if config.on_lost is not None:
                safely("on_lost", call, config.on_lost, [call])

    def lose_held(self, lane: Lane) -> None:
        """The process stops: nobody will resume a paused class any more."""
        for call in lane.hold.copy():
            if lane.withdraw(call):
                self.lose(call, "its class was paused when the process stopped")

    def _forget_old(self, now: float) -> None:
        ttl = config.history_ttl
        if ttl is None:
            self._look_back = _NEVER
            return
        self._look_back = now + ttl
        for history in (self.history, self.failed):
            try:
                while True:
                    oldest = history[0]
                    if oldest._finished is None or oldest._finished >= now - ttl:
                        self._look_back = min(self._look_back, (oldest._finished or now) + ttl)
                        break
                    history.remove(oldest)
            except (IndexError, ValueError):
                pass  # another thread has removed it

    def remembered(self) -> list[Handle[Any]]:
        """Finished jobs, oldest first, as far as count and age allow."""
        ttl = config.history_ttl
        calls = sorted([*self.history.copy(), *self.failed.copy()], key=_ending)
        if ttl is None:
            return calls
        before = self.clock.monotonic() - ttl
        return [call for call in calls if call._finished is None or call._finished >= before]

    def free_key(self, call: Handle[Any]) -> None:
        """The job no longer stands in the way of another of its identity."""
        more = call._more
        if more is not None and more.key is not None:
            name = key_of(call)
            if self.unique.get(name) is call:  # nobody else ever puts anything in its place
                self.unique.pop(name, None)

    def retake_key(self, call: Handle[Any]) -> None:
        """The job waits again, and stands in the way again, unless another one already does."""
        more = call._more
        if more is not None and more.key is not None:
            self.unique.setdefault(key_of(call), call)

    def watch(self, call: Handle[Any], fn: Watcher) -> None:
        """Call ``fn(call)`` when the job has ended; at once if it has."""
        if call._state in TERMINAL:
            safely("a done callback", call, fn, call)
            return
        watchers = self.watchers.setdefault(call, deque())
        watchers.append(fn)
        if call._state in TERMINAL:  # it ended in between: whoever pops a watcher calls it
            self.watchers.pop(call, None)
            self._tell(call, watchers)

    def unwatch(self, call: Handle[Any], fn: Watcher) -> None:
        watchers = self.watchers.get(call)
        if watchers is not None:
            try:
                watchers.remove(fn)
            except ValueError:
                pass

    def _tell(self, call: Handle[Any], watchers: deque[Watcher]) -> None:
        while True:
            try:
                fn = watchers.popleft()
            except IndexError:
                return
            safely("a done callback", call, fn, call)

    def before_wait(self, call: Handle[Any]) -> None:
        """Called before somebody blocks on a handle; a test mode refuses what cannot end."""


def key_of(call: Handle[Any]) -> tuple[Any, ...]:
    """Where the job stands in ``unique``. One that is deferred stands in nobody's way outside
    of its transaction: if that is rolled back, whoever got its handle would go away empty."""
    more = call._extra()
    name = (call._lane.job, more.key)
    return name if more.scope is None else (*name, more.scope)


def _ending(call: Handle[Any]) -> float:
    return call._finished or 0.0
