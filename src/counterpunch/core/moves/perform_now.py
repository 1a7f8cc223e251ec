"""``perform_now``: one attempt on the caller's thread, through the whole pipeline."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ..places.lane import Lane
from ..values.handle import Handle, new_handle
from ..values.hooks import context_for
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

    def perform_now(
        self,
        job: type,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: dict[str, Any] | None = None,
    ) -> Any:
        """Run one attempt on this thread; return or raise what it gives."""
        lane: Lane = self._registry.lane(job)
        self._room.refuse_late(lane)
        if lane.plan.check is None:
            raise TypeError(f"{job.__qualname__} cannot be run: {lane.plan.lacks}")
        lane.plan.check(*args, **kwargs)
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
        if call.state is FAILED:
            exc: BaseException = call.outcome
            frames = exc.__traceback__
            call.outcome = _detached(exc)  # the history must not keep the caller's frames
            try:
                raise exc.with_traceback(frames)
            finally:
                del exc, frames, call  # the exception holds this frame
        return call.result(0)


def _detached(exc: BaseException) -> BaseException:
    """A copy of an exception that does not collect the frames it is raised through; where
    none can be made that says the same, the exception itself."""
    # A constructor that wants other arguments than it keeps refuses them, or makes something
    # else of them; without it an OSError cannot be made.
    for make in (copy.copy, _without_init):
        try:
            twin = make(exc)
            same = twin.args == exc.args and str(twin) == str(exc)
        except Exception:
            continue
        if type(twin) is type(exc) and same is True:
            twin.__cause__, twin.__context__ = exc.__cause__, exc.__context__
            twin.__suppress_context__ = exc.__suppress_context__
            return twin.with_traceback(None)
    return exc


def _without_init(exc: BaseException) -> BaseException:
    twin = BaseException.__new__(type(exc), *exc.args)
    vars(twin).update(vars(exc))
    return twin
