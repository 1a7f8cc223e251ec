"""The few threads on which the ASGI shell makes its pages.

Not those of the loop's own executor: a page waits for the interpreter's lock, and a guard for
somebody's session store, and the app's ``asyncio.to_thread`` is not to wait behind them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import copy_context
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, TypeVar

from ..core.values.blocking import running_loop

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["Busy", "Makers", "makers"]

T = TypeVar("T")

#: At once, and with those that wait for it.
THREADS, MOST = 4, 64


class Busy(Exception):
    """So many wait already that this one is turned away."""


class Makers:
    """The threads of one process, begun with its first page."""

    def __init__(self) -> None:
        self._pid = 0
        self._executor: ThreadPoolExecutor | None = None
        self._room = BoundedSemaphore(MOST)

    async def run(self, fn: Callable[[], T]) -> T:
        """What ``fn`` returns, called on one of the threads; in the context of the caller.

        Raises:
            Busy: If ``MOST`` are at it or wait.
        """
        if running_loop() is None:
            return fn()  # another kind of loop (trio): right here
        import asyncio

        executor, room = self._begun(), self._room
        if not room.acquire(blocking=False):
            raise Busy
        future = executor.submit(copy_context().run, fn)
        future.add_done_callback(lambda _: room.release())
        return await asyncio.wrap_future(future)

    def _begun(self) -> ThreadPoolExecutor:
        if self._executor is None or self._pid != os.getpid():  # a fork has no threads
            from concurrent.futures import ThreadPoolExecutor

            self._pid, self._room = os.getpid(), BoundedSemaphore(MOST)
            self._executor = ThreadPoolExecutor(THREADS, "counterpunch-page")
        return self._executor


makers = Makers()
