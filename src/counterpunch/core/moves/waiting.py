"""How a job waits: for a time, for room in the queue."""

from __future__ import annotations

import logging
from functools import partial
from typing import NoReturn

from ..places.lane import Lane, waits_since
from ..places.scheduler import Timer
from ..places.site import Site
from ..places.steps import entries
from ..values.errors import QueueFull
from ..values.handle import Call
from ..values.hooks import report
from ..values.stage import OPEN, QUIET, STOPPED, fate
from ..values.status import DISCARDED, QUEUED, RETRYING, SCHEDULED, checked_move
from .endings import Endings
from .rating import Rating
from .taking import Follow, Taking

__all__ = ["Waiting"]


def refuse_full(lane: Lane, what: str) -> NoReturn:
    """
    Raises:
        QueueFull: Always.
    """
    raise QueueFull(
        f"{what}: max_jobs={lane.max_jobs} jobs wait already; raise max_jobs, add workers, or "
        f"choose another overflow policy"
    )


class Waiting:
    """Where a job goes that cannot be queued yet, and how it comes back."""

    def __init__(self, site: Site, taking: Taking, endings: Endings, rating: Rating) -> None:
        self._stage, self._clock, self._scheduler = site.stage, site.clock, site.scheduler
        self._taking, self._endings, self._rating = taking, endings, rating

    # For a time

    def schedule(self, call: Call, due: float) -> None:
        """Give a job that the caller owns to the scheduler."""
        lane: Lane = call.lane
        more = call.more
        state, table = RETRYING, lane.retrying
        if call.state is not RETRYING:
            state, table = checked_move(call.state, SCHEDULED), lane.scheduled
        call.due, call.state = due, state
        table[call] = None
        if more is not None and more.when is not None:
            self._scheduler.add(call, more.when, wall=True)
        else:
            self._scheduler.add(call, due)
        if self._stage.phase is not OPEN:
            self.settle_delayed(call)

    def settle(self, lane: Lane) -> None:
        """The process stops: what becomes of each job that waits for a time, or for the rate."""
        self._rating.settle(lane)
        for call in [*entries(lane.scheduled), *entries(lane.retrying)]:
            self.settle_delayed(call)

    def settle_delayed(self, call: Call) -> None:
        """A job that got a due time while the process stops: its policy says what becomes of it."""
        stage = self._stage
        if stage.phase is QUIET or stage.deadline is None or call in call.lane.lineup.table:
            return
        policy = call.option("delayed_on_shutdown")
        decision = fate(policy, call.due, stage.deadline)
        reason = f"due after the stop of the process (delayed_on_shutdown={policy!r})"
        if decision == "wait" and self._scheduler.stranded():
            decision, reason = "drop", "no thread could be started to wait for its time"
        if stage.phase is STOPPED:
            decision = "drop"
        if decision == "run" and (call in stage.hurried or call.enqueued >= stage.began):
            decision, reason = "drop", "it began to wait as the process stopped"
        if decision == "run":
            stage.hurried[call] = None
            self.take_delayed(call, self.admit)
        elif decision != "wait":
            self.take_delayed(call, partial(self._endings.lose, reason=reason))

    def take_delayed(self, call: Call, follow: Follow) -> bool:
        """Take a scheduled or retry-waiting job; False if somebody else was faster."""
        lane: Lane = call.lane
        if call not in lane.lineup.table:
            return self._taking.out_of(call, lane.scheduled, lane.retrying, follow=follow)

        def leaving(call: Call) -> None:
            lane.lineup.leave(call)
            follow(call)

        if not self._taking.out_of(call, lane.scheduled, lane.retrying, follow=leaving):
            return False
        self.made_room(lane)
        return True

    def release(self, call: Call) -> None:
        """On the scheduler's thread: a job is due."""
        self.take_delayed(call, self._admit_due)

    def _admit_due(self, call: Call) -> None:
        more = call.more
        if more is not None and more.when is not None:  # by a clock that may have been set
            call.due = self._clock.monotonic()
        self.admit(call)

    def admit(self, call: Call) -> None:
        """Queue a job that has become due. A full queue has a defined answer here as well."""
        lane: Lane = call.lane
        if not self._fits(call):
            policy = lane.options.overflow
            if policy in ("raise", "discard"):
                reason = f"fell due on a full queue (max_jobs={lane.max_jobs})"
                self._endings.end(call, DISCARDED, reason, "queue_full")
                level = logging.ERROR if policy == "raise" else logging.INFO
                report(level, "%r was discarded: it %s", call, reason)
                return
            if policy == "discard_oldest":
                self.drop_oldest(lane)
            else:  # nobody is there to block or to run it: it waits until there is room
                self._hold_for_room(call, lane)
                return
        self._rating.enter(call)

    # For room

    @staticmethod
    def _fits(call: Call) -> bool:
        """True if there is room, or the job has had it before: another attempt always has."""
        lane: Lane = call.lane
        if call.attempt or not lane.full():
            return True
        lane.moves.expire(lane)
        return not lane.full()

    def refuses(self, call: Call) -> bool:
        """True if the job would be discarded, were it due now."""
        return call.lane.options.overflow in ("raise", "discard") and not self._fits(call)

    @staticmethod
    def due_already(call: Call) -> bool:
        """True for a delayed job that waits for its rate, or for room."""
        lane: Lane = call.lane
        return call in lane.lineup.table or (call, call.due) in entries(lane.overdue)

    def _hold_for_room(self, call: Call, lane: Lane) -> None:
        self._endings.no_timer(call)  # of a wait for room that a stop has ended
        lane.moves.expect(call)
        timer = None
        entry = call, call.due
        limit = lane.options.block_timeout
        if lane.options.overflow == "block" and limit is not None:

            def give_up() -> None:
                try:
                    lane.overdue.remove(entry)
                except ValueError:
                    return
                self._take_overdue(*entry, partial(self._too_long, limit=limit))

            # While the job is still the caller's: one that has been moved on or started by
            # then has another timer, or none.
            timer = call.extra().timer = Timer(give_up)
        state, table = RETRYING, lane.retrying
        if call.state is not RETRYING:
            state, table = checked_move(call.state, SCHEDULED), lane.scheduled
        overdue, one = lane.overdue, (entry,)
        call.state = state
        table[call] = None
        overdue += one
        if timer is not None and limit is not None:
            self._scheduler.add(timer, self._clock.monotonic() + limit)
        if not lane.full():
            self._admit_overdue(lane)

    def _too_long(self, call: Call, limit: float) -> None:
        reason = f"fell due on a queue that stayed full for {limit:g} s"
        self._endings.end(call, DISCARDED, reason, "queue_full")
        report(logging.ERROR, "%r was discarded: it %s", call, reason)

    def _admit_overdue(self, lane: Lane) -> None:
        """There is room again: queue the due jobs that have waited for it, in order."""
        while not lane.full():
            try:
                call, due = lane.overdue[0]
            except IndexError:
                return
            self._take_overdue(call, due, self._push_overdue)
            try:
                lane.overdue.remove((call, due))  # afterwards: nobody else needs to know of it
            except ValueError:
                pass  # another thread was at it as well

    def _push_overdue(self, call: Call) -> None:
        self._endings.no_timer(call)
        self._rating.enter(call)

    def _take_overdue(self, call: Call, due: float, follow: Follow) -> None:
        """Take a job that waits for room, unless it is gone, or waits for another time now:
        rescheduled before its entry was there, it leaves one that nobody takes out."""

        def unless_moved(call: Call) -> None:
            if call.due == due:
                follow(call)
            else:  # rescheduled between the look and the claim
                self.schedule(call, call.due)

        if call.due == due:
            self.take_delayed(call, unless_moved)

    def made_room(self, lane: Lane) -> None:
        """Due jobs that found the queue full come first, then producers that wait."""
        if lane.overdue:
            self._admit_overdue(lane)
        if lane.blocked and not lane.full():
            self.wake_blocked(lane)

    @staticmethod
    def wake_blocked(lane: Lane) -> None:
        """Let one producer that waits for room look again."""
        try:
            lane.blocked.popleft()()
        except (IndexError, RuntimeError):
            pass  # it has given up waiting meanwhile

    def taken(self, call: Call) -> None:
        """A job has left a pool's queue: there is room for another."""
        call.lane.left_queue(call)
        self.made_room(call.lane)

    def withdraw(self, call: Call, follow: Follow) -> bool:
        """Take a queued job out again; False if a worker was faster."""
        if not self._taking.out_of_queue(call, follow):
            return False
        self.made_room(call.lane)
        return True

    def drop_oldest(self, lane: Lane) -> None:
        """Make room by the job of the class that has been queued longest."""
        while calls := lane.new_heads():
            oldest = min(calls, key=waits_since)
            take = self.withdraw if oldest.state is QUEUED else self.take_delayed
            if take(oldest, self._dropped):
                return

    def _dropped(self, call: Call) -> None:
        reason = f"made room for a newer job (max_jobs={call.lane.max_jobs})"
        self._endings.end(call, DISCARDED, reason, "queue_full")
