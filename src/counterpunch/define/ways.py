"""Every way into a job class, and what a class has written of its own in front of it.

A class may override ``perform_async``, to put an argument in front or to leave a job out, and calls
``super().perform_async(...)`` for the rest. That override has one meaning: whoever enqueues goes
through it, by ``using(...)``, ``perform_in``, ``perform_at``, ``perform_bulk``, ``perform_now``, as
the tick of a periodic job, and in the test modes. The options of the call wait meanwhile in a
context variable, until ``super()`` ends here. Whoever writes another of these methods as well
stands in front of that one by it, and ``super()`` of it does not go through ``perform_async`` too.

What already has its arguments does not go through it: ``handle.retry()``, the callback of a batch,
a job that an engine hands to a worker.
"""

# No "from __future__ import annotations" here: see ``values.counts``.

from contextvars import ContextVar
from typing import Any, NamedTuple

from ..core.port import accepting
from ..core.values.handle import Handle
from ..core.values.plan import plan_of

__all__ = ["WAYS", "arrive", "enter", "perform", "tick"]

#: The enqueue methods that a class may write itself.
WAYS = ("perform_async", "perform_in", "perform_at", "perform_now")


class _Asked(NamedTuple):
    """What is to become of the enqueues of a class within a call of its override."""

    job: Any
    options: dict[str, Any]
    #: For ``perform_now``: the jobs that were run instead.
    ran: list[Handle[Any]] | None = None
    #: For a tick: the process that it is one of. Else that in force.
    runtime: Any = None


_asked: ContextVar[_Asked | None] = ContextVar("counterpunch_asked", default=None)


def enter(
    job: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: dict[str, Any] | None = None,
    way: str = "",
) -> Any:
    """Enqueue a job, through the override of its class. ``way`` is the method of ``Job`` that asks:
    where the class has written that one, it is what ``super()`` comes to."""
    fronted = plan_of(job).fronted
    if "perform_async" not in fronted or way in fronted:
        return arrive(job, args, kwargs, options)
    return _through(_Asked(job, options or {}), job.perform_async, args, kwargs)


def tick(job: Any, runtime: Any) -> Handle[Any] | None:
    """Enqueue a job of a periodic class; None if its own ``perform_async`` has left it out."""
    if "perform_async" not in plan_of(job).fronted:
        handle: Handle[Any] = runtime.enqueue(job, (), {})
        return handle
    given = _through(_Asked(job, {}, None, runtime), job.perform_async, (), {})
    return given if isinstance(given, Handle) else None


def perform(
    job: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: dict[str, Any] | None = None,
    way: str = "",
) -> Any:
    """Run one attempt here, as ``enter``; return or raise what it gives."""
    fronted = plan_of(job).fronted
    if "perform_async" not in fronted or way in fronted:
        return accepting().perform_now(job, args, kwargs, options)
    asked = _Asked(job, options or {}, [])
    given = _through(asked, job.perform_async, args, kwargs)
    if not asked.ran:  # it has enqueued nothing: a job that was there, or none at all
        return given.result() if isinstance(given, Handle) else given
    return accepting().outcome(asked.ran[-1])


def _through(asked: _Asked, override: Any, args: Any, kwargs: Any) -> Any:
    token = _asked.set(asked)
    try:
        return override(*args, **kwargs)
    finally:
        _asked.reset(token)


def arrive(
    job: Any, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any] | None = None
) -> Any:
    """What ``super().perform_async`` of an override comes to: the enqueue itself."""
    asked = _asked.get()
    if asked is None or asked.job is not job:
        return accepting().enqueue(job, args, kwargs, options)
    merged = {**asked.options, **(options or {})}
    token = _asked.set(None)  # what the job enqueues itself is not meant
    try:
        if asked.ran is None:
            return (asked.runtime or accepting()).enqueue(job, args, kwargs, merged)
        asked.ran.append(accepting().run_now(job, args, kwargs, merged))
        return asked.ran[-1]
    finally:
        _asked.reset(token)
