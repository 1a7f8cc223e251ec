"""All processes of this user on this host that serve their snapshot, and their sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .cells import small
from .frame import Frame, document, table
from .markup import NONE, Html, duration, join, tag, when

__all__ = ["processes_page"]


def processes_page(frame: Frame, data: Mapping[str, Any]) -> str:
    rows = [_row(data["process"], one) for one in data["processes"]]
    content: list[object] = []
    if data["problem"]:
        content.append(tag("p", {"class": "note warn"}, data["problem"]))
    columns = [
        "Process", "Started", "Health", "Waiting", "Running", "Delayed", "Done / min",
        "Failed", "Oldest wait",
    ]  # fmt: skip
    content.append(table("Processes", columns, rows, "numbers processes"))
    if data["silent"]:
        content.append(tag("h2", None, "Not shown"))
        silent = [tag("li", None, f"pid {one['pid']}: {one['reason']}") for one in data["silent"]]
        content.append(tag("ul", None, silent))
    if data["classes"]:
        content.append(tag("h2", None, "Classes, all of these processes together"))
        columns = [
            "Class", "Processes", "Waiting", "Running", "Delayed", "Done / min", "Failed",
            "Oldest wait",
        ]  # fmt: skip
        rows = [_sums(row) for row in data["classes"]]
        content.append(table("Classes", columns, rows, "numbers"))
    beside = tag("span", {"class": "state"}, f"{len(data['processes'])} on this host")
    return document(frame, "Processes", *content, beside=beside)


def _row(own: Mapping[str, Any], one: Mapping[str, Any]) -> list[object]:
    process, total, health = one["process"], one["total"], one["health"]
    here = process["pid"] == own["pid"] and process["started_at"] == own["started_at"]
    reasons = [tag("li", None, reason) for reason in health["reasons"]]
    open_phase = process["phase"] == "open"
    return [
        join(
            tag("b", None, f"pid {process['pid']}"),
            tag("span", {"class": "state running"}, "this one") if here else None,
            None if open_phase else tag("span", {"class": "state paused"}, process["phase"]),
            tag("small", None, f"{process['program']} · Python {process['python']}"),
        ),
        when(process["started_at"]),
        tag("span", {"class": "state succeeded"}, "healthy")
        if health["ok"]
        else tag("ul", {"class": "plain bad"}, reasons),
        _number(total["queued"]),
        join(_number(total["running"]), small(f"of {total['workers']['total']}")),
        _number(total["delayed"]),
        f"{total['per_minute']:,}",
        _number(total["failed_recently"], "bad"),
        _wait(total["oldest_wait"]),
    ]


def _sums(row: Mapping[str, Any]) -> list[object]:
    return [
        row["job"],
        f"{row['processes']:,}",
        _number(row["queued"]),
        join(_number(row["running"]), small(f"of {row['workers']}")),
        _number(row["delayed"]),
        f"{row['per_minute']:,}",
        _number(row["failed_recently"], "bad"),
        _wait(row["oldest_wait"]),
    ]


def _number(count: int, kind: str | None = None) -> Html:
    return tag("span", {"class": kind if count else "zero"}, f"{count:,}")


def _wait(seconds: float) -> object:
    return duration(seconds) if seconds else NONE
