"""Flask: each job in a fresh app context of the app that enqueued it, and in no request.

A copied Flask context looks alive in a job, but it is torn down, and it keeps the request
with its whole body in memory while the job waits. So the contexts of Flask are left out of
what a job gets, and only the app is remembered. All other context variables (trace ids)
arrive as usual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import Context, ContextVar
from functools import partial
from typing import Any
from weakref import WeakSet, ref

from flask import Flask, request_started
from flask import globals as flask_globals
from werkzeug.local import LocalProxy

from ..core.values.errors import InvalidOption
from ..core.values.handle import Handle
from ..core.values.hooks import process
from ._serving import serving
from ._teardown import Teardown

__all__ = ["Counterpunch"]

#: The app in whose context a job was enqueued; a job's own jobs inherit it.
_app: ContextVar[Flask] = ContextVar("counterpunch_flask_app")
#: The app in which a job that is retried was first enqueued, around that second enqueue.
_first: ContextVar[Flask | None] = ContextVar("counterpunch_flask_first_app")
#: Every app that was set up. Weak: an app factory under test makes many.
apps: WeakSet[Flask] = WeakSet()
#: Where Flask keeps its contexts, which all have an ``app``: that of the app first, because
#: it is what ``current_app`` means; then that of the request, which Flask 3.2 has no more.
_CONTEXTS: tuple[ContextVar[Any], ...] = tuple(
    sorted(
        (value for value in vars(flask_globals).values() if isinstance(value, ContextVar)),
        key=lambda variable: variable.name,
    )
)


class Counterpunch:
    """The Flask extension: ``Counterpunch(app)``, or ``init_app(app)`` in an app factory.

    A job enqueued while app A is the current app (a request, a CLI command, an app context)
    runs in an app context of A, made for each attempt, so ``flask.g`` is empty and A's teardown
    functions run with the attempt's exception; that one of them raises is logged. Hooks after
    ``perform`` get a context of their own. A job enqueued outside of any app context runs in
    that of the only app set up in this process; where there are several it gets none. A job
    that is retried, from another app or from the dashboard, runs in the app in which it was
    first enqueued.

    Periodic jobs are armed with the first request of each process, and not while
    ``app.testing``; call ``counterpunch.start()`` in a server's own start hook for earlier.
    Where there are several apps, as in the tests of an app factory, call it in the context of
    the one they are to run in: ``with app.app_context(): counterpunch.start()``.

    Raises:
        InvalidOption: If ``app`` is no Flask app.
    """

    def __init__(self, app: Flask | None = None) -> None:
        _install()  # where init_app is forgotten, too, no job gets a request that has ended
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Set up one app. Doing it twice is the same as doing it once."""
        if not isinstance(app, Flask):
            raise InvalidOption("Counterpunch", "app", app, "a Flask app")
        if isinstance(app, LocalProxy):  # current_app passes for a Flask app
            app = app._get_current_object()
        if "counterpunch" in app.extensions:
            return
        app.extensions["counterpunch"] = self
        apps.add(app)


def request_begins(app: Flask, **kwargs: object) -> None:
    """The signal comes before the app's own functions, of which one may answer the request."""
    if "counterpunch" in app.extensions and not app.testing:
        # In no context: whichever of several apps is asked first is not the periodic jobs' own.
        Context().run(serving)


def _install() -> None:
    """Once per process, however many apps there are."""
    request_started.connect(request_begins)  # again is the same as once
    if app_context not in process.around_perform:
        process.copy_context = without_request(process.copy_context)
        process.fresh_context = with_the_app(process.fresh_context)
        process.keep = keep_the_app
        process.add("around_perform", app_context)
        process.add("around_hooks", app_context)
        process.add("around_ticks", app_context)


def without_request(copy: Callable[[], Context]) -> Callable[[], Context]:
    """On the caller's thread: the copied context without Flask's, but with the app."""

    def copy_context() -> Context:
        context = copy()
        app = context.get(_first) or _current(context.get)
        if app is None:
            return context
        # A variable cannot be taken out of a Context: the others go into a new one.
        kept = Context()
        kept.run(_fill, context, app)
        return kept

    return copy_context


def _current(get: Callable[[ContextVar[Any]], Any]) -> Flask | None:
    """The app of whichever of Flask's contexts is there."""
    held = (get(variable) for variable in _CONTEXTS)
    return next((one.app for one in held if one is not None), None)


def _fill(context: Context, app: Flask) -> None:
    for variable in context:
        if variable not in _CONTEXTS and variable is not _first:
            variable.set(context[variable])
    _app.set(app)


def with_the_app(fresh: Callable[[], Context | None]) -> Callable[[], Context | None]:
    """The same for a class that wants no context variables of its caller."""

    def fresh_context() -> Context | None:
        app = _first.get(None) or _current(lambda variable: variable.get(None)) or _app.get(None)
        context = fresh()
        if app is not None:
            context = Context() if context is None else context
            context.run(_app.set, app)
        return context

    return fresh_context


def keep_the_app(context: Context) -> Callable[[], AbstractContextManager[None]] | None:
    """As a job ends: what leads a retry of it back to its app. Weak, as ``apps``."""
    app = context.get(_app)
    return None if app is None else partial(_enqueued_in, ref(app))


@contextmanager
def _enqueued_in(app: ref[Flask]) -> Iterator[None]:
    token = _first.set(app())
    try:
        yield
    finally:
        _first.reset(token)


def app_context(handle: object) -> AbstractContextManager[Any]:
    """Around an attempt, on the job's thread, and a tick: a fresh app context."""
    app = _app.get(None)
    if app is None:
        known = list(apps)
        app = known[0] if len(known) == 1 else None
    if app is None:
        return nullcontext()
    return Teardown(
        "a teardown function", handle if isinstance(handle, Handle) else None, app.app_context()
    )
