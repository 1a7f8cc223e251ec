"""The first page: what needs attention, the totals, and a row per class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from .cells import small
from .chart import chart, depth_chart
from .frame import Frame, document, table
from .markup import NONE, Html, duration, join, tag

__all__ = ["overview_page"]


def overview_page(frame: Frame, data: Mapping[str, Any]) -> str:
    total, health = data["total"], data["health"]
    status = total["status"]
    delayed = status["scheduled"] + status["retrying"] + status["deferred"]
    workers = total["workers"]
    tiles = [
        ("Waiting", f"{status['queued']:,}", f"oldest {duration(total['oldest_wait'])}", ""),
        ("Running", f"{status['running']:,}", f"of {workers['total']} workers", ""),
        ("Scheduled", f"{delayed:,}", f"{status['retrying']:,} to be retried", ""),
        ("Done per minute", f"{total['per_minute']:,}", f"{status['succeeded']:,} succeeded", ""),
        (
            "Failed",
            f"{total['failed_recently']:,}",
            f"in 10 min, {status['failed'] + status['lost']:,} in all",
            "bad" if total["failed_recently"] else "",
        ),
    ]
    if health["ok"]:
        banner = None
    else:
        banner = tag(
            "div",
            {"class": "health bad"},
            tag("strong", None, "Needs attention"),
            tag("ul", None, [tag("li", None, reason) for reason in health["reasons"]]),
        )
    content = [
        banner,
        tag(
            "dl",
            {"class": "tiles"},
            [
                tag(
                    "div",
                    {"class": kind or None},
                    tag("dt", None, name),
                    tag("dd", None, tag("b", None, value), " ", tag("span", None, more)),
                )
                for name, value, more, kind in tiles
            ],
        ),
    ]
    if not data["classes"]:
        content.append(tag("p", {"class": "empty"}, "No job has been enqueued in this process."))
    else:
        content += [_classes(frame, data["classes"]), _legend()]
    chip = tag("span", {"class": "state succeeded"}, "healthy") if health["ok"] else None
    return document(frame, "Overview", *content, beside=chip)


def _classes(frame: Frame, classes: list[Mapping[str, Any]]) -> Html:
    columns = [
        "Class", "Last 10 minutes", "Waiting", "Busy", "Delayed",
        "Done / min", "Failed", "Wait p50 · p95", "Run p50 · p95",
    ]  # fmt: skip
    if frame.token is not None:
        columns.append("")
    rows = []
    for row in classes:
        name, status, recent = row["job"], row["status"], row["recent"]
        query = "?" + urlencode({"job": name})
        delayed = status["scheduled"] + status["retrying"] + status["deferred"]
        full = row["max_jobs"] and status["queued"] >= 0.9 * row["max_jobs"]
        failed = recent["failed"] + recent["retries"]
        cells: list[object] = [
            join(
                frame.link(f"/finished{query}", name, title=name if len(name) > 40 else None),
                tag("span", {"class": "state paused"}, "paused") if row["paused"] else None,
            ),
            join(chart(name, row["chart"]), depth_chart(name, row["chart"])),
            join(
                _number(frame, status["queued"], f"/waiting{query}", "bad" if full else None),
                small(f"oldest {duration(row['oldest_wait'])}") if row["oldest_wait"] else None,
            ),
            join(_number(frame, status["running"], f"/running{query}"), small(f"of {row['size']}")),
            _number(frame, delayed, f"/scheduled{query}"),
            f"{row['per_minute']:,}",
            join(
                _number(frame, recent["failed"], f"/failed{query}", "bad"),
                small(f"{recent['retries']:,} retried") if failed and recent["retries"] else None,
            ),
            _pair(recent["wait_seconds"]),
            _pair(recent["run_seconds"]),
        ]
        if frame.token is not None:
            verb = "Resume" if row["paused"] else "Pause"
            cells.append(frame.button(f"/class/{verb.lower()}", verb, name, job=name))
        rows.append(cells)
    return table("Job classes", columns, rows, "classes")


def _legend() -> Html:
    """What the colours of the charts mean; each chart has its own scale."""
    parts = [
        tag("span", {"class": f"key {kind}"}, text)
        for kind, text in (("good", "succeeded"), ("bad", "failed"), ("area", "waiting"))
    ]
    return tag("p", {"class": "legend"}, parts, "in slots of 10 s, each chart to its own scale")


def _number(frame: Frame, count: int, path: str, kind: str | None = None) -> Html:
    if not count:
        return tag("span", {"class": "zero"}, "0")
    return frame.link(path, f"{count:,}", **{"class": kind})


def _pair(times: Mapping[str, float | None]) -> Html:
    if times["p50"] is None:
        return NONE
    figures = [tag("span", None, duration(times[name])) for name in ("p50", "p95")]
    return tag("span", {"class": "pair"}, figures[0], " ", figures[1])
