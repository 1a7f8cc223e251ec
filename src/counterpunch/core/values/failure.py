"""What an exception holds on to once the job that raised it has ended: no frames."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from itertools import pairwise
from types import CodeType, FrameType, TracebackType
from typing import Any

from .errors import Cancelled
from .twin import CONTEXT, FRAMES, linked, without_frames

__all__ = [
    "asyncio_cancelled", "beginnings", "forget_frames", "handed_over", "passed_through",
]  # fmt: skip


#: inspect.CO_GENERATOR, CO_COROUTINE and CO_ASYNC_GENERATOR.
_SUSPENDABLE = 0x20 | 0x80 | 0x200
_CONTEXTLIB = contextlib.contextmanager.__code__.co_filename
#: The code of the functions that call a job's own; ``workers.attempt`` says which.
beginnings: set[CodeType] = set()


def forget_frames(exc: BaseException, handled: BaseException | None = None) -> None:
    """Drop the tracebacks of what a job has raised, and of all that is linked to it.

    A kept traceback keeps each frame's locals alive, the job's arguments among them, and often
    itself. What was raised elsewhere first is somebody else's, such as a ``Future``'s, and is left
    as it is.

    Args:
        exc: The exception.
        handled: What its caller was handling as the attempt began.
    """
    everything = linked(exc, handled)
    tracebacks = [list(_entries(FRAMES.__get__(one))) for one in everything]
    # A generator or coroutine that has ended does not say, on 3.11 and without a global lock, who
    # resumed it: whoever stands before it in a traceback.
    callers = {frame: by for frames in tracebacks for by, frame in pairwise(frames) if by != frame}
    for one, frames in zip(everything, tracebacks, strict=True):
        if frames and one is not handled and _in_a_job(frames[-1], callers):
            FRAMES.__set__(one, None)


def _entries(frames: TracebackType | None) -> Iterator[FrameType]:
    while frames is not None:
        yield frames.tb_frame
        frames = frames.tb_next


def _in_a_job(frame: FrameType | None, callers: dict[FrameType, FrameType]) -> bool:
    seen = set()
    while frame is not None and frame not in seen:
        if frame.f_code in beginnings:
            return True
        seen.add(frame)
        suspendable = frame.f_code.co_flags & _SUSPENDABLE
        frame = frame.f_back or (callers.get(frame) if suspendable else None)
    return False


def handed_over(call: Any) -> BaseException:
    """The exception of a job that has failed on this thread, frames and all, for its caller to
    get; a copy without them is remembered."""
    exc: BaseException = call.outcome
    frames = FRAMES.__get__(exc)
    call.outcome = without_frames(exc, sys.exception())
    FRAMES.__set__(exc, frames)  # it may be the same
    return exc


def passed_through(exc: BaseException) -> BaseException:
    """What a job has raised, given what came out of the context managers around it.

    ``contextlib.contextmanager`` assigns to an exception that passes through; of one that refuses
    that the refusal comes out.
    """
    inner: BaseException | None = CONTEXT.__get__(exc)
    refuse, frames = getattr(type(inner).__setattr__, "__code__", None), FRAMES.__get__(exc)
    while inner is not None and refuse is not None and frames.tb_next is not None:
        by, frames = frames.tb_frame.f_code.co_filename, frames.tb_next
        if by == _CONTEXTLIB and frames.tb_frame.f_code is refuse:
            return inner
    return exc


def asyncio_cancelled() -> type[BaseException]:
    """asyncio's CancelledError, without being the one that imports asyncio."""
    asyncio = sys.modules.get("asyncio")
    # Another thread may be in the midst of importing it.
    kind: type[BaseException] = getattr(asyncio, "CancelledError", Cancelled)
    return kind
