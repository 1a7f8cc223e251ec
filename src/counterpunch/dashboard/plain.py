"""Anything a job may hold, as plain values that JSON and a page can show; never raises.

What jobs carry is not ours: text of megabytes, objects whose ``__repr__`` raises, structures
without end. All of it is cut to a size here, before anything else looks at it.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import Any

from ..core.values.short import short

__all__ = ["DEPTH", "ITEMS", "TEXT", "clip", "plain", "show"]

TEXT = 500  # characters of one value
ITEMS = 30  # entries of one container
DEPTH = 2  # containers within containers; what lies deeper is shown as text


def clip(text: str, limit: int = TEXT) -> str:
    """A text cut to ``limit`` characters; the end says that it was."""
    # str() of a subclass may be anything; this is the text itself.
    exact = text if type(text) is str else str.__str__(text)
    return exact if len(exact) <= limit else exact[: limit - 1] + "…"


def show(value: object, limit: int = TEXT) -> str:
    """A short ``repr``, see ``short``."""
    return short(value, limit)


def plain(value: object, depth: int = DEPTH) -> Any:
    """None, booleans, numbers, texts, lists and dicts of such as they are, others by ``show``."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        return clip(value)  # type: ignore[arg-type]
    if kind is int:
        # A larger one is no number to JavaScript any more, and slow to write out.
        return value if abs(value) < 2**53 else show(value)  # type: ignore[arg-type]
    if kind is float:
        return value if math.isfinite(value) else show(value)  # type: ignore[arg-type]
    if (kind is list or kind is tuple) and depth:
        items = [plain(item, depth - 1) for item in value[:ITEMS]]  # type: ignore[index]
        return items if len(value) <= ITEMS else [*items, "…"]  # type: ignore[arg-type]
    if kind is dict and depth:
        return _plain_dict(value, depth)  # type: ignore[arg-type]
    return show(value)


def _plain_dict(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    try:
        pairs = list(islice(value.items(), ITEMS))
    except RuntimeError:  # the job changes it just now
        return {"…": "changing"}
    shown = {
        clip(key, 100) if type(key) is str else show(key, 100): plain(item, depth - 1)
        for key, item in pairs
    }
    if len(value) > ITEMS:
        shown["…"] = f"{len(value) - ITEMS} more"
    return shown
