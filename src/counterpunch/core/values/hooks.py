"""Handlers that the whole process shares, and how a user's callable is run safely.

The tuples are replaced, never changed: a thread that goes through one is not disturbed
by another that adds to it.
"""

from __future__ import annotations

import _thread
import logging
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import Context, copy_context
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NamedTuple

from .callables import never_entered
from .checks import function
from .error_text import printable, traceback_of
from .errors import InvalidOption, interrupts, shorten
from .handle import Call, Handle
from .matching import is_a
from .short import clean

if TYPE_CHECKING:
    from contextlib import ExitStack

__all__ = [
    "Apart", "apart", "around_enqueue", "around_perform", "complain", "context_for", "enter_around",
    "here", "logger", "on_error", "process", "report", "safely",
]  # fmt: skip

logger = logging.getLogger("counterpunch")


class Apart(NamedTuple):
    """What does that for a thread for which it must not wait: a record for the log, and telling who
    waits for a job that has ended."""

    log: Callable[[Callable[[], object]], None]
    ended: Callable[[Callable[[], object]], None]


#: The threads that must not wait, by ident. No ``threading.local``: where gevent patches later than
#: this is imported, all its greenlets would share one.
apart: dict[int, Apart] = {}


def here() -> Apart | None:
    """Of this thread; None if it may wait."""
    return apart.get(_thread.get_ident())


ErrorHandler = Callable[[BaseException, Handle[Any], bool], object]
Around = Callable[[Handle[Any]], AbstractContextManager[Any]]
Remove = Callable[[], None]

_MANAGER = "a context manager; decorate it with contextlib.contextmanager"


_TAKES = {
    "on_error": ("a callable (exc, handle, will_retry)", 3),
    "around_perform": (f"a callable (handle) that gives {_MANAGER}", 1),
    "around_enqueue": (f"a callable (handle) that gives {_MANAGER}", 1),
}


class _Process:
    """The shared handlers, in the order in which they were added."""

    __slots__ = (
        "around_enqueue", "around_hooks", "around_perform", "around_ticks", "at_work", "changed",
        "copy_context", "fresh_context", "keep", "on_error",
    )  # fmt: skip

    def __init__(self) -> None:
        self.on_error: tuple[ErrorHandler, ...] = ()
        self.around_perform: tuple[Around, ...] = ()
        self.around_enqueue: tuple[Around, ...] = ()
        #: For integrations: entered around the hooks that follow an attempt, where its own
        #: ``around_perform`` has been left already.
        self.around_hooks: tuple[Around, ...] = ()
        #: For integrations: called with True on a thread that exists for one tick of a periodic job
        #: only, else with False; what they return is entered around its enqueue.
        self.around_ticks: tuple[Callable[[bool], AbstractContextManager[Any, None]], ...] = ()
        #: Called on the thread of each worker as it begins: this process has jobs to do.
        self.at_work: tuple[Callable[[], object], ...] = ()
        #: For integrations: called on the caller's thread, return the context variables that
        #: a job gets; for classes with ``context = "copy"`` and with ``"fresh"``.
        self.copy_context: Callable[[], Context] = copy_context
        self.fresh_context: Callable[[], Context | None] = lambda: None
        #: For integrations: called with the context of a job that ends, before that is dropped.
        #: What it returns is entered around the enqueue by which the job is retried.
        self.keep: Callable[[Context], Callable[[], AbstractContextManager[Any]] | None] | None
        self.keep = None
        #: Called after a change, so that the runtime can look at its classes again.
        self.changed: Callable[[], None] = lambda: None

    def add(self, name: str, fn: Any) -> Remove:
        if name.startswith("around_") and never_entered(fn):
            allowed = f"a function that gives {_MANAGER} (and write it with def, not async def)"
            raise InvalidOption("counterpunch", name, fn, allowed)
        if name in _TAKES:
            check = function(*_TAKES[name], awaited=name == "on_error")
            check("counterpunch", name, fn)
        if fn is None:
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
    """Call ``fn(exc, handle, will_retry)`` after each failed attempt of any job; one that ends as
    discarded, by ``Discard`` or ``discard_on``, or as cancelled has not failed.

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
    in its context. Raising on entry or on leaving counts as the attempt failing, raising
    ``Discard`` ends the job as discarded; one that swallows the exception lets the attempt
    succeed, with None.

    Returns:
        A function that removes it. Usable as a decorator.

    Raises:
        InvalidOption: For a generator function without ``contextlib.contextmanager``, and for
            an ``async def``, with ``asynccontextmanager`` or without: around async jobs, too, it
            is an ordinary context manager.
    """
    return process.add("around_perform", cm)


def around_enqueue(cm: Around) -> Remove:
    """Enter ``cm(handle)``, a context manager, around each enqueue of any job.

    Runs on the caller's thread. ``handle.options["priority"] = 9`` and the like change what
    ``using(...)`` may change, for this job. Raising ``Discard`` on entry ends the job as discarded;
    any other exception reaches the caller and nothing was enqueued.

    Returns:
        A function that removes it. Usable as a decorator.

    Raises:
        InvalidOption: As ``around_perform``.
    """
    return process.add("around_enqueue", cm)


def context_for(choice: str) -> Context | None:
    """The context variables that a new job gets, on its caller's thread.

    Args:
        choice: The class's option ``context``. None stands for an empty one.
    """
    context = process.copy_context() if choice == "copy" else process.fresh_context()
    return context if context else None


def enter_around(stack: ExitStack, what: str, around: Around, handle: Any) -> None:
    """Enter what a middleware gives for a job.

    Raises:
        TypeError: If that is no context manager; the message names the middleware.
    """
    given: Any = around(handle)
    kind = type(given)
    if not (hasattr(kind, "__enter__") and hasattr(kind, "__exit__")):
        if isinstance(given, CoroutineType):
            given.close()  # or Python warns that nobody awaited it
        owner = handle.job.__qualname__
        wrong = f"{shorten(around)} gave {shorten(given)}"
        raise TypeError(f"{owner}: the {what} {wrong} instead of {_MANAGER}")
    stack.enter_context(given)


def safely(what: str, handle: Call | None, fn: Callable[..., Any], *args: Any) -> None:
    """Run a user's callable whose failure must not change anybody else's turn."""
    try:
        fn(*args)
    except BaseException as exc:
        complain(what, handle, exc)


def complain(what: str, handle: Call | None, exc: BaseException) -> None:
    """Say that a user's callable has raised."""
    whose = "" if handle is None else f" of {clean(handle.job.__qualname__)} {handle.id}"
    report(logging.ERROR, "%s%s raised %s", what, whose, shorten(exc), exc_info=exc)


def report(level: int, message: str, *args: object, **kwargs: Any) -> None:
    """Log, whatever state logging is in: a handler that raises must not end a worker. What
    ``interrupts`` goes on to the caller."""
    thread = here()
    if thread is None:
        _write(level, message, args, kwargs)
    else:
        thread.log(partial(_write, level, message, args, kwargs))


def _write(level: int, message: str, args: tuple[object, ...], kwargs: dict[str, Any]) -> None:
    exc = kwargs.get("exc_info")
    try:
        if is_a(exc, BaseException) and not printable(exc):
            message, args = f"{message}\n%s", (*args, traceback_of(exc))
            kwargs["exc_info"] = None
        logger.log(level, message, *args, **kwargs)
    except BaseException as exc:
        if interrupts(exc):
            raise
        try:
            sys.stderr.write(f"counterpunch: logging failed ({type(exc).__name__}): {message}\n")
        except BaseException:  # stderr may be closed, or None under pythonw
            pass
