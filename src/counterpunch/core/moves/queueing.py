"""Into a queue and out of it: the ways that do not depend on time or room."""

from __future__ import annotations

import logging

from ..places.lane import Lane
from ..places.site import Site
from ..values.handle import Call
from ..values.hooks import report
from ..values.stage import DRAINING
from ..values.status import QUEUED, RUNNING
from ..workers.deadlock import Waits
from ..workers.pool import Pool
from .endings import Endings

__all__ = ["Queueing"]


class Queueing:
    """Puts jobs that the caller owns into the queue of their class, or holds them.

    Every way to a start looks at ``halted`` after the job has left the queue, and every enqueue
    looks after the job has entered it; so none slips past a pause, or a stop.
    """

    def __init__(self, site: Site, endings: Endings, waits: Waits) -> None:
        self._stage, self._keys, self._resting = site.stage, site.keys, site.resting
        self._endings, self._waits = endings, waits

    def push(self, call: Call) -> None:
        """Queue a job that the caller owns."""
        lane: Lane = call.lane
        call.state = QUEUED
        if lane.paused:
            self.keep(call)
            return
        pool = lane.home(call)
        if pool is not lane.pool:
            lane.away.add(call)
            lane.gate.lane = None  # the short path counts one queue only
        elif lane.tickets is not None:
            lane.tickets.append(None)
        pool.push(call, call.option("priority"))
        if self._waits.table:
            self._waits.look_again(call)
        if lane.halted:  # since the look
            self.turned_away(call)

    def keep(self, call: Call) -> None:
        """Hold a job that the caller owns while the class is paused."""
        lane: Lane = call.lane
        lane.hold.append(call)
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
                if self.out_of_hold(call):  # not cancelled meanwhile
                    self.push(call)

    def out_of_hold(self, call: Call) -> bool:
        """Take a job out of those that are held; False if it is not there."""
        try:
            call.lane.hold.remove(call)
        except ValueError:
            return False
        return True

    def lose_held(self, lane: Lane) -> None:
        """The process stops: nobody will resume a paused class any more."""
        for call in lane.hold.copy():
            if self.out_of_hold(call):
                self._endings.lose(call, "its class was paused when the process stopped")

    def lose_queue(self, pool: Pool, reason: str) -> None:
        """Nobody will take these jobs any more."""
        while (call := pool.take()) is not None:
            call.lane.left(call)
            self._endings.lose(call, reason)

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

    def take_out(self, call: Call) -> bool:
        """Take a job out of its pool's queue; False if a worker was faster."""
        lane: Lane = call.lane
        if not lane.home(call).withdraw(call):
            return False
        lane.left(call)
        return True

    def turned_away(self, call: Call, taken: bool = False) -> bool:
        """A job was queued, or taken out by a worker, while its class is stopped or paused.

        Returns:
            False if it may go on all the same: somebody runs it on a thread of his own.
        """
        lane: Lane = call.lane
        if lane.stopped:
            # Who queued it leaves a running one alone: it may be the very job that drained.
            if self._unstart(call) if taken else (self.out_of_hold(call) or self.take_out(call)):
                self._endings.lose(call)
        elif taken:
            if all(worker.call is not call for worker in list(lane.home(call).workers)):
                return False
            if self._unstart(call):
                self.keep(call)
        elif self.take_out(call):
            self.keep(call)  # where it counts as waiting, as before
        return True

    def _unstart(self, call: Call) -> bool:
        """Take back a job that was about to start; False if the drain was faster."""
        lane: Lane = call.lane
        try:
            lane.running.remove(call)
        except KeyError:
            return False
        if call.state is RUNNING:  # one on its way to the event loop is not marked yet
            call.state = QUEUED
            call.attempt -= 1
            if not call.attempt:
                call.started = None
            self._endings.no_timer(call)
            if lane.options.unique == "queued":
                self._keys.retake(call)
        return True
