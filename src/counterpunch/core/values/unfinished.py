"""What has yet to be awaited, whatever it is."""

from __future__ import annotations

from types import GeneratorType
from typing import Any

__all__ = ["finished", "unfinished"]

_OURS = __name__.partition(".")[0]
_OF_A_COROUTINE = 0x100  # inspect.CO_ITERABLE_COROUTINE


def unfinished(value: Any) -> bool:
    """True for what has to be awaited. A handle and its like do not: a job goes on by itself."""
    kind = type(value)
    if hasattr(kind, "__await__"):
        return not (isinstance(value, type) or str(kind.__module__).partition(".")[0] == _OURS)
    return kind is GeneratorType and bool(value.gi_code.co_flags & _OF_A_COROUTINE)


async def finished(value: Any) -> Any:
    """What it comes to in the end: an ``await`` may have been forgotten within."""
    while unfinished(value):
        value = await value
    return value
