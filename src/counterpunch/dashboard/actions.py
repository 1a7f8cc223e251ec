"""What the buttons do. Each action says in one word what came of it; see ``NOTES``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from ..core.port import current, quiet, start
from ..core.values.errors import CounterpunchError, NotSupported
from ..core.values.handle import Handle
from ..core.values.hooks import report
from ..core.values.short import clean
from ..core.values.stage import OPEN, QUIET
from ..core.values.status import TERMINAL
from ..recurring.periodic import periodic, run_now
from .job_data import retried
from .names import class_of, defined
from .plain import clip

__all__ = [
    "CLASS_ACTIONS", "JOB_ACTIONS", "NOTES", "PROCESS_ACTIONS", "Outcome", "Raised", "Refused",
    "attempt", "on_class", "on_job", "on_process", "run_periodic",
]  # fmt: skip

T = TypeVar("T")

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
    "quieted": "Quiet: the process refuses new jobs and finishes those it has.",
    "reopened": "The process accepts new jobs again.",
    "ran": "Enqueued, beside its schedule.",
    "several-run": "Due now:",
    "several-retried": "Enqueued again, as new jobs:",
    "several-removed": "Removed from the list:",
    "several-cancelled": "Cancelled, or asked to stop:",
}

#: Of so many jobs it is known by which newer one they were retried.
RETRIED = 10_000


class Refused(Exception):
    """The job, the class or the process does not allow the action now; says why, and by ``again``
    which newer job there is already."""

    def __init__(self, why: str, again: str | None = None) -> None:
        super().__init__(why)
        self.again = again


class Raised(Refused):
    """Code of the user's has raised, and would again."""


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
    except BaseException:
        retried.pop(call.id, None)
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


_ACTIONS: Mapping[str, Callable[[Handle[Any]], str]] = {
    "cancel": _cancel,
    "retry": _retry,
    "run": _run,
    "discard": _remove,
}
JOB_ACTIONS = tuple(_ACTIONS)


def attempt(action: str, call: Handle[Any]) -> str:
    """Do it to one job; the word for ``NOTES``.

    Raises:
        Refused: If it was not done, whatever the reason.
    """
    return _refusing(f"{action} of {call.id}", partial(_ACTIONS[action], call))


def _refusing(what: str, do: Callable[[], T]) -> T:
    try:
        return do()
    except Refused:
        raise
    except (CounterpunchError, TypeError) as exc:  # QueueFull, a changed signature
        raise Refused(clip(str(exc))) from None
    except Exception as exc:  # somebody's around_enqueue
        report(logging.ERROR, "dashboard: %s raised", what, exc_info=exc)
        raise Raised(f"It raised {type(exc).__name__}; the log says more.") from None


#: What came of an action in one process: ``done`` with the word for ``NOTES``, or ``refused``
#: with the reason, and ``again`` if there is a newer job already. None if there is nothing there
#: that it could be done to.
Outcome = dict[str, Any]


def on_job(id: str, action: str) -> Outcome | None:
    """Do it to one job of this process."""
    call = current().whereabouts.find(id)
    if call is None:
        return None
    try:
        return {"done": attempt(action, call)}
    except Refused as exc:
        return {"refused": str(exc), "again": exc.again}


#: The method of a class, and the word.
CLASS_ACTIONS: Mapping[str, tuple[str, str]] = {
    "pause": ("pause", "paused"),
    "resume": ("resume", "resumed"),
    "cancel-all": ("cancel_all", "all-cancelled"),
}


def on_class(name: str, action: str) -> Outcome | None:
    """Do it to a class in this process, whether it was used here yet or not."""
    cls = class_of(name) if action == "cancel-all" else defined(name)
    if cls is None:
        return None
    method, word = CLASS_ACTIONS[action]
    try:
        getattr(cls, method)()
    except NotSupported as exc:  # its jobs run on an engine
        return {"refused": clip(str(exc))}
    return {"done": word}


PROCESS_ACTIONS = ("quiet", "resume")


def on_process(action: str) -> Outcome:
    """Refuse new jobs from now on, or accept them again."""
    stage = current().stage
    if action == "quiet":
        if stage.phase is not OPEN:
            return {"refused": f"The process is {stage.phase} already."}
        quiet()
        return {"done": "quieted"}
    if stage.phase is not QUIET:
        return {"refused": f"The process is {stage.phase}, not quiet."}
    if current().clockwork is None:
        stage.enter(OPEN)  # it has never said start(), and need not begin to arm periodic jobs
    else:
        start()
    return {"done": "reopened"}


def run_periodic(name: str) -> Outcome | None:
    """Enqueue one job of a periodic class that is armed here, beside its schedule."""
    cls = class_of(name)
    entry = next((entry for entry in periodic() if entry.job is cls), None)
    if cls is None or entry is None:
        return None
    if entry.latest is not None and not entry.latest.done():
        return {"refused": f"Its latest job, {entry.latest.id}, has not ended yet."}
    try:
        handle = _refusing(f"run of {clean(name)}", partial(run_now, cls))
    except Refused as exc:
        return {"refused": str(exc)}
    return {"done": "ran", "id": handle.id}
