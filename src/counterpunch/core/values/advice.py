"""What is said beside a failure whose own text names no way out, and whose cause is the moment, the
thread or the loop that a job runs in."""

from __future__ import annotations

from .matching import leaves, name_of

__all__ = ["advice"]

_LOOP = (
    "what it used belongs to another event loop: write loop = 'app' in the class to run it on the "
    "application's, or open it inside the job"
)
_REQUEST = "the request is over: give the job what it needs as arguments"
#: A piece of the text of an exception, and the way out. Of asyncio and anyio, Flask, Django's tests
#: on SQLite.
_TEXTS = {
    "bound to a different event loop": _LOOP,
    "attached to a different loop": _LOOP,
    "outside of application context": (
        "set up integrations.flask.Counterpunch(app), and each job runs in a context of the app"
    ),
    "outside of request context": _REQUEST,
    "database table is locked": "in a test enqueue it within counterpunch.testing.inline()",
}
#: What an ORM raises for a row that is not there: of Django, of SQLAlchemy.
_MISSING = {"ObjectDoesNotExist", "NoResultFound"}
_UNCOMMITTED = (
    "if the row was not committed yet when the job was enqueued, using(after_commit=...) waits "
    "for the commit"
)
_SOON = 1.0  # seconds
_SPEAK = {"RuntimeError", "OperationalError"}
#: Asked for like this, nothing of the exception's own is called.
_ARGS = vars(BaseException)["args"]


def advice(exc: BaseException, age: float) -> str:
    """The way out, in brackets; empty if there is none to name.

    Args:
        exc: What an attempt raised.
        age: Seconds since the enqueue.
    """
    for one in leaves(exc):
        kinds = {name_of(kind) for kind in type(one).__mro__}
        if age < _SOON and kinds & _MISSING:
            return f" ({_UNCOMMITTED})"
        if kinds & _SPEAK:
            said = " ".join(each for each in _ARGS.__get__(one) if type(each) is str)
            for piece, way_out in _TEXTS.items():
                if piece in said:
                    return f" ({way_out})"
    return ""
