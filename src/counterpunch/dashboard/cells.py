"""What several pages say of one job: each piece as it stands in a cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from .frame import Frame
from .markup import NONE, Html, join, tag

__all__ = [
    "arguments",
    "attempt",
    "buttons",
    "details",
    "identity",
    "progress",
    "small",
    "state",
]


def small(text: str) -> Html:
    return tag("small", None, " " + text)


def identity(frame: Frame, row: Mapping[str, Any]) -> Html:
    return join(
        frame.link(f"/job/{quote(row['id'], safe='')}", row["job"]),
        tag("code", {"class": "id"}, row["id"]),
        [tag("span", {"class": "tag"}, name) for name in row["tags"][:10]],
    )


def arguments(row: Mapping[str, Any]) -> Html:
    text = row["arguments"]
    if text is None:
        return tag("span", {"class": "zero"}, "hidden")
    return tag("code", {"class": "arguments"}, text)


def attempt(row: Mapping[str, Any]) -> str:
    most = row["max_attempts"]
    return f"{row['attempt']} of {most}" if most and most > 1 else str(row["attempt"])


def state(row: Mapping[str, Any]) -> Html:
    status = row["status"]
    return tag("span", {"class": f"state {status}"}, status)


def progress(row: Mapping[str, Any]) -> Html:
    progress = row["progress"]
    parts: list[object] = []
    if row["cancelling"]:
        parts.append(tag("span", {"class": "state cancelled"}, "asked to stop"))
    if progress is not None:
        fraction = progress["fraction"]
        if fraction is not None:
            label = f"Progress of {row['job']} {row['id']}"
            bar = {"value": f"{fraction:.3f}", "max": "1", "aria-label": label}
            parts.append(tag("progress", bar, f"{fraction:.0%}"))
        done, total = progress["done"], progress["total"]
        parts.append(tag("small", None, f"{done}" if total is None else f"{done} of {total}"))
        if progress["message"]:
            parts.append(tag("small", {"class": "message"}, f" · {progress['message']}"))
    return join(parts) if parts else NONE


def details(key: str, summary: object, text: str | None) -> Html:
    if not text:
        return NONE
    return tag(
        "details",
        {"data-key": key},
        tag("summary", None, summary),
        tag("pre", {"tabindex": "0"}, text),
    )


def buttons(frame: Frame, row: Mapping[str, Any]) -> Html:
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
    return tag("div", {"class": "buttons"}, parts)
