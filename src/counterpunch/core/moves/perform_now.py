"""``perform_now``: one attempt on the caller's thread, through the whole pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..places.lane import Lane
from ..values.blocking import blocking
from ..values.failure import handed_over
from ..values.handle import Handle, new_handle
from ..values.hooks import context_for
from ..values.per_call import misfit
from ..values.plan import identity_of
from ..values.status import FAILED
from ..workers.here import Here
from ..workers.registry import Registry
from .admission import NOT_ACCEPTED
from .room import Room

__all__ = ["PerformNow"]


class PerformNow:
    """Runs a job where it is asked for."""

    def __init__(
        self, registry: Registry, here: Here, room: Room, interrupted: Callable[[Any], object]
    ) -> None:
        self._registry, self._here, self._room = registry, here, room
        self._interrupted = interrupted

    def perform_now(self, *job: Any) -> Any:
        """Run one attempt on this thread; return or raise what it gives."""
        return self.outcome(self.run_now(*job))

    def run_now(
        self,
        job: type,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: dict[str, Any] | None = None,
    ) -> Handle[Any]:
        """Run one attempt on this thread; the handle of the job, which has ended."""
        lane: Lane = self._registry.lane(job)
        self._room.refuse_late(lane)
        self._room.refuse_without_app(lane)
        instead = f"`await {job.__qualname__}.perform_async(...)`"
        blocking("%s.perform_now()", job.__qualname__, instead, lane.on_app)
        if lane.plan.check is None:
            raise TypeError(f"{job.__qualname__} cannot be run: {lane.plan.lacks}")
        try:
            lane.plan.check(*args, **kwargs)
        except TypeError as exc:
            raise misfit(exc, lane.job.__qualname__) from None
        context = context_for(lane.options.context)
        key = identity_of(job, lane.plan, args, kwargs)
        unique = lane.options.unique is not None
        number = lane.ledger.drawn.add() if unique else -1
        call: Handle[Any] = new_handle(lane, number, args, kwargs, context, lane.monotonic())
        if key is not None:
            call.extra().key = key  # in_progress() knows of it; unique is about the queue
        if options:
            call.extra().options = dict(options)
        call.outcome = NOT_ACCEPTED
        try:
            for number in lane.numbers:
                break
            call.number, call.outcome = call.number if unique else number, None
            self._here.run(call, final=True)
        except BaseException:
            left = lane.left
            left += ((self._interrupted, (call,), 0),)
            lane.moves.repair()
            raise
        return call

    @staticmethod
    def outcome(call: Handle[Any]) -> Any:
        """Return or raise what a job gave that has just been run here."""
        if call.state is FAILED:
            exc = handed_over(call)
            try:
                raise exc
            finally:
                del exc, call  # the exception holds this frame
        return call.result(0)
