"""Whose turn it is after an attempt: the job's hooks, then the ``on_error`` handlers."""

# No "from __future__ import annotations" here: see ``values.counts``.

import contextlib
import logging
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

from ..places.lane import Lane
from ..values.errors import CounterpunchError, interrupts
from ..values.handle import Call
from ..values.hooks import complain, process, report, safely
from ..values.matching import is_a
from ..values.status import FAILED, RETRYING, SUCCEEDED, Status
from .outcome import Abandon, log, remember

__all__ = ["Interrupted", "Turn", "give_up", "turns"]


class Turn(NamedTuple):
    """What the hooks are told."""

    status: Status
    value: Any
    failure: BaseException | None
    #: What the caller of the job was handling as the attempt began.
    handled: BaseException | None = None
    #: The last attempt had its turns before; what is told now is that no other follows.
    late: bool = False


_NOTHING: Any = contextlib.nullcontext()


class Interrupted(BaseException):
    """A Ctrl-C during somebody's turn: raised at the caller's, once the job is settled."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status = status


def turns(call: Call, lane: Lane, job: Any, told: Turn, final: bool) -> Generator[Any, Any, None]:
    """Give everybody their turn, inside the job's context. Each has it whatever the others do;
    yields what each gave, so that a coroutine can be awaited."""
    if told.failure is None and not lane.plan.hooked:
        return
    late = None
    with _around_hooks(call) if process.around_hooks else _NOTHING:
        for name, fn, args in _in_order(call, lane, job, told):
            try:
                yield fn(*args)
            except BaseException as exc:
                if is_a(exc, KeyboardInterrupt) and interrupts(exc):
                    late = exc  # the caller's, once everybody had his turn
                complain(name, call, exc)
    if told.failure is not None and not (
        told.status is FAILED and (final or not lane.stage.threads)  # it is about to be raised
    ):
        remember(call, told.failure, told.handled)
    if late is not None:
        raise Interrupted(told.status) from late


def _in_order(
    call: Call, lane: Lane, job: Any, told: Turn
) -> Iterator[tuple[str, Callable[..., Any], tuple[Any, ...]]]:
    plan, status, failure = lane.plan, told.status, told.failure
    if is_a(failure, Abandon):
        return
    if job is None and plan.hooked:
        job = _without_init(call, lane)
    failed = status is FAILED or status is RETRYING
    if job is not None:
        if status is SUCCEEDED and plan.on_success:
            yield "on_success", job.on_success, (told.value,)
        if failed and plan.on_error and not told.late:
            yield "on_error", job.on_error, (failure,)
        if status is FAILED and plan.on_failure:
            yield "on_failure", job.on_failure, (failure,)
        if plan.after and not told.late:
            yield "after", job.after, ()
    if failed:
        for handler in process.on_error:
            yield "an on_error handler", handler, (failure, call, status is RETRYING)


def give_up(call: Call, lane: Lane) -> Generator[Any, Any, Status]:
    """In place of an attempt that would begin later than ``Retry.max_elapsed`` allows."""
    limit = call.option("retry").max_elapsed
    text = f"no attempt begins later than max_elapsed={limit:g} s after the first"
    log(logging.ERROR, call, "failed: %s", text)
    # On an engine an earlier attempt may have failed in another process.
    failure = call.extra().exception or CounterpunchError(text)
    call.outcome = failure
    yield from turns(call, lane, None, Turn(FAILED, None, failure, late=True), False)
    return FAILED


@contextlib.contextmanager
def _around_hooks(call: Call) -> Iterator[None]:
    """What integrations put around hooks. Their failures are logged; the hooks run anyway."""
    stack = contextlib.ExitStack()
    for around in process.around_hooks:
        safely("around_hooks", call, lambda around=around: stack.enter_context(around(call)))
    yield
    safely("around_hooks", call, stack.close)


def _without_init(call: Call, lane: Lane) -> Any:
    """An instance of a class whose own could not be made: its hooks still hear of it. None if
    a base, such as ``dict``, does not allow that."""
    try:
        job: Any = object.__new__(lane.job)
        object.__setattr__(job, "handle", call)
    except Exception as exc:
        report(logging.ERROR, "%r: there is no instance to call hooks on: %s", call, exc)
        return None
    return job
