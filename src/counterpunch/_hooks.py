"""Handlers that the whole process shares, and how a user's callable is run safely.

The tuples are replaced, never changed: a thread that goes through one is not disturbed
by another that adds to it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import InvalidOption, shorten

if TYPE_CHECKING:
    from .handle import Handle

__all__ = [
    "around_enqueue",
    "around_perform",
    "logger",
    "on_error",
    "process",
    "safely",
]

logger = logging.getLogger("counterpunch")

ErrorHandler = Callable[[BaseException, "Handle[Any]", bool], object]
Around = Callable[["Handle[Any]"], AbstractContextManager[Any]]
F = TypeVar("F", bound=Callable[..., Any])
Remove = Callable[[], None]


class _Process:
    """The shared handlers, in the order in which they were added."""

    __slots__ = (
        "around_enqueue",
        "around_hooks",
        "around_perform",
        "at_work",
        "changed",
        "copy_context",
        "fresh_context",
        "on_error",
    )

    def __init__(self) -> None:
        self.on_error: tuple[ErrorHandler, ...] = ()
        self.around_perform: tuple[Around, ...] = ()
        self.around_enqueue: tuple[Around, ...] = ()
        #: For integrations: entered around the hooks that follow an attempt, where its own
        #: ``around_perform`` has been left already.
        self.around_hooks: tuple[Around, ...] = ()
        #: Called on the thread of each worker as it begins: this process has jobs to do.
        self.at_work: tuple[Callable[[], object], ...] = ()
        #: For integrations: called on the caller's thread, return the context variables that
        #: a job gets; for classes with ``context = "copy"`` and with ``"fresh"``.
        self.copy_context: Callable[[], Context] = copy_context
        self.fresh_context: Callable[[], Context | None] = lambda: None
        #: Called after a change, so that the runtime can look at its classes again.
        self.changed: Callable[[], None] = lambda: None

    def add(self, name: str, fn: Any) -> Remove:
        if not callable(fn):
            raise InvalidOption("counterpunch", name, fn, "a callable")
        entry = [fn]  # emptied by the first removal: the same function may be there twice

        def remove() -> None:
            kept = list(getattr(self, name))
            if entry and entry[0] in kept:
                kept.remove(entry.pop())
                setattr(self, name, tuple(kept))
                self.changed()

        setattr(self, name, (*getattr(self, name), fn))
        self.changed()
        return remove


process = _Process()


def on_error(fn: ErrorHandler) -> Remove:
    """Call ``fn(exc, handle, will_retry)`` after each failed attempt of any job.

    It runs on the job's thread and in its context, after the job's own hooks and after
    the failure was logged. One that raises is logged, and the next still runs.

    Returns:
        A function that removes it. Usable as a decorator.
    """
    return process.add("on_error", fn)


def around_perform(cm: Around) -> Remove:
    """Enter ``cm(handle)``, a context manager, around each attempt of any job.

    The first added is the outermost. It is entered before the ``before`` hook and left
    after ``perform``, with the exception if there is one; it runs on the job's thread and
    in its context. Raising on entry counts as the attempt failing, raising ``Discard``
    ends the job as discarded.

    Returns:
        A function that removes it. Usable as a decorator.
    """
    return process.add("around_perform", cm)


def around_enqueue(cm: Around) -> Remove:
    """Enter ``cm(handle)``, a context manager, around each enqueue of any job.

    Runs on the caller's thread. ``handle.options["priority"] = 9`` and the like change what
    ``using(...)`` may change, for this job. Raising ``Discard`` on entry ends the job as discarded;
    any other exception reaches the caller and nothing was enqueued.

    Returns:
        A function that removes it. Usable as a decorator.
    """
    return process.add("around_enqueue", cm)


def safely(what: str, handle: Handle[Any] | None, fn: Callable[..., Any], *args: Any) -> None:
    """Run a user's callable whose failure must not change anybody else's turn."""
    try:
        fn(*args)
    except BaseException as exc:
        whose = "" if handle is None else f" of {handle.job.__qualname__} {handle.id}"
        report(logging.ERROR, "%s%s raised %s", what, whose, shorten(exc), exc_info=exc)


def report(level: int, message: str, *args: object, **kwargs: Any) -> None:
    """Log, whatever state logging is in: a handler that raises must not end a worker."""
    try:
        logger.log(level, message, *args, **kwargs)
    except BaseException as exc:
        try:
            sys.stderr.write(f"counterpunch: logging failed ({type(exc).__name__}): {message}\n")
        except BaseException:  # stderr may be closed, or None under pythonw
            pass
