"""Small charts as SVG: what ended in each slot of the last minutes, and how long the queue was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .markup import Html, duration, tag

__all__ = ["chart", "depth_chart", "histogram", "large"]

BAR, GAP, HEIGHT, DEPTH = 2, 1, 28, 14
#: Of the large ones.
TALL = 96


def chart(name: str, data: Mapping[str, Any]) -> Html:
    """Failures stand on top of what succeeded; the tallest slot has the full height.

    One path each, not a rectangle per slot: a page of many classes stays small.
    """
    most = _most(data)
    return _svg("chart", _width(data), HEIGHT, *_columns(name, data, most, HEIGHT))


def large(name: str, data: Mapping[str, Any]) -> Html:
    """The same with room for a scale: how many the tallest slot has, and when."""
    most = _most(data)
    seconds = data["slot_seconds"]
    span = _span(data)
    slot = f"{seconds:g} s" if seconds < 60 else f"{seconds / 60:g} min"
    return tag(
        "figure.large",
        tag("figcaption", tag("b", f"Last {span}"), f" in slots of {slot}"),
        tag("span.top", f"{most:,}"),
        _svg("chart", _width(data), TALL, *_columns(name, data, most, TALL)),
        tag("span.axis", tag("span", f"{span} ago"), tag("span", "now")),
    )


def histogram(name: str, data: Mapping[str, Any]) -> Html:
    """How many took how long: a bar for each bucket, with its bounds and its number."""
    counts, bounds = data["counts"], data["bounds"]
    total, most = sum(counts), max(counts)
    used = [index for index, number in enumerate(counts) if number]
    if not used:
        return tag("p.empty", "None has ended yet.")
    first, last = max(0, used[0] - 1), min(len(counts) - 1, used[-1] + 1)
    rows = []
    for index in range(first, last + 1):
        number, bound = counts[index], bounds[index]
        text = f"over {duration(bounds[index - 1])}" if bound is None else f"to {duration(bound)}"
        bar = tag("progress", value=f"{number / most:.3f}", max="1", aria_hidden="true")
        share = f"{number / total:.0%}" if number * 200 > total else "<1%" if number else ""
        rows.append(tag("tr", tag("th", text, scope="row"), tag("td", bar),
                        tag("td", f"{number:,}"), tag("td", share)))  # fmt: skip
    caption = tag(
        "caption", tag("b", name), f" of {total:,}, {duration(data['sum'] / total)} on average"
    )
    head = tag(
        "thead.hidden",
        tag("tr", [tag("th", n, scope="col") for n in ("Time", "Bar", "Number", "Share")]),
    )
    return tag("table.histogram", caption, head, tag("tbody", rows))


def _most(data: Mapping[str, Any]) -> int:
    return max(map(sum, zip(data["succeeded"], data["failed"], strict=True)), default=0)


def _width(data: Mapping[str, Any]) -> int:
    return len(data["succeeded"]) * (BAR + GAP)


def _span(data: Mapping[str, Any]) -> str:
    minutes = round(len(data["succeeded"]) * data["slot_seconds"] / 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"


def _columns(name: str, data: Mapping[str, Any], most: int, height: int) -> list[Html | None]:
    good, bad, seconds = data["succeeded"], data["failed"], data["slot_seconds"]
    text = f"{name}, last {_span(data)}: {sum(good):,} succeeded, {sum(bad):,} failed"
    if most:
        slot = f"{seconds:g} s" if seconds < 60 else f"{seconds / 60:g} min"
        text += f"; at most {most:,} in {slot}"
    return [
        tag("title", text),
        tag("path.base", d=f"M0 {height - 0.5}H{_width(data)}"),
        tag("path.good", d=_bars([0] * len(good), good, most, height)) if any(good) else None,
        tag("path.bad", d=_bars(good, bad, most, height)) if any(bad) else None,
    ]


def depth_chart(name: str, data: Mapping[str, Any]) -> Html | None:
    """The length of the queue over the same minutes, as an area; None if it was always empty.

    A step per slot, like the bars above it: between two looks nothing is known.
    """
    depths = data["queued"]
    most = max(depths, default=0)
    if not most:
        return None
    minutes = round(len(depths) * data["slot_seconds"] / 60)
    text = f"{name}, queue over the last {minutes} minutes: now {depths[-1]:,}, at most {most:,}"
    step = BAR + GAP
    tops = [f"{DEPTH - depth / most * (DEPTH - 1):.1f}" for depth in depths]
    line = "".join(f"V{top}h{step}" for top in tops)
    width = len(depths) * step
    area = tag("path.area", d=f"M0 {DEPTH}{line}V{DEPTH}z")
    return _svg("depth", width, DEPTH, tag("title", text), area)


def _svg(kind: str, width: int, height: int, *content: Html | None) -> Html:
    """An image whose first child is its title: its name, and shown to who points at it."""
    box = {"viewBox": f"0 0 {width} {height}", "preserveAspectRatio": "none"}  # as wide as a phone
    return tag(f"svg.{kind}", *content, role="img", **box)


def _bars(below: list[int], values: list[int], most: int, height: int) -> str:
    parts = []
    for index, (low, value) in enumerate(zip(below, values, strict=True)):
        if value:
            tall = max(1.0, value / most * height)  # a single failure is still to be seen
            bottom = height - low / most * height
            top = max(0.0, bottom - tall)
            parts.append(f"M{index * (BAR + GAP)} {top:.1f}h{BAR}v{bottom - top:.1f}h-{BAR}z")
    return "".join(parts)
