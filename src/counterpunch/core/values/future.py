"""A job as others wait for one: as a ``concurrent.futures.Future``, and as an awaitable."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future
from typing import Any

from .status import SUCCEEDED, TERMINAL

__all__ = ["awaited", "future_of"]


def future_of(handle: Any) -> Future[Any]:
    """See ``Handle.future``."""
    future: Future[Any] = Future()

    def settle(handle: Any) -> None:
        if not future.set_running_or_notify_cancel():
            return
        if handle.state is SUCCEEDED:
            future.set_result(handle.outcome)
        else:
            future.set_exception(handle.failure())

    handle.add_done_callback(settle)
    return future


def awaited(handle: Any) -> Generator[Any, None, Any]:
    """See ``Handle.__await__``."""
    import asyncio

    loop = asyncio.get_running_loop()
    waiter = loop.create_future()

    def arrived() -> None:
        if not waiter.done():
            waiter.set_result(None)

    def ended(_: object) -> None:
        try:
            loop.call_soon_threadsafe(arrived)
        except RuntimeError:
            pass  # the loop was closed meanwhile; nobody waits any more

    ended.again = True  # type: ignore[attr-defined]  # see ``watchers``
    keeper = handle.lane.keeper
    if handle.state not in TERMINAL:
        keeper.before_wait(handle)
        keeper.watch(handle, ended)
        try:
            yield from waiter
        finally:
            keeper.unwatch(handle, ended)
    try:
        return handle.result(0)
    finally:
        del handle  # as in ``result``
