"""Whose thread a job runs on: what belongs to the thread is closed on a worker's only."""

from __future__ import annotations

from typing import Any

from ..core.values.handle import Handle

__all__ = ["on_a_worker"]


def on_a_worker(handle: Handle[Any]) -> bool:
    """False for ``perform_now``, ``caller_runs``, a test mode, and for ``async def`` jobs."""
    if handle.lane.plan.is_async:
        return False
    return handle.foreign or bool(handle.lane.keeper.whereabouts.on_a_worker())
