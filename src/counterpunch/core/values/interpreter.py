"""Which kind of interpreter runs this process, and what follows for threads."""

from __future__ import annotations

import sys
from contextvars import Context
from threading import Thread

__all__ = ["LOCKED", "start"]

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
