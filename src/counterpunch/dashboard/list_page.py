"""The lists: running, waiting, scheduled, failed and finished jobs, filtered and paged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from .cells import arguments, attempt, buttons, details, identity, progress, state
from .frame import MENU, Frame, document, table
from .markup import DASH, NONE, Html, duration, join, tag, when

__all__ = ["list_page"]

_EMPTY = {
    "running": "No job is running.",
    "waiting": "No job waits for a worker.",
    "scheduled": "No job waits for its time, a retry or a transaction.",
    "failed": "No failed job is remembered.",
    "finished": "No finished job is remembered.",
}


def list_page(frame: Frame, data: Mapping[str, Any]) -> str:
    name = data["list"]
    title = next(text for path, text in MENU if path == name)
    rows = data["jobs"]
    content = [_filters(frame, data)]
    if rows:
        columns, cells = _COLUMNS[name]
        if frame.token is not None:
            columns = [*columns, ""]
        lines = []
        for row in rows:
            line = [identity(frame, row), *cells(frame, row)]
            if frame.token is not None:
                line.append(buttons(frame, row))
            lines.append(line)
        content.append(table(f"{title} jobs", columns, lines, f"jobs {name}"))
        content.append(_pager(frame, data))
    else:
        filtered = any(data["filter"].values())
        text = "No job fits the filter." if filtered else _EMPTY[name]
        content.append(tag("p", {"class": "empty"}, text))
    return document(frame, title, *content)


def _filters(frame: Frame, data: Mapping[str, Any]) -> Html:
    name, chosen = data["list"], data["filter"]
    names = data["classes"]
    statuses = {
        "scheduled": ("scheduled", "retrying", "deferred"),
        "finished": ("succeeded", "failed", "cancelled", "discarded", "lost"),
    }.get(name, ())
    parts = [_field("job", "Class", _select("job", chosen["job"], "all", names))]
    if statuses:
        select = _select("status", chosen["status"], "all", statuses)
        parts.append(_field("status", "Status", select))
    attributes = {"id": "tag", "name": "tag", "value": chosen["tag"] or None, "size": "12"}
    parts.append(_field("tag", "Tag", tag("input", attributes)))
    parts.append(tag("button", None, "Filter"))
    if any(chosen.values()):
        parts.append(frame.link(f"/{name}", "Clear"))
    return tag("form", {"class": "filters", "action": f"{frame.prefix}/{name}"}, parts)


def _field(name: str, text: str, control: Html) -> Html:
    """A label and its control, which stay together when the line breaks."""
    return tag("span", None, tag("label", {"for": name}, text), " ", control)


def _select(name: str, chosen: str, none: str, values: Any) -> Html:
    return tag(
        "select",
        {"id": name, "name": name},
        tag("option", {"value": ""}, none),
        [tag("option", {"value": v, "selected": v == chosen}, v) for v in values],
    )


def _pager(frame: Frame, data: Mapping[str, Any]) -> Html:
    page, pages, total = data["page"], data["pages"], data["total"]
    first = data["first"]
    parts: list[object] = [f"{first:,}{DASH}{first + len(data['jobs']) - 1:,} of {total:,}"]
    kept = {name: value for name, value in data["filter"].items() if value}
    for text, number, rel in (("Newer", page - 1, "prev"), ("Older", page + 1, "next")):
        if data["list"] in ("running", "waiting", "scheduled"):
            text = "Previous" if rel == "prev" else "Next"
        if 1 <= number <= pages:
            query = urlencode({**kept, "page": number})
            parts += [" ", frame.link(f"/{data['list']}?{query}", text, rel=rel)]
    return tag("nav", {"class": "pager", "aria-label": "Pages of the list"}, parts)


def _running_cells(frame: Frame, row: Mapping[str, Any]) -> list[object]:
    return [
        arguments(row),
        attempt(row),
        when(row["started_at"], duration(row["ran"])),
        progress(row),
        details(f"stack-{row['id']}", "Stack", row.get("stack")),
    ]


def _waiting_cells(frame: Frame, row: Mapping[str, Any]) -> list[object]:
    return [
        arguments(row),
        when(row["enqueued_at"], duration(row["waited"])),
        str(row["priority"]),
        attempt(row),
    ]


def _scheduled_cells(frame: Frame, row: Mapping[str, Any]) -> list[object]:
    return [
        state(row),
        arguments(row),
        when(row["run_at"], "in " + duration(row["due_in"])),
        attempt(row),
        tag("span", {"class": "error"}, row["error"]) if row["error"] else NONE,
    ]


def _finished_cells(frame: Frame, row: Mapping[str, Any]) -> list[object]:
    return [
        state(row),
        arguments(row),
        attempt(row),
        duration(row["waited"]),
        duration(row["ran"]),
        when(row["finished_at"], duration(row["finished_ago"]) + " ago"),
        tag("span", {"class": "error"}, row["error"]) if row["error"] else NONE,
    ]


def _failed_cells(frame: Frame, row: Mapping[str, Any]) -> list[object]:
    again = row["retried_as"]
    return [
        tag("span", {"class": "error"}, row["error"] or row["status"]),
        arguments(row),
        attempt(row),
        duration(row["ran"]),
        join(
            when(row["finished_at"], duration(row["finished_ago"]) + " ago"),
            tag("small", None, " retried as ", frame.link(f"/job/{again}", again))
            if again
            else None,
        ),
    ]


_COLUMNS: dict[str, tuple[list[str], Any]] = {
    "running": (["Job", "Arguments", "Attempt", "For", "Progress", "Stack"], _running_cells),
    "waiting": (["Job", "Arguments", "For", "Priority", "Attempts"], _waiting_cells),
    "scheduled": (["Job", "Status", "Arguments", "Due", "Attempts", "Error"], _scheduled_cells),
    "failed": (["Job", "Error", "Arguments", "Attempts", "Ran", "Ended"], _failed_cells),
    "finished": (
        ["Job", "Status", "Arguments", "Attempts", "Waited", "Ran", "Ended", "Error"],
        _finished_cells,
    ),
}
