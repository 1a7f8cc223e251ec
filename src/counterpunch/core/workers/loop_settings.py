"""What a job sets on the loop that all async jobs share holds for that job alone.

A default executor that is shut down, a task factory that raises, a handler that keeps the errors
of others to itself: asyncio has one of each for a loop. Here each is a context variable, so it is
the job's own, and its tasks'. The loop's are set once, and its executor is ours: a loop of another
make (uvloop) does not show its own, whose threads the interpreter would join at exit without limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

from .hiring import not_joined_at_exit

__all__ = ["set_apart"]

_executor: ContextVar[Executor | None] = ContextVar("counterpunch_executor", default=None)
_handler: ContextVar[Any] = ContextVar("counterpunch_exception_handler", default=None)
_factory: ContextVar[Any] = ContextVar("counterpunch_task_factory", default=None)


class _Threads(ThreadPoolExecutor):
    """For ``asyncio.to_thread``: daemons, as the loop's own thread is, and nobody joins them."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(fn, *args, **kwargs)
        not_joined_at_exit(self)
        return future


def set_apart(loop: asyncio.AbstractEventLoop) -> Executor:
    """Let the settings of a loop be each job's own; returns the executor that it got of us."""
    own: Any = loop
    threads, run = _Threads(thread_name_prefix="counterpunch-to-thread"), own.run_in_executor

    def run_in_executor(executor: Executor | None, fn: Any, *args: Any) -> Any:
        if executor is None:
            executor = _executor.get() or threads
        return run(executor, fn, *args)

    def set_default_executor(executor: Executor | None) -> None:
        if executor is not None and not isinstance(executor, ThreadPoolExecutor):
            raise TypeError("executor must be ThreadPoolExecutor instance")
        _executor.set(executor)

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        (_handler.get() or _by_default)(loop, context)

    def make_task(loop: Any, coroutine: Any, **options: Any) -> Any:
        factory = _factory.get()
        if factory is not None:
            return factory(loop, coroutine, **options)
        return asyncio.Task(coroutine, loop=loop, **options)

    def set_task_factory(factory: Any) -> None:
        if factory is not None and not callable(factory):
            raise TypeError("task factory must be a callable or None")
        _factory.set(factory)
        set_factory(make_task)  # not before there is one: it costs each task a call

    set_factory = own.set_task_factory
    own.set_exception_handler(handle)
    own.run_in_executor, own.set_default_executor = run_in_executor, set_default_executor
    own.set_exception_handler, own.get_exception_handler = _handler.set, _handler.get
    own.set_task_factory, own.get_task_factory = set_task_factory, _factory.get
    return threads


def _by_default(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    loop.default_exception_handler(context)
