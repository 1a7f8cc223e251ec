"""The event loop of one process, which is made when the first ``async def`` job needs it."""

from __future__ import annotations

from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any

from ..places.steps import entries
from ..values.handle import Call

if TYPE_CHECKING:
    from .loop import Loop

__all__ = ["Loops"]


class Loops:
    """At most one loop; asyncio is imported with it."""

    __slots__ = ("_loops",)

    def __init__(self) -> None:
        self._loops: deque[Loop] = deque()

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

        execute_on_loop(self.event_loop, call)

    def threads(self) -> list[Any]:
        """The thread of the loop, if it was started."""
        return [loop.thread for loop in entries(self._loops)]

    def idents(self) -> set[int]:
        """The same as an ident."""
        return {loop.ident for loop in entries(self._loops) if loop.ident is not None}

    def coroutine_of(self, call: Call) -> Any:
        """The coroutine of a job that runs on the loop; None if it does not, or not yet."""
        tasks = (loop.jobs.get(call) for loop in entries(self._loops))
        return next((task.get_coro() for task in tasks if task is not None), None)

    def stop(self) -> set[int]:
        """Cancel the tasks of async jobs and end the loop; the idents of threads that stay."""
        loops = entries(self._loops)
        for loop in loops:
            loop.stop()
        return {ident for loop in loops if (ident := loop.join()) is not None}
