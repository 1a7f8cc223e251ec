"""When the waiting jobs of a class start, if time passes and nothing else happens."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from ..core.port import Lane, entries
from ..core.values.handle import Handle

__all__ = ["starts_of"]


def starts_of(
    lane: Lane, order: Callable[[Handle[Any]], tuple[float, ...]]
) -> dict[Handle[Any], float]:
    """The instant at which each of them starts; ``order`` is whose turn it is of those due."""
    now, bucket = lane.monotonic(), lane.bucket
    queued = lane.queued_calls()
    delayed = [*entries(lane.scheduled), *entries(lane.retrying)]
    if bucket is None:
        return {**dict.fromkeys(queued, now), **{call: call.due for call in delayed}}
    found: dict[Handle[Any], float] = {}
    starts = bucket.starts(now)
    delayed.sort(key=lambda call: call.due, reverse=True)
    due = [(order(call), call) for call in queued]
    heapq.heapify(due)
    while due or delayed:
        now = bucket.after(starts, now)
        if not due:
            now = max(now, delayed[-1].due)
        while delayed and delayed[-1].due <= now:
            heapq.heappush(due, (order(delayed[-1]), delayed.pop()))
        found[heapq.heappop(due)[1]] = now
        starts.append(now)
    return found
