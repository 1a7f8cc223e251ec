"""The event loop of the application: the one that entered its lifespan, while that is open."""

from __future__ import annotations

import os
from collections import deque
from typing import Any

__all__ = ["app_loop", "entered", "left"]

#: One entry for each lifespan that is open: the process that entered it, and its loop.
_open: deque[tuple[int, Any]] = deque()


def entered(loop: Any) -> None:
    """A lifespan was entered on the loop."""
    _open.append((os.getpid(), loop))


def left(loop: Any) -> None:
    """It is over; of several on one loop, one of them."""
    try:
        _open.remove((os.getpid(), loop))
    except ValueError:
        pass


def app_loop() -> Any:
    """The one that jobs of ``loop="app"`` run on: the latest that was entered; None without."""
    try:
        pid, loop = _open[-1]
    except IndexError:
        return None
    return loop if pid == os.getpid() else None
