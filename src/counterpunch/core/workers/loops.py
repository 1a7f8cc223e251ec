"""The event loops that async jobs run on: ours, made when the first of them needs it, and that of
an application, for those of ``loop="app"``."""

from __future__ import annotations

from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any

from ..places.steps import entries
from ..values.app_loop import app_loop
from ..values.handle import Call

if TYPE_CHECKING:
    from .loop import Loop
    from .loop_tasks import AppTasks, LoopTasks

__all__ = ["Loops"]


class Loops:
    """At most one loop of ours, and those of applications; asyncio is imported with the first."""

    __slots__ = ("_apps", "_loops")

    def __init__(self) -> None:
        self._loops: deque[Loop] = deque()
        self._apps: deque[AppTasks] = deque()

    def of(self, on_app: bool) -> LoopTasks:
        """The loop that the jobs of a class run on.

        Raises:
            RuntimeError: If there is none.
        """
        return self._of_app() if on_app else self.event_loop()

    def _of_app(self) -> AppTasks:
        loop = app_loop()
        if loop is None:
            raise RuntimeError("the event loop of the application has ended")
        for app in entries(self._apps):
            if app.loop is loop:
                return app
        from .loop_tasks import AppTasks

        self._apps.append(AppTasks(loop))  # each of two threads that come at once may have its own
        return self._apps[-1]

    def of_app(self, loop: Any) -> list[AppTasks]:
        """The tasks on one application's loop."""
        return [app for app in entries(self._apps) if app.loop is loop]

    def event_loop(self) -> Loop:
        """The loop, started on first use.

        Raises:
            RuntimeError: If no thread can be started for it.
        """
        if not self._loops:
            from .loop import Loop

            made = Context().run(Loop)  # the loop keeps the context that it is made in
            self._loops.append(made)
            if self._loops[0] is not made:  # another thread was faster
                self._loops.remove(made)
                made.stop()
        return self._loops[0]

    def run(self, call: Call) -> None:
        """Run an async job that was queued in a shared pool, and wait for its attempt."""
        from .loop import execute_on_loop

        execute_on_loop(lambda: self.of(call.lane.on_app), call)

    def threads(self) -> list[Any]:
        """The thread of the loop, if it was started."""
        return [loop.thread for loop in entries(self._loops)]

    def idents(self, on_app: bool | None = None) -> set[int]:
        """The threads of the loop that the jobs of a class run on; None: of all loops."""
        own = () if on_app else entries(self._loops)
        apps = () if on_app is False else entries(self._apps)
        return {loop.ident for loop in (*own, *apps) if loop.ident is not None}

    def coroutine_of(self, call: Call) -> Any:
        """The coroutine of a job that runs on the loop; None if it does not, or not yet."""
        tasks = (loop.jobs.get(call) for loop in (*entries(self._loops), *entries(self._apps)))
        return next((task.get_coro() for task in tasks if task is not None), None)

    def stop(self) -> set[int]:
        """Cancel the tasks of async jobs and end the loop; the idents of threads that stay."""
        loops = [*entries(self._loops), *entries(self._apps)]
        for loop in loops:
            loop.stop()
        return {ident for loop in loops if (ident := loop.join()) is not None}
