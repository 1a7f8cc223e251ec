"""The event loop of the application: the one that entered its lifespan, while that is open."""

from __future__ import annotations

import os
import threading
from typing import Any

__all__ = ["app_loop", "entered", "left"]

#: One entry for each lifespan that is open: the process that entered it, and its loop. Replaced,
#: never changed.
_open: tuple[tuple[int, Any], ...] = ()
_writing = threading.Lock()


def entered(loop: Any) -> None:
    """A lifespan was entered on the loop."""
    global _open
    with _writing:
        _open = (*_open, (os.getpid(), loop))


def left(loop: Any) -> bool:
    """It is over. True if no other one is open on that loop."""
    global _open
    with _writing:
        kept = list(_open)
        if (one := (os.getpid(), loop)) in kept:
            kept.remove(one)
        _open = tuple(kept)
        return one not in kept


def app_loop() -> Any:
    """The one that jobs of ``loop="app"`` run on: the latest that was entered and runs; else
    None."""
    me = os.getpid()
    return next((loop for pid, loop in reversed(_open) if pid == me and loop.is_running()), None)
