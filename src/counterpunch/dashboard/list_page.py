"""The lists: running, waiting, scheduled, failed and finished jobs, filtered and paged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from . import cells
from .frame import LISTS, Cell, Frame, Row, document, table
from .markup import DASH, Html, duration, join, tag, when

__all__ = ["list_page"]

_EMPTY = {
    "running": "No job is running.",
    "waiting": "No job waits for a worker.",
    "scheduled": "No job waits for its time, a retry or a transaction.",
    "failed": "No failed job is remembered.",
    "finished": "No finished job is remembered.",
}

_STATUSES = {
    "scheduled": ("scheduled", "retrying", "deferred"),
    "finished": ("succeeded", "failed", "cancelled", "discarded", "lost"),
}


def list_page(frame: Frame, data: Mapping[str, Any]) -> str:
    name, rows = data["list"], data["jobs"]
    content = [_filters(frame, data)]
    if rows:
        columns = {"Job": cells.identity, **_COLUMNS[name], "": cells.buttons}
        content.append(table(frame, f"{LISTS[name]} jobs", columns, rows, f"jobs {name}"))
        content.append(_pager(frame, data))
    else:
        filtered = any(data["filter"].values())
        content.append(cells.empty("No job fits the filter." if filtered else _EMPTY[name]))
    return document(frame, LISTS[name], *content)


def _filters(frame: Frame, data: Mapping[str, Any]) -> Html:
    name, chosen = data["list"], data["filter"]
    parts = [_field("job", "Class", _select("job", chosen["job"], data["classes"]))]
    if name in _STATUSES:
        select = _select("status", chosen["status"], _STATUSES[name])
        parts.append(_field("status", "Status", select))
    field = tag("input", id="tag", name="tag", value=chosen["tag"] or None, size="12")
    parts += [_field("tag", "Tag", field), tag("button", "Filter")]
    if any(chosen.values()):
        parts.append(frame.link(f"/{name}", "Clear"))
    return tag("form.filters", parts, action=f"{frame.prefix}/{name}")


def _field(name: str, text: str, control: Html) -> Html:
    """A label and its control, which stay together when the line breaks."""
    return tag("span", tag("label", text, for_=name), " ", control)


def _select(name: str, chosen: str, values: Iterable[str]) -> Html:
    options = [tag("option", v, value=v, selected=v == chosen) for v in values]
    return tag("select", tag("option", "all", value=""), options, id=name, name=name)


def _pager(frame: Frame, data: Mapping[str, Any]) -> Html:
    name, page, first = data["list"], data["page"], data["first"]
    last = first + len(data["jobs"]) - 1
    parts: list[object] = [f"{first:,}{DASH}{last:,} of {data['total']:,}"]
    kept = {name: value for name, value in data["filter"].items() if value}
    newest_first = name in ("failed", "finished")
    before, after = ("Newer", "Older") if newest_first else ("Previous", "Next")
    for text, number, rel in ((before, page - 1, "prev"), (after, page + 1, "next")):
        if 1 <= number <= data["pages"]:
            query = urlencode({**kept, "page": number})
            parts += [" ", frame.link(f"/{name}?{query}", text, rel=rel)]
    return tag("nav.pager", parts, aria_label="Pages of the list")


def _ran(frame: Frame, row: Row) -> str:
    return duration(row["ran"])


def _waited(frame: Frame, row: Row) -> str:
    return duration(row["waited"])


def _running(frame: Frame, row: Row) -> Html:
    return when(row["started_at"], duration(row["ran"]))


def _queued(frame: Frame, row: Row) -> Html:
    return when(row["enqueued_at"], duration(row["waited"]))


def _due(frame: Frame, row: Row) -> Html:
    return when(row["run_at"], "in " + duration(row["due_in"]))


def _stack(frame: Frame, row: Row) -> Html:
    return cells.details(f"stack-{row['id']}", "Stack", row.get("stack"))


def _failure(frame: Frame, row: Row) -> Html:
    return tag("span.error", row["error"] or row["status"])


def _ended_and_retried(frame: Frame, row: Row) -> Html:
    again = row["retried_as"]
    link = tag("small", " retried as ", frame.link(f"/job/{again}", again)) if again else None
    return join(cells.ended(frame, row), link)


_COLUMNS: dict[str, dict[str, Cell]] = {
    "running": {
        "Arguments": cells.arguments, "Attempt": cells.attempt, "For": _running,
        "Progress": cells.progress, "Stack": _stack,
    },
    "waiting": {
        "Arguments": cells.arguments, "For": _queued,
        "Priority": lambda frame, row: row["priority"], "Attempts": cells.attempt,
    },
    "scheduled": {
        "Status": cells.state, "Arguments": cells.arguments, "Due": _due,
        "Attempts": cells.attempt, "Error": cells.error,
    },
    "failed": {
        "Error": _failure, "Arguments": cells.arguments, "Attempts": cells.attempt,
        "Ran": _ran, "Ended": _ended_and_retried,
    },
    "finished": {
        "Status": cells.state, "Arguments": cells.arguments, "Attempts": cells.attempt,
        "Waited": _waited, "Ran": _ran, "Ended": cells.ended, "Error": cells.error,
    },
}  # fmt: skip
