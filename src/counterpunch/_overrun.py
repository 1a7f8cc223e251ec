"""The soft time limit: a job past its ``timeout`` is told to stop, and reported.

Nothing is injected into the thread: an exception out of nowhere could come between any
two lines of a transaction. The job's cancel token is set; the report shows where it is.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ._hooks import report
from ._scheduler import Timer
from ._stacks import whole_stack_of
from ._status import RUNNING

if TYPE_CHECKING:
    from ._runtime import Runtime
    from .handle import Handle

__all__ = ["watch_for_overrun"]


def watch_for_overrun(runtime: Runtime, call: Handle[Any], timeout: float, now: float) -> Timer:
    """Look at a job that is about to start again in ``timeout`` seconds."""
    attempt = call.attempt + 1

    def look() -> None:
        if call._state is not RUNNING or call.attempt != attempt:
            return
        stack = whole_stack_of(runtime, call)  # first: a job that sees its token moves on
        runtime.overrun(call, attempt)
        message = "%s %s attempt %d has been running for more than timeout=%g s\n%s"
        name = call.job.__qualname__
        extra = {"job_id": call.id, "job": name, "attempt": attempt}
        report(logging.WARNING, message, name, call.id, attempt, timeout, stack, extra=extra)

    timer = Timer(look)
    runtime.scheduler.add(timer, now + timeout)
    return timer
