"""The soft time limit: a job past its ``timeout`` is told to stop, and reported.

Nothing is injected into the thread: an exception out of nowhere could come between any
two lines of a transaction. The job's cancel token is set; the report shows where it is.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import TYPE_CHECKING, Any

from ._hooks import report
from ._scheduler import Timer
from .handle import RUNNING

if TYPE_CHECKING:
    from ._runtime import Runtime
    from .handle import Handle

__all__ = ["stack_of", "watch_for_overrun"]


def watch_for_overrun(runtime: Runtime, call: Handle[Any], timeout: float, now: float) -> Timer:
    """Look at a job that is about to start again in ``timeout`` seconds."""
    attempt = call.attempt + 1

    def look() -> None:
        if call._state is not RUNNING or call.attempt != attempt:
            return
        runtime.overrun(call)
        message = "%s %s attempt %d has been running for more than timeout=%g s\n%s"
        name = call.job.__qualname__
        extra = {"job_id": call.id, "job": name, "attempt": attempt}
        stack = stack_of(runtime, call)
        report(logging.WARNING, message, name, call.id, attempt, timeout, stack, extra=extra)

    timer = Timer(look)
    runtime.scheduler.add(timer, now + timeout)
    return timer


def stack_of(runtime: Runtime, call: Handle[Any]) -> str:
    """Where a running job is, as text; what it is not running on a worker is not known."""
    coroutine = runtime.coroutine_of(call) if call._lane.plan.is_async else None
    if coroutine is not None and not coroutine.cr_running:
        return _await_chain(coroutine)
    for worker in list(call._lane.home(call).workers):
        if worker.call is call and worker.ident is not None:
            frame = sys._current_frames().get(worker.ident)
            if frame is not None:
                return "".join(traceback.format_stack(frame))
    return "(no worker thread of its own)"


def _await_chain(coroutine: Any) -> str:
    """Where a coroutine waits, down to the innermost one; asyncio shows the outermost only."""
    frames = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None:
            frames.append((frame, frame.f_lineno))
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return "".join(traceback.StackSummary.extract(iter(frames)).format())
