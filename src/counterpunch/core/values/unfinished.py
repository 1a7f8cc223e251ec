"""What has yet to be awaited, whatever it is; and what nobody would ever run."""

from __future__ import annotations

from types import AsyncGeneratorType, GeneratorType
from typing import Any

__all__ = ["finished", "unfinished"]

_OURS = __name__.partition(".")[0]
_OF_A_COROUTINE = 0x100  # inspect.CO_ITERABLE_COROUTINE

_NOT_RUN = (
    "the call gave {0!r}, and nobody iterates it: its body does not run. Go through it inside the "
    "job, by `{1}`, or return what it yields as a list"
)


def unfinished(value: Any) -> bool:
    """True for what has to be awaited. A handle and its like do not: a job goes on by itself.

    Raises:
        TypeError: For a generator that has not ended, of either kind.
    """
    kind = type(value)
    if hasattr(kind, "__await__"):
        return not (isinstance(value, type) or str(kind.__module__).partition(".")[0] == _OURS)
    if kind is GeneratorType:
        if value.gi_code.co_flags & _OF_A_COROUTINE:
            return True
        if value.gi_frame is not None:
            raise TypeError(_NOT_RUN.format(value, "for each in ..."))
    elif kind is AsyncGeneratorType and value.ag_frame is not None:
        raise TypeError(_NOT_RUN.format(value, "async for each in ..."))
    return False


async def finished(value: Any) -> Any:
    """What it comes to in the end: an ``await`` may have been forgotten within."""
    while unfinished(value):
        value = await value
    return value
