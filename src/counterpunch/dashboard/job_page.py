"""One job: its whole story."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import cells
from .frame import Frame, document
from .markup import NONE, Html, duration, tag, when

__all__ = ["job_page"]


def job_page(frame: Frame, data: Mapping[str, Any]) -> str:
    content: list[object] = [
        tag("p.lead", cells.progress(frame, data))
        if data["progress"] or data["cancelling"]
        else None,
        cells.buttons(frame, data),
        tag("h2", "Timings"),
        _story(data),
    ]
    if data["stack"]:
        content += [tag("h2", "Where it is"), cells.text_block(data["stack"])]
    if data["traceback"]:
        title = "Error" if data["status"] in ("failed", "retrying") else "Reason"
        content += [tag("h2", title), cells.text_block(data["traceback"])]
    if data["full_arguments"] and len(data["full_arguments"]) > len(data["arguments"] or ""):
        content += [tag("h2", "Arguments"), cells.text_block(data["full_arguments"])]
    if data["data"]:
        shown = ((name, cells.code(value)) for name, value in data["data"].items())
        content += [tag("h2", "Status data"), cells.facts(shown)]
    content += [tag("h2", "About"), cells.facts(_about(frame, data))]
    return document(frame, data["job"], *content, beside=cells.state(frame, data))


def _about(frame: Frame, data: Mapping[str, Any]) -> list[tuple[str, object]]:
    options, again = data["options"], data["retried_as"]
    policy, limit = options["retry"], options["timeout"]
    about: list[tuple[str, object]] = [
        ("Id", tag("code", data["id"])),
        ("Class", cells.class_link(frame, data["class"], data["class"])),
        ("Process", f"{data['process']['host']}, pid {data['process']['pid']}"),
        ("Attempt", cells.attempt(frame, data) if data["attempt"] else "not started"),
        ("Arguments", cells.arguments(frame, data)),
        ("Priority", data["priority"]),
        ("Tags", [tag("span.tag", name) for name in data["tags"]] or NONE),
        ("Pool", options["pool"] or "its own"),
        ("Retry", tag("code", policy) if policy else NONE),
        ("Timeout", NONE if limit is None else duration(limit)),
    ]
    if data["result"] is not None:
        about.append(("Result", cells.code(data["result"])))
    if again:
        about.append(("Retried as", frame.link(f"/job/{again}", again)))
    return about


def _story(data: Mapping[str, Any]) -> Html:
    """Enqueued, due, started, ended: each with its time, and how long it took to get there."""
    due, waited, ran = data["due_in"], data["waited"], data["ran"]
    steps = [
        ("Enqueued", data["enqueued_at"], f"{duration(data['age'])} ago"),
        ("Due", data["run_at"], f"in {duration(due)}" if due is not None and due > 0 else ""),
        ("Started", data["started_at"], "" if waited is None else f"waited {duration(waited)}"),
    ]
    if data["run_at"] == data["enqueued_at"]:
        del steps[1]
    if data["status"] == "running":
        steps.append(("Running", None, f"for {duration(ran)}"))
    elif data["finished_at"]:
        after = "" if ran is None else f"after {duration(ran)}"
        steps.append((data["status"].capitalize(), data["finished_at"], after))
    else:
        steps.append(("Ended", None, ""))
    lines = []
    for name, moment, more in steps:
        at = "now" if name == "Running" else when(moment)
        kind = None if moment or more else "open"
        note = cells.small(more) if more else None
        lines.append(tag("li", tag("b", name), " ", at, " ", note, class_=kind))
    return tag("ol.story", lines)
