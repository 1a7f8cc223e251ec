"""How an attempt went, and what follows: recorded on the job, logged, and said as a status."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from ..places.lane import Lane
from ..values.advice import advice
from ..values.arguments import shown_arguments
from ..values.error_text import error_text, one_line
from ..values.errors import Cancelled, Discard
from ..values.failure import asyncio_cancelled, forget_frames
from ..values.handle import Call
from ..values.hooks import logger, report
from ..values.matching import is_a, leaves, matches
from ..values.short import clean
from ..values.status import CANCELLED, DISCARDED, FAILED, RETRYING, SUCCEEDED, Status
from ..values.twin import without_frames

__all__ = ["Abandon", "at_end_of_child", "broken", "forked_child_left", "judge", "log", "remember"]


class Abandon(SystemExit):
    """Raised in the thread of a job that is still running when the process leaves.

    A daemon thread that holds the lock of a buffered stream at that moment would make
    CPython abort; see the drain. Nothing else ever raises it.
    """


def judge(call: Call, lane: Lane, value: Any, exc: BaseException | None, final: bool) -> Status:
    """What follows from how an attempt went: recorded on the job, logged, and returned."""
    if exc is None:
        call.outcome = value
        if logger.isEnabledFor(logging.INFO):
            seconds = lane.monotonic() - (call.started or 0.0)
            log(logging.INFO, call, "succeeded in %.3g s", seconds)
        return SUCCEEDED
    more = call.extra()
    if is_a(exc, Abandon):
        return CANCELLED  # the drain has already reported the job as lost
    if matches(exc, drops := (Discard, *call.option("discard_on"))):
        more.reason = one_line(exc if is_a(exc, drops) else next(leaves(exc)))
        log(logging.INFO, call, "was discarded: %s", more.reason)
        return DISCARDED
    if matches(exc, (Cancelled, asyncio_cancelled())) and _stopped(call, lane, exc, final):
        more.reason = "stopped at its own check of the cancel token"
        log(logging.INFO, call, "was cancelled")
        return CANCELLED
    more.error = error_text(exc)
    more.exception = exc
    delay = None if final else _retry_delay(call, lane, exc)
    text, hint = one_line(exc), advice(exc, (call.started or 0.0) - call.enqueued)
    if delay is None:
        log(logging.ERROR, call, "failed: %s%s", text, hint, exc_info=exc)
        call.outcome = exc
        return FAILED
    log(logging.WARNING, call, "failed, next in %.3g s: %s%s", delay, text, hint, exc_info=exc)
    now = lane.monotonic()
    lane.timings.retried(call, now)
    more.when = None
    call.due = now + delay
    return RETRYING


def _stopped(call: Call, lane: Lane, exc: BaseException, final: bool) -> bool:
    """True if the job ends because it was told to stop. By ``timeout`` only this attempt ends, if
    the job is one that is tried again."""
    if call in lane.tokens.cancels or call not in lane.tokens.overruns:
        return call in lane.tokens.cancels
    policy = call.option("retry")
    return final or policy is None or not policy.covers(exc)


def _retry_delay(call: Call, lane: Lane, exc: BaseException) -> float | None:
    """Seconds until the next attempt, or None to give up."""
    policy = call.option("retry")
    if policy is None:
        return None
    more = call.extra()
    if more.first_started is None:
        more.first_started = call.started
    spent = policy.budget is not None and lane.over_budget(policy.budget)
    if spent and policy.wants(call.attempt, exc):
        log(logging.ERROR, call, "is not retried: the class's retry budget is used up")
        return None
    elapsed = lane.monotonic() - (more.first_started or 0.0)
    try:
        delay: float | None = policy.next_delay(call.attempt, exc, elapsed, lane.chance)
    except BaseException as wrong:
        log(logging.ERROR, call, "Retry.delay raised %s; the formula is used", one_line(wrong))
        fallback: float = policy.formula(call.attempt, lane.chance)
        if policy.max_elapsed is not None and elapsed + fallback > policy.max_elapsed:
            return None
        delay = fallback
    if delay is not None and policy.budget is not None:
        lane.recent.append((lane.monotonic(), True))
    return delay


def broken(call: Call, exc: BaseException) -> Status:
    """An exception that is not the user's: the job still ends, and it is said."""
    if not is_a(exc, Abandon):
        report(logging.ERROR, "%r: the runtime itself failed", call, exc_info=exc)
        call.extra().error = error_text(exc)
        call.outcome = exc
        with contextlib.suppress(Exception):  # it may be this very step that has failed
            remember(call, exc, None)
        return FAILED
    return CANCELLED


def remember(call: Call, exc: BaseException, handled: BaseException | None) -> None:
    """An exception has been seen by all who are told of it: of those that the job keeps, a copy
    without frames takes the place."""
    more = call.extra()
    if call.outcome is exc or more.exception is exc:
        twin = without_frames(exc, handled)
        call.outcome = twin if call.outcome is exc else call.outcome
        more.exception = twin
    forget_frames(exc, handled)


#: What ends a process as its interpreter does; ``process`` says how.
at_end_of_child: list[Callable[[], object]] = []


def forked_child_left(failure: BaseException | None) -> NoReturn:
    """End a child process that a job forked and that came back from ``perform``.

    Going on would make it a second pool that works through a copy of the queue. The jobs it
    has enqueued itself are drained as at any other exit.
    """
    status = 0 if failure is None else 1
    if is_a(failure, SystemExit):
        code = failure.code
        status = code if isinstance(code, int) else (0 if code is None else 1)
    elif failure is not None:
        report(logging.ERROR, "a child process that a job forked failed", exc_info=failure)
    for end in at_end_of_child:
        end()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(status)


def log(level: int, call: Call, message: str, *args: object, **kwargs: Any) -> None:
    """A record about a job: its class, arguments, id and attempt, then the message."""
    if not logger.isEnabledFor(level):
        return
    arguments = shown_arguments(call) or ""
    head = "%s(%s) %s attempt %d "
    name = clean(call.job.__qualname__)
    extra = {"job_id": call.id, "job": name, "attempt": call.attempt}
    report(
        level, head + message, name, arguments, call.id, call.attempt, *args, extra=extra, **kwargs
    )
