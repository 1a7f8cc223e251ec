"""What a plain function gives that has yet to be awaited, and how a job's thread waits for it.

A decorator, a ``partial`` or a lambda may hide an ``async def``; whether a call is one is told by
what it gave. The job's thread waits meanwhile. The coroutine runs where an ``async def`` of the
class would: on the event loop of all async jobs, or the application's; if the job runs on the
thread of its caller, on a loop of its own. A future of another loop is awaited on that.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextvars import Context, copy_context
from threading import get_ident
from typing import Any

from ..values.app_loop import app_loop
from ..values.blocking import running_loop
from ..values.handle import Call
from ..values.unfinished import finished
from .here import Here
from .loops import Loops

__all__ = ["Awaited"]


class Awaited:
    """Waits on a job's thread for what its code gave."""

    def __init__(self, here: Here, loops: Loops) -> None:
        self._here, self._loops = here, loops

    def finish(self, call: Call, value: Any) -> Any:
        """What something unfinished comes to. Called within the job's context variables, which
        have afterwards what it set.

        Raises:
            BaseException: Its own.
        """
        context, loop = copy_context(), _loop_of(value)
        here = call in self._here.of_thread(get_ident())
        if loop is None and here and call.lane.on_app and app_loop() is not running_loop():
            loop = app_loop()
        if loop is not None:
            result = _there(value, loop)
        elif here:
            result = _alone(value, context)
        else:
            result = self._among_others(call, value, context)
        for variable, new in context.items():
            if variable.get(None) is not new:
                variable.set(new)
        return result

    def _among_others(self, call: Call, value: Any, context: Context) -> Any:
        loop, ended = self._loops.of(call.lane.on_app), Future[Any]()
        if not loop.call(_begin, loop, call, value, context, ended):
            raise RuntimeError(f"{call!r} gave an awaitable, and the event loop has ended")
        try:
            return ended.result()
        finally:
            del ended  # its exception holds this frame


def _begin(loop: Any, call: Call, value: Any, context: Context, ended: Future[Any]) -> None:
    """On the loop."""

    async def carry() -> None:
        try:
            ended.set_result(await finished(value))
        except BaseException as exc:
            ended.set_exception(exc)
        finally:
            del loop.jobs[call]

    loop.jobs[call] = loop.spawn(carry(), context)


def _alone(value: Any, context: Context) -> Any:
    """On a loop of its own; on a thread of its own if this one already runs a loop."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(value, context)
    ended = Future[Any]()
    threading.Thread(target=_work, args=(value, context, ended), daemon=True).start()
    try:
        return ended.result()
    finally:
        del ended


def _work(value: Any, context: Context, ended: Future[Any]) -> None:
    try:
        ended.set_result(_run(value, context))
    except BaseException as exc:
        ended.set_exception(exc)


def _run(value: Any, context: Context) -> Any:
    import asyncio

    with asyncio.Runner() as runner:
        return runner.run(finished(value), context=context)


def _loop_of(value: Any) -> Any:
    """The loop that a future belongs to; None of anything else."""
    return value.get_loop() if hasattr(type(value), "_asyncio_future_blocking") else None


def _there(value: Any, loop: Any) -> Any:
    import asyncio

    if loop.is_running():
        return asyncio.run_coroutine_threadsafe(finished(value), loop).result()
    return loop.run_until_complete(value)
