"""Everything that changes while jobs run, in one object per process.

One object, because a fork is then answered by replacing it: no lock to reset, no thread to
miss, no counter to zero. ``current()`` gives the one in force. The test modes put one of
their own in front of it; nothing is patched.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from threading import get_ident
from typing import TYPE_CHECKING, Any

from ._admission import Admission
from ._backend import HERE
from ._config import config
from ._current import current as current_call
from ._current import current_job
from ._hooks import process, report
from ._installed import installed
from ._parking import Sleeper
from ._pool import Pool
from ._state import DRAINING, OPEN, QUIET, STOPPED
from .errors import CounterpunchError, InvalidOption
from .handle import Handle

if TYPE_CHECKING:
    from ._protocol import Capabilities

__all__ = [
    "DRAINING",
    "OPEN",
    "QUIET",
    "STOPPED",
    "Runtime",
    "accepting",
    "after_fork",
    "current",
    "installed",
]

#: A drain listens for signals this often.
SIGNAL_SECONDS = 0.5


class Runtime(Admission):
    """The lanes, pools, scheduler, history and phase of one process (or of one test mode).

    Args:
        threads: False starts none, neither workers nor the scheduler: a test mode runs
            what is queued and due on its own thread.
        clock: Where times come from.
    """

    #: Threads and test modes answer the protocol of ``_protocol``, as engines do.
    name = HERE

    @property
    def capabilities(self) -> Capabilities:
        """All of them."""
        from ._protocol import Capabilities

        return Capabilities()

    def coroutine_of(self, call: Handle[Any]) -> Any:
        """The coroutine of a running async job; None if it has not begun."""
        here = self.here_coroutines.get(call)
        if here is not None:
            return here
        tasks = (loop.jobs.get(call) for loop in self._loops.copy())
        return next((task.get_coro() for task in tasks if task is not None), None)

    def again(self, call: Handle[Any], options: dict[str, Any] | None) -> Handle[Any]:
        """Enqueue the arguments of a finished job as a new one, in the runtime in force."""
        kept = None if call._more is None else call._more.kept
        if kept is None:
            return accepting().enqueue(call.job, call.args, call._kwargs, options)
        with kept():
            return accepting().enqueue(call.job, call.args, call._kwargs, options)

    def find(self, id: str) -> Handle[Any] | None:
        """The job of that id, if it is alive or remembered."""
        for call in self.remembered():
            if call.id == id:
                return call
        prefix, _, number = id.rpartition("-")
        for lane in list(self.lanes.values()):
            if lane.prefix == prefix + "-":
                try:
                    wanted = int(number, 16)
                except ValueError:
                    return None
                if f"{wanted:x}" != number:
                    return None  # not as ``Handle.id`` writes it
                for call in self.live(lane):
                    if call._number == wanted:
                        return call
        # It may have ended between the two looks.
        return next((call for call in self.remembered() if call.id == id), None)

    def reconfigured(self, names: frozenset[str]) -> None:
        """Take over what ``configure`` has changed."""
        self.close_gates()
        self._look_back = 0.0
        if "history" in names:
            self.history = deque(self.history, maxlen=config.history)
            self.failed = deque(self.failed, maxlen=config.history)
        if "pools" in names:
            for name, size in config.pools.items():
                pool = self.pools.get(name)
                if pool is not None:
                    pool.resize(size)
        if "max_threads" in names and self.threads:
            self._apply_ceiling()

    def redefined(self, job: type) -> None:
        """Take over options of a class that were changed after its first use.

        Raises:
            InvalidOption: For the pool, which cannot be changed once jobs may be in it.
        """
        lane = self.lanes.get(job)
        if lane is None:
            return
        plan = job._plan  # type: ignore[attr-defined]
        if plan.options.pool != lane.options.pool:
            allowed = f"{lane.options.pool!r}: the class is in use; set it before the first enqueue"
            raise InvalidOption(job.__qualname__, "pool", plan.options.pool, allowed)
        lane.gate.lane = None
        lane.adopt(plan)
        lane.made_room()  # there may be more of it
        if not lane.pool.shared and lane.pool.size != plan.options.workers:
            lane.pool.resize(plan.options.workers)

    def may_start_thread(self, pool: Pool) -> bool:
        """False while the process may have no more threads, or the ceiling is exceeded.

        Asked by a pool that has counted the new thread already. One without a worker always
        gets one: under a ceiling, too, each class with work goes on, and a job that waits
        for another class's job cannot block it.
        """
        if self.phase is STOPPED:
            return False
        ceiling = config.max_threads
        if ceiling is None:
            return True
        if sum(other.threads() for other in list(self.pools.values())) <= ceiling:
            return True
        self._make_room(pool)
        if pool.hired() > 1:
            return False
        if not self._warned_of_ceiling:
            self._warned_of_ceiling = True
            message = "max_threads=%d is reached, and %s has work and no thread: it gets one"
            report(logging.WARNING, message, ceiling, pool.name)
        return True

    def surplus_threads(self) -> int:
        """By how many threads the pools exceed ``max_threads``."""
        ceiling = config.max_threads  # read once: another thread may set it to None
        if ceiling is None:
            return 0
        return max(0, sum(pool.threads() for pool in list(self.pools.values())) - ceiling)

    def _apply_ceiling(self) -> None:
        """The ceiling has changed: let surplus threads leave, or start those that were missing."""
        surplus = self.surplus_threads()
        if not surplus:
            self.fill_threads()
            return
        pools = [pool for pool in list(self.pools.values()) if pool.threads()]
        leaving = dict.fromkeys(pools, 0)
        for pool in pools:
            if not pool.queued():
                leaving[pool] = min(surplus, len(pool.parking.sleepers))
                surplus -= leaving[pool]
        while surplus and pools:
            pool = max(pools, key=lambda pool: pool.threads() - leaving[pool])
            if pool.threads() - leaving[pool] < 2:
                break  # each pool with work keeps one
            leaving[pool] += 1
            surplus -= 1
        for pool, count in leaving.items():
            if count:
                pool.dismiss(count)

    def fill_threads(self) -> None:
        """Some more threads may be had: start those that the ceiling has denied so far."""
        for pool in list(self.pools.values()):
            for _ in range(min(len(pool.vacancies), pool.queued())):
                pool.offer()

    def no_thread(self, pool: Pool, exc: RuntimeError) -> None:
        """No thread could be started for a pool: at a limit of the system, or because
        3.12.0-3.12.2 end. The next enqueue tries again, but a drain does not wait for that.
        """
        from ._drain import lose_queue

        if self.phase is not DRAINING:
            message = "%s: no thread could be started (%s); %d jobs wait for one"
            report(logging.ERROR, message, pool.name, exc, pool.queued())
        elif pool.hired() == 0:
            lose_queue(self, pool, "no thread could be started to run it")
        self.resting.wake_all()

    def _make_room(self, pool: Pool) -> None:
        """Ask another pool for a thread: an idle one, else one of the pool with the most."""
        others = [other for other in list(self.pools.values()) if other is not pool]
        for other in others:
            if other.threads() and other.parking.sleepers and not other.queued():
                other.yield_worker(pool)
                return
        largest = max(others, key=lambda other: other.threads(), default=None)
        if largest is not None and largest.threads() - pool.threads() >= 1:
            largest.yield_worker(pool)  # after the job it is at

    def at_ceiling(self) -> bool:
        """True if ``max_threads`` lets no further thread start."""
        ceiling = config.max_threads
        if ceiling is None:
            return False
        return sum(pool.threads() for pool in list(self.pools.values())) >= ceiling

    def wait_in_job(self, call: Handle[Any]) -> bool:
        """Wait for ``call`` if this is a worker's thread; see ``_deadlock``."""
        if self.here_runs and call in self.here_runs.get(get_ident(), ()):
            raise CounterpunchError(
                f"{call!r} is waited for on the thread that runs it: that would never end"
            )
        if not self.threads or current_job() is None:
            return False
        from ._deadlock import wait_in_job

        return wait_in_job(call)

    def idle(self, delayed: bool = False) -> bool:
        """True if no job runs or is queued, the calling thread's own aside; with ``delayed``, if
        none waits for a time either."""
        # One look can miss a job that moves from a place not yet looked at to one already
        # seen empty. Two cannot, unless an attempt began in between.
        attempts = self._attempts()
        return self._rests(delayed) and self._rests(delayed) and self._attempts() == attempts

    def _attempts(self) -> int:
        return sum(lane.attempts.value for lane in list(self.lanes.values()))

    def _rests(self, delayed: bool) -> bool:
        me, own = get_ident(), self.own_calls()
        lanes = list(self.lanes.values())
        # In the order in which a job moves.
        if delayed and any(lane.scheduled or lane.retrying for lane in lanes):
            return False
        if not self.scheduler.resting():
            return False
        for pool in list(self.pools.values()):
            mine = any(worker.ident == me for worker in list(pool.workers))
            if not pool.idle(mine):
                return False
        for lane in lanes:
            if any(call not in own for call in list(lane.running)):
                return False
            if lane.hold:
                return False
        return True

    def own_calls(self) -> set[Handle[Any]]:
        """The jobs that the calling thread is in the midst of, each inside the one before: to
        wait for one of them would never end."""
        me, current = get_ident(), current_job()
        own = set(self.here_runs.get(me, ()))
        for pool in list(self.pools.values()):
            for worker in list(pool.workers) if pool.threaded else ():
                if worker.ident == me and worker.call is not None:
                    own.add(worker.call)
        if current is not None:
            own.add(current)
        return own

    def wait_idle(self, timeout: float | None = None, delayed: bool = False) -> bool:
        """Sleep until ``idle(delayed)``; False if ``timeout`` seconds pass before."""
        start = self.clock.monotonic()
        sleeper = Sleeper()
        while not self.idle(delayed):
            left = None if timeout is None else start + timeout - self.clock.monotonic()
            if left is not None and left <= 0:
                return False
            if self.phase is DRAINING:
                # A signal that the kernel gave to another thread is seen by the main thread
                # only between two waits, and a second Ctrl-C is to be heard.
                left = SIGNAL_SECONDS if left is None else min(left, SIGNAL_SECONDS)
            self.resting.park(sleeper, lambda: self.idle(delayed), left)
        return True


