"""Failed jobs by what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from .cells import class_link, empty, job_link
from .frame import Frame, document
from .markup import Html, duration, join, tag, when
from .tables import Cell, Row, table

__all__ = ["KINDS", "failures_page"]


def failures_page(frame: Frame, data: Mapping[str, Any]) -> str:
    chosen = data["filter"]
    text = tag("input", id="q", name="q", type="search", value=chosen["q"] or None, size="20",
               placeholder="argument, error, tag, id")  # fmt: skip
    job = [tag("input", type="hidden", name="job", value=chosen["job"])] if chosen["job"] else []
    search = tag(
        "form.filters",
        tag("span", tag("label", "Search", for_="q"), " ", text),
        job,
        frame.kept(),
        tag("button", "Filter"),
        frame.link("/errors", "Clear") if any(chosen.values()) else None,
        action=f"{frame.prefix}/errors",
        role="search",
        aria_label="Filter of the errors",
    )
    if not data["groups"]:
        return document(frame, "Errors", search, empty("No failed job is remembered."))
    shown = table(frame, "Errors", KINDS, data["groups"], "jobs kinds")
    note = f"{data['total']:,} failed jobs are remembered; numbers, ids and quoted texts of an " \
           "error count as the same."  # fmt: skip
    return document(frame, "Errors", search, shown, tag("p.legend", note))


def _address(row: Row) -> str:
    return urlencode({"job": row["class"], "error": row["kind"]})


def _error(frame: Frame, row: Row) -> Html:
    return frame.link(f"/failed?{_address(row)}", tag("span.error", row["error"]))


def _last(frame: Frame, row: Row) -> Html:
    ago = when(row["last_at"], f"{duration(row['last_ago'])} ago")
    return join(job_link(frame, row["last"], ago))


def _buttons(frame: Frame, row: Row) -> Html:
    """To the pages that ask before they do it."""
    subject = f"{row['job']}: {row['error']}"
    links = [
        frame.link(f"/confirm/failed/{action}?{_address(row)}", f"{text} …", class_="button",
                   aria_label=f"{text} {subject}")
        for action, text in (("retry", "Retry all"), ("discard", "Discard all"))
    ]  # fmt: skip
    return tag("div.buttons", links)


KINDS: dict[str, Cell] = {
    "Error": _error,
    "Class": lambda frame, row: class_link(frame, row["class"], row["job"]),
    "Count": lambda frame, row: f"{row['count']:,}",
    "First": lambda frame, row: when(row["first_at"]),
    "Last": _last,
    "": _buttons,
}
