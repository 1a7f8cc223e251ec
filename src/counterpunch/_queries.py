"""Looking at jobs: ``stats()``, ``find(id)``, ``jobs(...)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._runtime import Runtime, current
from .errors import InvalidOption
from .handle import Handle, Status
from .job import job_class
from .stats import Counts, Stats, WorkerCounts

__all__ = ["find", "jobs", "lane_counts", "stats"]


def stats() -> Stats:
    """A frozen snapshot of this process: per class and in total.

    In each ``Counts`` ``accepted`` equals the sum over all statuses, at every instant.
    """
    runtime = current()
    now = runtime.clock.monotonic()
    classes = {lane.plan.name: lane.counts(now) for lane in list(runtime.lanes.values())}
    return Stats(_total(runtime, list(classes.values())), classes)


def _total(runtime: Runtime, classes: list[Counts]) -> Counts:
    sums = [sum(column) for column in zip(*(counts[:11] for counts in classes), strict=True)]
    threads = sum(pool.hired() for pool in list(runtime.pools.values()))
    busy = min(threads, sum(counts.workers.busy for counts in classes))
    return Counts(
        *(sums or [0] * 11),
        workers=WorkerCounts(threads, busy, threads - busy),
        attempts=sum(counts.attempts for counts in classes),
        oldest_wait=max((counts.oldest_wait for counts in classes), default=0.0),
    )


def lane_counts(job: Any) -> Counts:
    """The counts of one class: all zero before its first use."""
    runtime = current()
    lane = runtime.lanes.get(job_class(job))
    if lane is None:
        return Counts(*([0] * 11), workers=WorkerCounts(0, 0, 0), attempts=0, oldest_wait=0.0)
    return lane.counts(runtime.clock.monotonic())


def find(id: str) -> Handle[Any] | None:
    """The handle of the job with this id, or None.

    Live jobs are always found, finished ones while ``configure(history=...,
    history_ttl=...)`` remembers them; in the process that accepted them, only.
    """
    return current().find(id) if isinstance(id, str) else None


def jobs(
    job: Any = None,
    status: Status | str | None = None,
    *,
    tag: str | None = None,
    where: Callable[[Handle[Any]], object] | None = None,
) -> list[Handle[Any]]:
    """The jobs of this process that fit all conditions given: live ones, then finished.

    Args:
        job: A job class or a decorated function.
        status: One status.
        tag: A label of the class or of ``using(tags=...)``.
        where: A function of the handle.

    Raises:
        InvalidOption: For a status that does not exist.
        TypeError: If ``job`` is not a job class.
    """
    runtime = current()
    if status is not None:
        try:
            status = Status(status)
        except ValueError:
            allowed = ", ".join(one.value for one in Status)
            raise InvalidOption("jobs", "status", status, allowed) from None
    cls = None if job is None else job_class(job)
    lanes = [lane for lane in list(runtime.lanes.values()) if cls is None or lane.job is cls]
    found: dict[Handle[Any], None] = {}
    for lane in lanes:
        found.update(dict.fromkeys(runtime.live(lane)))
    found.update(dict.fromkeys(reversed(runtime.remembered())))
    return [
        call
        for call in found
        if (cls is None or call.job is cls)
        and (status is None or call.status is status)
        and (tag is None or tag in call.tags)
        and (where is None or where(call))
    ]
