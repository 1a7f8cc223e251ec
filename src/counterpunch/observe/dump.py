"""``dump()``: what every thread of this library is doing right now, as text."""

from __future__ import annotations

import os
from typing import Any

from ..core.port import current

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
    for thread in (*runtime.loops.threads(), runtime.scheduler.thread):
        if thread is not None:
            state = "alive" if thread.is_alive() else "dead"
            blocks.append(f"{thread.name}: {state}\n" + runtime.stacks.of_thread(thread.ident))
    if len(blocks) == 1:
        blocks.append("no threads\n")
    return "\n".join(blocks)


def stacks() -> dict[Any, str]:
    """The stack of each job that a worker is at, from its own first frame on."""
    runtime = current()
    found: dict[Any, str] = runtime.stacks.running(runtime.whereabouts.workers())
    return found
