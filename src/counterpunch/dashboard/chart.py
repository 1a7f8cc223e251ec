"""Small charts as SVG: what ended in each slot of the last minutes, and how long the queue was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .markup import Html, tag

__all__ = ["chart", "depth_chart"]

BAR, GAP, HEIGHT, DEPTH = 2, 1, 28, 14


def chart(name: str, data: Mapping[str, Any]) -> Html:
    """Failures stand on top of what succeeded; the tallest slot has the full height.

    One path each, not a rectangle per slot: a page of many classes stays small.
    """
    good, bad = data["succeeded"], data["failed"]
    most = max(map(sum, zip(good, bad, strict=True)), default=0)
    width = len(good) * (BAR + GAP)
    seconds = data["slot_seconds"]
    minutes = round(len(good) * seconds / 60)
    text = f"{name}, last {minutes} minutes: {sum(good):,} succeeded, {sum(bad):,} failed"
    if most:
        text += f"; at most {most:,} in {seconds:g} s"
    return _svg(
        "chart",
        width,
        HEIGHT,
        tag("title", text),
        tag("path.base", d=f"M0 {HEIGHT - 0.5}H{width}"),
        tag("path.good", d=_bars([0] * len(good), good, most)) if any(good) else None,
        tag("path.bad", d=_bars(good, bad, most)) if any(bad) else None,
    )


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


def _bars(below: list[int], values: list[int], most: int) -> str:
    parts = []
    for index, (low, value) in enumerate(zip(below, values, strict=True)):
        if value:
            height = max(1.0, value / most * HEIGHT)  # a single failure is still to be seen
            bottom = HEIGHT - low / most * HEIGHT
            top = max(0.0, bottom - height)
            parts.append(f"M{index * (BAR + GAP)} {top:.1f}h{BAR}v{bottom - top:.1f}h-{BAR}z")
    return "".join(parts)
