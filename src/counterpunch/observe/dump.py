"""``dump()``: what every thread of this library is doing right now, as text."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

from ..core.port import current, text_of

__all__ = ["dump", "stacks"]


def dump() -> str:
    """All workers of this process with the job they are at and their stacks, as text.

    Of a worker of an ``async def`` class, which is a task, it shows where the job waits; the
    threads of the event loop and of the scheduler come last. The threads go on meanwhile,
    so a stack may be a moment older than the next. Nothing of a frame's values and no
    argument of a job is shown.
    """
    runtime = current()
    blocks = [f"counterpunch, process {os.getpid()}, {runtime.stage.phase}\n"]
    blocks += runtime.stacks.describe(runtime.whereabouts.workers(), runtime.clock.monotonic())
    frames = sys._current_frames()
    for thread in (*runtime.loops.threads(), runtime.scheduler.thread):
        if thread is not None:
            frame = frames.get(thread.ident or 0)
            stack = [] if frame is None else list(traceback.extract_stack(frame))
            state = "alive" if thread.is_alive() else "dead"
            blocks.append(f"{thread.name}: {state}\n" + text_of(stack))
    if len(blocks) == 1:
        blocks.append("no threads\n")
    return "\n".join(blocks)


def stacks() -> dict[Any, str]:
    """The stack of each job that a worker is at, from its own first frame on."""
    runtime = current()
    frames = sys._current_frames()
    found: dict[Any, str] = {}
    for worker in runtime.whereabouts.workers():
        call = worker.call
        if call is not None:
            found[call] = runtime.stacks.of(call, worker, frames)
    return found
