"""Who waits for the end of a job, and is called when it comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from ..values.handle import Call
from ..values.hooks import safely
from ..values.status import TERMINAL
from .parking import Parking, Sleeper

__all__ = ["Watcher", "Watchers"]

Watcher = Callable[[Any], object]


class Watchers:
    """The watchers of one runtime's jobs: each is called once, by the thread that ends the job
    or by the one that comes too late for that."""

    __slots__ = ("table",)

    def __init__(self) -> None:
        self.table: dict[Call, deque[Watcher]] = {}

    def watch(self, call: Call, fn: Watcher) -> None:
        """Call ``fn(call)`` when the job has ended; at once if it has."""
        if call.state in TERMINAL:
            safely("a done callback", call, fn, call)
            return
        watchers = self.table.setdefault(call, deque())
        watchers.append(fn)
        if call.state in TERMINAL:
            # It ended in between. The ending may have taken the deque out of the table while it
            # was empty still: so this one is told, and not what is in the table now. Whoever
            # pops a watcher calls it.
            self.table.pop(call, None)
            _tell(call, watchers)

    def unwatch(self, call: Call, fn: Watcher) -> None:
        watchers = self.table.get(call)
        if watchers is not None:
            try:
                watchers.remove(fn)
            except ValueError:
                pass

    def tell(self, call: Call) -> None:
        """The job has ended."""
        watchers = self.table.pop(call, None)
        if watchers is not None:
            _tell(call, watchers)

    def wait(self, call: Call, limit: float | None) -> bool:
        """Sleep until the job has ended; False if ``limit`` seconds pass before."""
        parking, sleeper = Parking(), Sleeper()
        done: deque[None] = deque()

        def ended(_: object) -> None:
            done.append(None)
            parking.nudge()

        self.watch(call, ended)
        try:
            return parking.park(sleeper, lambda: done, limit)
        finally:  # who asks for a job again and again leaves nothing behind
            self.unwatch(call, ended)


def _tell(call: Call, watchers: deque[Watcher]) -> None:
    while True:
        try:
            fn = watchers.popleft()
        except IndexError:
            return
        safely("a done callback", call, fn, call)
