"""All processes of this user on this host that serve their snapshot, and their sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .cells import count, items, small
from .frame import Cell, Frame, Row, document, table
from .markup import NONE, Html, duration, join, tag, when

__all__ = ["processes_page"]


def processes_page(frame: Frame, data: Mapping[str, Any]) -> str:
    processes, classes = data["processes"], data["classes"]
    content: list[object] = []
    if data["problem"]:
        content.append(tag("p.note warn", data["problem"]))
    content.append(table(frame, "Processes", _PROCESSES, processes, "numbers processes"))
    if data["silent"]:
        silent = (f"pid {one['pid']}: {one['reason']}" for one in data["silent"])
        content += [tag("h2", "Not shown"), items(None, silent)]
    if classes:
        content.append(tag("h2", "Classes, all of these processes together"))
        content.append(table(frame, "Classes", _CLASSES, classes, "numbers"))
    beside = tag("span.state", f"{len(processes)} on this host")
    return document(frame, "Processes", *content, beside=beside)


def _name(frame: Frame, row: Row) -> Html:
    own, process = frame.process, row["process"]
    here = process["pid"] == own["pid"] and process["started_at"] == own["started_at"]
    phase = process["phase"]
    return join(
        tag("b", f"pid {process['pid']}"),
        tag("span.state running", "this one") if here else None,
        None if phase == "open" else tag("span.state paused", phase),
        tag("small", f"{process['program']} · Python {process['python']}"),
    )


def _health(frame: Frame, row: Row) -> Html:
    health = row["health"]
    if health["ok"]:
        return tag("span.state succeeded", "healthy")
    return items("plain bad", health["reasons"])


def _running(row: Row, workers: int) -> Html:
    return join(count(row["running"]), small(f"of {workers}"))


_SUMS: dict[str, Cell] = {
    "Waiting": lambda frame, row: count(row["queued"]),
    "Running": lambda frame, row: _running(row, row["workers"]),
    "Delayed": lambda frame, row: count(row["delayed"]),
    "Done / min": lambda frame, row: f"{row['per_minute']:,}",
    "Failed": lambda frame, row: count(row["failed_recently"], "bad"),
    "Oldest wait": lambda frame, row: duration(row["oldest_wait"]) if row["oldest_wait"] else NONE,
}


def _of_total(cell: Cell) -> Cell:
    return lambda frame, row: cell(frame, row["total"])


_PROCESSES: dict[str, Cell] = {
    "Process": _name,
    "Started": lambda frame, row: when(row["process"]["started_at"]),
    "Health": _health,
    **{name: _of_total(cell) for name, cell in _SUMS.items()},
    "Running": lambda frame, row: _running(row["total"], row["total"]["workers"]["total"]),
}
_CLASSES: dict[str, Cell] = {
    "Class": lambda frame, row: row["job"],
    "Processes": lambda frame, row: f"{row['processes']:,}",
    **_SUMS,
}
