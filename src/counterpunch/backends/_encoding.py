"""Arguments and results as strict JSON: what goes in comes out the same, or is refused.

Plain JSON values go as they are. Dates, times, decimals, UUIDs, bytes and tuples go as an
object with the single key ``"$"`` and what is needed to make them again; a dict of the
user's that has such a key goes as pairs. An aware datetime keeps its instant and its offset
from UTC, not the name of its zone.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from ..core.values.errors import BackendError, shorten
from ..core.values.hiding import HIDDEN

__all__ = ["Undecodable", "Unencodable", "decode", "encode", "pack", "unpack"]

MARK = "$"
#: Deeper nesting than this is taken for a value that contains itself.
DEPTH = 100
#: CPython writes and reads no int of more than 4300 digits by default.
INT_BITS = 14_000

#: Of each type: its name, and how a value of it becomes plain and is made again.
_PLAIN: dict[type, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = {
    datetime: ("datetime", datetime.isoformat, datetime.fromisoformat),
    date: ("date", date.isoformat, date.fromisoformat),
    time: ("time", time.isoformat, time.fromisoformat),
    timedelta: (
        "timedelta",
        lambda s: [s.days, s.seconds, s.microseconds],
        lambda v: timedelta(*v),
    ),
    Decimal: ("decimal", str, Decimal),
    UUID: ("uuid", str, UUID),
    bytes: ("bytes", lambda raw: b64encode(raw).decode("ascii"), b64decode),
}

_IN: dict[str, Callable[[Any], Any]] = {
    **{name: made for name, _, made in _PLAIN.values()},
    "tuple": lambda items: tuple(_decode(item) for item in items),
    "dict": lambda pairs: {key: _decode(value) for key, value in pairs},
}


class Undecodable(BackendError):
    """What came back is nothing that ``encode`` has made."""


class Unencodable(TypeError):
    """A value that does not fit; ``path`` leads to it from the outermost one. ``hidden`` is the
    message without the value, and without what would be a key of the user's."""

    def __init__(self, path: str, value: object, why: str, shown: str = "") -> None:
        super().__init__(f"{path}={shorten(value)}: {shown or why}")
        top = path.partition("['")[0].partition('["')[0]
        self.hidden = f"{top}={HIDDEN}: {why}"


def encode(value: Any, path: str, depth: int = 0) -> Any:
    """``value`` as plain JSON values.

    Args:
        value: What to encode. Exact types only: an ``Enum`` that is a ``str`` as well, or a
            number of NumPy's, would come back as something else.
        path: What to call it in an error.
        depth: For itself.

    Raises:
        Unencodable: (a ``TypeError``) if it would not come back the same.
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        if value.bit_length() > INT_BITS:
            raise Unencodable(path, kind, "an int too long to be written in decimal")
        return value
    if kind is float:
        if not math.isfinite(value):
            raise Unencodable(path, value, "JSON has no NaN and no infinity")
        return value
    if depth == DEPTH:
        raise Unencodable(path, kind, f"nested deeper than {DEPTH}, or containing itself")
    if kind is list or kind is tuple:
        items = [encode(item, f"{path}[{n}]", depth + 1) for n, item in enumerate(value)]
        return items if kind is list else {MARK: "tuple", "v": items}
    if kind is dict:
        for key in value:
            if type(key) is not str:
                raise Unencodable(
                    path, value, "a key of it is no str", f"its key {shorten(key)} is no str"
                )
        pairs = {k: encode(item, f"{path}[{k!r}]", depth + 1) for k, item in value.items()}
        return pairs if MARK not in pairs else {MARK: "dict", "v": list(pairs.items())}
    if kind is time and value.tzinfo is not None and value.utcoffset() is None:
        raise Unencodable(path, value, "without a date its zone has no offset from UTC")
    if kind in _PLAIN:
        name, out, _ = _PLAIN[kind]
        return {MARK: name, "v": out(value)}
    why = f"{kind.__module__}.{kind.__qualname__} is no JSON value; pass an id or plain values"
    raise Unencodable(path, value, why)


def decode(value: Any) -> Any:
    """What ``encode`` was given.

    Raises:
        Undecodable: If it was made by somebody else.
    """
    try:
        return _decode(value)
    except Exception as exc:  # whatever each type makes of a strange value
        raise Undecodable(f"a value that cannot be decoded: {type(exc).__name__}") from exc


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if isinstance(value, dict):
        if MARK in value:
            return _IN[value[MARK]](value["v"])
        return {key: _decode(item) for key, item in value.items()}
    return value


def pack(plain: Any) -> str:
    """Plain JSON values as text."""
    return json.dumps(plain, allow_nan=False, separators=(",", ":"))


def unpack(text: str | bytes) -> Any:
    """What ``pack`` was given.

    Raises:
        ValueError, TypeError, RecursionError: For what ``pack`` writes no text of.
    """
    return json.loads(text, parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("JSON has no NaN and no infinity")
    return value
