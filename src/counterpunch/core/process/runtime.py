"""Everything that changes while jobs run, in one object per process.

One object, because a fork is then answered by replacing it: no lock to reset, no thread to
miss, no counter to zero. It makes the parts, in order, and hands each what it needs; it decides
nothing. ``in_force`` gives the one that counts. The test modes put one of their own in front of
it; nothing is patched.
"""

from __future__ import annotations

import os
from typing import Any, Protocol

from ..moves.admission import Admission
from ..moves.deferring import Deferring
from ..moves.duplicates import Duplicates
from ..moves.endings import Endings
from ..moves.expiry import Expiry
from ..moves.overrun import Overrun
from ..moves.perform_now import PerformNow
from ..moves.performing import Performing
from ..moves.queueing import Queueing
from ..moves.rating import Rating
from ..moves.room import Room
from ..moves.steering import Steering
from ..moves.taking import Taking
from ..moves.waiting import Waiting
from ..places.site import Site
from ..values.clock import Clock, Offset, SystemClock
from ..values.handle import Call
from ..values.mode import Mode
from ..workers.awaited import Awaited
from ..workers.ceiling import Ceiling
from ..workers.deadlock import Waits
from ..workers.here import Here
from ..workers.loops import Loops
from ..workers.pool import Pool
from ..workers.registry import Registry
from ..workers.stacks import Stacks
from ..workers.whereabouts import Whereabouts
from .idleness import Idleness
from .installed import Serving, again, installed, open_gate

__all__ = ["Clockwork", "Runtime"]


class Clockwork(Protocol):
    """What ``start()`` has armed."""

    def arm(self, job: type[Any]) -> None:
        """A class that comes again is there."""
        ...

    def hand_over(self) -> None:
        """Let other processes have what this one has held."""
        ...

    def after_fork(self) -> None:
        """In a forked child: keep nothing of what the parent holds."""
        ...

    def problems(self) -> list[str]:
        """Sentences for ``health()``."""
        ...


class Runtime:
    """The lanes, pools, scheduler, history and phase of one process (or of one test mode).

    It is what lanes, pools and handles see as ``Moves``, ``Crew`` and ``Keeper``.

    Args:
        threads: False starts none, neither workers nor the scheduler: a test mode runs
            what is queued and due on its own thread.
        clock: Where times come from.
        mode: What a test mode does another way.
    """

    def __init__(
        self, threads: bool = True, clock: Clock | None = None, mode: Mode | None = None
    ) -> None:
        self.clock: Clock = SystemClock() if clock is None else clock
        self.mode = Mode() if mode is None else mode
        self._began, self._offset = self.clock.monotonic(), Offset(self.clock)
        self.pid = os.getpid()
        self.heirs: dict[int, Runtime] = {}  # what comes after it, see ``in_force``
        self.clockwork: Clockwork | None = None

        # Places
        self.site = site = Site(self.clock, threads, self._due)
        self.stage, self.mark, self.chance = site.stage, site.mark, site.chance
        self.history, self.watchers, self.keys = site.history, site.watchers, site.keys
        self.tokens, self.scheduler, self.resting = site.tokens, site.scheduler, site.resting
        self.day = site.day
        self.pools: dict[object, Pool] = site.pools

        # Workers
        self.loops = Loops()
        self.ceiling = Ceiling(site)
        self.here = Here(site.resting)
        self.finish = Awaited(self.here, self.loops).finish
        self.waits = Waits(site, self.ceiling, self.here, self.loops, self.mode.before_wait)
        self.fewer_workers = self.waits.look_again
        self.serving = Serving(threads)
        self.registry = Registry(site, self, self.serving.look)
        self.lane, self.shared_pool = self.registry.lane, self.registry.shared_pool
        self.whereabouts = Whereabouts(site, self.registry, self.here)
        self.stacks = Stacks(self.waits)
        self.watchdog = installed.watch(site, self.registry, self.stacks)

        # Moves
        self.taking = taking = Taking(site, self.whereabouts)
        self.endings = endings = Endings(site)
        self.queueing = queueing = Queueing(site, taking, endings, self.waits)
        self.rating = rating = Rating(site, taking, endings, queueing)
        self.waiting = waiting = Waiting(site, taking, endings, rating)
        self.steering = Steering(
            site,
            taking,
            self.registry,
            self.whereabouts,
            endings,
            queueing,
            rating,
            waiting,
            self.watchdog.wake,
        )
        self.expiry = expiry = Expiry(site, endings, rating, waiting, self.steering)
        overrun = Overrun(site, self.stacks)
        self.performing = Performing(site, taking, endings, expiry, rating, waiting, overrun)
        room = Room(site, self.here, endings, waiting)
        duplicates = Duplicates(site, taking, endings, expiry, self.steering)
        deferring = Deferring(site, self.mode, taking, endings, waiting, duplicates)
        self.admission = Admission(
            site,
            self.mode,
            taking,
            self.registry,
            self.whereabouts,
            endings,
            rating,
            waiting,
            duplicates,
            deferring,
            room,
            open_gate,
        )
        self.idleness = Idleness(site, taking, self.registry, self.whereabouts)

        # What is asked of it. Bound once: no frame in between.
        self.enqueue = self.admission.enqueue
        interrupted = self.admission.interrupted
        now = PerformNow(self.registry, self.here, room, interrupted)
        self.perform_now, self.run_now, self.outcome = now.perform_now, now.run_now, now.outcome
        self.taken, self.withdraw = waiting.taken, waiting.withdraw
        self.settle_delayed, self.advance = waiting.settle_delayed, rating.advance
        self.expect, self.expire = expiry.expect, expiry.ask
        self.may_start, self.settle = self.performing.may_start, self.performing.settle
        self.rescue, self.repair = self.performing.rescue, taking.repair
        self.interrupted = interrupted
        self.turned_away, self.no_thread = queueing.turned_away, queueing.no_thread
        self.cancel, self.reschedule = self.steering.cancel, self.steering.reschedule
        self.watch, self.unwatch = self.watchers.watch, self.watchers.unwatch
        self.wait, self.before_wait = self.waits.wait, self.mode.before_wait
        self.wait_idle, self.idle = self.idleness.wait, self.idleness.idle

    @property
    def wall_offset(self) -> float:
        """What an instant of the monotonic clock lacks to epoch seconds."""
        self._offset.look()
        return self._offset.seconds

    @property
    def since(self) -> float:
        """When the counters began at zero, in epoch seconds."""
        return self._began + self.wall_offset

    def _due(self, call: Call) -> None:
        """On the scheduler's thread; the moves are made after it."""
        self.waiting.release(call)

    def again(self, call: Any, options: dict[str, Any] | None) -> Any:
        """Enqueue a finished job anew, in the runtime in force."""
        return again(call, options)
