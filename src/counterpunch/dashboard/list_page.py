"""The lists: running, waiting, scheduled, failed and finished jobs, filtered and paged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from . import cells
from .bulk import ACTIONS
from .bulk_page import VERBS
from .frame import LISTS, Frame, document
from .markup import DASH, Html, duration, join, tag, when
from .tables import Cell, Row, table

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
    filtered = any(data["filter"].values())
    content: list[object] = [_filters(frame, data)]
    if data["looked"] is not None:
        content.append(_partly(data))
    if rows:
        columns = {"Job": cells.identity, **_COLUMNS[name], "": cells.buttons}
        title, kind = f"{LISTS[name]} jobs", f"jobs {name}"
        content.append(table(frame, title, columns, rows, kind, _SORTS[name]))
        content.append(_pager(frame, data))
        content.append(_bulk(frame, data, filtered))
    else:
        content.append(cells.empty("No job fits the filter." if filtered else _EMPTY[name]))
    return document(frame, LISTS[name], *content)


def _partly(data: Mapping[str, Any]) -> Html:
    """A search takes no longer than a moment; what it has not seen is said."""
    text = f"Looked at {data['looked']:,} of {data['whole']:,} jobs in the time for a search"
    return tag("p.note warn", f"{text}: narrow it by class or tag to see the rest.")


def _filters(frame: Frame, data: Mapping[str, Any]) -> Html:
    name, chosen = data["list"], data["filter"]
    text = tag("input", id="q", name="q", type="search", value=chosen["q"] or None, size="20",
               placeholder="argument, error, tag, id")  # fmt: skip
    classes = [(long, title) for title, long in data["classes"]]
    # A short name in the address, which an older link may have, is the same class.
    job = next((long for long, title in classes if chosen["job"] in (long, title)), chosen["job"])
    parts: list[object] = [
        _field("q", "Search", text),
        _field("job", "Class", _select("job", job, classes)),
    ]
    if name in _STATUSES:
        statuses = [(status, status) for status in _STATUSES[name]]
        parts.append(_field("status", "Status", _select("status", chosen["status"], statuses)))
    field = tag("input", id="tag", name="tag", value=chosen["tag"] or None, size="10")
    parts.append(_field("tag", "Tag", field))
    if chosen["error"]:
        parts.append(tag("input", type="hidden", name="error", value=chosen["error"]))
        parts.append(tag("span.tag", f"error: {chosen['error']}"))
    if data["sort"]:
        parts.append(tag("input", type="hidden", name="sort", value=data["sort"]))
    parts += [frame.kept(), tag("button", "Filter")]
    if any(chosen.values()):
        parts.append(frame.link(f"/{name}", "Clear"))
    return tag("form.filters", parts, action=f"{frame.prefix}/{name}", role="search",
               aria_label="Filter of the list")  # fmt: skip


def _field(name: str, text: str, control: Html) -> Html:
    """A label and its control, which stay together when the line breaks."""
    return tag("span", tag("label", text, for_=name), " ", control)


def _select(name: str, chosen: str, values: Iterable[tuple[str, str]]) -> Html:
    options = [tag("option", text, value=v, selected=v == chosen) for v, text in values]
    return tag("select", tag("option", "all", value=""), options, id=name, name=name)


def _kept(data: Mapping[str, Any]) -> dict[str, Any]:
    """The filter of a list and its order, for another address."""
    return {
        **{name: value for name, value in data["filter"].items() if value},
        "sort": data["sort"],
    }


def _pager(frame: Frame, data: Mapping[str, Any]) -> Html:
    name, page, first = data["list"], data["page"], data["first"]
    last = first + len(data["jobs"]) - 1
    parts: list[object] = [f"{first:,}{DASH}{last:,} of {data['total']:,}"]
    newest_first = name in ("failed", "finished") and not data["sort"]
    before, after = ("Newer", "Older") if newest_first else ("Previous", "Next")
    for text, number, rel in ((before, page - 1, "prev"), (after, page + 1, "next")):
        if 1 <= number <= data["pages"]:
            address = frame.with_query(f"/{name}", {**_kept(data), "page": number})
            parts += [" ", frame.link(address, text, rel=rel)]
    if page == data["pages"] and last < data["total"]:
        parts.append("; choose one process, or narrow the list, to see the rest")
    return tag("nav.pager", parts, aria_label="Pages of the list")


def _bulk(frame: Frame, data: Mapping[str, Any], filtered: bool) -> Html | None:
    """What can be done to all of them; a page asks first."""
    name = data["list"]
    if frame.token is None or not ACTIONS[name]:
        return None
    kept = {field: value for field, value in _kept(data).items() if field != "sort"}
    those = "that fit" if filtered else "of this list"
    parts: list[object] = [f"All {data['total']:,} {those}:"]
    for action in ACTIONS[name]:
        address = frame.with_query(f"/confirm/{name}/{action}", kept)
        parts += [" ", frame.link(address, f"{VERBS[action]} all …", class_="button")]
    return tag("p.bulk", parts)


def _ended_and_retried(frame: Frame, row: Row) -> Html:
    again = row["retried_as"]
    link = tag("small", " retried as ", frame.link(f"/job/{again}", again)) if again else None
    return join(cells.ended(frame, row), link)


def _ran(frame: Frame, row: Row) -> str:
    return duration(row["ran"])


_COLUMNS: dict[str, dict[str, Cell]] = {
    "running": {
        "Arguments": cells.arguments,
        "Attempt": cells.attempt,
        "For": lambda frame, row: when(row["started_at"], duration(row["ran"])),
        "Progress": cells.progress,
        "Stack": lambda frame, row: cells.details(f"stack-{row['id']}", "Stack", row.get("stack")),
    },
    "waiting": {
        "Arguments": cells.arguments,
        "For": lambda frame, row: when(row["enqueued_at"], duration(row["waited"])),
        "Priority": lambda frame, row: row["priority"],
        "Attempts": cells.attempt,
    },
    "scheduled": {
        "Status": cells.state,
        "Arguments": cells.arguments,
        "Due": lambda frame, row: when(row["run_at"], "in " + duration(row["due_in"])),
        "Attempts": cells.attempt,
        "Error": cells.error,
    },
    "failed": {
        "Error": lambda frame, row: tag("span.error", row["error"] or row["status"]),
        "Arguments": cells.arguments,
        "Attempts": cells.attempt,
        "Ran": _ran,
        "Ended": _ended_and_retried,
    },
    "finished": {
        "Status": cells.state, "Arguments": cells.arguments, "Attempts": cells.attempt,
        "Waited": lambda frame, row: duration(row["waited"]), "Ran": _ran, "Ended": cells.ended,
        "Error": cells.error,
    },
}  # fmt: skip

_SORTS: dict[str, dict[str, str]] = {
    "running": {"Job": "class", "Attempt": "attempts"},
    "waiting": {"Job": "class", "For": "oldest", "Attempts": "attempts"},
    "scheduled": {"Job": "class", "Attempts": "attempts"},
    "failed": {"Job": "class", "Attempts": "attempts", "Ran": "ran"},
    "finished": {"Job": "class", "Attempts": "attempts", "Waited": "waited", "Ran": "ran"},
}
