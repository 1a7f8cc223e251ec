"""What comes again: schedule, next runs, pause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from .cells import small, state
from .frame import Frame, document, table
from .markup import NONE, Html, duration, join, tag, when

__all__ = ["periodic_page"]


def periodic_page(frame: Frame, data: Mapping[str, Any]) -> str:
    rows = data["periodic"]
    if not rows:
        text = "No periodic job is armed in this process: start() arms classes with every or cron."
        return document(frame, "Periodic", tag("p", {"class": "empty"}, text))
    columns = ["Class", "Schedule", "Next", "Then", "Runs in", "Latest"]
    if frame.token is not None:
        columns.append("")
    lines = []
    for row in rows:
        name, latest = row["job"], row["latest"]
        schedule = f"every {_period(row['every'])}" if row["every"] else row["cron"]
        cells: list[object] = [
            join(
                frame.link("/finished?" + urlencode({"job": name}), name),
                tag("span", {"class": "state paused"}, "paused") if row["paused"] else None,
            ),
            join(tag("code", None, schedule), None if row["every"] else small(row["timezone"])),
            when(row["next_runs"][0], "in " + duration(row["next_in"])),
            tag("ul", {"class": "plain"}, [tag("li", None, when(m)) for m in row["next_runs"][1:]]),
            f"one process per {row['once_per']}" if row["once_per"] == "host" else "each process",
            _latest(frame, latest),
        ]
        if frame.token is not None:
            verb = "Resume" if row["paused"] else "Pause"
            cells.append(frame.button(f"/class/{verb.lower()}", verb, name, job=name))
        lines.append(cells)
    return document(frame, "Periodic", table("Periodic classes", columns, lines, "jobs periodic"))


def _period(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 60 else duration(seconds)


def _latest(frame: Frame, latest: Mapping[str, Any] | None) -> Html:
    if latest is None:
        return NONE
    return frame.link(f"/job/{quote(latest['id'], safe='')}", state(latest))
