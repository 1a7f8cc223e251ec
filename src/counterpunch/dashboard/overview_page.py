"""The first page: what needs attention, the totals, and a row per class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from .cells import empty, items, paused, pausing, small
from .chart import chart, depth_chart
from .frame import Cell, Frame, Row, document, table
from .markup import NONE, Html, duration, join, tag
from .overview_data import delayed

__all__ = ["overview_page"]


def overview_page(frame: Frame, data: Mapping[str, Any]) -> str:
    health = data["health"]
    content: list[object] = []
    if not health["ok"]:
        reasons = items(None, health["reasons"])
        content.append(tag("div.health bad", tag("strong", "Needs attention"), reasons))
    content.append(_tiles(data["total"]))
    if not data["classes"]:
        content.append(empty("No job has been enqueued in this process."))
    else:
        content += [table(frame, "Job classes", _COLUMNS, data["classes"], "classes"), _legend()]
    chip = tag("span.state succeeded", "healthy") if health["ok"] else None
    return document(frame, "Overview", *content, beside=chip)


def _tiles(total: Mapping[str, Any]) -> Html:
    status, failed = total["status"], total["failed_recently"]
    lost = status["failed"] + status["lost"]
    tiles = [
        ("Waiting", status["queued"], f"oldest {duration(total['oldest_wait'])}"),
        ("Running", status["running"], f"of {total['workers']['total']} workers"),
        ("Scheduled", delayed(status), f"{status['retrying']:,} to be retried"),
        ("Done per minute", total["per_minute"], f"{status['succeeded']:,} succeeded"),
        ("Failed", failed, f"in 10 min, {lost:,} in all"),
    ]
    shown = []
    for name, number, more in tiles:
        figures = tag("dd", tag("b", f"{number:,}"), " ", tag("span", more))
        kind = "bad" if name == "Failed" and failed else None
        shown.append(tag("div", tag("dt", name), figures, class_=kind))
    return tag("dl.tiles", shown)


def _legend() -> Html:
    """What the colours of the charts mean; each chart has its own scale."""
    keys = (("good", "succeeded"), ("bad", "failed"), ("area", "waiting"))
    parts = [tag(f"span.key {kind}", text) for kind, text in keys]
    return tag("p.legend", parts, "in slots of 10 s, each chart to its own scale")


# The columns


def _name(frame: Frame, row: Row) -> Html:
    name = row["job"]
    path = f"/finished?{urlencode({'job': name})}"
    return join(frame.link(path, name, title=name if len(name) > 40 else None), paused(row))


def _charts(frame: Frame, row: Row) -> Html:
    return join(chart(row["job"], row["chart"]), depth_chart(row["job"], row["chart"]))


def _number(frame: Frame, row: Row, count: int, name: str, kind: str | None = None) -> Html:
    """A number of jobs of a class, and the way to their list."""
    if not count:
        return tag("span.zero", "0")
    return frame.link(f"/{name}?{urlencode({'job': row['job']})}", f"{count:,}", class_=kind)


def _waiting(frame: Frame, row: Row) -> Html:
    queued, oldest = row["status"]["queued"], row["oldest_wait"]
    full = row["max_jobs"] and queued >= 0.9 * row["max_jobs"]
    number = _number(frame, row, queued, "waiting", "bad" if full else None)
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
    "Last 10 minutes": _charts,
    "Waiting": _waiting,
    "Busy": _busy,
    "Delayed": _delayed,
    "Done / min": lambda frame, row: f"{row['per_minute']:,}",
    "Failed": _failed,
    "Wait p50 · p95": lambda frame, row: _pair(row["recent"]["wait_seconds"]),
    "Run p50 · p95": lambda frame, row: _pair(row["recent"]["run_seconds"]),
    "": pausing,
}
