"""Producers that enqueue in the background, and a look at those that wait for room."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from counterpunch.core.process.in_force import current

LONG = 10.0  # seconds; a bound that turns a hang into a failure, never reached otherwise


def in_background(fn: Callable[..., Any], *args: Any) -> Future[Any]:
    """Call on a daemon thread: a bug that leaves it blocked then fails, and does not hang."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(fn(*args))
        except BaseException as exc:
            future.set_exception(exc)

    threading.Thread(target=run, daemon=True).start()
    return future


def until_waiting(job: Any, where: str = "blocked") -> None:
    """Wait until a producer sleeps for want of room (or a due job, in ``"overdue"``).

    Nothing tells, so this looks.
    """
    pause, lane = threading.Event(), current().lane(job)
    for _ in range(int(LONG / 0.002)):
        if getattr(lane, where):
            return
        pause.wait(0.002)
    pytest.fail(f"nobody is {where}")
