"""What comes again, as plain values."""

from __future__ import annotations

from typing import Any

from ..core.port import current
from ..core.values.plan import plan_of
from ..recurring.periodic import Entry
from ..recurring.periodic import periodic as armed_entries
from .job_data import iso
from .overview_data import classes
from .plain import clip
from .process import process

__all__ = ["periodic"]


def periodic() -> dict[str, Any]:
    """What comes again."""
    names = {cls: name for name, cls in classes(current()).items()}
    now = current().clock.time()
    rows = [{"job": names.get(e.job, e.job.__qualname__), **_row(e, now)} for e in armed_entries()]
    return {"process": process(), "periodic": rows}


def _row(entry: Entry, now: float) -> dict[str, Any]:
    options, latest = plan_of(entry.job).options, entry.latest
    return {
        "every": options.every,
        "cron": None if options.cron is None else clip(str(options.cron), 200),
        "timezone": options.timezone,
        "once_per": options.once_per,
        "paused": entry.paused,
        "next_in": max(0.0, entry.next_run.timestamp() - now),
        "next_runs": [iso(run) for run in entry.upcoming(5)],
        "latest": latest and {"id": latest.id, "status": latest.status.value},
    }
