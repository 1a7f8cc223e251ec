"""Runs one attempt of one job on whatever thread it is given, and says how it ended.

``execute`` is what a worker calls. ``attempt`` is the inside of it: the user's code, the
hooks and the decision to retry, all in the job's own context variables. Whatever the user's
code raises, ``SystemExit`` and ``KeyboardInterrupt`` included, ends the attempt and no more.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import TYPE_CHECKING, Any, NoReturn

from ._arguments import shown_arguments
from ._current import current, current_batch
from ._failure import asyncio_cancelled, error_text, forget_frames, one_line
from ._hooks import enter_around, logger, process, report, safely
from ._status import CANCELLED, DISCARDED, FAILED, RETRYING, RUNNING, SUCCEEDED, Status
from ._timings import FOLD_MASK
from .errors import Cancelled, Discard
from .handle import Handle

if TYPE_CHECKING:
    from ._lane import Lane

__all__ = [
    "Abandon",
    "admitted",
    "attempt",
    "attempt_async",
    "broken",
    "conclude",
    "execute",
    "execute_plain",
    "perform",
]

#: Bound once: from 3.12 on a method of an imported object is looked up anew at each call.
_set_current = current.set

Turn = tuple[str, Callable[..., Any], tuple[Any, ...]]


class Abandon(SystemExit):
    """Raised in the thread of a job that is still running when the process leaves.

    A daemon thread that holds the lock of a buffered stream at that moment would make
    CPython abort; see the drain. Nothing else ever raises it.
    """


def execute(call: Handle[Any], worker: bool, final: bool = False) -> None:
    """Run one attempt of a job that the caller has taken out of its container.

    Args:
        call: The job.
        worker: True on a worker's thread, False on the thread of whoever enqueued it.
        final: No retry follows, whatever the policy says.
    """
    lane = call._lane
    if not admitted(call, lane, final):
        return
    context = call._context
    if context is None:
        context = Context()  # the caller's was empty, or the class wants a fresh one
    try:
        status = context.run(attempt, call, lane, worker, final)
    except BaseException as exc:  # not the user's code, which attempt() has caught
        status = broken(call, exc)
    lane.runtime.settle(call, status)


def execute_plain(call: Handle[Any], lane: Lane) -> None:
    """``execute`` on a worker's thread, written out in full for a job that needs no more.

    That is a job of a class with a ``bare`` plan, with nothing of its own (``_more``), while
    there is no ``around_perform`` and nobody logs successes. Most jobs are, and half of
    what a no-op job costs in ``execute`` are its calls of Python functions. A failure goes
    the long way from where it was raised.
    """
    running = lane.running
    call.attempt = 1  # an earlier attempt would have left something in _more
    call._started = started = lane.monotonic()
    call._state = RUNNING
    running.add(call)  # last: from here on the drain may end it
    if lane.halted and lane.runtime.turned_away(call, taken=True):
        return  # the drain ended, or the class was paused, after it left the queue
    lane.starts()
    context = call._context
    if context is None:
        context = Context()  # the caller's was empty
    runtime = lane.runtime
    try:
        call._outcome = context.run(perform, call, lane)
    except BaseException as failure:
        if not lane.here[0]:
            _leave_forked_child(failure)
        try:
            status = context.run(conclude, call, lane, None, None, failure, False)
        except BaseException as exc:
            status = broken(call, exc)
        runtime.settle(call, status)
        return
    if not lane.here[0]:
        _leave_forked_child(None)
    if call._more is None:
        try:
            running.remove(call)
        except KeyError:
            return  # the drain gave it up as lost; that was its one ending
        call._context = None
        call._finished = now = lane.monotonic()
        timings = lane.timings
        if now >= timings.tick:
            timings.sample(now)
        timings.note((started - call._due, now - started))
        if not lane.succeeds() & FOLD_MASK:
            timings.durations.fold()
        call._state = SUCCEEDED
        if runtime.cancels:
            runtime.cancels.discard(call)
        runtime.history.append(call)
        if now >= runtime._look_back:
            runtime._forget_old(now)
        if runtime.watchers:
            watchers = runtime.watchers.pop(call, None)
            if watchers is not None:
                runtime._tell(call, watchers)
    else:  # it reported progress or stored data
        runtime.settle(call, SUCCEEDED)


def perform(call: Handle[Any], lane: Lane) -> Any:
    """The user's code of a plain job, inside the job's context."""
    _set_current(call)
    job: Any = lane.job()
    job.handle = call
    if call._kwargs:
        return job.perform(*call.args, **call._kwargs)
    return job.perform(*call.args)  # without a dict for the call, a fiftieth of the whole


def admitted(call: Handle[Any], lane: Lane, forced: bool = False) -> bool:
    """Mark the job as running; False if it is not to start after all.

    ``forced`` leaves out the questions of expiry and rate: the caller wants it run now.
    """
    if lane.plan.guarded or call._more is not None:
        if forced:
            lane.runtime.arm_timeout(call, lane.monotonic())
        elif not lane.runtime.may_start(call):
            return False
    call.attempt += 1
    call._started = lane.monotonic()
    call._state = RUNNING
    lane.running.add(call)  # last: from here on the drain may end it
    if lane.halted and lane.runtime.turned_away(call, taken=True):
        return False  # the drain ended, or the class was paused, after it left the queue
    lane.starts()
    return True


def attempt(call: Handle[Any], lane: Lane, worker: bool, final: bool) -> Status:
    """One attempt with its hooks, inside the job's context. Returns the status that follows."""
    _begin(call)
    plan = lane.plan
    job: Any = None
    value = failure = None
    try:
        job = lane.job()
        job.handle = call
        if process.around_perform:
            with contextlib.ExitStack() as stack:
                for around in process.around_perform:
                    enter_around(stack, "around_perform", around, call)
                if plan.before:
                    job.before()
                value = job.perform(*call.args, **call._kwargs)
        else:
            if plan.before:
                job.before()
            value = job.perform(*call.args, **call._kwargs)
    except BaseException as exc:
        failure = exc
    if worker and not lane.here[0]:
        _leave_forked_child(failure)
    try:
        return conclude(call, lane, job, value, failure, final)
    finally:
        del failure  # in perform_now it goes on with its frames, of which this is one


