"""Who waits for the end of a job, and is called when it comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import repeat, starmap
from typing import Any, TypeVar

from ..values.errors import interrupts
from ..values.handle import Call
from ..values.hooks import complain
from ..values.status import TERMINAL
from .parking import Parking, Sleeper

__all__ = ["Watcher", "Watchers", "again", "waker"]

F = TypeVar("F", bound=Callable[..., object])

Watcher = Callable[[Any], object]


def again(fn: F) -> F:
    """Mark a watcher of the library's own, which may be called twice: once more if an interruption
    broke it off."""
    fn.again = True  # type: ignore[attr-defined]
    return fn


def waker(fn: F) -> F:
    """The same, and all it does is to wake somebody: nobody need be spared the wait for it."""
    fn.wakes = True  # type: ignore[attr-defined]
    return again(fn)


class Watchers:
    """The watchers of one runtime's jobs: each is called once, by the thread that ends the job
    or aside of it, or by the one that comes too late for that."""

    __slots__ = ("table",)

    def __init__(self) -> None:
        self.table: dict[Call, deque[Watcher]] = {}

    def watch(self, call: Call, fn: Watcher) -> None:
        """Call ``fn(call)`` when the job has ended; at once if it has."""
        if call.state in TERMINAL:
            _tell(call, deque((fn,)))
            return
        watchers = self.table.setdefault(call, deque())
        watchers.append(fn)
        if call.state in TERMINAL:
            # It ended in between. The ending may have taken the deque out of the table while it
            # was empty still: so this one is told, and not what is in the table now. Whoever
            # pops a watcher calls it.
            _tell(call, watchers)
            self.table.pop(call, None)

    def unwatch(self, call: Call, fn: Watcher) -> None:
        watchers = self.table.get(call)
        if watchers is not None:
            try:
                watchers.remove(fn)
            except ValueError:
                pass

    def tell(
        self, call: Call, aside: Callable[[Callable[[], object]], object] | None = None
    ) -> None:
        """The job has ended. With ``aside``, on a thread that nothing interrupts, only those who
        sleep are told here: nobody sleeps on because the callback of another job blocks."""
        watchers = self.table.get(call)
        if watchers is not None:
            if aside is None:
                _tell(call, watchers)
            else:
                _tell_aside(call, watchers, aside)
            self.table.pop(call, None)  # last: an interruption leaves it to be told again

    def wait(self, call: Call, limit: float | None) -> bool:
        """Sleep until the job has ended; False if ``limit`` seconds pass before."""
        parking, sleeper = Parking(), Sleeper()
        done: deque[None] = deque()

        @waker
        def ended(_: object) -> None:
            done.append(None)
            parking.nudge()

        self.watch(call, ended)
        try:
            return parking.park(sleeper, lambda: done, limit)
        finally:  # who asks for a job again and again leaves nothing behind
            self.unwatch(call, ended)


def _tell_aside(
    call: Call, watchers: deque[Watcher], aside: Callable[[Callable[[], object]], object]
) -> None:
    others = deque[Watcher]()
    with suppress(IndexError):
        while True:
            fn = watchers.popleft()
            if getattr(fn, "wakes", False) is True:
                fn(call)
            else:
                others.append(fn)
    if others:
        aside(partial(_tell, call, others))


def _tell(call: Call, watchers: deque[Watcher]) -> None:
    taker: Iterator[Watcher] = starmap(watchers.popleft, repeat(()))
    while watchers:
        fn: Watcher | None = None
        try:
            try:
                for fn in taker:
                    break
            except IndexError:
                return
            if fn is not None:
                fn(call)
        except BaseException as exc:
            ours = getattr(fn, "again", False) is True  # and no mock, which has any attribute
            if ours and fn is not None:
                one = (fn,)
                watchers += one
            # A Ctrl-C is the caller's. Whatever a user's callback raises on a worker is logged.
            if ours or interrupts(exc):
                raise
            complain("a done callback", call, exc)
