"""Whose thread a job runs on: what belongs to the thread is closed on a worker's only."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..handle import Handle

__all__ = ["on_a_worker"]


def on_a_worker(handle: Handle[Any]) -> bool:
    """False for ``perform_now``, ``caller_runs``, a test mode, and for ``async def`` jobs."""
    if handle._lane.plan.is_async:
        return False
    if handle._foreign:
        return True
    me = threading.get_ident()
    pools = list(handle._lane.runtime.pools.values())
    return any(worker.ident == me for pool in pools for worker in list(pool.workers))