def _begin(call: Handle[Any]) -> None:
    """Inside the job's context: say whose it is."""
    current.set(call)
    if call._more is not None and call._more.in_batch:
        current_batch.set(None)  # the job belongs to the batch, what it enqueues does not
    _log(logging.DEBUG, call, "started")


def conclude(
    call: Handle[Any], lane: Lane, job: Any, value: Any, failure: BaseException | None, final: bool
) -> Status:
    """What follows from an attempt, inside the job's context: the record, the log, the hooks.

    Returns the status that follows.
    """
    status = _judge(call, lane, value, failure, final)
    if lane.plan.hooked or failure is not None:
        with _around_hooks(call):
            for turn in _turns(call, lane, job, status, value, failure):
                safely(turn[0], call, turn[1], *turn[2])
        if failure is not None:
            forget_frames(failure, final or lane.runtime.keep_frames)
    return status


async def attempt_async(call: Handle[Any], lane: Lane, final: bool = False) -> Status:
    """``attempt`` for an ``async def perform``; hooks may be coroutine functions as well."""
    _begin(call)
    plan = lane.plan
    job: Any = None
    value = failure = None
    try:
        job = lane.job()
        job.handle = call
        with contextlib.ExitStack() as stack:
            for around in process.around_perform:
                enter_around(stack, "around_perform", around, call)
            if plan.before:
                await _finished(job.before())
            value = await job.perform(*call.args, **call._kwargs)
    except BaseException as exc:
        failure = exc
    status = _judge(call, lane, value, failure, final)
    with _around_hooks(call):
        for name, fn, args in _turns(call, lane, job, status, value, failure):
            try:
                await _finished(fn(*args))
            except BaseException as exc:
                safely(name, call, _raiser(exc))
    if failure is not None:
        forget_frames(failure, final or lane.runtime.keep_frames)
        del failure  # as in ``attempt``
    return status


@contextlib.contextmanager
def _around_hooks(call: Handle[Any]) -> Iterator[None]:
    """What integrations put around hooks. Their failures are logged; the hooks run anyway."""
    if not process.around_hooks:
        yield
        return
    stack = contextlib.ExitStack()
    for around in process.around_hooks:
        safely("around_hooks", call, lambda around=around: stack.enter_context(around(call)))
    yield
    safely("around_hooks", call, stack.close)


async def _finished(value: Any) -> None:
    if hasattr(value, "__await__"):
        await value


def _raiser(exc: BaseException) -> Callable[[], NoReturn]:
    def again() -> NoReturn:
        raise exc

    return again


