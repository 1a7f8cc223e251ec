"""All processes of this user on this host that answer: what each is, and what it is at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .cells import count, items, small
from .frame import Frame, document
from .markup import NONE, Html, duration, join, tag, when
from .tables import Cell, Row, table

__all__ = ["processes_page"]


def processes_page(frame: Frame, data: Mapping[str, Any]) -> str:
    processes = data["processes"]
    content: list[object] = []
    if data["problem"]:
        content.append(tag("p.note warn", data["problem"]))
    content.append(table(frame, "Processes", _PROCESSES, processes, "numbers processes"))
    if data["silent"]:
        silent = (f"pid {one['pid']}: {one['reason']}" for one in data["silent"])
        content += [tag("h2", "Not shown"), items(None, silent)]
    beside = tag("span.state", f"{len(processes)} on this host")
    return document(frame, "Processes", *content, beside=beside)


def _name(frame: Frame, row: Row) -> Html:
    process = row["process"]
    phase = process["phase"]
    pid = process["pid"]
    return join(
        tag("a", f"pid {pid}", href=f"{frame.prefix}/?process={pid}"),
        tag("span.state running", "this one") if row["own"] else None,
        None if phase == "open" else tag("span.state paused", phase),
        tag("small", f"{process['role']} · {process['program']} · Python {process['python']}"),
        tag("small", f"{process['threads']} threads"),
    )


def _health(frame: Frame, row: Row) -> Html:
    health = row["health"]
    if health["ok"]:
        return tag("span.state succeeded", "healthy")
    return items("plain bad", health["reasons"])


def _busy(frame: Frame, row: Row) -> Html:
    workers = row["total"]["workers"]
    return join(count(workers["busy"]), small(f"of {workers['total']}"))


def _memory(frame: Frame, row: Row) -> object:
    memory = row["process"]["memory"]
    return f"{memory / 1e6:,.0f} MB" if memory else NONE


def _buttons(frame: Frame, row: Row) -> Html:
    """Quiet while it is open, Resume while it is quiet; one that stops cannot be steered."""
    process = row["process"]
    verb = {"open": "Quiet", "quiet": "Resume"}.get(process["phase"])
    if verb is None:
        return NONE
    pid = str(process["pid"])
    return frame.button(f"/process/{verb.lower()}", verb, f"pid {pid}", process=pid)


_PROCESSES: dict[str, Cell] = {
    "Process": _name,
    "Since": lambda frame, row: when(row["process"]["started_at"]),
    "Health": _health,
    "Memory": _memory,
    "Busy workers": _busy,
    "Waiting": lambda frame, row: count(row["total"]["queued"]),
    "Running": lambda frame, row: count(row["total"]["running"]),
    "Delayed": lambda frame, row: count(row["total"]["delayed"]),
    "Succeeded": lambda frame, row: f"{row['total']['succeeded']:,}",
    "Failed": lambda frame, row: count(row["total"]["failed"], "bad"),
    "Oldest wait": lambda frame, row: (
        duration(row["total"]["oldest_wait"]) if row["total"]["oldest_wait"] else NONE
    ),
    "": _buttons,
}
