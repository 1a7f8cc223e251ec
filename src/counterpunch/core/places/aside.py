"""What may run a user's code and must not be waited for, done on a thread of its own, in order.

A log handler that blocks, a done callback, the enqueue of a batch's callback: on the scheduler's
thread each would hold up every delayed job.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from threading import Thread, current_thread

from ..values.hooks import report
from ..values.interpreter import start
from .parking import Sleeper
from .permits import Permits

__all__ = ["Aside"]

#: What takes no longer is done as if it had been done here.
MOMENT = 0.05


class Aside:
    """One thread, which is there as long as there is something to do.

    Args:
        name: Of the thread.
        rested: Called on it when nothing is left.
    """

    def __init__(self, name: str, rested: Callable[[], object]) -> None:
        self._name, self._rested = name, rested
        self._todo: deque[Callable[[], object]] = deque()
        self._right = Permits(1)
        self._thread: Thread | None = None  # whoever has the right, or had it last

    def do(self, act: Callable[[], object]) -> None:
        self._todo.append(act)
        if self._right.take():
            thread = Thread(target=self._run, name=self._name, daemon=True)
            try:
                start(thread)
            except RuntimeError:  # none can be had
                self._run()

    def soon(self, act: Callable[[], object]) -> None:
        """The same, and give it a moment, so that it comes before what follows; what blocks costs
        one moment, and not one for each that comes after it."""
        rested = self.resting()
        self.do(act)
        if rested:
            self.join(MOMENT)

    def _run(self) -> None:
        self._thread = current_thread()
        while True:
            while self._todo:  # whoever has the right is alone here
                try:
                    self._todo.popleft()()
                except BaseException as exc:
                    report(logging.ERROR, "%s: a defect", self._name, exc_info=exc)
            self._right.give()
            self._rested()
            if not self._todo or not self._right.take():
                return

    def resting(self) -> bool:
        """True if nothing is left to do, but for what asks."""
        return self._thread is current_thread() or (not self._todo and bool(self._right))

    def join(self, seconds: float) -> None:
        """Wait so long at most until what there is to do is done."""
        if not self.resting():
            sleeper = Sleeper()
            self.do(sleeper.wake)
            sleeper.lock.acquire(True, seconds)
