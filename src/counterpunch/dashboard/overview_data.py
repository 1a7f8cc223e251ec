"""The first page as plain values: totals, and what each class has done lately."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.port import SLOT_SECONDS, Lane, Runtime, current
from ..core.values.counts import Counts
from ..core.values.status import Status
from ..observe import chart
from ..observe.health import Health
from ..observe.queries import class_names, stats
from ..recurring.periodic import periodic as armed_entries
from .plain import clip
from .process import process

__all__ = ["classes", "delayed", "overview"]


def classes(runtime: Runtime) -> dict[str, Any]:
    """Every class that was used or is armed, by the name ``stats()`` gives it."""
    used: list[Any] = [lane.job for lane in runtime.registry.all()]
    armed: list[Any] = [entry.job for entry in armed_entries()]
    return class_names(dict.fromkeys([*used, *armed]))


def delayed(status: Mapping[str, int]) -> int:
    """Of the jobs by their status, those that wait for something else than a worker."""
    return status["scheduled"] + status["retrying"] + status["deferred"]


def overview(health: Health) -> dict[str, Any]:
    """The first page."""
    runtime = current()
    snapshot = stats()
    now = runtime.clock.monotonic()
    rows = []
    for name, cls in classes(runtime).items():
        lane, counts = runtime.registry.lanes.get(cls), snapshot.jobs.get(name)
        if lane is None or counts is None:  # armed only, or used for the first time just now
            continue
        rows.append(
            {
                "job": name,
                "paused": lane.paused,
                **_counts(counts),
                **_lately(lane, now, counts.queued),
            }
        )
    total = _counts(snapshot.total)
    total["per_minute"] = sum(row["per_minute"] for row in rows)
    total["failed_recently"] = sum(row["recent"]["failed"] for row in rows)
    return {
        "process": process(),
        "health": {"ok": health.ok, "reasons": [clip(text) for text in health.reasons]},
        "total": total,
        "classes": sorted(rows, key=lambda row: row["job"]),
    }


def _counts(counts: Counts) -> dict[str, Any]:
    return {
        "accepted": counts.accepted,
        "status": {status.value: getattr(counts, status.value) for status in Status},
        "workers": counts.workers._asdict(),
        "attempts": counts.attempts,
        "retries": counts.retries,
        "discards": counts.discards._asdict(),
        "oldest_wait": counts.oldest_wait,
    }


def _lately(lane: Lane, now: float, queued: int) -> dict[str, Any]:
    slots, recent = chart.recent(lane.timings, now)
    last_minute = slots[-round(60 / SLOT_SECONDS) :]
    return {
        "size": lane.pool.size,
        "pool": lane.options.pool,
        "max_jobs": lane.options.max_jobs,
        "per_minute": sum(slot.succeeded + slot.failed for slot in last_minute),
        "recent": {
            "seconds": SLOT_SECONDS * len(slots),
            "succeeded": recent.succeeded,
            "failed": recent.failed,
            "retries": recent.retries,
            "wait_seconds": _percentiles(recent.waits),
            "run_seconds": _percentiles(recent.runs),
        },
        "chart": {
            "slot_seconds": SLOT_SECONDS,
            "succeeded": [slot.succeeded for slot in slots],
            "failed": [slot.failed for slot in slots],
            "queued": chart.depths(lane.timings, now, queued),
        },
    }


def _percentiles(times: Any) -> dict[str, float | None]:
    return {name: times.percentile(part) for name, part in (("p50", 0.5), ("p95", 0.95))}
