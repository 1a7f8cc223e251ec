"""What is kept of an exception once the job that raised it has ended: text, and no frames."""

from __future__ import annotations

import sys
import traceback

from .errors import Cancelled

__all__ = ["asyncio_cancelled", "error_text", "forget_frames", "one_line"]

#: An error text is cut to this many characters; the end, with the message, is kept.
ERROR_TEXT = 20_000


def forget_frames(exc: BaseException, keep_own: bool = False) -> None:
    """Drop the tracebacks of an exception and of all it is linked to.

    A kept traceback keeps each frame's locals alive, the job's arguments among them.

    Args:
        exc: The exception.
        keep_own: Leave the traceback of ``exc`` itself, because it is about to be raised.
    """
    seen: set[int] = set()
    pending: list[BaseException | None] = [exc]
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if not (keep_own and one is exc):
            one.__traceback__ = None
        pending += (one.__cause__, one.__context__)
        if isinstance(one, BaseExceptionGroup):
            pending += one.exceptions


def asyncio_cancelled() -> type[BaseException]:
    """asyncio's CancelledError, without being the one that imports asyncio."""
    asyncio = sys.modules.get("asyncio")
    # Another thread may be in the midst of importing it.
    kind: type[BaseException] = getattr(asyncio, "CancelledError", Cancelled)
    return kind


def error_text(exc: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(exc))
    except BaseException as broken:  # an exception may bring anything with it
        text = f"{type(exc).__name__} (formatting it raised {type(broken).__name__})"
    return text if len(text) <= ERROR_TEXT else "..." + text[-ERROR_TEXT:]


def one_line(exc: BaseException) -> str:
    try:
        text = str(exc)
    except BaseException:
        text = "its __str__ failed"
    text = text.strip().split("\n", 1)[0][:500]
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
