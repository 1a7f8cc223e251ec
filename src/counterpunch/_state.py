"""What a runtime consists of: lanes, pools, the phase it is in. No behaviour of jobs.

Most of it is read while others change it. One operation of a deque, set or dict is one step,
with the interpreter lock and without; so is ``copy()`` of a deque, but ``list()`` of one is
only with it.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable
from contextvars import Context
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from ._backend import engine_of
from ._clock import Clock, SystemClock
from ._config import config
from ._current import open_batches
from ._forkmark import fork_mark
from ._hooks import process
from ._installed import installed
from ._lane import Lane
from ._pool import Pool
from ._scheduler import Scheduler
from ._watchdog import Watchdog
from .errors import InvalidOption, NotSupported
from .handle import Handle

if TYPE_CHECKING:
    from ._deadlock import Wait
    from ._drain import ShutdownReport
    from ._loop import Loop
    from ._runtime import Runtime

__all__ = ["DRAINING", "OPEN", "QUIET", "STOPPED", "State", "Watcher"]

OPEN, QUIET, DRAINING, STOPPED = "open", "quiet", "draining", "stopped"

Watcher = Callable[[Handle[Any]], object]


class State:
    """The fields of a runtime, and how the lane and the pool of a class are found.

    The classes from here to ``_runtime.Runtime`` are one object in rooms of their own: each
    adds one part, uses what stands above it, and is never made by itself.
    """

    #: A failed job's exception keeps its traceback: where it is raised to a test.
    keep_frames = False

    def __init__(self, threads: bool = True, clock: Clock | None = None) -> None:
        self.threads = threads
        self.clock: Clock = SystemClock() if clock is None else clock
        #: When the counters began at zero, in epoch seconds.
        self.since = self.clock.time()
        self.wall_offset = self.clock.time() - self.clock.monotonic()
        self.pid = os.getpid()
        self.here = fork_mark()
        self.token = os.urandom(4).hex()
        self.phase = OPEN
        self.deadline: float | None = None  # of the drain, once it has begun
        #: An entry, with the thread, for each call of ``drain``; the first one carries it out.
        self.drains: deque[tuple[int]] = deque()
        self.report: ShutdownReport | None = None
        #: Somebody has called ``start()``, and so will know when the server stops.
        self.served = False
        self.heirs: dict[int, Runtime] = {}  # what comes after it, see ``_replace``
        self.lanes: dict[type, Lane] = {}
        self.pools: dict[object, Pool] = {}
        self.scheduler = Scheduler(self.clock, self.whole.release, threads)
        self.watchdog = Watchdog(self.whole)
        #: Where ``wait_idle`` and the drain sleep; a worker wakes them as it falls asleep.
        self.resting = self.scheduler.resters
        self.watchers: dict[Handle[Any], deque[Watcher]] = {}
        #: By thread: the waits without limit, for other jobs, of workers' threads.
        self.waits: dict[int, list[Wait]] = {}
        #: By thread: the jobs that it runs for itself, as ``perform_now`` does, innermost last.
        self.here_runs: dict[int, list[Handle[Any]]] = {}
        #: Of those, the coroutine of each async one.
        self.here_coroutines: dict[Handle[Any], Any] = {}
        #: Running jobs whose cancel token is set: for good, and by ``timeout`` for this attempt.
        self.cancels: set[Handle[Any]] = set()
        self.overruns: set[Handle[Any]] = set()
        #: Jobs that are being enqueued, while a middleware may change their options.
        self.announced: set[Handle[Any]] = set()
        self.history: deque[Handle[Any]] = deque(maxlen=config.history)
        #: Failed jobs have a store of their own: however many succeed, they stay findable.
        self.failed: deque[Handle[Any]] = deque(maxlen=config.history)
        self.lost: deque[Handle[Any]] = deque()
        #: The instant at which the oldest job of the history becomes too old to be remembered.
        self._look_back = 0.0
        #: By class and identity: the waiting (or active) job of a ``unique`` class. By class,
        #: identity and transaction: the job that is deferred to it.
        self.unique: dict[tuple[Any, ...], Handle[Any]] = {}
        self._indexes = count()
        self._loops: deque[Loop] = deque()
        self._warned_of_ceiling = False
        #: What ``start()`` has armed; see ``_periodic``.
        self.clockwork: Any = None
        self._random: Callable[[], float] | None = None

    @property
    def whole(self) -> Runtime:
        """This object, by the type that it always has."""
        return cast("Runtime", self)

    def lane(self, job: type) -> Lane:
        """The lane of a class, made on first use."""
        lane = self.lanes.get(job)
        if lane is None:
            plan = job._plan  # type: ignore[attr-defined]
            pool = self._pool(job, plan.options)
            made = Lane(self.whole, job, plan, pool, next(self._indexes))
            lane = self.lanes.setdefault(job, made)
            if self.phase is STOPPED:
                lane.halt(paused=False)  # too late for the sweep to have seen it
            if self.threads and not self.served and "uvicorn.server" in sys.modules:
                from ._unsaved import unsaved_under_uvicorn

                self.served = unsaved_under_uvicorn()  # once is enough
        return lane

    def must_be_here(self, job: type, what: str, options: Any) -> None:
        """
        Raises:
            NotSupported: If the jobs of the class run on an engine, where this process can
                neither see nor hold all of them.
        """
        engine = engine_of(options, config.backend) if self.threads else None
        if engine is not None:
            raise NotSupported(
                f"{job.__qualname__} runs on {engine.name}, so {what} in this process; keep the "
                f"class here with backend='threads', or use the engine's own tools"
            )

    def _pool(self, job: type, options: Any) -> Pool:
        name = options.pool
        if name is None:
            pool = self.pools.get(job)
            if pool is None:
                kind: type[Pool] = Pool
                if job._plan.is_async and self.threads:  # type: ignore[attr-defined]
                    from ._loop import LoopPool

                    kind = LoopPool
                pool = kind(self.whole, job.__name__, options.workers, shared=False)
            return self.pools.setdefault(job, pool)
        return self.shared_pool(name, job.__qualname__)

    def shared_pool(self, name: str, owner: str) -> Pool:
        """A pool of ``configure(pools=...)``.

        Raises:
            InvalidOption: If there is none of that name.
        """
        pool = self.pools.get(name)
        if pool is None:
            if name not in config.pools:
                known = ", ".join(map(repr, sorted(config.pools))) or "none is configured"
                allowed = f"a pool of configure(pools=...): {known}"
                raise InvalidOption(owner, "pool", name, allowed)
            pool = self.pools.setdefault(
                name, Pool(self.whole, name, config.pools[name], shared=True)
            )
        return pool

    def event_loop(self) -> Loop:
        """The loop for ``async def`` jobs, started on first use.

        Raises:
            RuntimeError: If no thread can be started for it.
        """
        if not self._loops:
            from ._loop import Loop

            made = Context().run(Loop)  # the loop keeps the context that it is made in
            self._loops.append(made)
            if self._loops[0] is not made:  # another thread was faster
                self._loops.remove(made)
                made.stop()
        return self._loops[0]

    def loops(self) -> list[Any]:
        """The threads of the event loop: one, or none yet."""
        return [loop.thread for loop in self._loops.copy()]

    def loop_threads(self) -> set[int]:
        """The thread of the event loop, if it was started."""
        return {loop.ident for loop in self._loops.copy() if loop.ident is not None}

    def stop_loop(self) -> set[int]:
        """Cancel the tasks of async jobs and end the loop; the idents of threads that stay."""
        loops = self._loops.copy()
        for loop in loops:
            loop.stop()
        return {ident for loop in loops if (ident := loop.join()) is not None}

    def close_gates(self, pool: Pool | None = None) -> None:
        """Send enqueues the long way; the next one opens the gate again if it may."""
        for lane in list(self.lanes.values()):
            if pool is None or lane.pool is pool:
                lane.gate.lane = None

    def _open_gate(self, lane: Lane) -> None:
        if self._may_open(lane):
            lane.gate.lane = lane
            # Once more, now that it is open: what closes gates changes its condition first.
            if not self._may_open(lane):
                lane.gate.lane = None

    def _may_open(self, lane: Lane) -> bool:
        return (
            lane.plan.plain
            and self.phase is OPEN
            and self.threads
            and (installed.modes[-1] if installed.modes else installed.runtime) is self
            and len(lane.pool.levels) == 1
            and not lane.paused
            and not lane.away
            and not process.around_enqueue
            and config.strict_args is None
            and config.backend is None
            and not open_batches
        )

    @property
    def random(self) -> Callable[[], float]:
        """Where jitter comes from; a test may set it."""
        if self._random is None:
            from random import Random

            self._random = Random().random
        return self._random

    @random.setter
    def random(self, source: Callable[[], float]) -> None:
        self._random = source

    def thread_count(self) -> int:
        """Threads of workers, scheduler and event loop that are alive or being started."""
        thread = self.scheduler.thread
        scheduling = thread is not None and thread.is_alive()
        return (
            sum(pool.threads() for pool in list(self.pools.values()))
            + scheduling
            + len(self._loops)
        )