def _judge(
    call: Handle[Any], lane: Lane, value: Any, exc: BaseException | None, final: bool
) -> Status:
    """What follows from how an attempt went: recorded on the job, logged, and returned."""
    if exc is None:
        call._outcome = value
        if logger.isEnabledFor(logging.INFO):
            seconds = lane.monotonic() - (call._started or 0.0)
            _log(logging.INFO, call, "succeeded in %.3g s", seconds)
        return SUCCEEDED
    more = call._extra()
    if isinstance(exc, Abandon):
        return CANCELLED  # the drain has already reported the job as lost
    if isinstance(exc, (Discard, *call._option("discard_on"))):
        more.reason = one_line(exc)
        _log(logging.INFO, call, "was discarded: %s", more.reason)
        return DISCARDED
    if isinstance(exc, (Cancelled, asyncio_cancelled())) and lane.runtime.cancel_requested(call):
        more.reason = "stopped at its own check of the cancel token"
        _log(logging.INFO, call, "was cancelled")
        return CANCELLED
    more.error = error_text(exc)
    more.exception = exc
    delay = None if final else _retry_delay(call, lane, exc)
    if delay is None:
        _log(logging.ERROR, call, "failed: %s", one_line(exc), exc_info=exc)
        call._outcome = exc
        return FAILED
    _log(logging.WARNING, call, "failed, next in %.3g s: %s", delay, one_line(exc), exc_info=exc)
    now = lane.monotonic()
    lane.timings.retried(call, now)
    more.when = None
    call._due = now + delay
    return RETRYING


def _turns(
    call: Handle[Any],
    lane: Lane,
    job: Any,
    status: Status,
    value: Any,
    failure: BaseException | None,
) -> Iterator[Turn]:
    """Whose turn it is after an attempt, in order. Each runs whatever the others do."""
    plan = lane.plan
    if isinstance(failure, Abandon):
        return
    if job is None and plan.hooked:
        job = _without_init(call, lane)
    failed = status is FAILED or status is RETRYING
    if job is not None:
        if status is SUCCEEDED and plan.on_success:
            yield "on_success", job.on_success, (value,)
        if failed and plan.on_error:
            yield "on_error", job.on_error, (failure,)
        if status is FAILED and plan.on_failure:
            yield "on_failure", job.on_failure, (failure,)
        if plan.after:
            yield "after", job.after, ()
    if failed:
        for handler in process.on_error:
            yield "an on_error handler", handler, (failure, call, status is RETRYING)


def _without_init(call: Handle[Any], lane: Lane) -> Any:
    """An instance of a class whose own could not be made: its hooks still hear of it. None if
    a base, such as ``dict``, does not allow that."""
    try:
        job: Any = object.__new__(lane.job)
        job.handle = call
    except Exception as exc:
        report(logging.ERROR, "%r: there is no instance to call hooks on: %s", call, exc)
        return None
    return job


def _retry_delay(call: Handle[Any], lane: Lane, exc: BaseException) -> float | None:
    """Seconds until the next attempt, or None to give up."""
    policy = call._option("retry")
    if policy is None:
        return None
    more = call._extra()
    if more.first_started is None:
        more.first_started = call._started
    spent = policy.budget is not None and lane.over_budget(policy.budget)
    if spent and policy.wants(call.attempt, exc):
        _log(logging.ERROR, call, "is not retried: the class's retry budget is used up")
        return None
    elapsed = lane.monotonic() - (more.first_started or 0.0)
    try:
        delay: float | None = policy.next_delay(call.attempt, exc, elapsed, lane.runtime.random)
    except BaseException as broken:
        _log(logging.ERROR, call, "Retry.delay raised %s; the formula is used", one_line(broken))
        fallback: float = policy.formula(call.attempt, lane.runtime.random)
        if policy.max_elapsed is not None and elapsed + fallback > policy.max_elapsed:
            return None
        delay = fallback
    if delay is not None and policy.budget is not None:
        lane.recent.append(True)
    return delay


def broken(call: Handle[Any], exc: BaseException) -> Status:
    """An exception that is not the user's: the job still ends, and it is said."""
    if not isinstance(exc, Abandon):
        report(logging.ERROR, "%r: the runtime itself failed", call, exc_info=exc)
        call._extra().error = error_text(exc)
        call._outcome = exc
        forget_frames(exc)
        return FAILED
    return CANCELLED


def _leave_forked_child(failure: BaseException | None) -> NoReturn:
    """End a child process that a job forked and that came back from ``perform``.

    Going on would make it a second pool that works through a copy of the queue. The jobs it
    has enqueued itself are drained as at any other exit.
    """
    from ._lifecycle import _at_exit  # late: it imports this module

    status = 0 if failure is None else 1
    if isinstance(failure, SystemExit):
        code = failure.code
        status = code if isinstance(code, int) else (0 if code is None else 1)
    elif failure is not None:
        report(logging.ERROR, "a child process that a job forked failed", exc_info=failure)
    _at_exit()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(status)


def _log(level: int, call: Handle[Any], message: str, *args: object, **kwargs: Any) -> None:
    if not logger.isEnabledFor(level):
        return
    arguments = shown_arguments(call) or ""
    head = "%s(%s) %s attempt %d "
    name = call.job.__qualname__
    extra = {"job_id": call.id, "job": name, "attempt": call.attempt}
    report(
        level, head + message, name, arguments, call.id, call.attempt, *args, extra=extra, **kwargs
    )
