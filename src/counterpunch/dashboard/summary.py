"""A process in short, for the page over all of them."""

from __future__ import annotations

from typing import Any

from ..core.port import current
from ..observe.health import Health
from ..observe.queries import stats
from .overview_data import delayed
from .plain import clip

__all__ = ["alike", "summary"]


def summary(health: Health) -> dict[str, Any]:
    """Numbers only, no argument and no error of a job."""
    total = stats().total
    status = {name: getattr(total, name) for name in ("scheduled", "retrying", "deferred")}
    return {
        "health": {"ok": health.ok, "reasons": [clip(text) for text in health.reasons]},
        "total": {
            "running": total.running,
            "queued": total.queued,
            "delayed": delayed(status),
            "failed": total.failed + total.lost,
            "succeeded": total.succeeded,
            "oldest_wait": total.oldest_wait,
            "workers": total.workers._asdict(),
        },
        "classes": len(current().registry.lanes),
    }


def alike(ours: Any, theirs: Any) -> bool:
    """Whether what a peer has said of itself is, in all its parts, of the kind of what we say."""
    if isinstance(ours, dict):
        known = isinstance(theirs, dict)
        return known and all(n in theirs and alike(one, theirs[n]) for n, one in ours.items())
    if isinstance(ours, list):
        return isinstance(theirs, list) and all(isinstance(one, str) for one in theirs)
    return type(theirs) is type(ours) or (type(ours) is float and type(theirs) is int)
