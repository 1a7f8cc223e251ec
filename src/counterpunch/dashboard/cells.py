"""What several pages say of one job or class: each piece as it stands in a cell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlencode

from .frame import Frame
from .markup import NONE, Html, duration, join, tag, when
from .tables import Row

__all__ = [
    "arguments", "attempt", "breaking", "buttons", "class_link", "code", "count", "details",
    "empty", "ended", "error", "facts", "identity", "items", "job_link", "paused", "pausing",
    "progress", "small", "state", "text_block", "tiles",
]  # fmt: skip


def small(text: str) -> Html:
    return tag("small", " " + text)


def empty(text: str) -> Html:
    return tag("p.empty", text)


def code(value: Any) -> Html:
    """A plain value as text: a text as it is, the rest as Python would write it."""
    return tag("code.arguments", value if isinstance(value, str) else repr(value))


def text_block(text: str) -> Html:
    return tag("pre", text, tabindex="0")


def items(kind: str | None, lines: Iterable[object]) -> Html:
    return tag("ul", [tag("li", line) for line in lines], class_=kind)


def count(number: int, kind: str | None = None) -> Html:
    return tag("span", f"{number:,}", class_=kind if number else "zero")


def tiles(rows: Iterable[tuple[str, object, str]]) -> Html:
    """Large figures, each with its name and what more there is to say; failed ones are red."""
    shown = []
    for name, figure, more in rows:
        kind = "bad" if name == "Failed" and figure != "0" else None
        figures = tag("dd", tag("b", figure), " ", tag("span", more))
        shown.append(tag("div", tag("dt", name), figures, class_=kind))
    return tag("dl.tiles", shown)


def facts(rows: Iterable[tuple[str, object]]) -> Html:
    return tag("dl.facts", [tag("div", tag("dt", name), tag("dd", value)) for name, value in rows])


def details(key: str, summary: object, text: str | None) -> Html:
    if not text:
        return NONE
    return tag("details", tag("summary", summary), text_block(text), data_key=key)


# Of a job


def job_link(frame: Frame, id: str, text: object) -> Html:
    return frame.link(f"/job/{quote(id, safe='')}", text)


def identity(frame: Frame, row: Row) -> Html:
    return join(
        job_link(frame, row["id"], breaking(row["job"])),
        tag("code.id", row["id"]),
        tag("small.pid", f"pid {row['pid']}") if frame.several else None,
        [tag("span.tag", name) for name in row["tags"][:10]],
    )


def arguments(frame: Frame, row: Row) -> Html:
    text = row["arguments"]
    return tag("span.zero", "hidden") if text is None else code(text)


def attempt(frame: Frame, row: Row) -> str:
    most = row["max_attempts"]
    return f"{row['attempt']} of {most}" if most and most > 1 else str(row["attempt"])


def state(frame: Frame, row: Row) -> Html:
    return tag(f"span.state {row['status']}", row["status"])


def error(frame: Frame, row: Row) -> Html:
    return tag("span.error", row["error"]) if row["error"] else NONE


def ended(frame: Frame, row: Row) -> Html:
    return when(row["finished_at"], duration(row["finished_ago"]) + " ago")


def progress(frame: Frame, row: Row) -> Html:
    progress = row["progress"]
    parts: list[object] = []
    if row["cancelling"]:
        parts.append(tag("span.state cancelled", "asked to stop"))
    if progress is not None:
        fraction = progress["fraction"]
        if fraction is not None:
            label = f"Progress of {row['job']} {row['id']}"
            bar = {"value": f"{fraction:.3f}", "max": "1", "aria_label": label}
            parts.append(tag("progress", f"{fraction:.0%}", **bar))
        done, total = progress["done"], progress["total"]
        parts.append(tag("small", f"{done}" if total is None else f"{done} of {total}"))
        if progress["message"]:
            parts.append(tag("small.message", f" · {progress['message']}"))
    return join(parts) if parts else NONE


def buttons(frame: Frame, row: Row) -> Html:
    """The actions that make sense in the job's state."""
    if frame.token is None:
        return Html("")
    path, subject = f"/job/{quote(row['id'], safe='')}", f"{row['job']} {row['id']}"
    status = row["status"]
    parts = []
    if status in ("scheduled", "retrying"):
        parts.append(frame.button(f"{path}/run", "Run now", subject))
    if status in ("failed", "lost", "cancelled", "discarded") and not row["retried_as"]:
        parts.append(frame.button(f"{path}/retry", "Retry", subject))
    if status in ("failed", "lost"):
        parts.append(frame.button(f"{path}/discard", "Discard", subject, "quiet"))
    if row["due_in"] is not None or (status == "running" and not row["cancelling"]):
        text = "Stop" if status == "running" else "Cancel"
        parts.append(frame.button(f"{path}/cancel", text, subject, "quiet"))
    return tag("div.buttons", parts)


# Of a class


def class_link(frame: Frame, name: str, title: str) -> Html:
    """To the page of a class; what does not fit can be read by who points at it."""
    path = f"/class?{urlencode({'job': name})}"
    return frame.link(path, breaking(title), title=title if len(title) > 40 else None)


def breaking(name: str) -> Html:
    """A long name, that a line may end after each of its dots."""
    if len(name) <= 24:
        return join(name)
    first, *rest = name.split(".")
    return join(first, [(".", tag("wbr"), part) for part in rest])


def paused(row: Row) -> Html | None:
    if not row["paused_in"]:
        return None
    where = "" if row["paused"] else f" in {row['paused_in']} of {row['processes']}"
    return tag("span.state paused", f"paused{where}")


def pausing(frame: Frame, row: Row) -> Html:
    """The button for what is not so yet; both, while some processes hold and others do not."""
    verbs = [] if row["paused"] else ["Pause"]
    verbs += ["Resume"] if row["paused_in"] else []
    return tag(
        "div.buttons",
        [frame.button(f"/class/{v.lower()}", v, row["job"], job=row["class"]) for v in verbs],
    )
