"""Which kind of interpreter runs this process, and what follows for threads."""

from __future__ import annotations

import gc
import sys
from contextvars import Context
from threading import Thread
from types import FrameType

__all__ = ["LOCKED", "frames", "start"]

#: One thread at a time runs Python code. Without the interpreter lock this is False, and stays so
#: if an extension module brings the lock back while the process runs: what is right without the
#: lock is right with it. ``places.steps`` has what it means for containers, and for what is freed.
LOCKED: bool = getattr(sys, "_is_gil_enabled", lambda: True)()


def start(thread: Thread) -> None:
    """Start a thread that outlives the call it is started in.

    Where a thread inherits the context of whoever starts it (``-X thread_inherit_context``, on by
    default in 3.14 without the lock), it would keep the caller's variables, and what they hold, for
    as long as it lives.

    Raises:
        RuntimeError: If no thread can be had.
    """
    Context().run(thread.start)


def frames() -> dict[int, FrameType]:
    """The innermost frame of each thread, by its ident; to be cleared, for the caller's is there.

    Some CPythons make it under a lock that every new thread needs, 3.11.7 for one. A collection
    that begins meanwhile and lets another thread go on then stops the process for ever
    (github.com/python/cpython/issues/106883). So none begins.
    """
    collects = gc.isenabled()
    try:
        gc.disable()
        return sys._current_frames()
    finally:
        if collects:
            gc.enable()
