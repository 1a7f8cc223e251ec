"""The first page as plain values: totals, and what each class has done lately.

``overview`` is one process's, with distributions as buckets; ``joined`` adds up those of several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import add
from typing import Any

from ..core.port import DAY_SECONDS, SLOT_SECONDS, Lane, Runtime, current
from ..core.values.counts import NO_TIMES, Counts, Times
from ..core.values.status import Status
from ..observe import chart
from ..observe.health import Health
from ..observe.queries import long_names, total_of
from .plain import clip

__all__ = ["class_row", "delayed", "joined", "joined_classes", "overview", "percentiles", "times"]

_SUMS = ("accepted", "attempts", "retries", "per_minute")
_TABLES = ("status", "workers", "discards")


def delayed(status: Mapping[str, int]) -> int:
    """Of the jobs by their status, those that wait for something else than a worker."""
    return status["scheduled"] + status["retrying"] + status["deferred"]


def overview(health: Health) -> dict[str, Any]:
    """The first page of this process."""
    runtime = current()
    now = runtime.clock.monotonic()
    lanes = {lane: lane.counts(now) for lane in runtime.registry.all()}
    names = {cls: name for name, cls in long_names(lane.job for lane in lanes).items()}
    rows = [
        class_row(runtime, lane, names[lane.job], counts, now) for lane, counts in lanes.items()
    ]
    total = _counts(total_of(runtime, list(lanes.values())))
    total["per_minute"] = sum(row["per_minute"] for row in rows)
    total["failed_recently"] = sum(row["recent"]["failed"] for row in rows)
    return {
        "health": {"ok": health.ok, "reasons": [clip(text) for text in health.reasons]},
        "total": total,
        "classes": rows,
    }


def class_row(
    runtime: Runtime, lane: Lane, name: str, counts: Counts, now: float
) -> dict[str, Any]:
    """What the overview says of one class in one process."""
    slots, recent = chart.recent(lane.timings, now)
    last_minute = slots[-round(60 / SLOT_SECONDS) :]
    day = chart.day(runtime, lane, now)
    return {
        "class": name,
        "job": lane.job.__qualname__,
        "paused": lane.paused,
        **_counts(counts),
        "size": lane.pool.size,
        "pool": lane.options.pool,
        "max_jobs": lane.options.max_jobs,
        "per_minute": sum(slot.succeeded + slot.failed for slot in last_minute),
        "recent": {
            "seconds": SLOT_SECONDS * len(slots),
            "succeeded": recent.succeeded,
            "failed": recent.failed,
            "retries": recent.retries,
            "waits": _buckets(recent.waits),
            "runs": _buckets(recent.runs),
        },
        "chart": {
            "slot_seconds": SLOT_SECONDS,
            "succeeded": [slot.succeeded for slot in slots],
            "failed": [slot.failed for slot in slots],
            "queued": chart.depths(lane.timings, now, counts.queued),
        },
        "day": {
            "slot_seconds": DAY_SECONDS,
            "succeeded": [slot.succeeded for slot in day],
            "failed": [slot.failed for slot in day],
        },
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


def _buckets(found: Times) -> list[float]:
    return [*found.buckets, found.sum]


# Of several processes together


def joined(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The first page of those who have answered."""
    reasons = [
        reason if len(found) == 1 else f"pid {one['process']['pid']}: {reason}"
        for one in found
        for reason in one["health"]["reasons"]
    ]
    total = _added([one["total"] for one in found])
    total["failed_recently"] = sum(one["total"]["failed_recently"] for one in found)
    rows = joined_classes([one["classes"] for one in found])
    both = [[row[name] for row in rows] for name in ("chart", "day")]
    return {
        "health": {"ok": all(one["health"]["ok"] for one in found), "reasons": reasons},
        "total": total,
        "charts": {
            "chart": _charted(both[0]) if rows else None,
            "day": _charted(both[1]) if rows else None,
        },
        "classes": rows,
    }


def joined_classes(
    found: Sequence[Sequence[Mapping[str, Any]]],
) -> list[dict[str, Any]]:
    """A row for each class, by name; what stands for several processes is added up."""
    same: dict[str, list[Mapping[str, Any]]] = {}
    for rows in found:
        for row in rows:
            same.setdefault(row["class"], []).append(row)
    joined = map(_class, same.values())
    return sorted(joined, key=lambda row: (str(row["job"]), str(row["class"])))


def _class(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    first, recents = rows[0], [row["recent"] for row in rows]
    waits, runs = (_sum([times(one[name]) for one in recents]) for name in ("waits", "runs"))
    paused = sum(row["paused"] for row in rows)
    return {
        "class": first["class"],
        "job": first["job"],
        "processes": len(rows),
        "paused": paused == len(rows),
        "paused_in": paused,
        **_added(rows),
        "size": sum(row["size"] for row in rows),
        "pool": first["pool"],
        "max_jobs": first["max_jobs"],
        "full": any(r["max_jobs"] and r["status"]["queued"] >= 0.9 * r["max_jobs"] for r in rows),
        "recent": {
            "seconds": first["recent"]["seconds"],
            **{n: sum(one[n] for one in recents) for n in ("succeeded", "failed", "retries")},
            "wait_seconds": percentiles(waits),
            "run_seconds": percentiles(runs),
        },
        "chart": _charted([row["chart"] for row in rows]),
        "day": _charted([row["day"] for row in rows]),
    }


def _added(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        **{name: sum(row[name] for row in rows) for name in _SUMS},
        **{
            name: {part: sum(row[name][part] for row in rows) for part in rows[0][name]}
            for name in _TABLES
        },
        "oldest_wait": max(row["oldest_wait"] for row in rows),
    }


def _charted(charts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Slot by slot: all processes of a host have the same monotonic clock."""
    first = charts[0]
    added: dict[str, Any] = {"slot_seconds": first["slot_seconds"]}
    for name in ("succeeded", "failed", "queued"):
        if name in first:
            sums = [0] * len(first[name])
            for one in charts:
                sums = list(map(add, sums, one[name]))
            added[name] = sums
    return added


def times(told: Sequence[float]) -> Times:
    """The distribution that ``_buckets`` has told of."""
    return Times(tuple(int(number) for number in told[:-1]), told[-1])


def _sum(several: Sequence[Times]) -> Times:
    total = NO_TIMES
    for one in several:
        total = total.plus(one)
    return total


def percentiles(found: Times) -> dict[str, float | None]:
    """The middle, and what one of twenty is above."""
    return {name: found.percentile(part) for name, part in (("p50", 0.5), ("p95", 0.95))}
