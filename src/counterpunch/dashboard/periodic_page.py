"""What comes again: schedule, next runs, pause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .cells import class_link, empty, items, job_link, paused, pausing, small, state
from .frame import Frame, document
from .markup import NONE, Html, duration, join, tag, when
from .tables import Cell, Row, table

__all__ = ["periodic_page"]


def periodic_page(frame: Frame, data: Mapping[str, Any]) -> str:
    rows = data["periodic"]
    if not rows:
        text = "No periodic job is armed here: start() arms classes with every or cron."
        return document(frame, "Periodic", empty(text))
    shown = table(frame, "Periodic classes", _COLUMNS, rows, "jobs periodic")
    return document(frame, "Periodic", shown)


def _name(frame: Frame, row: Row) -> Html:
    return join(class_link(frame, row["class"], row["job"]), paused(row))


def _schedule(frame: Frame, row: Row) -> Html:
    every = row["every"]
    if not every:
        return join(tag("code", row["cron"]), small(row["timezone"]))
    return tag("code", f"every {f'{every:g} s' if every < 60 else duration(every)}")


def _next(frame: Frame, row: Row) -> Html:
    """In words, by the clock of the class's zone, and by the browser's where scripts run."""
    return join(
        tag("b", "in " + duration(row["next_in"])),
        tag("small.line", f"{_clock(row['local_runs'][0])} {row['timezone']}"),
        tag("small.line", when(row["next_runs"][0])),
    )


def _clock(moment: str) -> str:
    return f"{moment[:10]} {moment[11:19].removesuffix(':00')}"


def _then(frame: Frame, row: Row) -> Html:
    return items("plain", map(_clock, row["local_runs"][1:]))


def _runs_in(frame: Frame, row: Row) -> str:
    return "one process per host" if row["once_per"] == "host" else "each process"


def _latest(frame: Frame, row: Row) -> Html:
    latest = row["latest"]
    return NONE if latest is None else job_link(frame, latest["id"], state(frame, latest))


def _buttons(frame: Frame, row: Row) -> Html:
    run = frame.button("/class/run", "Run now", row["job"], job=row["class"])
    return tag("div.buttons", run, pausing(frame, row))


_COLUMNS: dict[str, Cell] = {
    "Class": _name, "Schedule": _schedule, "Next": _next, "Then": _then, "Runs in": _runs_in,
    "Latest": _latest, "": _buttons,
}  # fmt: skip
