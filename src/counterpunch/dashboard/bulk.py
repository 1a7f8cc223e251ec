"""One action on all jobs that a list shows with its filter, in one process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.port import current
from .actions import Outcome, Raised, Refused, attempt
from .job_data import retried
from .list_data import chosen
from .search import ACTING_SECONDS

__all__ = ["ACTIONS", "MOST", "counted", "on_list"]

#: Jobs that one press changes in one process at most.
MOST = 1000
PARTLY = "The search did not get through the list in its time: narrow it by class or tag."
#: What makes sense for the jobs of each list.
ACTIONS: Mapping[str, tuple[str, ...]] = {
    "running": ("cancel",),
    "waiting": ("cancel",),
    "scheduled": ("run", "cancel"),
    "failed": ("retry", "discard"),
    "finished": (),
}


def counted(arguments: bool, name: str, query: Mapping[str, str]) -> dict[str, Any]:
    """How many jobs there are to act on, and of how many of the list that is known."""
    calls, whole, looked = chosen(name, query, arguments)
    return {"total": len(calls), "whole": whole, "looked": looked}


def on_list(arguments: bool, name: str, query: Mapping[str, str], action: str) -> Outcome:
    """Do it to each job that fits; those that no longer allow it are passed over.

    Args:
        arguments: Whether a text is looked for in the arguments as well.
        name: Of the list.
        query: The filter.
        action: One of ``ACTIONS`` for that list.
    """
    calls, _, looked = chosen(name, query, arguments, ACTING_SECONDS)
    if action == "retry":
        calls = [call for call in calls if call.id not in retried]
    if name == "failed":
        calls.reverse()  # what failed first comes first
    left, calls = len(calls[MOST:]), calls[:MOST]
    done, why = 0, None if looked is None else PARTLY
    if action == "discard":
        gone = [call for call in calls if call.done()]
        current().history.forget(*gone)
        return {"done": len(gone), "left": left, "why": why}
    for number, call in enumerate(calls, 1):
        try:
            attempt(action, call)
        except Refused as exc:
            why = str(exc)
            if isinstance(exc, Raised):
                left += len(calls) - number
                break
        else:
            done += 1
    return {"done": done, "left": left, "why": why}
