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
from ..moves.duplicates import Duplicates
from ..moves.endings import Endings
from ..moves.overrun import Overrun
from ..moves.perform_now import PerformNow
from ..moves.performing import Performing
from ..moves.queueing import Queueing
from ..moves.room import Room
from ..moves.steering import Steering
from ..moves.waiting import Waiting
from ..places.fork_mark import fork_mark
from ..places.history import History
from ..places.keys import Keys
from ..places.lane import Site
from ..places.scheduler import Scheduler
from ..places.tokens import Tokens
from ..places.watchers import Watchers
from ..values.clock import Clock, SystemClock
from ..values.handle import Call
from ..values.mode import Mode
from ..values.retry import Chance
from ..values.stage import Stage
from ..workers.ceiling import Ceiling
from ..workers.deadlock import Waits
from ..workers.here import Here
from ..workers.loops import Loops
from ..workers.pool import Pool
from ..workers.registry import Registry
from ..workers.stacks import Stacks
from ..workers.whereabouts import Whereabouts
from .idleness import Idleness
from .installed import again, open_gate
from .unsaved import Serving
from .watchdog import Watchdog

__all__ = ["Clockwork", "Runtime"]


class Clockwork(Protocol):
    """What ``start()`` has armed."""

    def arm(self, job: type[Any]) -> None:
        """A class that comes again is there."""
        ...

    def stop(self) -> None:
        """Let other processes have what this one has held."""
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
        #: When the counters began at zero, in epoch seconds.
        self.since = self.clock.time()
        self.wall_offset = self.clock.time() - self.clock.monotonic()
        self.pid = os.getpid()
        self.mark = fork_mark()
        self.chance = Chance()
        self.stage = stage = Stage(threads)
        self.serving = Serving(stage)
        self.heirs: dict[int, Runtime] = {}  # what comes after it, see ``in_force``
        self.clockwork: Clockwork | None = None

        # Places
        self.history = History(self.clock)
        self.watchers = Watchers()
        self.keys = Keys()
        self.tokens = Tokens()
        self.scheduler = Scheduler(self.clock, self._due, threads)
        #: Where ``wait_idle`` and the drain sleep; a worker wakes them as it falls asleep.
        self.resting = resting = self.scheduler.resters

        # Workers
        self.pools: dict[object, Pool] = {}
        self.loops = Loops()
        self.ceiling = Ceiling(stage, self.pools)
        self.here = Here(resting)
        self.waits = Waits(
            stage,
            self.watchers,
            self.pools,
            self.ceiling,
            self.here,
            self.loops,
            self.mode.before_wait,
        )
        self.fewer_workers = self.waits.look_again
        self.site = Site(
            here=self.mark,
            token=os.urandom(4).hex(),
            clock=self.clock,
            stage=stage,
            scheduler=self.scheduler,
            history=self.history,
            watchers=self.watchers,
            tokens=self.tokens,
            pools=self.pools,
            chance=self.chance,
            moves=self,
            keeper=self,
        )
        self.registry = Registry(self.site, self, self.serving.look)
        self.lane = self.registry.lane
        self.shared_pool = self.registry.shared_pool
        self.whereabouts = Whereabouts(self.registry, self.here, self.history)
        self.stacks = Stacks(self.waits)
        self.watchdog = Watchdog(stage, self.clock, self.scheduler, self.registry, self.stacks)

        # Moves
        self.endings = Endings(
            stage, self.history, self.watchers, self.keys, self.tokens, self.scheduler, resting
        )
        self.queueing = Queueing(stage, self.endings, self.keys, self.waits, resting)
        self.waiting = Waiting(stage, self.clock, self.scheduler, self.endings, self.queueing)
        self.performing = Performing(
            stage,
            self.keys,
            self.tokens,
            self.endings,
            self.waiting,
            Overrun(self.scheduler, self.tokens, self.stacks),
        )
        self.steering = Steering(
            self.clock,
            self.tokens,
            self.scheduler,
            self.registry,
            self.whereabouts,
            self.endings,
            self.queueing,
            self.waiting,
            resting.wake_all,
            self.watchdog.wake,
        )
        self.room = Room(stage, self.clock, self.here, self.endings, self.waiting)
        self.admission = Admission(
            stage,
            self.clock,
            self.mode,
            self.registry,
            self.endings,
            self.queueing,
            self.waiting,
            Duplicates(self.clock, self.keys, self.endings, self.steering),
            self.room,
            open_gate,
        )
        self.idleness = Idleness(
            stage, self.clock, self.scheduler, self.registry, self.whereabouts, resting
        )

        # What is asked of it. Bound once: no frame in between.
        self.enqueue = self.admission.enqueue
        self.perform_now = PerformNow(self.registry, self.here, self.room).perform_now
        self.taken, self.withdraw = self.waiting.taken, self.waiting.withdraw
        self.settle_delayed = self.waiting.settle_delayed
        self.may_start, self.settle = self.performing.may_start, self.performing.settle
        self.turned_away, self.no_thread = self.queueing.turned_away, self.queueing.no_thread
        self.cancel, self.reschedule = self.steering.cancel, self.steering.reschedule
        self.watch, self.unwatch = self.watchers.watch, self.watchers.unwatch
        self.wait, self.before_wait = self.waits.wait, self.mode.before_wait
        self.wait_idle, self.idle = self.idleness.wait, self.idleness.idle

    def _due(self, call: Call) -> None:
        """On the scheduler's thread; the moves are made after it."""
        self.waiting.release(call)

    def again(self, call: Any, options: dict[str, Any] | None) -> Any:
        """Enqueue a finished job anew, in the runtime in force."""
        return again(call, options)
