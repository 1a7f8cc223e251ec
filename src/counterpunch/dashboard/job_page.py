"""One job: its whole story."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .cells import arguments, attempt, buttons, progress, small, state
from .frame import Frame, document
from .markup import NONE, Html, duration, tag, when

__all__ = ["job_page"]


def job_page(frame: Frame, data: Mapping[str, Any]) -> str:
    facts: list[tuple[str, object]] = [
        ("Id", tag("code", None, data["id"])),
        ("Attempt", attempt(data) if data["attempt"] else "not started"),
        ("Arguments", arguments(data)),
        ("Priority", str(data["priority"])),
        ("Tags", [tag("span", {"class": "tag"}, name) for name in data["tags"]] or NONE),
        ("Pool", data["options"]["pool"] or "its own"),
        ("Retry", tag("code", None, policy) if (policy := data["options"]["retry"]) else NONE),
        ("Timeout", NONE if (limit := data["options"]["timeout"]) is None else duration(limit)),
    ]
    if data["result"] is not None:
        facts.append(("Result", tag("code", {"class": "arguments"}, _value(data["result"]))))
    if data["retried_as"]:
        link = frame.link(f"/job/{data['retried_as']}", data["retried_as"])
        facts.append(("Retried as", link))
    content: list[object] = [
        tag("p", {"class": "lead"}, line) if (line := _progress_line(data)) else None,
        buttons(frame, data),
        tag("h2", None, "Timings"),
        _story(data),
    ]
    if data["stack"]:
        content += [
            tag("h2", None, "Where it is"),
            tag("pre", {"tabindex": "0"}, data["stack"]),
        ]
    if data["traceback"]:
        title = "Error" if data["status"] in ("failed", "retrying") else "Reason"
        content += [tag("h2", None, title), tag("pre", {"tabindex": "0"}, data["traceback"])]
    if data["data"]:
        rows: list[tuple[str, object]] = [
            (name, tag("code", {"class": "arguments"}, _value(value)))
            for name, value in data["data"].items()
        ]
        content += [tag("h2", None, "Status data"), _facts(rows)]
    content += [tag("h2", None, "About"), _facts(facts)]
    return document(frame, data["job"], *content, beside=state(data))


def _progress_line(data: Mapping[str, Any]) -> Html | None:
    return progress(data) if data["progress"] or data["cancelling"] else None


def _story(data: Mapping[str, Any]) -> Html:
    """Enqueued, due, started, ended: each with its time, and how long it took to get there."""
    due = data["due_in"]
    ran = f"after {duration(data['ran'])}"
    steps = [
        ("Enqueued", data["enqueued_at"], duration(data["age"]) + " ago"),
        ("Due", data["run_at"], "" if due is None or due <= 0 else f"in {duration(due)}"),
        (
            "Started",
            data["started_at"],
            "" if data["waited"] is None else f"waited {duration(data['waited'])}",
        ),
        (
            data["status"].capitalize() if data["finished_at"] else "Ended",
            data["finished_at"],
            ran if data["finished_at"] and data["ran"] is not None else "",
        ),
    ]
    if data["status"] == "running":
        steps[-1] = ("Running", None, f"for {duration(data['ran'])}")
    if data["run_at"] == data["enqueued_at"]:
        del steps[1]
    return tag(
        "ol",
        {"class": "story"},
        [
            tag(
                "li",
                {"class": None if moment or more else "open"},
                tag("b", None, name),
                " ",
                "now" if name == "Running" else when(moment),
                " ",
                small(more) if more else None,
            )
            for name, moment, more in steps
        ],
    )


def _facts(rows: list[tuple[str, object]]) -> Html:
    return tag(
        "dl",
        {"class": "facts"},
        [tag("div", None, tag("dt", None, name), tag("dd", None, value)) for name, value in rows],
    )


def _value(value: Any) -> str:
    """A plain value as text: a text as it is, the rest as Python would write it."""
    return value if isinstance(value, str) else repr(value)
