"""``dump()``: what every thread of this library is doing right now, as text."""

from __future__ import annotations

import os
import sys
import traceback
from types import FrameType
from typing import TYPE_CHECKING, Any

from ._execution import attempt, perform
from ._runtime import Runtime, current

if TYPE_CHECKING:
    from ._pool import Worker
    from .handle import Handle

__all__ = ["dump", "stacks"]


#: The functions that call a job's ``perform``.
_CALLERS = {(each.__code__.co_filename, each.__name__) for each in (attempt, perform)}


def dump() -> str:
    """All workers of this process with the job they are at and their stacks, as text.

    The threads go on meanwhile, so a stack may be a moment older than the next. Nothing of
    a frame's values is shown.
    """
    runtime = current()
    frames = sys._current_frames()
    now = runtime.clock.monotonic()
    blocks = [f"counterpunch, process {os.getpid()}, {runtime.phase}\n"]
    seen = set()
    for worker in _workers(runtime):
        blocks.append(_headline(worker, now) + _stack(_whole(frames.get(worker.ident or 0))))
        seen.add(worker.ident)
    thread = runtime.scheduler.thread
    if thread is not None and thread.ident not in seen:
        state = "alive" if thread.is_alive() else "dead"
        blocks.append(f"{thread.name}: {state}\n" + _stack(_whole(frames.get(thread.ident or 0))))
    if len(blocks) == 1:
        blocks.append("no threads\n")
    return "\n".join(blocks)


def stacks() -> dict[Handle[Any], str]:
    """The stack of each job that runs on a worker thread, from its own first frame on.

    Those of ``async def`` classes are left out: they share the one thread of the loop.
    """
    frames = sys._current_frames()
    found: dict[Handle[Any], str] = {}
    for worker in _workers(current()):
        call = worker.call
        if call is not None and not call._lane.plan.is_async:
            found[call] = _stack(_own(frames.get(worker.ident or 0)))
    return found


def _workers(runtime: Runtime) -> list[Worker]:
    workers = [worker for pool in list(runtime.pools.values()) for worker in list(pool.workers)]
    return sorted(workers, key=lambda worker: worker.name)


def _headline(worker: Worker, now: float) -> str:
    call = worker.call
    if call is None:
        return f"{worker.name}: idle\n"
    since = "" if call._started is None else f" for {now - call._started:.3g} s"
    return f"{worker.name}: {call.job.__qualname__} {call.id} attempt {call.attempt}{since}\n"


def _stack(summary: list[traceback.FrameSummary]) -> str:
    return "".join(traceback.format_list(summary)) or "  (no stack)\n"


def _whole(frame: FrameType | None) -> list[traceback.FrameSummary]:
    return [] if frame is None else list(traceback.extract_stack(frame))


def _own(frame: FrameType | None) -> list[traceback.FrameSummary]:
    """The part of a worker's stack that is the job's: what lies below is the same for all."""
    summary = _whole(frame)
    for index, line in enumerate(summary):
        if (line.filename, line.name) in _CALLERS:
            return summary[index + 1 :] or summary[index:]
    return summary
