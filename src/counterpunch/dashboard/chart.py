"""A small bar chart as SVG: what ended in each slot of the last minutes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .markup import Html, tag

__all__ = ["chart"]

BAR, GAP, HEIGHT = 2, 1, 28


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
    return tag(
        "svg",
        {"class": "chart", "role": "img", "aria-label": text, "viewBox": f"0 0 {width} {HEIGHT}"},
        tag("path", {"class": "base", "d": f"M0 {HEIGHT - 0.5}H{width}"}),
        tag("path", {"class": "good", "d": _bars([0] * len(good), good, most)})
        if any(good)
        else "",
        tag("path", {"class": "bad", "d": _bars(good, bad, most)}) if any(bad) else "",
    )


def _bars(below: list[int], values: list[int], most: int) -> str:
    parts = []
    for index, (low, value) in enumerate(zip(below, values, strict=True)):
        if value:
            height = max(1.0, value / most * HEIGHT)  # a single failure is still to be seen
            bottom = HEIGHT - low / most * HEIGHT
            top = max(0.0, bottom - height)
            parts.append(f"M{index * (BAR + GAP)} {top:.1f}h{BAR}v{bottom - top:.1f}h-{BAR}z")
    return "".join(parts)
