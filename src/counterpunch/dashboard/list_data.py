"""The lists as plain values, of one process; ``lists`` puts those of several together.

A list is copied in one step and cut to a page before anything is said about a single job, so a
queue of 100,000 costs about as much as one of fifty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from heapq import nsmallest
from typing import Any, NamedTuple

from ..core.port import Lane, Runtime, current, entries
from ..core.values.handle import Handle
from ..core.values.status import Status
from ..observe.dump import stacks
from ..observe.queries import stats
from .job_data import row
from .names import known
from .search import Search

__all__ = ["LISTS", "SORTS", "badges", "chosen", "listing"]

Calls = list[Handle[Any]]


def _running(runtime: Runtime, lanes: list[Lane]) -> Calls:
    calls = [call for lane in lanes for call in entries(lane.running)]
    running = (call for call in calls if call.status is Status.RUNNING)
    return sorted(running, key=lambda call: call.started or 0.0)


def _waiting(runtime: Runtime, lanes: list[Lane]) -> Calls:
    return [call for lane in lanes for call in lane.queued_calls()]


def _delayed(runtime: Runtime, lanes: list[Lane]) -> Calls:
    return [
        call
        for lane in lanes
        for table in (lane.scheduled, lane.retrying, lane.deferred)
        for call in entries(table)
    ]


def _finished(runtime: Runtime, lanes: list[Lane]) -> Calls:
    chosen = set(lanes)
    calls = [call for call in runtime.history.remembered() if call.lane in chosen]
    return calls[::-1]


def _failed(runtime: Runtime, lanes: list[Lane]) -> Calls:
    calls = _finished(runtime, lanes)
    return [call for call in calls if call.state in (Status.FAILED, Status.LOST)]


#: Each list by its address: how to come by all of it, in order (a scheduled one: in none).
LISTS: Mapping[str, Callable[[Runtime, list[Lane]], Calls]] = {
    "running": _running,
    "waiting": _waiting,
    "scheduled": _delayed,
    "failed": _failed,
    "finished": _finished,
}

Key = Callable[[Any], Any]


def _took(call: Handle[Any]) -> float:
    """Seconds from start to end; to a running one nothing is added, its start says enough."""
    if call.started is None:
        return 0.0
    return call.started - (call.started if call.finished is None else call.finished)


def _waited(call: Handle[Any]) -> float:
    return call.due - (call.due if call.started is None else call.started)


#: Other orders of a list by the word in the address: what is least comes first.
SORTS: Mapping[str, Key] = {
    "newest": lambda call: -call.enqueued,
    "oldest": lambda call: call.enqueued,
    "ran": _took,
    "waited": _waited,
    "attempts": lambda call: -call.attempt,
    "class": lambda call: call.job.__qualname__,
}


class Chosen(NamedTuple):
    """The jobs of a list that fit a filter, in the list's order."""

    calls: Calls
    whole: int  # jobs that the list has without the filter
    looked: int | None  # of how many it was found out, if there was no time for all


def chosen(
    name: str, query: Mapping[str, str], arguments: bool, seconds: float | None = None
) -> Chosen:
    """What of a list fits a filter, see ``Search``."""
    runtime = current()
    search = Search(query, arguments, seconds)
    lanes = [lane for lane in runtime.registry.all() if search.job in (None, lane.job)]
    calls = [] if search.nothing else LISTS[name](runtime, lanes)
    return Chosen(search.through(calls), len(calls), search.looked)


def listing(
    name: str, query: Mapping[str, str], arguments: bool, first: int, count: int, keys: int
) -> dict[str, Any]:
    """A part of a list.

    Args:
        name: Of ``LISTS``.
        query: A filter, see ``Search``, and ``sort``: one of ``SORTS``.
        arguments: Whether arguments may be shown.
        first: How many of the list come before it.
        count: How many rows to show at most.
        keys: Of so many, from the beginning, what they are sorted by: so the lists of several
            processes are put together without all their rows.
    """
    runtime = current()
    calls, whole, looked = chosen(name, query, arguments)
    total, needed = len(calls), max(first + count, keys)
    key = SORTS.get(query.get("sort", ""))
    if key is None and name == "scheduled":
        key = _due
    if key is not None:
        # Sorted only as far as shown: of 100,000 nobody turns to the last page.
        calls = nsmallest(needed, calls, key=key)
    shown = calls[first : first + count]
    names = {cls: long for long, cls in known().items()}
    rows = [row(runtime, call, arguments, names) for call in shown]
    if name == "running":
        frames = stacks()
        for call, line in zip(shown, rows, strict=True):
            line["stack"] = frames.get(call)
    return {
        "total": total,
        "whole": whole,
        "looked": looked,
        "keys": [key(c) for c in calls[:keys]] if key else _keys(name, calls[:keys]),
        "jobs": rows,
    }


def _due(call: Handle[Any]) -> float:
    return call.due


def _keys(name: str, calls: Calls) -> list[float]:
    """Of a list in its own order. A queue has none but the place of each job in it."""
    if name == "waiting":
        return list(map(float, range(len(calls))))
    if name == "running":
        return [call.started or 0.0 for call in calls]
    return [-(call.finished or 0.0) for call in calls]


def badges() -> dict[str, int]:
    """How many jobs each list of the menu holds."""
    runtime = current()
    total = stats().total
    failed = sum(call.state in (Status.FAILED, Status.LOST) for call in runtime.history.each())
    return {
        "running": total.running,
        "waiting": total.queued,
        "scheduled": total.scheduled + total.retrying + total.deferred,
        "failed": failed,
    }
