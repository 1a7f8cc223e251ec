"""What the pages show, as plain values: the only module here that looks into the runtime.

Each function answers one page, and its answer is the JSON of that page. Lists are copied in
one step and cut to a page before anything is said about a single job, so a queue of
100,000 costs about as much as one of fifty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from heapq import nsmallest
from typing import Any

from ..core.port import (
    FAILED,
    LOST,
    RUNNING,
    SLOT_SECONDS,
    SUCCEEDED,
    TERMINAL,
    Counts,
    Handle,
    Runtime,
    Status,
    current,
    plan_of,
    shown_arguments,
)
from ..observe.chart import depths
from ..observe.chart import recent as recent_of
from ..observe.dump import stacks
from ..observe.health import Health
from ..observe.queries import class_names, stats
from ..recurring.periodic import periodic as armed_entries
from .plain import clip, plain, show
from .process import process

__all__ = [
    "LISTS",
    "PAGE",
    "badges",
    "classes",
    "job",
    "listing",
    "overview",
    "periodic",
    "retried",
]

#: Jobs on one page of a list.
PAGE = 50
ERROR_LINE = 300  # characters of an error in a list

#: The newer job of each that was retried from a page, by id; both remain to be seen.
retried: dict[str, str] = {}


def classes(runtime: Runtime) -> dict[str, Any]:
    """Every class that was used or is armed, by the name ``stats()`` gives it."""
    used: list[Any] = [lane.job for lane in runtime.registry.all()]
    armed: list[Any] = [entry.job for entry in armed_entries()]
    return class_names(dict.fromkeys([*used, *armed]))


def overview(health: Health) -> dict[str, Any]:
    """The first page."""
    runtime = current()
    snapshot = stats()
    now = runtime.clock.monotonic()
    rows = []
    for name, cls in classes(runtime).items():
        lane, counts = runtime.registry.lanes.get(cls), snapshot.jobs.get(name)
        if lane is None or counts is None:  # armed only, or used for the first time just now
            continue
        slots, recent = recent_of(lane.timings, now)
        last_minute = slots[-round(60 / SLOT_SECONDS) :]
        rows.append(
            {
                "job": name,
                "paused": lane.paused,
                **_counts(counts),
                "size": lane.pool.size,
                "pool": lane.options.pool,
                "max_jobs": lane.options.max_jobs,
                "per_minute": sum(slot.succeeded + slot.failed for slot in last_minute),
                "recent": {
                    "seconds": SLOT_SECONDS * len(slots),
                    "succeeded": recent.succeeded,
                    "failed": recent.failed,
                    "retries": recent.retries,
                    "wait_seconds": _percentiles(recent.waits),
                    "run_seconds": _percentiles(recent.runs),
                },
                "chart": {
                    "slot_seconds": SLOT_SECONDS,
                    "succeeded": [slot.succeeded for slot in slots],
                    "failed": [slot.failed for slot in slots],
                    "queued": depths(lane.timings, now, counts.queued),
                },
            }
        )
    total = _counts(snapshot.total)
    total["per_minute"] = sum(row["per_minute"] for row in rows)
    total["failed_recently"] = sum(row["recent"]["failed"] for row in rows)
    return {
        "process": process(),
        "health": {"ok": health.ok, "reasons": [clip(text) for text in health.reasons]},
        "total": total,
        "classes": sorted(rows, key=lambda row: row["job"]),
    }


def _counts(counts: Counts) -> dict[str, Any]:
    return {
        "accepted": counts.accepted,
        "status": {status.value: getattr(counts, status.value) for status in Status},
        "workers": counts.workers._asdict(),
        "attempts": counts.attempts,
        "retries": counts.retries,
        "discards": counts.discards._asdict(),
        "oldest_wait": counts.oldest_wait,
    }


def _percentiles(times: Any) -> dict[str, float | None]:
    return {name: times.percentile(part) for name, part in (("p50", 0.5), ("p95", 0.95))}


# Lists


def _running(runtime: Runtime, lanes: list[Any]) -> list[Handle[Any]]:
    calls = [call for lane in lanes for call in list(lane.running) if call.status is RUNNING]
    return sorted(calls, key=lambda call: call.started or 0.0)


def _waiting(runtime: Runtime, lanes: list[Any]) -> list[Handle[Any]]:
    return [call for lane in lanes for call in lane.queued_calls()]


def _delayed(runtime: Runtime, lanes: list[Any]) -> list[Handle[Any]]:
    return [call for lane in lanes for call in [*lane.scheduled, *lane.retrying, *lane.deferred]]


def _finished(runtime: Runtime, lanes: list[Any]) -> list[Handle[Any]]:
    chosen = set(lanes)
    calls = [call for call in runtime.history.remembered() if call.lane in chosen]
    calls.reverse()
    return calls


def _failed(runtime: Runtime, lanes: list[Any]) -> list[Handle[Any]]:
    calls = _finished(runtime, lanes)
    return [call for call in calls if call.status is FAILED or call.status is LOST]


#: Each list by its address: how to come by all of it, in order (a scheduled one: in none).
LISTS: Mapping[str, Callable[[Runtime, list[Any]], list[Handle[Any]]]] = {
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
    pages = max(1, -(-len(calls) // PAGE))
    page = min(pages, _page(query.get("page", "")))
    first = (page - 1) * PAGE
    total = len(calls)
    if name == "scheduled":
        # Sorted only as far as shown: of 100,000 nobody turns to the last page.
        calls = nsmallest(first + PAGE, calls, key=_due)
    shown = calls[first : first + PAGE]
    frames = stacks() if name == "running" else {}
    rows = []
    for call in shown:
        row = _row(runtime, call, arguments)
        if name == "running":
            row["stack"] = frames.get(call)
        rows.append(row)
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


def _due(call: Handle[Any]) -> float:
    return call.due


def _row(runtime: Runtime, call: Handle[Any], arguments: bool) -> dict[str, Any]:
    """What a list shows of a job; the page of the job itself shows the same and more."""
    now = runtime.clock.monotonic()
    status, started, finished = call.status, call.started, call.finished
    due = _due(call)
    error = call.error
    policy = call.option("retry")
    ran = None
    if started is not None and (status is RUNNING or finished is not None):
        ran = (now if finished is None else finished) - started
    return {
        "id": call.id,
        "job": call.job.__qualname__,
        "status": status.value,
        "attempt": call.attempt,
        "max_attempts": 1 if policy is None else policy.max_attempts,
        "enqueued_at": _moment(call.enqueued_at),
        "run_at": _moment(call.run_at),
        "started_at": _moment(call.started_at),
        "finished_at": _moment(call.finished_at),
        "age": now - call.enqueued,
        "due_in": None if status in TERMINAL or status is RUNNING else max(0.0, due - now),
        "waited": _waited(call, due, now),
        "ran": ran,
        "finished_ago": None if finished is None else now - finished,
        "priority": call.option("priority"),
        "tags": sorted(clip(tag, 100) for tag in call.tags),
        "progress": _progress(call.progress),
        "cancelling": status is RUNNING and runtime.tokens.requested(call),
        "error": None if error is None else _last_line(error),
        "arguments": _arguments(call) if arguments else None,
        "retried_as": retried.get(call.id),
    }


def _waited(call: Handle[Any], due: float, now: float) -> float | None:
    """Seconds from due to started; up to now while it is queued."""
    if call.status is Status.QUEUED:
        return max(0.0, now - due)
    if call.started is None or call.status is Status.RETRYING:
        return None
    return max(0.0, call.started - due)


def _arguments(call: Handle[Any]) -> str | None:
    """As they would be written in Python; None if its class, or the process, hides them."""
    return shown_arguments(call, lambda value: show(value, 200), 20)


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


def _last_line(error: str) -> str:
    """The line of a traceback that names the exception: the last one that is not indented."""
    lines = [line for line in error.strip().splitlines() if line and not line[0].isspace()]
    return clip(lines[-1] if lines else error.strip(), ERROR_LINE)


# One job, and what comes again


def job(id: str, arguments: bool) -> dict[str, Any] | None:
    """The whole story of one job, flat, for the page that polls it; None if it is not known."""
    runtime = current()
    # An engine would be asked over the network, and this must not block.
    call = runtime.whereabouts.find(id)
    if call is None:
        return None
    row = _row(runtime, call, arguments)
    row["process"] = process()
    row["data"] = plain(call.data)
    row["traceback"] = call.error
    row["stack"] = stacks().get(call) if call.running() else None
    row["result"] = None
    if call.status is SUCCEEDED and row["arguments"] is not None:
        row["result"] = plain(call.shown()[2])
    options = call.lane.options
    row["options"] = {
        "timeout": call.option("timeout"),
        "expires_in": call.option("expires_in"),
        "retry": None if (policy := call.option("retry")) is None else clip(repr(policy), 300),
        "pool": options.pool,
    }
    return row


def periodic() -> dict[str, Any]:
    """What comes again."""
    names = {cls: name for name, cls in classes(current()).items()}
    now = current().clock.time()
    rows = []
    for entry in armed_entries():
        options, latest = plan_of(entry.job).options, entry.latest
        rows.append(
            {
                "job": names.get(entry.job, entry.job.__qualname__),
                "every": options.every,
                "cron": None if options.cron is None else clip(str(options.cron), 200),
                "timezone": options.timezone,
                "once_per": options.once_per,
                "paused": entry.paused,
                "next_in": max(0.0, entry.next_run.timestamp() - now),
                "next_runs": [_moment(moment) for moment in entry.upcoming(5)],
                "latest": None
                if latest is None
                else {"id": latest.id, "status": latest.status.value},
            }
        )
    return {"process": process(), "periodic": rows}


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")


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
