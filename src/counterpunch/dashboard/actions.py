"""What the buttons do. Each action says in one word what came of it; see ``NOTES``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..core.port import current
from ..core.values.errors import CounterpunchError, NotSupported
from ..core.values.handle import Handle
from ..core.values.status import TERMINAL
from .job_data import retried
from .overview_data import classes
from .plain import clip

__all__ = ["CLASS_ACTIONS", "JOB_ACTIONS", "NOTES", "Refused", "on_class", "on_job"]

#: The word that travels in the address after an action, and what the page says then.
NOTES: Mapping[str, str] = {
    "cancelled": "Cancelled: the job will not start.",
    "asked": "The job is running: it was asked to stop.",
    "retried": "Enqueued again, as a new job.",
    "now": "The job is due now.",
    "removed": "Removed from the list.",
    "paused": "Paused: jobs are accepted and wait.",
    "resumed": "Resumed.",
    "all-cancelled": "Every waiting job was cancelled, and the running ones asked to stop.",
}

#: Of so many jobs it is known by which newer one they were retried.
RETRIED = 1000


class Refused(Exception):
    """The job, the class or the process does not allow the action now; says why, and by ``again``
    which newer job there is already."""

    def __init__(self, why: str, again: str | None = None) -> None:
        super().__init__(why)
        self.again = again


def _cancel(call: Handle[Any]) -> str:
    if call.done():
        raise Refused("The job has already ended.")
    return "cancelled" if call.cancel() else "asked"


def _retry(call: Handle[Any]) -> str:
    if not call.done():
        raise Refused("The job has not ended yet.")
    # A second press, in another tab or by a double click, finds the first one's mark; while that
    # is still at it, an empty one.
    first = retried.setdefault(call.id, mark := _Pressed())
    if first is not mark:
        raise Refused("It has been retried already.", first or None)
    try:
        retried[call.id] = call.retry().id
    except BaseException as exc:
        retried.pop(call.id, None)
        if isinstance(exc, (CounterpunchError, TypeError)):  # QueueFull, a changed signature
            raise Refused(clip(str(exc))) from None
        raise
    for oldest in list(retried)[:-RETRIED]:
        retried.pop(oldest, None)
    return "retried"


class _Pressed(str):
    """In the place of the newer job's id until there is one; no other object is the same."""

    __slots__ = ()


def _run(call: Handle[Any]) -> str:
    if not call.run_now():
        raise Refused("The job no longer waits for a time.")
    return "now"


def _remove(call: Handle[Any]) -> str:
    if call.status not in TERMINAL:
        raise Refused("The job has not ended yet.")
    current().history.forget(call)
    return "removed"


JOB_ACTIONS: Mapping[str, Callable[[Handle[Any]], str]] = {
    "cancel": _cancel,
    "retry": _retry,
    "run": _run,
    "discard": _remove,
}


def on_job(id: str, action: str) -> str | None:
    """Do it; the word for ``NOTES``, or None if there is no such job.

    Raises:
        Refused: If the job is not in a state for it.
    """
    call = current().whereabouts.find(id)
    return None if call is None else JOB_ACTIONS[action](call)


#: The method of a class, and the word.
CLASS_ACTIONS: Mapping[str, tuple[str, str]] = {
    "pause": ("pause", "paused"),
    "resume": ("resume", "resumed"),
    "cancel-all": ("cancel_all", "all-cancelled"),
}


def on_class(name: str, action: str) -> str | None:
    """Do it; the word for ``NOTES``, or None if there is no such class.

    Raises:
        Refused: If the class cannot be steered from this process.
    """
    cls = classes(current()).get(name)
    if cls is None:
        return None
    method, word = CLASS_ACTIONS[action]
    try:
        getattr(cls, method)()
    except NotSupported as exc:  # its jobs run on an engine
        raise Refused(clip(str(exc))) from None
    return word
