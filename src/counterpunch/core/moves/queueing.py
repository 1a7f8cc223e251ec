"""Into a queue and out of it: the ways that do not depend on time or room."""

from __future__ import annotations

import logging
from functools import partial

from ..places.lane import Lane
from ..places.site import Site
from ..places.steps import entries
from ..values.handle import Call
from ..values.hooks import report
from ..values.stage import DRAINING
from ..values.status import QUEUED, RUNNING, checked_move
from ..workers.deadlock import Waits
from ..workers.pool import Pool
from .endings import Endings
from .taking import Taking

__all__ = ["Queueing"]


class Queueing:
    """Puts jobs that the caller owns into the queue of their class, or holds them.

    Every way to a start looks at ``paused`` and ``stopped`` after the job has left the queue, and
    every enqueue looks after the job has entered it; so none slips past a pause, or a stop.
    """

    def __init__(self, site: Site, taking: Taking, endings: Endings, waits: Waits) -> None:
        self._stage, self._keys, self._resting = site.stage, site.keys, site.resting
        self._taking, self._endings, self._waits = taking, endings, waits

    def push(self, call: Call, back: bool = False) -> None:
        """Queue a job that the caller owns; ``back``: before those that came later."""
        lane: Lane = call.lane
        if lane.paused:
            self.keep(call)
            return
        pool = lane.home(call)
        queue, one = pool.level(call.option("priority")), (call,)
        counted = lane.tickets
        if pool is not lane.pool:
            counted = lane.away
            lane.gate.lane = None  # the short path counts one queue only
        turn = lane.lineup.turn_in(queue, call) if back else None
        state = checked_move(call.state, QUEUED)
        # In one breath: it is counted and queued.
        if counted is not None:
            counted[call] = None
        call.state = state
        if turn is None:
            queue += one
        else:
            queue.insert(turn, call)
        pool.offer()
        if self._waits.table:
            self._waits.look_again(call)
        if lane.paused or lane.stopped:  # since the look
            self.turned_away(call)

    def keep(self, call: Call) -> None:
        """Hold a job that the caller owns while the class is paused."""
        lane: Lane = call.lane
        hold, one = lane.hold, (call,)
        state = checked_move(call.state, QUEUED)
        call.state = state
        hold += one
        if not lane.paused:  # resumed between the look and the append
            self.release_hold(lane)
        elif self._stage.deadline is not None:
            self.lose_held(lane)

    def release_hold(self, lane: Lane) -> None:
        """Put the jobs of a class that is no longer paused into the queue, in order."""
        while lane.hold:
            for call in lane.held():
                if lane.paused:
                    return
                self._taking.out_of_queue(call, self.push)  # not if it was cancelled meanwhile

    def lose_held(self, lane: Lane) -> None:
        """The process stops: nobody will resume a paused class any more."""
        lose = partial(self._endings.lose, reason="its class was paused when the process stopped")
        for call in entries(lane.hold):
            self._taking.out_of_queue(call, lose)

    def lose_queue(self, pool: Pool, reason: str) -> None:
        """Nobody will take these jobs any more."""
        lose = partial(self._endings.lose, reason=reason)
        for queue in pool.levels:
            while queue:
                for call in entries(queue):
                    self._taking.out_of_queue(call, lose)

    def no_thread(self, pool: Pool, exc: BaseException) -> None:
        """No thread could be started for a pool: at a limit of the system, or because
        3.12.0-3.12.2 end. The next enqueue tries again, but a drain does not wait for that.
        """
        if self._stage.phase is not DRAINING:
            message = "%s: no thread could be started (%s); %d jobs wait for one"
            report(logging.ERROR, message, pool.name, exc, pool.queued())
        elif pool.hired() == 0:
            self.lose_queue(pool, "no thread could be started to run it")
        self._resting.wake_all()

    def turned_away(self, call: Call, taken: bool = False) -> bool:
        """A job was queued, or taken out by a worker, while its class is stopped or paused.

        Returns:
            False if it may go on all the same: somebody runs it on a thread of his own.
        """
        lane: Lane = call.lane
        if lane.stopped:
            # Who queued it leaves a running one alone: it may be the very job that drained.
            if taken:
                self._taking.out_of(call, lane.running, follow=self._lose_unstarted)
            else:
                self._taking.out_of_queue(call, self._endings.lose)
        elif taken:
            workers = entries(lane.home(call).workers)
            if all(one.call is not call for one in workers) and not self._waits.helps(call):
                return False
            if lane.options.unique == "queued":
                self._keys.retake(call)  # first: it asks the user's code
            if not self._taking.out_of(call, lane.running, follow=self._keep_unstarted):
                self._keys.free(call)
        else:
            self._taking.out_of_queue(call, self.keep)  # where it counts as waiting, as before
        return True

    def _lose_unstarted(self, call: Call) -> None:
        self._unstart(call)
        self._endings.lose(call)

    def _keep_unstarted(self, call: Call) -> None:
        self._unstart(call)
        self.keep(call)

    def _unstart(self, call: Call) -> None:
        """A job that was about to start does not."""
        if call.state is RUNNING:  # one on its way to the event loop is not marked yet
            call.attempt, call.state = call.attempt - 1, QUEUED
            if not call.attempt:
                call.started = None
            self._endings.no_timer(call)
