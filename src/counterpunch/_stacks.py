"""Where jobs are right now, as text. Nothing of a frame's values is shown."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from ._execution import attempt, attempt_async, perform

if TYPE_CHECKING:
    from ._pool import Worker
    from ._runtime import Runtime
    from .handle import Handle

__all__ = ["describe", "stack_of", "text_of", "whole_stack_of"]

Frames = Mapping[int, FrameType]
Summary = list[traceback.FrameSummary]

#: The functions that call a job's ``perform``: what lies below them is the same for all.
_CALLERS = {
    (each.__code__.co_filename, each.__name__) for each in (attempt, attempt_async, perform)
}


def describe(runtime: Runtime, workers: Iterable[Worker], now: float) -> list[str]:
    """A block of text per worker, by name: the job it is at, and its whole stack."""
    frames = sys._current_frames()
    blocks = []
    for worker in sorted(workers, key=lambda worker: worker.name):
        call = worker.call
        if call is None:
            is_task = worker.ident in runtime.loop_threads()
            stack = "" if is_task else text_of(_whole(frames.get(worker.ident or 0)))
            blocks.append(f"{worker.name}: idle\n{stack}")
            continue
        since = "" if call._started is None else f" for {now - call._started:.3g} s"
        head = f"{worker.name}: {call.job.__qualname__} {call.id} attempt {call.attempt}{since}\n"
        blocks.append(head + text_of(_of(runtime, call, worker.ident, frames)))
    return blocks


def whole_stack_of(runtime: Runtime, call: Handle[Any]) -> str:
    """The stack of the thread, or the chain of awaits, that a running job is on."""
    frames = sys._current_frames()
    for worker in list(call._lane.home(call).workers):
        if worker.call is call:
            return text_of(_of(runtime, call, worker.ident, frames))
    for ident, calls in list(runtime.here_runs.items()):
        if call in calls:  # on the thread of whoever enqueued it, or of an engine's worker
            summary = _of(runtime, call, ident, frames)
            return text_of(_from_perform(summary) if call._foreign else summary)
    return "  (no thread of its own)\n"


def stack_of(runtime: Runtime, call: Handle[Any], worker: Worker, frames: Frames) -> str:
    """The same from the job's own first frame on."""
    return text_of(_from_perform(_of(runtime, call, worker.ident, frames)))


def _from_perform(summary: Summary) -> Summary:
    for index, line in enumerate(summary):
        if (line.filename, line.name) in _CALLERS:
            return summary[index + 1 :] or summary[index:]
    return summary


def text_of(summary: Summary) -> str:
    """As a traceback prints it."""
    return "".join(traceback.format_list(summary)) or "  (no stack)\n"


def _of(runtime: Runtime, call: Handle[Any], ident: int | None, frames: Frames) -> Summary:
    if call._lane.plan.is_async:
        coroutine = runtime.coroutine_of(call)
        if coroutine is None:
            return []  # its task is on its way
        if not coroutine.cr_running:
            return _await_chain(coroutine)
        if call not in runtime.here_coroutines:
            ident = next(iter(runtime.loop_threads()), None)
    return _whole(frames.get(ident or 0))


def _whole(frame: FrameType | None) -> Summary:
    return [] if frame is None else list(traceback.extract_stack(frame))


def _await_chain(coroutine: Any) -> Summary:
    """Where a coroutine waits, down to the innermost one; asyncio shows the outermost only."""
    frames = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None:
            frames.append((frame, frame.f_lineno))
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return list(traceback.StackSummary.extract(iter(frames)))
