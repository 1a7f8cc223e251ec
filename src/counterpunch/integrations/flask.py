"""Flask: each job in a fresh app context of the app that enqueued it, and in no request.

A copied Flask context looks alive in a job, but it is torn down, and it keeps the request
with its whole body in memory while the job waits. So the contexts of Flask are left out of
what a job gets, and only the app is remembered. All other context variables (trace ids)
arrive as usual.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from flask import Flask, current_app, has_app_context, has_request_context

from .._hooks import process
from ..errors import InvalidOption
from ._serving import serving

if TYPE_CHECKING:
    from ..handle import Handle

__all__ = ["Counterpunch"]

#: The app in whose context a job was enqueued; a job's own jobs inherit it.
_app: ContextVar[Flask] = ContextVar("counterpunch_flask_app")
#: Every app that was set up. Weak: an app factory under test makes many.
_apps: WeakSet[Flask] = WeakSet()


class Counterpunch:
    """The Flask extension: ``Counterpunch(app)``, or ``init_app(app)`` in an app factory.

    A job enqueued while app A is the current app (a request, a CLI command, an app context)
    runs in an app context of A, made for each attempt, so ``flask.g`` is empty and A's
    teardown functions run with the attempt's exception. Hooks after ``perform`` get one of
    their own. A job enqueued outside of any app context runs in that of the only app set up
    in this process; where there are several it gets none.

    Periodic jobs are armed with the first request of each process, and not while
    ``app.testing``; call ``counterpunch.start()`` in a server's own start hook for earlier.

    Raises:
        InvalidOption: If ``app`` is no Flask app.
    """

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Set up one app. Doing it twice is the same as doing it once."""
        if not isinstance(app, Flask):
            raise InvalidOption("Counterpunch", "app", app, "a Flask app")
        if "counterpunch" in app.extensions:
            return
        app.extensions["counterpunch"] = self
        _apps.add(app)
        _install()

        def request_begins() -> None:
            if not app.testing:
                serving()

        app.before_request(request_begins)


def _install() -> None:
    """Once per process, however many apps there are."""
    if without_request not in process.context_filters:
        process.add("context_filters", without_request)
        process.add("around_perform", app_context)
        process.add("around_hooks", app_context)


def without_request(context: Context) -> Context:
    """On the caller's thread: the copied context without Flask's, but with the app's name."""
    if not has_app_context() and not has_request_context():
        return context
    # A variable cannot be taken out of a Context, so the others are put into a new one.
    kept = Context()
    proxy: Any = current_app  # typed as the app that it stands for
    kept.run(_fill, context, proxy._get_current_object())
    return kept


def _fill(context: Context, app: Flask) -> None:
    for variable, value in context.items():
        # "flask.app_ctx" and "flask.request_ctx"; Flask 3.2 has the first only.
        if not variable.name.startswith("flask."):
            variable.set(value)
    _app.set(app)


def app_context(handle: Handle[Any]) -> AbstractContextManager[Any]:
    """Around an attempt, on the job's thread: a fresh app context."""
    app = _app.get(None)
    if app is None:
        apps = list(_apps)
        app = apps[0] if len(apps) == 1 else None
    return nullcontext() if app is None else app.app_context()
