"""One job per identity: who has the key, what a duplicate is answered, what a commit finds.

Every key is taken by ``setdefault`` and given back by the one who owns the job, so no lock
is needed and nobody takes away another job's. Jobs that are deferred to a transaction have
keys of that transaction only, and claim the class's when it has been committed.
"""

from __future__ import annotations

import logging
from typing import Any

from ._arguments import HIDDEN
from ._commit import Scope
from ._config import config
from ._current import current_batch
from ._ending import key_of
from ._hooks import report
from ._lane import Lane
from ._status import CANCELLED, DISCARDED, QUEUED, RUNNING, TERMINAL
from ._steering import Steering
from .errors import Duplicate, shorten
from .handle import NO_KWARGS, Handle, new_handle

__all__ = ["Unique"]


class Unique(Steering):
    """What an enqueue and a commit ask about jobs of the same identity."""

    def _in_the_way(self, lane: Lane, key: Any, scope: Scope | None) -> Handle[Any] | None:
        """The job that a new one is a duplicate of: one that ends well if the new one's
        transaction does."""
        name = (lane.job, key)
        if scope is None:
            return self.unique.get(name)
        if lane.options.on_duplicate == "replace":
            # The old one is to stay if the savepoint of the new one is rolled back, so only
            # one that goes with it is replaced before the commit.
            return self.unique.get((*name, scope))
        holder = self.unique.get(name)
        for length in range(1, len(scope) + 1):
            if holder is None:  # what encloses the new one's savepoint holds for it too
                holder = self.unique.get((*name, scope[:length]))
        return holder

    def _answer_duplicate(
        self,
        holder: Handle[Any],
        lane: Lane,
        key: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Handle[Any] | None:
        """The answer to an enqueue whose key is taken; None if it is free now."""
        choice = lane.options.on_duplicate
        if choice == "raise":
            raise Duplicate(
                f"{lane.job.__qualname__} was not enqueued: {holder!r} has the same identity "
                f"{shorten(key)} (unique={lane.options.unique!r})"
            )
        if choice == "discard":
            lane.accepts()
            now = self.clock.monotonic()
            call: Handle[Any] = new_handle(lane, lane.draw(), args, kwargs or NO_KWARGS, None, now)
            batch = current_batch.get()
            if batch is not None and not batch.closed:
                batch.add(call)  # accepted and ended, as one that a middleware refuses
            self.end(call, DISCARDED, f"a duplicate of {holder.id}", "duplicate")
            return call
        if choice == "replace":
            if self._replace(holder):
                return None
            report(logging.INFO, "%r runs and cannot be replaced; its handle is returned", holder)
        return holder

    def _replace(self, holder: Handle[Any]) -> bool:
        """Cancel a job that waits; False if it runs, has ended, or is nowhere just now."""
        for _ in range(3):  # it may be on its way from one place to the next
            if holder._state is RUNNING or holder._state in TERMINAL:
                break
            if self._take_back(holder, holder._lane):
                self.end(holder, CANCELLED, "replaced by a newer job of the same identity")
                return True
        return False

    def _claim_key(self, call: Handle[Any]) -> Handle[Any]:
        """Put a new job under its key; another thread may have been faster meanwhile."""
        lane, name = call._lane, key_of(call)
        while True:
            holder = self.unique.setdefault(name, call)
            if holder is call:
                return call
            answer = self._answer_duplicate(holder, lane, name[1], call.args, call._kwargs)
            if answer is not None:
                return answer

    def may_follow(self, call: Handle[Any], due: float | None) -> bool:
        """A deferred job claims the key that counts outside of its transaction."""
        more, lane = call._more, call._lane
        if more is None or more.scope is None:
            return True
        self.free_key(call)
        more.scope = None
        name = key_of(call)
        choice = lane.options.on_duplicate
        while lane.options.unique is not None:
            holder = self.unique.setdefault(name, call)
            if holder is call:
                break
            if (
                choice == "replace"
                and not self._would_be_refused(call, due, holder)
                and (self._replace(holder) or self.unique.get(name) is not holder)
            ):
                continue  # it was cancelled, or has started or ended by itself
            self.end(call, DISCARDED, f"a duplicate of {holder.id}", "duplicate")
            if choice == "raise":  # as it would have been for the caller of the enqueue
                hidden = not (config.log_args and lane.options.log_args) or lane.options.redact
                report(
                    logging.ERROR,
                    "%r was discarded as its transaction was committed: %r has the same identity "
                    "%s (unique=%r), and nobody is left to raise Duplicate to; "
                    "on_duplicate='replace' lets the newer one run, 'discard' is quiet",
                    call,
                    holder,
                    HIDDEN if hidden else shorten(more.key),
                    lane.options.unique,
                )
            return False
        return True

    def _would_be_refused(self, call: Handle[Any], due: float | None, holder: Handle[Any]) -> bool:
        """True if the queue has no room for the newer one: then the older one is to stay."""
        lane = call._lane
        if holder._state is QUEUED or not lane.full():
            return False  # a queued one makes the room itself
        at_once = due is None or due <= self.clock.monotonic()
        return at_once and lane.options.overflow in ("raise", "discard")
