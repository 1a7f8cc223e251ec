"""An application stops while another one of this process still serves: its loop alone is left."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..places.steps import entries
from ..values.app_loop import left
from ..values.config import config
from .installed import installed

__all__ = ["leave"]


async def leave(loop: Any) -> None:
    """On the loop, which is about to end: jobs may end on it within ``shutdown_timeout``, and are
    lost then; those that wait go to the loop of another application."""
    if not left(loop):
        return  # another application is on it
    for runtime in installed.all():
        for tasks in runtime.loops.of_app(loop):
            for pool in entries(runtime.pools.values()):
                if pool.on_app:
                    pool.rouse()
            await tasks.ended(config.shutdown_timeout)
            lose = partial(runtime.endings.lose, reason="the application of its loop has stopped")
            for call in entries(tasks.jobs):
                runtime.taking.out_of(call, call.lane.running, follow=lose)
            await tasks.cancel_all()
