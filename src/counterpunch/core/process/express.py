"""The hot path of an enqueue: ``perform_async`` and ``perform_in``, made for each class.

Most enqueues need nothing but this: check the arguments, look at the bound, build the
handle, append it, wake a worker. That is written out here in full, because a call of a
Python function costs a tenth of the whole. Whenever anything else has to be looked at, the
class's gate is closed and the call goes to ``Admission``, which does the same and
the rest. The other end, a worker that runs such a job, is ``attempt.execute_plain``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..places.lane import Gate
from ..values.handle import Handle
from ..values.hooks import process
from ..values.per_call import misfit
from ..values.plan import Plan
from ..values.record import NO_KWARGS
from ..values.stage import OPEN
from ..values.status import QUEUED, SCHEDULED
from ..values.times import due_in
from .in_force import accepting

__all__ = ["express_async", "express_in"]

#: Seconds. A longer delay takes the long path, which knows what to say of the absurd.
_FAR = 1e9

_ASYNC_DOC = """Enqueue a job and return its handle, at once.

Takes perform's own arguments. Blocks only with ``overflow="block"``.

Raises:
    TypeError: If the arguments do not fit ``perform``.
    QueueFull: If ``max_jobs`` wait already and the class's overflow policy says so.
    ShuttingDown: From outside a job, once the process began to stop.
    BackendError: On an engine (``backend``), if its broker does not take the job in time.
    NotSupported, InvalidOption: On an engine, for what it cannot do.
"""

_IN_DOC = """Enqueue a job that is due in ``delay`` seconds (or a ``timedelta``).

It never starts early. Raises as ``perform_async``, and ``InvalidOption`` (a ``ValueError``)
for a delay that is negative, NaN or infinite.
"""


def express_async(cls: Any, gate: Gate, plan: Plan) -> Callable[..., Handle[Any]]:
    """``perform_async`` of one class."""
    check, usual = plan.check, plan.most

    def perform_async(*args: Any, **kwargs: Any) -> Handle[Any]:
        lane = gate.lane
        # A C extension's fork (uWSGI's) calls no Python hook, hence the second look.
        if lane is None or not lane.here[0] or len(lane.queue) >= lane.max_jobs:
            return accepting().enqueue(cls, args, kwargs)
        if kwargs:
            try:
                check(*args, **kwargs)  # type: ignore[misc]  # a class with an open gate has one
            except TypeError as exc:
                raise misfit(exc, cls.__qualname__) from None
        else:
            kwargs = NO_KWARGS
            if len(args) != usual:
                check(*args)  # type: ignore[misc]
        call: Handle[Any] = Handle()
        call.lane = lane
        call.args = args
        call.named = kwargs
        call.context = process.copy_context() or None  # an empty one is not worth its memory
        call.enqueued = call.due = lane.monotonic()
        call.state = QUEUED
        call.attempt = 0
        call.started = call.finished = call.outcome = call.more = None
        try:
            for call.number in lane.numbers:  # in one breath: accepted and queued, see ``record``
                break
            lane.queue.append(call)
            if lane.sleepers:
                if len(lane.parked) <= len(lane.sleepers):  # this is Parking.nudge()
                    try:
                        lane.wake_one()
                    except IndexError:
                        pass
            elif lane.vacancies:
                lane.pool.start_worker()
            if lane.paused or lane.stopped:  # in between, by who may not have seen it
                lane.moves.turned_away(call)
        except BaseException:
            left = lane.left
            left += ((lane.moves.interrupted, (call,), 0),)
            lane.moves.repair()
            raise
        return call

    return _named(perform_async, cls, _ASYNC_DOC)


def express_in(cls: Any, gate: Gate, plan: Plan) -> Callable[..., Handle[Any]]:
    """``perform_in`` of one class."""
    check, usual = plan.check, plan.most

    def perform_in(delay: Any, /, *args: Any, **kwargs: Any) -> Handle[Any]:
        lane = gate.lane
        # due_in() answers whatever is not a plain number.
        if (
            lane is None
            or not lane.here[0]
            or (type(delay) is not float and type(delay) is not int)
            or not 0.0 < delay < _FAR
        ):
            options = {"delay": due_in(f"{cls.__qualname__}.perform_in", delay)}
            return accepting().enqueue(cls, args, kwargs, options)
        if kwargs:
            try:
                check(*args, **kwargs)  # type: ignore[misc]  # as above
            except TypeError as exc:
                raise misfit(exc, cls.__qualname__) from None
        else:
            kwargs = NO_KWARGS
            if len(args) != usual:
                check(*args)  # type: ignore[misc]
        call: Handle[Any] = Handle()
        call.lane = lane
        call.args = args
        call.named = kwargs
        call.context = process.copy_context() or None
        call.enqueued = now = lane.monotonic()
        call.due = due = now + delay
        call.state = SCHEDULED
        call.attempt = 0
        call.started = call.finished = call.outcome = call.more = None
        scheduler = lane.scheduler
        try:
            for call.number in lane.numbers:  # as above
                break
            lane.scheduled[call] = None
            scheduler.inbox.append(call)
            if due < scheduler.next_look:
                scheduler.hurry()
            if lane.stage.phase is not OPEN:  # the stop began in between
                lane.moves.settle_delayed(call)
        except BaseException:
            left = lane.left
            left += ((lane.moves.interrupted, (call,), 0),)
            lane.moves.repair()
            raise
        return call

    return _named(perform_in, cls, _IN_DOC)


def _named(function: Any, cls: Any, doc: str) -> Callable[..., Handle[Any]]:
    function.__qualname__ = f"{cls.__qualname__}.{function.__name__}"
    function.__doc__ = doc
    function.counterpunch_express = True  # a subclass gets one of its own
    return function  # type: ignore[no-any-return]
