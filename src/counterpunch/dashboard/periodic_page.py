"""What comes again: schedule, next runs, pause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from .cells import empty, items, job_link, paused, pausing, small, state
from .frame import Cell, Frame, Row, document, table
from .markup import NONE, Html, duration, join, tag, when

__all__ = ["periodic_page"]


def periodic_page(frame: Frame, data: Mapping[str, Any]) -> str:
    rows = data["periodic"]
    if not rows:
        text = "No periodic job is armed in this process: start() arms classes with every or cron."
        return document(frame, "Periodic", empty(text))
    shown = table(frame, "Periodic classes", _COLUMNS, rows, "jobs periodic")
    return document(frame, "Periodic", shown)


def _name(frame: Frame, row: Row) -> Html:
    query = urlencode({"job": row["job"]})
    return join(frame.link(f"/finished?{query}", row["job"]), paused(row))


def _schedule(frame: Frame, row: Row) -> Html:
    every = row["every"]
    if not every:
        return join(tag("code", row["cron"]), small(row["timezone"]))
    return tag("code", f"every {f'{every:g} s' if every < 60 else duration(every)}")


def _next(frame: Frame, row: Row) -> Html:
    return when(row["next_runs"][0], "in " + duration(row["next_in"]))


def _then(frame: Frame, row: Row) -> Html:
    return items("plain", map(when, row["next_runs"][1:]))


def _runs_in(frame: Frame, row: Row) -> str:
    return "one process per host" if row["once_per"] == "host" else "each process"


def _latest(frame: Frame, row: Row) -> Html:
    latest = row["latest"]
    return NONE if latest is None else job_link(frame, latest["id"], state(frame, latest))


_COLUMNS: dict[str, Cell] = {
    "Class": _name, "Schedule": _schedule, "Next": _next, "Then": _then, "Runs in": _runs_in,
    "Latest": _latest, "": pausing,
}  # fmt: skip
