"""A job as others wait for one: as a ``concurrent.futures.Future``, and as an awaitable."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from concurrent.futures import Future
from functools import partial
from typing import Any

from .blocking import blocking, in_trio, running_loop
from .error_text import one_line
from .errors import CounterpunchError
from .matching import is_a
from .status import FAILED, SUCCEEDED, TERMINAL

__all__ = ["awaited", "carried", "future_of", "on_its_loop", "woken"]


def future_of(handle: Any) -> Future[Any]:
    """See ``Handle.future``."""
    future = _Follows(handle)

    def settle(handle: Any) -> None:
        if not future.set_running_or_notify_cancel():
            return
        if handle.state is SUCCEEDED:
            future.set_result(handle.outcome)
        else:
            future.set_exception(carried(handle, handle.failure()))

    handle.add_done_callback(settle)
    return future


class _Follows(Future[Any]):
    def __init__(self, handle: Any) -> None:
        super().__init__()
        self._handle = handle

    def result(self, timeout: float | None = None) -> Any:
        try:
            self._look(timeout)
            return super().result(timeout)
        finally:
            del self  # a frame that the exception holds, which the future holds

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._look(timeout)
        return super().exception(timeout)

    def _look(self, timeout: float | None) -> None:
        """Who waits is refused, or warned, as by ``Handle.result``."""
        if not self.done():
            handle = self._handle
            handle.lane.keeper.before_wait(handle)
            if timeout is None or timeout > 0:
                whose, on_app = handle.job.__qualname__, handle.lane.on_app
                blocking("to wait for %s", whose, "`await handle`", on_app)


def carried(handle: Any, failure: BaseException) -> BaseException:
    """The failure of a job as it is raised into a loop: one that a loop, or a task, would take for
    its own end is the cause of an ordinary one."""
    if handle.state is not FAILED or is_a(failure, (Exception, BaseExceptionGroup)):
        return failure
    wrapped = CounterpunchError(f"{handle!r} failed with {one_line(failure)}")
    wrapped.__cause__ = failure
    return wrapped


def awaited(handle: Any) -> Generator[Any, None, Any]:
    """See ``Handle.__await__``."""
    keeper = handle.lane.keeper
    if handle.state not in TERMINAL:
        keeper.before_wait(handle)
        yield from woken(partial(keeper.watch, handle), partial(keeper.unwatch, handle))
    try:
        if handle.state is FAILED:
            raise carried(handle, handle.failure())
        return handle.result(0)
    finally:
        del handle  # as in ``result``


def woken(
    watch: Callable[[Any], object], unwatch: Callable[[Any], object]
) -> Generator[Any, None, None]:
    """Let a task of asyncio or trio sleep until what it has given to ``watch`` is called, on any
    thread, with or without an argument.

    Raises:
        RuntimeError: Outside of both.
    """
    sleep, wake_soon = _bed()

    def wake(_: object = None) -> None:
        try:
            wake_soon()
        except RuntimeError:
            pass  # the loop was closed meanwhile; nobody waits any more

    wake.again = wake.wakes = True  # type: ignore[attr-defined]  # see ``watchers``
    watch(wake)
    try:
        yield from sleep
    finally:
        unwatch(wake)


def _bed() -> tuple[Generator[Any, None, Any], Callable[[], object]]:
    """How the running task sleeps, and how another thread wakes it."""
    if in_trio():  # first: as a guest it runs on the thread of an asyncio loop
        trio: Any = sys.modules["trio"]
        event, token = trio.Event(), trio.lowlevel.current_trio_token()
        return event.wait().__await__(), lambda: token.run_sync_soon(event.set)
    import asyncio

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError("await it in a task of asyncio or of trio") from None
    waiter = loop.create_future()

    def arrived() -> None:
        if not waiter.done():
            waiter.set_result(None)

    return waiter.__await__(), lambda: loop.call_soon_threadsafe(arrived)


def on_its_loop(fn: Callable[[Any], object]) -> Callable[[Any], object]:
    """A callback as it is to be called: one of ``asyncio.wait`` on the loop that runs here."""
    return _OnLoop(fn) if getattr(fn, "__module__", None) == "asyncio.tasks" else fn


class _OnLoop:
    def __init__(self, fn: Callable[[Any], object]) -> None:
        self.fn, self.loop = fn, running_loop()

    def __eq__(self, other: object) -> bool:  # it is taken back as what was given
        return other is self or other == self.fn

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, handle: Any) -> None:
        try:
            self.loop.call_soon_threadsafe(self.fn, handle)
        except RuntimeError:
            pass  # as above
