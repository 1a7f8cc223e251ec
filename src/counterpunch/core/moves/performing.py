"""Before and after an attempt: may the job start, and what follows from how it went."""

from __future__ import annotations

from functools import partial

from ..places.lane import Lane
from ..places.site import Site
from ..values.handle import Call
from ..values.status import CANCELLED, RETRYING, RUNNING, TERMINAL, Status, checked_move
from ..workers.outcome import broken
from .endings import Endings
from .expiry import Expiry
from .overrun import Overrun
from .rating import Rating
from .taking import Taking
from .waiting import Waiting

__all__ = ["Performing"]


class Performing:
    """What the worker asks around an attempt."""

    def __init__(
        self,
        site: Site,
        taking: Taking,
        endings: Endings,
        expiry: Expiry,
        rating: Rating,
        waiting: Waiting,
        overrun: Overrun,
    ) -> None:
        self._stage, self._keys, self._tokens = site.stage, site.keys, site.tokens
        self._taking, self._endings, self._expiry = taking, endings, expiry
        self._rating, self._waiting, self._overrun = rating, waiting, overrun

    def may_start(self, call: Call, forced: bool) -> bool:
        """The look that some jobs need before they start, while they are in no container;
        False if it was put elsewhere. ``forced`` leaves out expiry, rate and budget."""
        lane: Lane = call.lane
        now = lane.monotonic()
        if self._spent(call, now):
            return True
        if not forced and not self._in_time(call, lane, now):
            return False
        timeout = call.option("timeout")
        if timeout is not None and self._stage.threads:
            call.extra().timer = self._overrun.watch(call, timeout, now)
        return True

    @staticmethod
    def _spent(call: Call, now: float) -> bool:
        """True if it is too late for another attempt, which is to be told to the job's hooks."""
        more = call.more
        if more is None or more.first_started is None:
            return False
        retry = call.option("retry")
        limit = None if retry is None else retry.max_elapsed
        more.spent = limit is not None and now > more.first_started + limit
        return bool(more.spent)

    def _in_time(self, call: Call, lane: Lane, now: float) -> bool:
        if self._expiry.over(call):
            return False
        self._expiry.busy(lane, now)
        if lane.bucket is not None and not self._rating.may_start(call, now):
            return False
        if lane.options.unique == "queued":
            self._keys.free(call)
        retry = call.option("retry")
        if retry is not None and retry.budget is not None and call.attempt == 0:
            lane.recent.append((now, False))
        return True

    def settle(self, call: Call, status: Status) -> None:
        """After an attempt: end the job, or let it wait for the next one."""
        running, taken = call.lane.running, False
        try:
            if status is RETRYING and call.lane.options.unique == "queued":
                self._keys.retake(call)  # first: it asks the user's code
            try:
                del running[call]
                taken = True
            except KeyError:
                self._keys.free(call)
                return  # the drain gave it up as lost; that was its one ending
            self._settle(call, status)
        except BaseException:
            if taken:  # as in ``taking``, without a call more
                left = call.lane.left
                left += ((self._settle_again, (call, status), 0),)
                self._taking.repair()
            raise

    def _settle_again(self, call: Call, status: Status) -> None:
        self._taking.go_on(call, partial(self._settle, status=status), RUNNING)

    def _settle(self, call: Call, status: Status) -> None:
        self._endings.no_timer(call)
        if status is not RETRYING:
            self._endings.end(call, status)
            return
        if call in self._tokens.cancels:
            self._drop(call)
            return
        call.state = checked_move(call.state, RETRYING)
        self._tokens.overruns.discard(call)  # the time limit is each attempt's own
        self._waiting.schedule(call, call.due)
        if call in self._tokens.cancels:  # since the look before
            self._waiting.take_delayed(call, self._drop)

    def _drop(self, call: Call) -> None:
        reason = "cancelled while it ran; its next attempt was dropped"
        self._endings.end(call, CANCELLED, reason)

    def rescue(self, call: Call, exc: BaseException) -> None:
        """Whoever ran the job was broken off: it ends, if it is nowhere, and goes on if it is."""
        lane: Lane = call.lane
        if call in lane.running:
            self.settle(call, broken(call, exc))
        elif call.state not in TERMINAL and not lane.keeps(call):
            lane.left_queue(call)
            self._settle(call, broken(call, exc))
        self._taking.shake(call)
