"""The first page: what needs attention, the totals, and a row per class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from .cells import class_link, empty, items, paused, pausing, small, tiles
from .chart import chart, depth_chart, large
from .frame import Frame, document
from .markup import NONE, Html, duration, join, tag
from .overview_data import delayed
from .tables import Cell, Row, table

__all__ = ["overview_page"]


def overview_page(frame: Frame, data: Mapping[str, Any]) -> str:
    health = data["health"]
    content: list[object] = []
    if not health["ok"]:
        reasons = items(None, health["reasons"])
        content.append(tag("div.health bad", tag("strong", "Needs attention"), reasons))
    content.append(_tiles(data["total"]))
    if not data["classes"]:
        where = "these processes" if frame.several else "this process"
        content.append(empty(f"No job has been enqueued in {where}."))
    else:
        both = data["charts"]
        charts = [large("All classes", both[name]) for name in ("chart", "day")]
        rows = _sorted(data["classes"], frame.query.get("sort", ""))
        content += [
            tag("div.charts", charts),
            table(frame, "Job classes", _COLUMNS, rows, "classes", _SORTS),
            _legend(),
        ]
    chip = tag("span.state succeeded", "healthy") if health["ok"] else None
    return document(frame, "Overview", *content, beside=chip)


def _tiles(total: Mapping[str, Any]) -> Html:
    status, failed = total["status"], total["failed_recently"]
    lost = status["failed"] + status["lost"]
    return tiles(
        [
            ("Waiting", f"{status['queued']:,}", f"oldest {duration(total['oldest_wait'])}"),
            ("Running", f"{status['running']:,}", f"of {total['workers']['total']} workers"),
            ("Scheduled", f"{delayed(status):,}", f"{status['retrying']:,} to be retried"),
            ("Done per minute", f"{total['per_minute']:,}", f"{status['succeeded']:,} succeeded"),
            ("Failed", f"{failed:,}", f"in 10 min, {lost:,} in all"),
        ]
    )


def _legend() -> Html:
    """What the colours of the charts mean; each chart has its own scale."""
    keys = (("good", "succeeded"), ("bad", "failed"), ("area", "waiting"))
    parts = [tag(f"span.key {kind}", text) for kind, text in keys]
    return tag("p.legend", parts, "each chart of the table to its own scale")


# The columns


def _name(frame: Frame, row: Row) -> Html:
    return join(class_link(frame, row["class"], row["job"]), paused(row))


def _charts(frame: Frame, row: Row) -> Html:
    return join(depth_chart(row["job"], row["chart"]), chart(row["job"], row["chart"]))


def _number(frame: Frame, row: Row, count: int, name: str, kind: str | None = None) -> Html:
    """A number of jobs of a class, and the way to their list."""
    if not count:
        return tag("span.zero", "0")
    return frame.link(f"/{name}?{urlencode({'job': row['class']})}", f"{count:,}", class_=kind)


def _waiting(frame: Frame, row: Row) -> Html:
    oldest = row["oldest_wait"]
    kind = "bad" if row["full"] else None
    number = _number(frame, row, row["status"]["queued"], "waiting", kind)
    return join(number, small(f"oldest {duration(oldest)}") if oldest else None)


def _busy(frame: Frame, row: Row) -> Html:
    number = _number(frame, row, row["status"]["running"], "running")
    return join(number, small(f"of {row['size']}"))


def _delayed(frame: Frame, row: Row) -> Html:
    return _number(frame, row, delayed(row["status"]), "scheduled")


def _failed(frame: Frame, row: Row) -> Html:
    recent = row["recent"]
    number = _number(frame, row, recent["failed"], "failed", "bad")
    return join(number, small(f"{recent['retries']:,} retried") if recent["retries"] else None)


def _pair(times: Mapping[str, float | None]) -> Html:
    if times["p50"] is None:
        return NONE
    p50, p95 = (tag("span", duration(times[name])) for name in ("p50", "p95"))
    return tag("span.pair", p50, " ", p95)


_COLUMNS: dict[str, Cell] = {
    "Class": _name,
    "10 minutes": _charts,
    "24 hours": lambda frame, row: chart(row["job"], row["day"]),
    "Waiting": _waiting,
    "Busy": _busy,
    "Delayed": _delayed,
    "Done / min": lambda frame, row: f"{row['per_minute']:,}",
    "Failed": _failed,
    "Wait p50 · p95": lambda frame, row: _pair(row["recent"]["wait_seconds"]),
    "Run p50 · p95": lambda frame, row: _pair(row["recent"]["run_seconds"]),
    "": pausing,
}
_SORTS = {
    "Waiting": "waiting", "Busy": "busy", "Delayed": "delayed", "Done / min": "done",
    "Failed": "failed", "Wait p50 · p95": "waited", "Run p50 · p95": "ran",
}  # fmt: skip
#: The most comes first.
_KEYS: Mapping[str, Callable[[Row], float]] = {
    "waiting": lambda row: row["status"]["queued"],
    "busy": lambda row: row["status"]["running"],
    "delayed": lambda row: delayed(row["status"]),
    "done": lambda row: row["per_minute"],
    "failed": lambda row: row["recent"]["failed"],
    "waited": lambda row: row["recent"]["wait_seconds"]["p95"] or 0.0,
    "ran": lambda row: row["recent"]["run_seconds"]["p95"] or 0.0,
}


def _sorted(rows: list[Row], by: str) -> list[Row]:
    return sorted(rows, key=_KEYS[by], reverse=True) if by in _KEYS else rows
