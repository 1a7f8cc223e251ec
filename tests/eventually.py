"""Waiting for what nothing announces."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["eventually"]


def eventually(condition: Callable[[], object]) -> None:
    """Look until it holds; only for what nothing can be waited on, such as a thread's end."""
    pause = threading.Event()
    for _ in range(500):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError("it never came true")
