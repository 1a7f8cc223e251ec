"""Jobs that come again: ``every`` and ``cron``.

``start()`` arms them: each gets a timer in the scheduler, which enqueues the job and sets the next
one. A tick that finds an earlier run queued or running is left out (no overlap), and what was
missed meanwhile, or while no process ran, collapses into one run. See ``clockwork``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from ..core.port import Runtime, accepting, current, entries
from ..core.values.clock import moment
from ..core.values.errors import CounterpunchError
from ..core.values.handle import Handle
from ..core.values.plan import plan_of
from ..define.job_class import Job
from .classes import check_pool, periodic_classes
from .clockwork import Clocks
from .schedule import schedule_of

__all__ = ["Entry", "arm", "periodic", "run_now"]


class Entry(NamedTuple):
    """One armed periodic class: when it comes next (aware, UTC, without its jitter), whether
    it is paused, and its latest job in this process."""

    job: type[Job]
    next_run: datetime
    paused: bool
    latest: Handle[Any] | None

    def upcoming(self, count: int = 5) -> list[datetime]:
        """The next ``count`` runs if nothing is missed, aware, UTC."""
        schedule = schedule_of(self.job)
        moments: list[datetime] = []
        due = self.next_run.timestamp()
        while schedule is not None and len(moments) < count:
            moments.append(moment(due))
            due = schedule.after(due)
        return moments


def arm(runtime: Runtime) -> None:
    """Arm every periodic class that is defined by now; those that are armed stay as they are.

    Raises:
        InvalidOption: If a class names a pool that does not exist; then none is armed.
    """
    jobs = sorted(entries(periodic_classes), key=lambda job: plan_of(job).name)
    for job in jobs:
        check_pool(runtime, job)
    if runtime.clockwork is None:
        runtime.clockwork = Clocks(runtime)
    for job in jobs:
        runtime.clockwork.arm(job)


def periodic() -> list[Entry]:
    """The periodic classes that ``start()`` has armed in this process, the next to run first."""
    runtime = current()
    clocks = runtime.clockwork
    if not isinstance(clocks, Clocks):
        return []
    rows = []
    for job in entries(clocks.armed):
        if (due := clocks.next_run(job)) is not None:
            lane = runtime.registry.lanes.get(job)
            paused = lane is not None and lane.paused
            rows.append(Entry(job, moment(due), paused, clocks.latest.get(job)))
    return sorted(rows, key=lambda entry: entry.next_run)


def run_now(job: Any) -> Handle[Any]:
    """Enqueue one job of a periodic class at once, beside its schedule, which stays as it is.

    Raises:
        CounterpunchError: If the class is not armed in this process, or accepts no jobs now.
    """
    clocks = accepting().clockwork
    if not isinstance(clocks, Clocks) or clocks.next_run(job) is None:
        raise CounterpunchError(f"{job.__qualname__} is not armed in this process; see start()")
    if (call := clocks.enqueue(job)) is None:
        raise CounterpunchError(f"perform_async of {job.__qualname__} has left this run out")
    return call