def current() -> Runtime:
    """The runtime in force, without reviving one that has stopped."""
    if installed.modes:
        return installed.modes[-1]
    runtime = installed.runtime
    if runtime is None or not runtime.here[0]:
        runtime = _replace(runtime)
    return runtime


def accepting() -> Runtime:
    """The runtime in force for an enqueue: one that was stopped starts afresh."""
    runtime = current()
    if runtime.phase is STOPPED and not installed.ending and runtime.threads:
        # Not for a job of it that outlived the stop: what it enqueues is refused, and the
        # process does not drain a second time for it.
        own = current_call.get()
        if own is None or own._lane.runtime is not runtime:
            runtime = _replace(runtime)
    return runtime


def _replace(old: Runtime | None) -> Runtime:
    """Install a fresh runtime after ``old``: the same one for all threads that come at once.

    The first to put one under the process's id in ``heirs`` wins. A thread that is late and
    installs a predecessor again does no harm: that one's heir is found at the next look.
    """
    heirs = installed.heirs if old is None else old.heirs
    runtime = installed.runtime = heirs.setdefault(os.getpid(), Runtime())
    if old is not None:
        installed.heirs = {}  # nothing keeps the first runtime of the process alive
        old.close_gates()
    return runtime


def after_fork() -> None:
    """In a forked child: forget the parent's jobs, threads and counters."""
    old, installed.runtime, installed.heirs = installed.runtime, None, {}
    if old is not None:
        old.close_gates()
        if old.clockwork is not None:
            old.clockwork.stop()  # a copy of the descriptor would hold the parent's lock


def _handlers_changed() -> None:
    for runtime in (installed.runtime, *installed.modes):
        if runtime is not None:
            runtime.close_gates()


process.changed = _handlers_changed
