"""One class: its numbers, how long its jobs wait and run, its options, what failed last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from .cells import arguments, code, ended, error, facts, identity, paused, pausing, tiles
from .chart import histogram, large
from .failures_page import KINDS
from .frame import Frame, document
from .markup import Html, duration, join, tag
from .overview_data import delayed
from .tables import Cell, Row, table

__all__ = ["class_page"]


def class_page(frame: Frame, data: Mapping[str, Any]) -> str:
    numbers = data["numbers"]
    content: list[object] = []
    if numbers is None:
        content.append(tag("p.empty", "No job of it has been enqueued."))
    else:
        content += [
            _buttons(frame, data, numbers),
            _tiles(frame, numbers),
            tag("div.charts", [large(data["job"], numbers[name]) for name in ("chart", "day")]),
            tag("h2", "How long its jobs take, since the start"),
            tag(
                "div.charts",
                histogram("Waited", data["histograms"]["wait_seconds"]),
                histogram("Ran", data["histograms"]["run_seconds"]),
            ),
        ]
    if data["failures"]:
        content += [
            tag("h2", "Errors"),
            table(frame, "Errors", KINDS, data["failures"], "jobs kinds"),
        ]
    if data["failed"]:
        content += [
            tag("h2", "Failed last"),
            table(frame, "Failed", _FAILED, data["failed"], "jobs"),
        ]
    content += [tag("h2", "Options"), _options(data)]
    title = numbers["job"] if numbers else data["job"]
    return document(frame, title, *content, beside=paused(numbers) if numbers else None)


def _buttons(frame: Frame, data: Mapping[str, Any], numbers: Row) -> Html:
    parts: list[object] = [pausing(frame, numbers)]
    if frame.token is not None:
        query = urlencode({"job": data["class"]})
        for name in ("waiting", "scheduled"):
            count = numbers["status"]["queued"] if name == "waiting" else delayed(numbers["status"])
            if count:
                address = f"/confirm/{name}/cancel?{query}"
                parts.append(frame.link(address, f"Cancel {count:,} {name} …", class_="button"))
    return tag("div.buttons", parts)


def _tiles(frame: Frame, row: Row) -> Html:
    status, recent = row["status"], row["recent"]
    query = urlencode({"job": row["class"]})
    wait, run = recent["wait_seconds"], recent["run_seconds"]
    rows: list[tuple[str, object, str]] = []
    for name, path, number, more in (
        ("Waiting", "waiting", status["queued"], f"oldest {duration(row['oldest_wait'])}"),
        ("Running", "running", status["running"], f"of {row['size']} workers"),
        ("Scheduled", "scheduled", delayed(status), f"{status['retrying']:,} to be retried"),
        ("Succeeded", "finished", status["succeeded"], f"{row['per_minute']:,} per minute"),
        ("Failed", "failed", status["failed"] + status["lost"],
         f"{recent['failed']:,} in 10 min, {recent['retries']:,} retried"),
    ):  # fmt: skip
        figure = f"{number:,}"
        rows.append((name, frame.link(f"/{path}?{query}", figure) if number else figure, more))
    for name, times in (("Wait, 10 min", wait), ("Run, 10 min", run)):
        p95 = f"one of twenty over {duration(times['p95'])}" if times["p50"] is not None else ""
        rows.append((name, duration(times["p50"]), p95))
    return tiles(rows)


def _options(data: Mapping[str, Any]) -> list[Html]:
    """Those that the class has set, and the others for who wants to see them."""
    about: list[tuple[str, object]] = [("class", tag("code", data["class"]))]
    if data["async"]:
        about.append(("runs", "on an event loop (async def)"))
    options = data["options"]
    about += [(one["name"], code(one["value"])) for one in options if one["set"]]
    rest = [(one["name"], code(one["value"])) for one in options if not one["set"]]
    more = tag(
        "details",
        tag("summary", "Options as they are by default"),
        facts(rest),
        data_key="options",
    )
    return [facts(about), more]


_FAILED: dict[str, Cell] = {
    "Job": identity,
    "Error": error,
    "Arguments": arguments,
    "Ended": lambda frame, row: join(ended(frame, row)),
}
