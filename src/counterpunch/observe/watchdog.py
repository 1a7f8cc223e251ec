"""What looks after a process while there is work: the queue depths, and jobs that starve.

It is a timer of the scheduler, set once a pool has no worker to spare. Its first look comes
when a job could starve by then, the next ones at the start of each slot of ten seconds, and
when the oldest job of a class will have waited too long, for as long as something is queued or
runs. So a process with threads to spare never wakes up for it,
and an idle one once, ``starved_after`` seconds after it was last that busy.
"""

from __future__ import annotations

import _thread
import logging
from typing import Any

from ..core.port import (
    SLOT_SECONDS,
    Lane,
    Permits,
    Registry,
    Site,
    Stacks,
    Timer,
    entries,
    installed,
)
from ..core.values.config import config
from ..core.values.hooks import report
from ..core.values.short import clean

__all__ = ["Watchdog"]

#: So many jobs are named in one record.
NAMED = 10
#: Seconds between two looks at least, and as a share of ``starved_after``.
PAUSE, SHARE = 0.1, 0.1


class Watchdog:
    """Looks at the queues of one runtime while there is work."""

    def __init__(self, site: Site, registry: Registry, stacks: Stacks) -> None:
        self._stage, self._clock, self._scheduler = site.stage, site.clock, site.scheduler
        self._registry, self._stacks = registry, stacks
        #: One entry while it sleeps; taking it is the right to wake it. A worker that gets
        #: up asks for it first, which costs next to nothing.
        self.asleep = Permits(1 if site.stage.threads else 0)
        #: The numbers of the jobs of a class that were found starving at the last look.
        self._starving: dict[Lane, set[int]] = {}
        #: The instant at which a job of a class where none does will starve, if it still waits.
        self._next = 0.0

    def woken_by(self, pool: Any) -> None:
        """On a worker that gets up, if ``asleep``: begin to look if it is the last one.

        While another sleeps, or may still be hired, no job of the pool waits for long.
        """
        spare = pool.parking.sleepers or (pool.vacancies and config.max_threads is None)
        if spare:
            return
        if not self._scheduler.stranded():
            self.wake()
            return
        try:
            # The first job is not held up by the start of the scheduler's thread, which
            # waits for it. Looked up late: gevent replaces it.
            _thread.start_new_thread(self.wake, ())
        except RuntimeError:
            pass  # no thread to be had: the next worker to get up tries again

    def wake(self) -> None:
        """Begin to look, unless it does already. For any thread."""
        if not self._stage.serving:
            return  # the drain looks for itself
        limit = config.starved_after
        if limit is None:
            return
        if not self.asleep.take():
            return
        self._look_at(self._clock.monotonic() + limit)

    def _look_at(self, due: float) -> None:
        self._scheduler.add(Timer(self.look), due)

    def look(self) -> None:
        """On the scheduler's thread; runs no code of a user."""
        try:
            now = self._clock.monotonic()
            self._next = (now // SLOT_SECONDS + 1) * SLOT_SECONDS
            for lane in self._registry.all():
                lane.timings.note_depth(now, lane.waiting())
                self._report_starving(lane, now)
        finally:
            self._go_on()

    def _go_on(self) -> None:
        if self._resting():
            if not self.asleep:
                self.asleep.give()
            # A worker that got up before it saw the entry relies on this second look.
            if not self._resting():
                self.wake()
        else:
            now = self._clock.monotonic()
            pause = max(PAUSE, SHARE * (config.starved_after or 0.0))
            self._look_at(max(self._next, now + pause))

    def _resting(self) -> bool:
        if not self._stage.serving:
            return True
        busy = any(not pool.idle() for pool in entries(self._registry.pools.values()))
        return not busy and not any(lane.waiting() for lane in self._registry.all())

    def _report_starving(self, lane: Lane, now: float) -> None:
        """Each job once, when it is first found; one record for all of a class."""
        limit = config.starved_after
        wait = lane.oldest_wait(now)
        if limit is None or lane.paused or wait <= limit:
            self._starving.pop(lane, None)
            if limit is not None and wait > 0.0 and not lane.paused:
                self._next = min(self._next, now + limit - wait)
            return
        line = now - limit
        calls = lane.queued_calls()
        # One pass: each look is at the whole backlog, and that may be 100,000 jobs.
        starving = {call.number for call in calls if call.due < line}
        unknown = starving - self._starving.get(lane, set())
        self._starving[lane] = starving
        if not unknown:
            return
        new = [call for call in calls if call.number in unknown]
        # Most have no options of their own, and so the pool of their class.
        pools = {lane.home(call) for call in [new[0], *(one for one in new if one.more)]}
        workers = [worker for pool in pools for worker in entries(pool.workers)]
        stacks = "\n".join(self._stacks.describe(workers, now)) or "it has no worker\n"
        oldest = min(new, key=lambda call: call.due)
        ids = [call.id for call in new[:NAMED]]
        if len(new) > NAMED:
            ids.append(f"and {len(new) - NAMED} more")
        name = clean(lane.job.__qualname__)
        report(
            logging.WARNING,
            "%s: %d queued for more than starved_after=%g s, the oldest for %.3g s: %s\n%s",
            name,
            len(new),
            limit,
            now - oldest.due,
            ", ".join(ids),
            stacks,
            extra={"job_id": oldest.id, "job": name, "attempt": oldest.attempt},
        )


installed.watch = Watchdog
