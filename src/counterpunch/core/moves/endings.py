"""How a job ends: its one terminal status, who is told of it, and what is remembered."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from ..places.lane import Lane
from ..places.site import Site
from ..places.steps import entries
from ..places.timings import FOLD_MASK
from ..values.config import config
from ..values.handle import Call
from ..values.hooks import here, process, report, safely
from ..values.status import DISCARDED, LOST, Status, checked_move

__all__ = ["Endings"]

_NOTHING: tuple[int, ...] = ()


class Endings:
    """Gives jobs that the caller owns their terminal status."""

    def __init__(self, site: Site) -> None:
        self._stage, self._scheduler, self._resting = site.stage, site.scheduler, site.resting
        self._history, self._watchers = site.history, site.watchers
        self._keys, self._tokens = site.keys, site.tokens
        #: Jobs that were lost, until the drain takes them for its report.
        self.lost: dict[Any, None] = {}

    def end(
        self, call: Call, status: Status, reason: str | None = None, cause: str = "raised"
    ) -> None:
        """Give a job that the caller owns its terminal status, and tell whoever waits.

        No ``reason`` means that its attempt brought it there. ``cause`` is the field of
        ``Discards`` that counts a discarded one.
        """
        lane: Lane = call.lane
        checked_move(call.state, status)
        if reason is not None:
            call.extra().reason = reason
        more = call.more
        if process.keep is not None and call.context is not None:
            kept = process.keep(call.context)
            if kept is not None:
                more = call.extra()
                more.kept = kept
        now = lane.monotonic()
        timings = lane.timings
        if now >= timings.tick:
            timings.sample(now)
        if more is not None:
            more.exception = None
            if lane.bucket is not None and lane.bucket.give_back(call):
                lane.moves.advance(lane)  # it was on its way to a start that another may have
            if more.name is not None:
                self._keys.free(call)  # nobody is to be given a job that has ended
        one, history = (call,), self._history.store(status)
        ended, pending = lane.ledger.ended[status].numbers, timings.durations.pending
        discards = timings.discards[cause].numbers if status is DISCARDED else _NOTHING
        started = call.started or now
        attempted = reason is None and not (more is not None and more.spent)
        times = (started - call.due, now - started) if attempted else ()
        number = 0
        # In one breath: the job is counted, ended and remembered.
        pending += times
        for _ in discards:
            break
        for number in ended:
            break
        call.context, call.finished, call.state = None, now, status
        history += one
        if not number & FOLD_MASK:
            timings.durations.fold()
        self._tokens.drop(call)
        if reason is None and not call.foreign:
            self._history.tend(now)
        else:
            self._history.tidy()  # no worker of ours falls asleep after it
        if call in self._watchers.table:
            thread = here()
            if thread is None:
                self._watchers.tell(call)
            else:
                thread.ended(partial(self._watchers.tell, call, self._scheduler.calls.do))
        if reason is not None and self._resting.sleepers:
            self._resting.wake_all()  # it ended where no worker falls asleep afterwards

    def no_timer(self, call: Call) -> None:
        """What the job's timer was to look at is over: its attempt, or its wait for room."""
        more = call.more
        if more is not None and more.timer is not None:
            more.timer.cancel()
            more.timer = None
            self._scheduler.forget()

    def lose(self, call: Call, reason: str = "the process stopped before it ran") -> None:
        """End a job that the caller owns as lost, and put it on the list."""
        self.lost[call] = None
        self.end(call, LOST, reason)
        if self._stage.report is not None:
            self.report_late()

    def report_late(self) -> None:
        """Say of each job that was lost too late for the report of the drain.

        The drain takes what is on the list, publishes its report, and looks again; whoever
        loses a job puts it on the list, and then looks for the report. So one of them has it.
        """
        for call in entries(self.lost):
            if call.state is not LOST:
                continue  # just about to
            try:
                del self.lost[call]
            except KeyError:
                continue  # another thread says it
            report(logging.ERROR, "%r was lost: it arrived as the process stopped", call)
            if config.on_lost is not None:
                safely("on_lost", call, config.on_lost, [call])
