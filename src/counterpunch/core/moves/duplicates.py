"""One job per identity: what a duplicate is answered, and what a commit finds."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Any

from ..places.keys import Key
from ..places.lane import Lane
from ..places.site import Site
from ..values.commit import Scope
from ..values.errors import Duplicate, interrupts
from ..values.handle import Call, new_handle
from ..values.hiding import argument_text
from ..values.hooks import report
from ..values.record import NO_KWARGS
from ..values.status import CANCELLED, DISCARDED, QUEUED, RUNNING, TERMINAL
from .endings import Endings
from .expiry import Expiry
from .steering import Steering
from .taking import Follow, Taking

__all__ = ["REPLACED", "Duplicates"]

#: Why a job was cancelled in whose place another one is.
REPLACED = "replaced by a newer job of the same identity"


#: So often, for a tenth of a second, a job is looked for that is on its way from place to place.
TRIES = 100


class Duplicates:
    """What an enqueue and a commit ask about jobs of the same identity."""

    def __init__(
        self, site: Site, taking: Taking, endings: Endings, expiry: Expiry, steering: Steering
    ) -> None:
        self._clock, self._keys, self._taking = site.clock, site.keys, taking
        self._endings, self._expiry, self._steering = endings, expiry, steering

    def in_the_way(self, lane: Lane, key: Key, scope: Scope | None) -> Call | None:
        """The job that a new one is a duplicate of: one that ends well if the new one's
        transaction does."""
        if scope is None:
            return self._keys.holder(key)
        if lane.options.on_duplicate == "replace":
            # The old one is to stay if the savepoint of the new one is rolled back, so only
            # one that goes with it is replaced before the commit.
            return self._keys.holder(key, scope)
        holder = self._keys.holder(key)
        for length in range(1, len(scope) + 1):
            if holder is None:  # what encloses the new one's savepoint holds for it too
                holder = self._keys.holder(key, scope[:length])
        return holder

    @staticmethod
    def makes_no_room(holder: Call) -> bool:
        """True for a job that is to be replaced without room for the newer one."""
        lane: Lane = holder.lane
        if lane.options.on_duplicate != "replace" or holder.state is RUNNING:
            return False
        counted = holder.state is QUEUED or holder in lane.lineup.table
        # Its room may be somebody else's; and retries, which have always room, take more than all.
        return not counted or bool(lane.overdue) or lane.waiting() > lane.max_jobs

    def answer(
        self,
        holder: Call,
        lane: Lane,
        key: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: dict[str, Any] | None,
    ) -> Call | None:
        """The answer to an enqueue whose key is taken; None if it is free now."""
        choice = lane.options.on_duplicate
        if self._expiry.gone(holder):
            return None
        if choice == "raise":
            raise Duplicate(
                f"{lane.job.__qualname__} was not enqueued: {holder!r} has the same identity "
                f"{argument_text(lane.options, key, options)} (unique={lane.options.unique!r})"
            )
        if choice == "discard":
            now = self._clock.monotonic()
            call = new_handle(lane, lane.ledger.drawn.add(), args, kwargs or NO_KWARGS, None, now)
            reason = f"a duplicate of {holder.id}"
            end = self._endings.end
            self._taking.new(call, partial(end, status=DISCARDED, reason=reason, cause="duplicate"))
            return call
        if choice == "replace":
            if self._replace(holder) or holder.state in TERMINAL:
                return None
            report(logging.INFO, "%r runs and cannot be replaced; its handle is returned", holder)
        return holder

    def _replace(self, holder: Call) -> bool:
        """Cancel a job that waits, or is just being enqueued; False if it runs or has ended."""
        if self._steering.cancel_enqueue(holder):
            self._keys.free(holder)  # for the newer one; it ends once its middleware is through
            return True
        for turn in range(TRIES):
            if holder.state is RUNNING or holder.state in TERMINAL:
                break
            if self._steering.take_back(holder, self._replaced):
                return True
            if turn > 2:  # another thread has it in hand, from one place to the next
                time.sleep(0.001)
        return False

    def _replaced(self, call: Call) -> None:
        self._endings.end(call, CANCELLED, REPLACED)

    def claim(self, call: Call) -> Call:
        """Put a new job under its key; another thread may have been faster meanwhile."""
        lane, key = call.lane, call.extra().key
        while True:
            holder = self._keys.claim(call)
            if holder is call:
                return call
            answer = self.answer(holder, lane, key, call.args, call.named, call.extra().options)
            if answer is not None:
                return answer

    def committed(self, call: Call, due: float | None) -> Follow | None:
        """A deferred job claims the key that counts outside of its transaction. It is still where
        it waits, for this asks the user's code. What is to become of it if it is a duplicate."""
        more = call.more
        if more is None or more.name is None:
            return None
        self._keys.free(call)
        more.scope = None
        try:
            return self._claimed(call, more.name, due)
        except BaseException as exc:
            if interrupts(exc):
                raise
            report(logging.ERROR, "%r: its identity cannot be compared", call, exc_info=exc)
            return None

    def _claimed(self, call: Call, key: Any, due: float | None) -> Follow | None:
        lane: Lane = call.lane
        while lane.options.unique is not None:
            holder = self._keys.claim(call)
            if holder is call:
                break
            if self._expiry.gone(holder):
                continue
            if (
                lane.options.on_duplicate == "replace"
                and not self._would_be_refused(call, due, holder)
                and (self._replace(holder) or self._keys.holder(key) is not holder)
            ):
                continue  # it was cancelled, or has started or ended by itself
            return partial(self._too_late, holder=holder)
        return None

    def _too_late(self, call: Call, holder: Call) -> None:
        """It was committed after another one of its identity was enqueued."""
        lane: Lane = call.lane
        self._endings.end(call, DISCARDED, f"a duplicate of {holder.id}", "duplicate")
        if lane.options.on_duplicate == "raise":  # as it would have been for the caller
            more = call.extra()
            report(
                logging.ERROR,
                "%r was discarded as its transaction was committed: %r has the same identity "
                "%s (unique=%r), and nobody is left to raise Duplicate to; "
                "on_duplicate='replace' lets the newer one run, 'discard' is quiet",
                call,
                holder,
                argument_text(lane.options, more.key, more.options),
                lane.options.unique,
            )

    def _would_be_refused(self, call: Call, due: float | None, holder: Call) -> bool:
        """True if the queue has no room for the newer one: then the older one is to stay."""
        lane = call.lane
        if not self.makes_no_room(holder) or not lane.full():
            return False
        at_once = due is None or due <= self._clock.monotonic()
        return at_once and lane.options.overflow in ("raise", "discard")
