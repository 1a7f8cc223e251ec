"""The lists as plain values.

A list is copied in one step and cut to a page before anything is said about a single job, so a
queue of 100,000 costs about as much as one of fifty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from heapq import nsmallest
from typing import Any

from ..core.port import Lane, Runtime, current, entries
from ..core.values.handle import Handle
from ..core.values.status import Status
from ..observe.dump import stacks
from ..observe.queries import stats
from .job_data import row
from .overview_data import classes
from .plain import clip
from .process import process

__all__ = ["LISTS", "PAGE", "badges", "listing"]

#: Jobs on one page of a list.
PAGE = 50

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
    return [call for call in calls if call.status in (Status.FAILED, Status.LOST)]


#: Each list by its address: how to come by all of it, in order (a scheduled one: in none).
LISTS: Mapping[str, Callable[[Runtime, list[Lane]], Calls]] = {
    "running": _running,
    "waiting": _waiting,
    "scheduled": _delayed,
    "failed": _failed,
    "finished": _finished,
}


def listing(name: str, query: Mapping[str, str], arguments: bool) -> dict[str, Any]:
    """One page of a list.

    Args:
        name: Of ``LISTS``.
        query: ``job`` (a class), ``status``, ``tag`` and ``page`` (from 1) narrow it.
        arguments: Whether arguments may be shown.
    """
    runtime = current()
    known = classes(runtime)
    wanted, tag, status = (query.get(field, "") for field in ("job", "tag", "status"))
    lanes = [lane for lane in runtime.registry.all() if not wanted or lane.job is known.get(wanted)]
    calls = LISTS[name](runtime, lanes)
    if status:
        calls = [call for call in calls if call.status.value == status]
    if tag:
        calls = [call for call in calls if _tagged(call, tag)]
    total = len(calls)
    pages = max(1, -(-total // PAGE))
    page = min(pages, _page(query.get("page", "")))
    first = (page - 1) * PAGE
    if name == "scheduled":
        # Sorted only as far as shown: of 100,000 nobody turns to the last page.
        calls = nsmallest(first + PAGE, calls, key=lambda call: call.due)
    shown = calls[first : first + PAGE]
    rows = [row(runtime, call, arguments) for call in shown]
    if name == "running":
        frames = stacks()
        for call, line in zip(shown, rows, strict=True):
            line["stack"] = frames.get(call)
    return {
        "process": process(),
        "list": name,
        "filter": {"job": clip(wanted, 200), "status": clip(status, 20), "tag": clip(tag, 100)},
        "classes": sorted(known),
        "total": total,
        "page": page,
        "first": first + 1,
        "pages": pages,
        "jobs": rows,
    }


def _tagged(call: Handle[Any], tag: str) -> bool:
    if tag in call.lane.options.tags:
        return True
    more = call.more
    return more is not None and more.options is not None and tag in more.options.get("tags", ())


def _page(text: str) -> int:
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else 1


def badges() -> dict[str, int]:
    """How many jobs each list of the menu holds."""
    runtime = current()
    total = stats().total
    return {
        "running": total.running,
        "waiting": total.queued,
        "scheduled": total.scheduled + total.retrying + total.deferred,
        "failed": len(_failed(runtime, runtime.registry.all())),
    }
