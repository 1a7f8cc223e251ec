"""What comes again, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from ..core.port import current
from ..core.values.plan import plan_of
from ..recurring.periodic import Entry
from ..recurring.periodic import periodic as armed_entries
from .job_data import iso
from .names import known
from .plain import clip

__all__ = ["joined_periodic", "periodic"]


def periodic() -> dict[str, Any]:
    """What comes again in this process."""
    names = {cls: name for name, cls in known().items()}
    now = current().clock.time()
    rows = [
        {"class": names.get(e.job, plan_of(e.job).name), "job": e.job.__qualname__, **_row(e, now)}
        for e in armed_entries()
    ]
    return {"periodic": rows}


def _row(entry: Entry, now: float) -> dict[str, Any]:
    options, latest = plan_of(entry.job).options, entry.latest
    runs = entry.upcoming(5)
    return {
        "every": options.every,
        "cron": None if options.cron is None else clip(str(options.cron), 200),
        "timezone": options.timezone,
        "once_per": options.once_per,
        "paused": entry.paused,
        "next_in": max(0.0, entry.next_run.timestamp() - now),
        "next_runs": [iso(run) for run in runs],
        "local_runs": [_local(run, options.timezone) for run in runs],
        "latest": latest and {"id": latest.id, "status": latest.status.value},
        "latest_at": latest and iso(latest.enqueued_at),
    }


def _local(run: datetime, zone: str) -> str:
    """As the clock shows it in the zone of the class; UTC there is without time zone data, too."""
    return run.astimezone(UTC if zone == "UTC" else ZoneInfo(zone)).isoformat(timespec="seconds")


def joined_periodic(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The same of several processes, a row for each class, the next to run first."""
    same: dict[str, list[Mapping[str, Any]]] = {}
    for one in found:
        for row in one["periodic"]:
            same.setdefault(row["class"], []).append(row)
    joined = []
    for rows in same.values():
        paused = sum(row["paused"] for row in rows)
        ran = [row for row in rows if row["latest"]]
        joined.append(
            {
                **min(rows, key=lambda row: float(row["next_in"])),
                "processes": len(rows),
                "paused": paused == len(rows),
                "paused_in": paused,
                "latest": max(ran, key=lambda row: str(row["latest_at"]))["latest"]
                if ran
                else None,
            }
        )
    return {"periodic": sorted(joined, key=lambda row: float(row["next_in"]))}
