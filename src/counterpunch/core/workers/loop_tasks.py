"""The tasks of ours on an event loop: each one worker, or one attempt of a job."""

from __future__ import annotations

import asyncio
import threading
from contextvars import Context
from typing import Any

from ..values.app_loop import app_loop
from ..values.handle import Call

__all__ = ["GRACE_SECONDS", "AppTasks", "LoopTasks"]

#: Tasks that are cancelled at the deadline get this long for their ``finally`` blocks.
GRACE_SECONDS = 0.2


class LoopTasks:
    """Those on one loop, which others stop or we do."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.tasks: set[asyncio.Task[Any]] = set()
        #: The task of each running job.
        self.jobs: dict[Call, asyncio.Task[Any]] = {}

    @property
    def ident(self) -> int | None:
        """Of the loop's thread."""
        raise NotImplementedError

    @property
    def leaving(self) -> bool:
        """Workers are to leave it after the job they are at: jobs run on another one by now."""
        return False

    def call(self, fn: Any, *args: Any) -> bool:
        """Run ``fn(*args)`` on the loop; False if it is closed."""
        try:
            self.loop.call_soon_threadsafe(fn, *args)
        except RuntimeError:  # and RecursionError is one, which is the caller's affair
            if self.loop.is_closed():
                return False
            raise
        return True

    def spawn(self, coroutine: Any, context: Context | None = None) -> asyncio.Task[Any]:
        """On the loop's thread: start a task and keep it from being collected."""
        task: asyncio.Task[Any] = self.loop.create_task(coroutine, context=context)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def stop(self) -> None:
        """Cancel what still runs, and let it clean up."""
        raise NotImplementedError

    def join(self) -> int | None:
        """Wait for that, a little longer than it may take. The ident of a thread of ours that still
        runs."""
        raise NotImplementedError

    async def cancel(self, tasks: set[asyncio.Task[Any]], until: float) -> None:
        """Cancel each once, and wait for them until that time of the loop's clock."""
        for task in tasks:
            if not task.cancelling():
                task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=until - self.loop.time())


class AppTasks(LoopTasks):
    """On the application's loop, which goes on without them. What jobs leave on it is its own."""

    def __init__(self, loop: Any) -> None:
        super().__init__(loop)
        self._ident: int | None = None
        self._over = threading.Event()

    @property
    def ident(self) -> int | None:
        """Known once a job has begun."""
        return self._ident

    @property
    def leaving(self) -> bool:
        return self.loop is not app_loop()

    def call(self, fn: Any, *args: Any) -> bool:
        # One that is not run any more would take it, and never come to it.
        return self.loop.is_running() and super().call(fn, *args)

    def spawn(self, coroutine: Any, context: Context | None = None) -> asyncio.Task[Any]:
        self._ident = threading.get_ident()
        return super().spawn(coroutine, context)

    def stop(self) -> None:
        if not self.call(lambda: self.loop.create_task(self._end())):
            self._over.set()

    async def _end(self) -> None:
        try:
            await self.cancel_all()
        finally:
            self._over.set()

    def join(self) -> None:
        if threading.get_ident() != self._ident:
            self._over.wait(GRACE_SECONDS * 1.25)

    async def ended(self, seconds: float) -> None:
        """On the loop: wait for those that are there, so many seconds."""
        if self.tasks:
            await asyncio.wait(self.tasks.copy(), timeout=seconds)

    async def cancel_all(self) -> None:
        """On the loop: cancel those that are there, and let them clean up."""
        await self.cancel(self.tasks.copy(), self.loop.time() + GRACE_SECONDS)
