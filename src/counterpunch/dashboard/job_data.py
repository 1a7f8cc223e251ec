"""One job as plain values: its row in a list, and its whole story."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..core.port import Runtime, current
from ..core.values.arguments import shown_arguments
from ..core.values.handle import Handle
from ..core.values.plan import plan_of
from ..core.values.status import TERMINAL, Status
from ..observe.dump import stacks
from .full import Full
from .names import known
from .plain import clip, plain, show
from .process import process
from .search import error_line

__all__ = ["iso", "job", "retried", "row"]

#: The newer job of each that was retried from a page, by id; both remain to be seen.
retried: dict[str, str] = {}


def job(id: str, arguments: bool) -> dict[str, Any] | None:
    """The whole story of one job, flat, for the page that polls it; None if it is not known."""
    runtime = current()
    # An engine would be asked over the network, and this must not block.
    call = runtime.whereabouts.find(id)
    if call is None:
        return None
    shown = row(runtime, call, arguments, {cls: name for name, cls in known().items()})
    hidden = shown["arguments"] is None
    policy = call.option("retry")
    return {
        **shown,
        "process": process(),
        "full_arguments": shown_arguments(call, Full(), 200, ",\n") if arguments else None,
        "data": plain(call.data),
        "traceback": call.error,
        "stack": stacks().get(call) if call.running() else None,
        "result": None if hidden or call.status is not Status.SUCCEEDED else plain(call.shown()[2]),
        "options": {
            "timeout": call.option("timeout"),
            "expires_in": call.option("expires_in"),
            "retry": None if policy is None else clip(repr(policy), 300),
            "pool": call.lane.options.pool,
        },
    }


def row(
    runtime: Runtime, call: Handle[Any], arguments: bool, names: Mapping[Any, str]
) -> dict[str, Any]:
    """What a list shows of a job; the page of the job itself shows the same and more.

    Args:
        names: The long name of each class.
    """
    now = runtime.clock.monotonic()
    status, error = call.status, call.error
    due, started, finished = call.lane.expected(call), call.started, call.finished
    running = status is Status.RUNNING
    policy = call.option("retry")
    ran = None
    if started is not None and (running or finished is not None):
        ran = (now if finished is None else finished) - started
    return {
        "id": call.id,
        "class": names.get(call.job) or plan_of(call.job).name,
        "job": call.job.__qualname__,
        "pid": os.getpid(),
        "status": status.value,
        "attempt": call.attempt,
        "max_attempts": 1 if policy is None else policy.max_attempts,
        "enqueued_at": iso(call.enqueued_at),
        "run_at": iso(call.run_at),
        "started_at": iso(call.started_at),
        "finished_at": iso(call.finished_at),
        "age": now - call.enqueued,
        "due_in": None if status in TERMINAL or running else max(0.0, due - now),
        "waited": _waited(call, call.due, now),
        "ran": ran,
        "finished_ago": None if finished is None else now - finished,
        "priority": call.option("priority"),
        "tags": sorted(clip(tag, 100) for tag in call.tags),
        "progress": _progress(call.progress),
        "cancelling": running and runtime.tokens.requested(call),
        "error": None if error is None else error_line(error),
        # As they would be written in Python; None if its class, or the process, hides them.
        "arguments": shown_arguments(call, _argument, 20) if arguments else None,
        "retried_as": retried.get(call.id),
    }


def _argument(value: object) -> str:
    return show(value, 200)


def _waited(call: Handle[Any], due: float, now: float) -> float | None:
    """Seconds from due to started; up to now while it is queued."""
    if call.status is Status.QUEUED:
        return max(0.0, now - due)
    if call.started is None or call.status is Status.RETRYING:
        return None
    return max(0.0, call.started - due)


def _progress(progress: Any) -> dict[str, Any] | None:
    if progress is None:
        return None
    done, total, message = (plain(value) for value in progress)
    fraction = None
    if _number(done) and _number(total) and total > 0:
        fraction = min(1.0, max(0.0, done / total))
    return {"done": done, "total": total, "message": message, "fraction": fraction}


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")
