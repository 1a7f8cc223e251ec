"""Where jobs are right now, as text. Nothing of a frame's values is shown.

The frame of the one who asks is among those of all threads, and so there is a circle: it is
cleared before that one returns, or all threads' locals would live on until a full collection.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import Any

from ..places.backlog import Worker
from ..places.steps import entries
from ..values.handle import Call
from ..values.interpreter import frames as frames_now
from ..values.short import clean
from ..values.unfinished import finished
from .attempt import perform, run_async, steps
from .deadlock import Waits

__all__ = ["Stacks"]

Frames = Mapping[int, FrameType]
Summary = list[traceback.FrameSummary]

#: The functions that call a job's ``perform``: what lies below them is the same for all.
_CALLERS = {
    (each.__code__.co_filename, each.__name__) for each in (steps, run_async, perform, finished)
}


class Stacks:
    """The stacks of one process's jobs and workers."""

    def __init__(self, waits: Waits) -> None:
        self._waits = waits
        self._here, self._loops = waits.here, waits.loops

    def describe(self, workers: Iterable[Worker], now: float) -> list[str]:
        """A block of text per worker, by name: the job it is at, and its whole stack."""
        frames = frames_now()
        try:
            ordered = sorted(workers, key=lambda worker: worker.name)
            return [self._described(worker, now, frames) for worker in ordered]
        finally:
            frames.clear()

    def _described(self, worker: Worker, now: float, frames: Frames) -> str:
        call = worker.call
        if call is None:
            is_task = worker.ident in self._loops.idents()
            stack = "" if is_task else _text(_whole(frames.get(worker.ident or 0)))
            return f"{worker.name}: idle\n{stack}"
        since = "" if call.started is None else f" for {now - call.started:.3g} s"
        name = clean(f"{worker.name}: {call.job.__qualname__}")
        head = f"{name} {call.id} attempt {call.attempt}{since}\n"
        return head + _text(self._of(call, worker.ident, frames))

    def whole_of(self, call: Call) -> str:
        """The stack of the thread, or the chain of awaits, that a running job is on."""
        frames = frames_now()
        try:
            for worker in entries(call.lane.home(call).workers):
                if worker.call is call:
                    return _text(self._of(call, worker.ident, frames))
            for ident, calls in entries(self._here.runs.items()):
                if call in calls:  # on the thread of whoever enqueued it, or of an engine's worker
                    summary = self._of(call, ident, frames)
                    return _text(_from_perform(summary) if call.foreign else summary)
            return "  (no thread of its own)\n"
        finally:
            frames.clear()

    def running(self, workers: Iterable[Worker]) -> dict[Call, str]:
        """The stack of each job that one of the workers is at, from its own first frame on."""
        frames = frames_now()
        try:
            return {
                call: _text(_from_perform(self._of(call, worker.ident, frames)))
                for worker in workers
                if (call := worker.call) is not None
            }
        finally:
            frames.clear()

    def of_thread(self, ident: int | None) -> str:
        """The stack of a thread that runs no job."""
        frames = frames_now()
        try:
            return _text(_whole(frames.get(ident or 0)))
        finally:
            frames.clear()

    def _of(self, call: Call, ident: int | None, frames: Frames) -> Summary:
        coroutine = self._waits.coroutine_of(call)
        if call.lane.plan.is_async and coroutine is None:
            return []  # its task is on its way
        if coroutine is not None:
            if not coroutine.cr_running:
                return _await_chain(coroutine)
            if call not in self._here.coroutines:
                ident = next(iter(self._loops.idents(call.lane.on_app)), None)
        return _whole(frames.get(ident or 0))


def _from_perform(summary: Summary) -> Summary:
    below = False
    for index, line in enumerate(summary):
        if (line.filename, line.name) in _CALLERS:
            below = True
        elif below:
            return summary[index:]
    return summary


def _text(summary: Summary) -> str:
    """As a traceback prints it."""
    return "".join(traceback.format_list(summary)) or "  (no stack)\n"


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
