"""Whoever blocks the thread of an event loop holds up all that it serves: said where it is done."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from .app_loop import app_loop
from .errors import CounterpunchError

__all__ = ["blocking", "in_trio", "running_loop"]

_PACKAGE = __name__.partition(".")[0]


def blocking(what: str, whose: object, instead: str, on_app_loop: bool = False) -> None:
    """Somebody is about to block this thread: warn if an event loop runs on it.

    Args:
        what: What is called, for the message, with a place for ``whose``: no id, for Python takes
            another text for another warning.
        instead: What to write instead.
        on_app_loop: It waits for a job that runs on the loop of the application.

    Raises:
        CounterpunchError: If that is the very loop, and the wait would never end.
    """
    loop = running_loop()
    if loop is None and not in_trio():
        return
    if on_app_loop and loop is not None and loop is app_loop():
        raise CounterpunchError(
            f"{what % whose} would never end: the job runs on the event loop of this very thread "
            f"(loop='app'), which the call would block; write {instead}"
        )
    warnings.warn(
        f"{what % whose} blocks the event loop that runs on this thread, and all that it serves: "
        f"write {instead}",
        RuntimeWarning,
        stacklevel=_outside(),
    )


def running_loop() -> Any:
    """The asyncio loop that runs on this thread, or None; asyncio is not imported for it."""
    asyncio: Any = sys.modules.get("asyncio.events")
    try:
        return None if asyncio is None else asyncio.get_running_loop()
    except RuntimeError:
        return None


def in_trio() -> bool:
    """True in a task of trio, also where trio runs as a guest of another loop."""
    lowlevel: Any = sys.modules.get("trio.lowlevel")
    if lowlevel is None:
        return False
    try:
        lowlevel.current_task()
    except RuntimeError:
        return False
    return True


def _outside() -> int:
    """How far up the first frame is that is not of this package, as ``warnings`` counts."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] != _PACKAGE:
            break
        level, frame = level + 1, frame.f_back
    return level
