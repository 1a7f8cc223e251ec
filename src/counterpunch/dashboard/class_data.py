"""One class as plain values: its numbers, how long its jobs take, its options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.port import current
from ..core.values.counts import BOUNDS
from ..core.values.plan import plan_of
from ..define.options import DEFAULTS
from .failures import failures, joined_failures
from .list_data import listing
from .names import class_of, known
from .overview_data import class_row, joined_classes, times
from .plain import show

__all__ = ["one_class", "joined_class"]

#: Failed jobs that are shown.
FAILED = 5
#: Kinds of failures that are shown.
KINDS = 10


def one_class(name: str, arguments: bool) -> dict[str, Any] | None:
    """What this process knows of a class; None if nothing."""
    cls = class_of(name)
    if cls is None:
        return None
    runtime = current()
    now = runtime.clock.monotonic()
    long = next(long for long, one in known().items() if one is cls)
    lane = runtime.registry.lanes.get(cls)
    options = plan_of(cls).options
    shown = [
        {"name": name, "value": show(value, 300), "set": _set(name, value)}
        for name, value in sorted(vars(options).items())
    ]
    row = waits = runs = None
    if lane is not None:
        counts = lane.counts(now)
        row = class_row(runtime, lane, long, counts, now)
        waits = [*counts.wait_times.buckets, counts.wait_times.sum]
        runs = [*counts.run_times.buckets, counts.run_times.sum]
    query = {"job": long}
    return {
        "class": long,
        "job": cls.__qualname__,
        "async": plan_of(cls).is_async,
        "row": row,
        "waits": waits,
        "runs": runs,
        "options": shown,
        "failed": listing("failed", query, arguments, 0, FAILED, FAILED),
        "failures": failures(arguments, query),
    }


def _set(name: str, value: object) -> bool:
    """Whether it differs from the default; an empty set from an empty tuple it does not."""
    default = DEFAULTS.get(name)
    return value != default and bool(value or default)


def joined_class(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The same of several processes; at least one."""
    rows = [[one["row"]] for one in found if one["row"] is not None]
    joined = joined_classes(rows)
    failed = sorted(
        (row for one in found for row in one["failed"]["jobs"]),
        key=lambda row: float(row["finished_ago"] or 0.0),
    )
    groups = joined_failures([one["failures"] for one in found])["groups"]
    first = found[0]
    return {
        "class": first["class"],
        "job": first["job"],
        "async": first["async"],
        "numbers": joined[0] if joined else None,
        "histograms": {
            "wait_seconds": _histogram([one["waits"] for one in found]),
            "run_seconds": _histogram([one["runs"] for one in found]),
        },
        "options": first["options"],
        "failed": failed[:FAILED],
        "failures": sorted(groups, key=lambda row: -int(row["count"]))[:KINDS],
    }


def _histogram(told: Sequence[Sequence[float] | None]) -> dict[str, Any]:
    """How many took how long, since the processes began; the last bound is None: longer."""
    counts = [0] * (len(BOUNDS) + 1)
    total = 0.0
    for one in told:
        if one is not None:
            found = times(one)
            counts = [a + b for a, b in zip(counts, found.buckets, strict=True)]
            total += found.sum
    return {"bounds": [*BOUNDS, None], "counts": counts, "sum": total}
