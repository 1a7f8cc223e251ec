"""Anything as what JSON can say, strictly: what it cannot is said as text."""

from __future__ import annotations

import math
from typing import Any

from .errors import shorten

__all__ = ["jsonable"]

#: Containers in containers; what lies deeper is shown as text, and so is what contains itself.
DEPTH = 100
#: Python itself refuses to write longer integers out.
BITS = 10_000


def jsonable(value: Any, depth: int = DEPTH) -> Any:
    """What ``json.dumps(..., allow_nan=False)`` takes, made of new lists and dicts."""
    try:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int) and value.bit_length() <= BITS:
            return int(value)
        if isinstance(value, float) and math.isfinite(value):
            return float(value)
        if isinstance(value, (list, tuple)) and depth:
            return [jsonable(each, depth - 1) for each in list(value)]
        if isinstance(value, dict) and depth:
            return {_key(key): jsonable(value[key], depth - 1) for key in list(value)}
    except Exception:  # it changes just now, or is such a value in name only
        pass
    return _text(value)


def _key(key: Any) -> str:
    return str.__str__(key) if isinstance(key, str) else _text(key)


def _text(value: Any) -> str:
    """A date, a number or an id as it is written, anything else by its ``repr``."""
    try:
        plain = type(value).__module__ in ("datetime", "decimal", "uuid", "pathlib", "fractions")
        return str(value) if plain else shorten(value)
    except Exception:
        return shorten(value)
