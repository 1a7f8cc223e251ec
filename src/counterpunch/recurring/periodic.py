"""Jobs that come again: ``every`` and ``cron``.

``start()`` arms them: each gets a timer in the scheduler, which enqueues the job and sets
the next one. A tick finds its predecessor still alive and is skipped (no overlap); what
was missed meanwhile collapses into one run, because the next time is counted from now.
"""

from __future__ import annotations

import logging
from contextvars import Context
from datetime import datetime
from typing import Any, NamedTuple

from ..core.port import Clockwork, Runtime, Timer, accepting, current, entries, on_start
from ..core.values.clock import moment
from ..core.values.errors import CounterpunchError, ShuttingDown
from ..core.values.handle import Handle
from ..core.values.hooks import process, report
from ..core.values.plan import plan_of
from ..core.values.stage import OPEN
from ..core.values.status import TERMINAL
from ..define.job_class import Job
from .classes import check_pool, periodic_classes
from .host_lock import HostLock

__all__ = ["Entry", "arm", "next_due", "periodic", "run_now"]


class Entry(NamedTuple):
    """One armed periodic class: when it comes next (aware, UTC, without its jitter), whether
    it is paused, and its latest job in this process."""

    job: type[Job]
    next_run: datetime
    paused: bool
    latest: Handle[Any] | None

    def upcoming(self, count: int = 5) -> list[datetime]:
        """The next ``count`` runs if nothing is missed, aware, UTC."""
        options = plan_of(self.job).options
        moments = []
        due = self.next_run.timestamp()
        for _ in range(count):
            moments.append(moment(due))
            due = next_due(options.every, options.cron, due, due)
        return moments


class _Clockwork(Clockwork):
    """What one runtime has armed."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.due: dict[type[Any], float] = {}  # epoch seconds
        #: The timer of each class's next tick, any other is void; and those that were handed over.
        self.timers: dict[type[Any], Timer] = {}
        self.armed: dict[type[Any], Timer] = {}
        self.latest: dict[type[Any], Handle[Any]] = {}
        #: What each class was armed in: under Flask the app that was current.
        self.contexts: dict[type[Any], Context | None] = {}
        #: By name: of two classes of one name, from an app factory that ran twice, each is
        #: this process's own.
        self.locks: dict[str, HostLock] = {}

    def arm(self, job: type[Any]) -> None:
        if job not in self.armed:
            self.contexts[job] = process.fresh_context()
            self._set_next(job, None)

    def _set_next(self, job: type[Any], last: float | None) -> None:
        options, clock = plan_of(job).options, self.runtime.clock
        now = clock.time()
        due = next_due(options.every, options.cron, last, now)
        later = options.jitter * self.runtime.chance() if options.jitter else 0.0
        timer = Timer(lambda: self._tick(job, due, timer))
        self.due[job], self.timers[job] = due, timer
        if options.cron is not None:
            self.runtime.scheduler.add(timer, due + later, wall=True)
        else:
            self.runtime.scheduler.add(timer, clock.monotonic() + max(0.0, due - now) + later)
        self.armed[job] = timer

    def stop(self) -> None:
        """Let other processes of the host have the classes that this one has held."""
        for lock in entries(self.locks.values()):
            lock.release()

    def _tick(self, job: type[Any], due: float, timer: Timer) -> None:
        """On the scheduler's thread: enqueue the job, unless the last one is still alive."""
        if self.timers.get(job) is not timer:
            return  # armed again, after it was interrupted
        if self.runtime.stage.phase is not OPEN or job not in periodic_classes:
            for table in (self.due, self.timers, self.armed):
                table.pop(job, None)
            return
        try:
            latest = self.latest.get(job)
            overlapping = latest is not None and latest.state not in TERMINAL
            if not overlapping and self._mine(job):
                self.latest[job] = self.runtime.admission.tick(job, self.contexts[job])
        except Exception as exc:
            message = "the periodic job %s could not be enqueued"
            report(logging.ERROR, message, job.__qualname__, exc_info=exc)
        finally:
            self._set_next(job, due)

    def run_now(self, job: type[Any]) -> Handle[Any]:
        """Enqueue one now, as a tick would, on the caller's thread; the schedule stays."""
        handle = self.runtime.admission.tick(job, self.contexts.get(job))
        self.latest[job] = handle
        return handle

    def _mine(self, job: type[Any]) -> bool:
        """True in the one process of the host that runs this class's ticks."""
        if plan_of(job).options.once_per == "process" or not self.runtime.stage.threads:
            return True
        name = plan_of(job).name
        lock = self.locks.get(name)
        if lock is None:
            lock = self.locks[name] = HostLock(name)
        return lock.hold()


def next_due(every: float | None, cron: Any, last: float | None, now: float) -> float:
    """When a periodic class comes next, in epoch seconds.

    ``every`` keeps its grid: a run that was late does not shift the ones after it, and
    missed ones are left out. The first run is one period from now.
    """
    if cron is not None:
        after = moment(max(now, last or now))
        return float(cron.next_after(after).timestamp())
    period = every or 0.0
    if last is None or now < last - period:  # the first, or the clock was set back
        return now + period
    # The wall clock may show a little less than the instant that the timer waited for.
    return last + period * (1 + max(0.0, now - last) // period)


def arm(runtime: Runtime) -> None:
    """Arm every periodic class that is defined by now; those that are armed stay as they are.

    Raises:
        InvalidOption: If a class names a pool that does not exist; then none is armed.
    """
    jobs = sorted(periodic_classes, key=lambda job: plan_of(job).name)
    for job in jobs:
        check_pool(runtime, job)
    if runtime.clockwork is None:
        runtime.clockwork = _Clockwork(runtime)
    for job in jobs:
        runtime.clockwork.arm(job)


def periodic() -> list[Entry]:
    """The periodic classes that ``start()`` has armed in this process, the next to run first."""
    runtime = current()
    clockwork = runtime.clockwork
    if not isinstance(clockwork, _Clockwork):
        return []
    rows = []
    for job, due in entries(clockwork.due.items()):
        lane = runtime.registry.lanes.get(job)
        paused = lane is not None and lane.paused
        rows.append(Entry(job, moment(due), paused, clockwork.latest.get(job)))
    return sorted(rows, key=lambda entry: entry.next_run)


def run_now(job: Any) -> Handle[Any]:
    """Enqueue one job of a periodic class at once, beside its schedule, which stays as it is.

    Raises:
        CounterpunchError: If the class is not armed in this process, or accepts no jobs now.
    """
    runtime = accepting()
    clockwork = runtime.clockwork
    if not isinstance(clockwork, _Clockwork) or job not in clockwork.due:
        raise CounterpunchError(f"{job.__qualname__} is not armed in this process; see start()")
    if runtime.stage.phase is not OPEN:
        raise ShuttingDown(f"{job.__qualname__} was not run: the process is {runtime.stage.phase}")
    return clockwork.run_now(job)


on_start.append(arm)
