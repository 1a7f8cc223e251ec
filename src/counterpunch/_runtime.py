"""Everything that changes while jobs run, in one object per process.

One object, because a fork is then answered by replacing it: no lock to reset, no thread to
miss, no counter to zero. ``current()`` gives the one in force. The test modes put one of
their own in front of it; nothing is patched.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any

from . import _commit, _strict
from ._clock import Clock, SystemClock
from ._config import config
from ._current import current_batch, current_job, open_batches
from ._execution import execute
from ._forkmark import fork_mark
from ._hooks import caller_context, process, report, safely
from ._lane import Lane
from ._overrun import watch_for_overrun
from ._parking import Parking, Sleeper
from ._pool import Pool
from ._scheduler import Scheduler, Timer
from ._timings import FOLD_MASK
from .errors import Discard, Duplicate, InvalidOption, QueueFull, ShuttingDown, shorten
from .handle import (
    CANCELLED,
    DEFERRED,
    DISCARDED,
    FAILED,
    LOST,
    NO_KWARGS,
    QUEUED,
    RETRYING,
    RUNNING,
    SCHEDULED,
    TERMINAL,
    Handle,
    Status,
)
from .options import due_at, due_in

if TYPE_CHECKING:
    from ._drain import ShutdownReport
    from ._loop import Loop

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

OPEN, QUIET, DRAINING, STOPPED = "open", "quiet", "draining", "stopped"

Watcher = Callable[[Handle[Any]], object]


class Runtime:
    """The lanes, pools, scheduler, history and phase of one process (or of one test mode).

    Args:
        threads: False starts none, neither workers nor the scheduler: a test mode runs
            what is queued and due on its own thread.
        clock: Where times come from.
    """

    #: A failed job's exception keeps its traceback: where it is raised to a test.
    keep_frames = False

    def __init__(self, threads: bool = True, clock: Clock | None = None) -> None:
        self.threads = threads
        self.clock: Clock = SystemClock() if clock is None else clock
        self.wall_offset = self.clock.time() - self.clock.monotonic()
        self.pid = os.getpid()
        self.here = fork_mark()
        self.token = os.urandom(4).hex()
        self.phase = OPEN
        self.deadline: float | None = None  # of the drain, once it has begun
        self.drainer: int | None = None  # the thread it runs on
        self.report: ShutdownReport | None = None
        self.heirs: dict[int, Runtime] = {}  # what comes after it, see ``_replace``
        self.lanes: dict[type, Lane] = {}
        self.pools: dict[object, Pool] = {}
        self.scheduler = Scheduler(self.clock, self.release, threads)
        #: Where ``wait_idle`` and the drain sleep; a worker wakes them as it falls asleep.
        self.resting = self.scheduler.resters
        self.watchers: dict[Handle[Any], deque[Watcher]] = {}
        #: Running jobs whose cancel token is set.
        self.cancels: set[Handle[Any]] = set()
        #: Jobs that are being enqueued, while a middleware may change their options.
        self.announced: set[Handle[Any]] = set()
        self.history: deque[Handle[Any]] = deque(maxlen=config.history)
        #: Failed jobs have a store of their own: however many succeed, they stay findable.
        self.failed: deque[Handle[Any]] = deque(maxlen=config.history)
        self.lost: deque[Handle[Any]] = deque()
        #: The instant at which the oldest job of the history becomes too old to be remembered.
        self._look_back = 0.0
        #: The waiting (or active) job of each identity of a ``unique`` class.
        self.unique: dict[tuple[type, Any], Handle[Any]] = {}
        self._indexes = count()
        self._loops: deque[Loop] = deque()
        self._warned_of_ceiling = False
        #: What ``start()`` has armed; see ``_periodic``.
        self.clockwork: Any = None
        self._random: Callable[[], float] | None = None

    # Classes

    def lane(self, job: type) -> Lane:
        """The lane of a class, made on first use."""
        lane = self.lanes.get(job)
        if lane is None:
            plan = job._plan  # type: ignore[attr-defined]
            pool = self._pool(job, plan.options)
            made = Lane(self, job, plan, pool, next(self._indexes))
            lane = self.lanes.setdefault(job, made)
            if self.phase is STOPPED:
                lane.stopped = True  # too late for the sweep to have seen it
        return lane

    def _pool(self, job: type, options: Any) -> Pool:
        name = options.pool
        if name is None:
            pool = self.pools.get(job)
            if pool is None:
                kind: type[Pool] = Pool
                if job._plan.is_async and self.threads:  # type: ignore[attr-defined]
                    from ._loop import LoopPool

                    kind = LoopPool
                pool = kind(self, job.__name__, options.workers, shared=False)
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
            pool = self.pools.setdefault(name, Pool(self, name, config.pools[name], shared=True))
        return pool

    def event_loop(self) -> Loop:
        """The loop for ``async def`` jobs, started on first use.

        Raises:
            RuntimeError: If no thread can be started for it.
        """
        if not self._loops:
            from ._loop import Loop

            made = Loop()
            self._loops.append(made)
            if self._loops[0] is not made:  # another thread was faster
                made.stop()
        return self._loops[0]

    def stop_loop(self) -> set[int]:
        """Cancel the tasks of async jobs and end the loop; the idents of threads that stay."""
        loops = list(self._loops)
        for loop in loops:
            loop.stop()
        return {ident for loop in loops if (ident := loop.join()) is not None}

    def coroutine_of(self, call: Handle[Any]) -> Any:
        """The coroutine of a running async job; None if it is not on the loop."""
        tasks = (loop.jobs.get(call) for loop in list(self._loops))
        return next((task.get_coro() for task in tasks if task is not None), None)

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
            and current() is self
            and len(lane.pool.levels) == 1
            and not lane.paused
            and not lane.away
            and not process.around_enqueue
            and not process.context_filters
            and config.strict_args is None
            and config.backend is None
            and not open_batches
        )

    # Enqueue

    def enqueue(
        self,
        job: type,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: dict[str, Any] | None = None,
        inside: bool = False,
    ) -> Handle[Any]:
        """Check, build and place one job; everything the short path leaves out.

        ``inside`` marks an enqueue of the library itself, such as a batch's callback: never
        refused, and lost with the rest if the process has stopped.

        Raises:
            TypeError: If the arguments do not fit ``perform``.
            ShuttingDown: From outside a job, once the process began to stop.
            QueueFull: By the class's overflow policy.
        """
        lane = self.lane(job)
        self._refuse_late(lane, inside)
        deferral = None
        if options is not None and "after_commit" in options:
            options = dict(options)
            deferral = _commit.defer(self, job.__qualname__, options.pop("after_commit"))
        call, due, waiting = self._build(lane, args, kwargs, options, deferral is None)
        if not waiting:
            pass
        elif deferral is None:
            self.place(call, due)
        else:
            self._defer(call, due, deferral)
        if lane.gate.lane is None:
            self._open_gate(lane)
        return call

    def _refuse_late(self, lane: Lane, inside: bool = False) -> None:
        if self.phase is OPEN:
            return
        if inside:
            return
        if current_job() is None or self.phase is STOPPED:
            raise ShuttingDown(
                f"{lane.job.__qualname__} was not enqueued: this process is "
                f"{'quiet' if self.phase is QUIET else 'stopping'} and accepts new jobs "
                f"only from jobs that are running"
            )

    def _build(
        self,
        lane: Lane,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: dict[str, Any] | None,
        needs_room: bool = True,
    ) -> tuple[Handle[Any], float | None, bool]:
        """A job that is checked and numbered but nowhere yet, when it is due (None: now),
        and whether it still has to be placed: a middleware or an overflow policy may have
        ended or run it."""
        plan, owner = lane.plan, lane.job.__qualname__
        if plan.check is None:
            raise TypeError(f"{owner} cannot be enqueued: it defines no perform()")
        plan.check(*args, **kwargs)
        if config.strict_args is not None:
            args, kwargs = _strict.round_trip(owner, config.strict_args, args, kwargs)
        due = when = None
        rest = None
        if options is not None:
            rest = dict(options)
            if rest.get("pool") is not None:
                self.shared_pool(rest["pool"], owner)
            if "delay" in rest:
                due = self.clock.monotonic() + due_in(owner, rest.pop("delay"))
            if "at" in rest:
                when = due_at(owner, rest.pop("at"))
                due = self.clock.monotonic() + max(0.0, when - self.clock.time())
        now = self.clock.monotonic()
        at_once = due is None or due <= now
        key = _identity(lane, args, kwargs) if plan.options.identity is not None else None
        if plan.options.unique is not None:
            holder = self.unique.get((lane.job, key))
            if holder is not None:
                duplicate = self._answer_duplicate(holder, lane, key, args, kwargs)
                if duplicate is not None:
                    return duplicate, None, False
        policy = self._room(lane) if at_once and needs_room else None
        context = caller_context() if plan.options.context == "copy" else None
        if context is not None and not len(context):
            context = None
        # Its number comes last: up to here nothing was accepted, and a number is counted.
        call: Handle[Any] = Handle(lane, -1, args, kwargs or NO_KWARGS, context, now)
        batch = current_batch.get()
        if batch is not None and batch.closed:
            batch = None  # a task or thread started inside the block has outlived it
        if due is not None:
            call._due = due
        if rest or when is not None or key is not None or batch is not None:
            more = call._extra()
            more.options = rest or None
            more.when = when
            more.key = key
            more.batch = batch
        if plan.options.unique is not None:
            call._number = lane.draw()  # others see it as soon as it has the key
            holder = self._claim_key(call, lane)
            if holder is not call:
                return holder, None, False
            lane.accepts()
        else:
            call._number = lane.accepts()
        if batch is not None:
            batch.add(call)
        if process.around_enqueue or plan.on_enqueue:
            self._announce(call, lane)
        waiting = call._state not in TERMINAL
        if waiting and policy is not None:
            waiting = self._overflow(call, lane, policy)
        return call, None if at_once else due, waiting

    # Uniqueness: a key belongs to the first handle that is put under it, by one atomic step

    def _answer_duplicate(
        self,
        holder: Handle[Any],
        lane: Lane,
        key: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Handle[Any] | None:
        """The answer to an enqueue whose key is taken; None if it is free now."""
        choice = lane.options.on_duplicate
        if choice == "raise":
            raise Duplicate(
                f"{lane.job.__qualname__} was not enqueued: {holder!r} has the same identity "
                f"{shorten(key)} (unique={lane.options.unique!r})"
            )
        if choice == "discard":
            lane.accepts()
            now = self.clock.monotonic()
            call: Handle[Any] = Handle(lane, lane.draw(), args, kwargs or NO_KWARGS, None, now)
            self.end(call, DISCARDED, f"a duplicate of {holder.id}", "duplicate")
            return call
        if choice == "replace" and self._take_back(holder, holder._lane):
            self.end(holder, CANCELLED, "replaced by a newer job of the same identity")
            return None
        return holder  # "existing", or one that runs and can no longer be replaced

    def _claim_key(self, call: Handle[Any], lane: Lane) -> Handle[Any]:
        """Put a new job under its key; another thread may have been faster meanwhile."""
        key = call._extra().key
        while True:
            holder = self.unique.setdefault((lane.job, key), call)
            if holder is call:
                return call
            answer = self._answer_duplicate(holder, lane, key, call.args, call._kwargs)
            if answer is not None:
                return answer

    def free_key(self, call: Handle[Any]) -> None:
        """The job no longer stands in the way of another of its identity."""
        more = call._more
        if more is not None and more.key is not None:
            name = (call._lane.job, more.key)
            if self.unique.get(name) is call:  # nobody else ever puts anything in its place
                self.unique.pop(name, None)

    def _announce(self, call: Handle[Any], lane: Lane) -> None:
        """Middleware and hook around an enqueue; may end the job before it is anywhere."""
        import contextlib

        self.announced.add(call)
        try:
            with contextlib.ExitStack() as stack:
                for around in process.around_enqueue:
                    stack.enter_context(around(call))
                if lane.plan.on_enqueue:
                    job = lane.job()
                    job.handle = call
                    try:
                        job.on_enqueue()
                    except Discard:
                        raise
                    except Exception as exc:
                        message = "on_enqueue of %r raised; it is enqueued all the same"
                        report(logging.ERROR, message, call, exc_info=exc)
        except Discard as exc:
            self.end(call, DISCARDED, str(exc) or "refused at the enqueue", "refused")
        except BaseException as exc:
            self.end(call, DISCARDED, f"refused at the enqueue: {type(exc).__name__}", "refused")
            raise
        finally:
            self.announced.discard(call)

    def place(self, call: Handle[Any], due: float | None) -> None:
        """Put a new job where it waits."""
        if due is not None:
            self._schedule(call, due)
        elif call._lane.bucket is None or not self._hold_back(call):
            call._lane.push(call)

    def _hold_back(self, call: Handle[Any]) -> bool:
        """Plan the start of a job of a rated class; True if it now waits in the scheduler."""
        bucket = call._lane.bucket
        more = call._extra()
        if bucket is None or more.planned:
            return False
        now = self.clock.monotonic()
        due = bucket.reserve(now)
        more.planned = True
        if due <= now:
            return False
        self._wait_for_rate(call, due)
        return True

    def _wait_for_rate(self, call: Handle[Any], due: float) -> None:
        more = call._extra()
        if more.since is None:
            more.since = call._due
        more.planned, more.when = True, None
        self._schedule(call, due)

    def _room(self, lane: Lane) -> str | None:
        """None if the queue has room, else the policy to apply; waits for room if told to.

        Raises:
            QueueFull: If the policy is ``"raise"``, or ``"block"`` and the time is up.
        """
        if not lane.full():
            return None
        policy: str = lane.options.overflow
        if policy == "raise":
            raise QueueFull(
                f"{lane.job.__qualname__} was not enqueued: max_jobs={lane.max_jobs} jobs wait "
                f"already; raise max_jobs, add workers, or choose another overflow policy"
            )
        if policy == "block":
            self._wait_for_room(lane)
            return None
        return policy

    def _wait_for_room(self, lane: Lane) -> None:
        limit = lane.options.block_timeout
        start = self.clock.monotonic()
        parking, sleeper = Parking(), Sleeper()
        while lane.full():
            left = None if limit is None else start + limit - self.clock.monotonic()

            def ready() -> bool:
                # Only now: a worker that takes the nudge out must find the sleeper, or the
                # room it made goes to another producer and this one is never woken.
                lane.blocked.append(parking.nudge)
                return not lane.full() or self.phase is STOPPED

            in_time = parking.park(sleeper, ready, left)
            try:
                lane.blocked.remove(parking.nudge)
            except ValueError:
                pass  # taken by the worker that woke us
            if lane.full() or self.phase is STOPPED:
                self._refuse_late(lane)
                if not in_time:
                    raise QueueFull(
                        f"{lane.job.__qualname__} was not enqueued: max_jobs={lane.max_jobs} "
                        f"jobs waited for all of block_timeout={limit:g} s"
                    )

    def _overflow(self, call: Handle[Any], lane: Lane, policy: str) -> bool:
        """Apply a policy to a new job that found the queue full; True if it is to be queued."""
        if policy == "discard":
            reason = f"the queue was full (max_jobs={lane.max_jobs})"
            self.end(call, DISCARDED, reason, "queue_full")
        elif policy == "caller_runs":
            self.run_here(call)
        else:
            self._drop_oldest(lane)
            return True
        return False

    def _drop_oldest(self, lane: Lane) -> None:
        oldest = lane.take_oldest()
        if oldest is not None:
            reason = f"made room for a newer job (max_jobs={lane.max_jobs})"
            self.end(oldest, DISCARDED, reason, "queue_full")

    # Waiting for a transaction

    def _defer(self, call: Handle[Any], due: float | None, deferral: _commit.Deferral) -> None:
        lane = call._lane
        call._state = DEFERRED
        lane.deferred.add(call)
        deferral.hold(call, due)
        if lane.stopped:  # the drain ended in between and may not have seen it
            try:
                lane.deferred.remove(call)
            except KeyError:
                return
            self.lose(call, "it arrived as the process stopped")

    def undefer(self, call: Handle[Any], due: float | None, committed: bool) -> None:
        """The transaction of a deferred job has ended: queue it, schedule it or drop it."""
        try:
            call._lane.deferred.remove(call)
        except KeyError:
            return  # it was cancelled, or lost in the drain
        if not committed:
            self.end(call, DISCARDED, "its transaction was rolled back", "rolled_back")
        elif due is not None and due > self.clock.monotonic():
            self._schedule(call, due)
        else:
            self._admit(call)

    # Waiting for a time

    def _schedule(self, call: Handle[Any], due: float) -> None:
        """Give a job that the caller owns to the scheduler."""
        lane = call._lane
        more = call._more
        call._due = due
        if call._state is not RETRYING:
            call._state = SCHEDULED
            lane.scheduled.add(call)
        else:
            lane.retrying.add(call)
        if more is not None and more.when is not None:
            self.scheduler.add(call, more.when, wall=True)
        else:
            self.scheduler.add(call, due)
        if self.phase is not OPEN:
            self.settle_delayed(call)

    def settle_delayed(self, call: Handle[Any]) -> None:
        """A job that got a due time while the process stops: its policy says what becomes of it."""
        from ._drain import fate

        if self.phase is QUIET or self.deadline is None:
            return
        policy = call._option("delayed_on_shutdown")
        decision = fate(policy, call._due, self.deadline)
        reason = f"due after the stop of the process (delayed_on_shutdown={policy!r})"
        if decision == "wait" and self.scheduler.stranded():
            decision, reason = "drop", "no thread could be started to wait for its time"
        if self.phase is STOPPED:
            decision = "drop"
        if decision != "wait" and call._lane.claim_delayed(call):
            if decision == "run":
                self._admit(call)
            else:
                self.lose(call, reason)

    def release(self, call: Handle[Any]) -> None:
        """On the scheduler's thread: a job is due."""
        if call._lane.claim_delayed(call):
            more = call._more
            if more is not None and more.when is not None:  # by a clock that may have been set
                call._due = self.clock.monotonic()
            self._admit(call)

    def _admit(self, call: Handle[Any]) -> None:
        """Queue a job that has become due. A full queue has a defined answer here as well."""
        lane = call._lane
        if lane.bucket is not None and self._hold_back(call):
            return
        if lane.full():
            policy = lane.options.overflow
            if policy in ("raise", "discard"):
                reason = f"fell due on a full queue (max_jobs={lane.max_jobs})"
                self.end(call, DISCARDED, reason, "queue_full")
                level = logging.ERROR if policy == "raise" else logging.INFO
                report(level, "%r was discarded: it %s", call, reason)
                return
            if policy == "discard_oldest":
                self._drop_oldest(lane)
            else:  # nobody is there to block or to run it: it waits until there is room
                self._hold_for_room(call, lane)
                return
        call._state = QUEUED
        lane.push(call)

    def _hold_for_room(self, call: Handle[Any], lane: Lane) -> None:
        waiting = lane.retrying if call._state is RETRYING else lane.scheduled
        if call._state is not RETRYING:
            call._state = SCHEDULED
        waiting.add(call)
        lane.overdue.append(call)
        limit = lane.options.block_timeout
        if lane.options.overflow == "block" and limit is not None:

            def give_up() -> None:
                try:
                    lane.overdue.remove(call)
                except ValueError:
                    return
                if lane.claim_delayed(call):
                    reason = f"fell due on a queue that stayed full for {limit:g} s"
                    self.end(call, DISCARDED, reason, "queue_full")
                    report(logging.ERROR, "%r was discarded: it %s", call, reason)

            self.scheduler.add(Timer(give_up), self.clock.monotonic() + limit)
        if not lane.full():
            self.admit_overdue(lane)

    def admit_overdue(self, lane: Lane) -> None:
        """There is room again: queue the due jobs that have waited for it, in order."""
        while not lane.full():
            try:
                call = lane.overdue.popleft()
            except IndexError:
                return
            if lane.claim_delayed(call):
                call._state = QUEUED
                lane.push(call)

    # Running and ending

    def may_start(self, call: Handle[Any]) -> bool:
        """The look that some jobs need before they start; False if it was put elsewhere."""
        lane, now = call._lane, self.clock.monotonic()
        more = call._extra()
        expires = call._option("expires_in")
        if expires is not None and call.attempt == 0:
            waited = now - (call._due if more.since is None else more.since)
            if waited > expires:
                lane.running.discard(call)
                reason = f"waited {waited:.3g} s, expires_in={expires:g}"
                self.end(call, DISCARDED, reason, "expired")
                return False
        if lane.bucket is not None:
            later = lane.bucket.start(now)
            if later is not None:  # a busy pool held others back; this start would be too many
                lane.running.discard(call)
                self._wait_for_rate(call, later)
                return False
            more.planned = False
        if lane.options.unique == "queued":
            self.free_key(call)
        retry = call._option("retry")
        if retry is not None and retry.budget is not None and call.attempt == 0:
            lane.recent.append(False)
        timeout = call._option("timeout")
        if timeout is not None and self.threads:
            more.timer = watch_for_overrun(self, call, timeout, now)
        return True

    def settle(self, call: Handle[Any], status: Status) -> None:
        """After an attempt: end the job, or let it wait for the next one."""
        lane = call._lane
        try:
            lane.running.remove(call)
        except KeyError:
            return  # the drain gave it up as lost; that was its one ending
        more = call._more
        if more is not None and more.timer is not None:
            more.timer.cancel()
            more.timer = None
            self.scheduler.forget()
        if status is not RETRYING:
            self.end(call, status)
            return
        if more is not None and more.overran:
            more.overran = False
            self.cancels.discard(call)  # the time limit is each attempt's own
        dropped = "cancelled while it ran; its next attempt was dropped"
        if call in self.cancels:
            self.end(call, CANCELLED, dropped)
            return
        call._state = RETRYING
        self._schedule(call, call._due)
        if call in self.cancels and lane.claim_delayed(call):  # since the look before
            self.end(call, CANCELLED, dropped)

    def end(
        self,
        call: Handle[Any],
        status: Status,
        reason: str | None = None,
        cause: str = "raised",
    ) -> None:
        """Give a job that the caller owns its terminal status, and tell whoever waits.

        No ``reason`` means that its attempt brought it there. ``cause`` is the field of
        ``Discards`` that counts a discarded one.
        """
        lane = call._lane
        if reason is not None:
            call._extra().reason = reason
        more = call._more
        if more is not None:
            more.exception = None
        call._context = None
        call._finished = now = self.clock.monotonic()
        timings = lane.timings
        if now >= timings.tick:
            timings.sample(now)
        if reason is None:
            started = call._started or now
            timings.run(now - started)
            timings.wait(started - call._due)
        if status is DISCARDED:
            timings.discards[cause].add()
        if not lane.ended[status].add() & FOLD_MASK:
            timings.fold()
        if self.unique:
            self.free_key(call)  # first: nobody is to be given a job that has ended
        call._state = status
        if self.cancels:
            self.cancels.discard(call)
        history = self.failed if status is FAILED else self.history
        history.append(call)
        if now >= self._look_back:
            self._forget_old(now)
        if self.watchers:
            watchers = self.watchers.pop(call, None)
            if watchers is not None:
                self._tell(call, watchers)
        if reason is not None and self.resting.sleepers:
            self.resting.wake_all()  # it ended where no worker falls asleep afterwards

    def lose(self, call: Handle[Any], reason: str = "the process stopped before it ran") -> None:
        """End a job that the caller owns as lost, and put it on the list."""
        self.end(call, LOST, reason)
        self.lost.append(call)

    def too_late(self, call: Handle[Any], taken: bool = False) -> None:
        """A job was queued, or by a worker taken out, just as the drain ended: take it back.

        Who queued it leaves a running one alone: it may be the very job that drained.
        """
        lane = call._lane
        if taken:
            try:
                lane.running.remove(call)
            except KeyError:
                return  # the drain has it
        elif not lane.withdraw(call):
            return
        self.lose(call)
        report(logging.ERROR, "%r was lost: it arrived as the process stopped", call)
        if self.report is not None and config.on_lost is not None:  # the list is already out
            safely("on_lost", call, config.on_lost, [call])

    def _forget_old(self, now: float) -> None:
        ttl = config.history_ttl
        if ttl is None:
            self._look_back = inf
            return
        self._look_back = now + ttl
        for history in (self.history, self.failed):
            try:
                while True:
                    oldest = history[0]
                    if oldest._finished is None or oldest._finished >= now - ttl:
                        self._look_back = min(self._look_back, (oldest._finished or now) + ttl)
                        break
                    history.remove(oldest)
            except (IndexError, ValueError):
                pass  # another thread has removed it

    # Watching

    def watch(self, call: Handle[Any], fn: Watcher) -> None:
        """Call ``fn(call)`` when the job has ended; at once if it has."""
        if call._state in TERMINAL:
            safely("a done callback", call, fn, call)
            return
        watchers = self.watchers.setdefault(call, deque())
        watchers.append(fn)
        if call._state in TERMINAL:  # it ended in between: whoever pops a watcher calls it
            self.watchers.pop(call, None)
            self._tell(call, watchers)

    def unwatch(self, call: Handle[Any], fn: Watcher) -> None:
        watchers = self.watchers.get(call)
        if watchers is not None:
            try:
                watchers.remove(fn)
            except ValueError:
                pass

    def _tell(self, call: Handle[Any], watchers: deque[Watcher]) -> None:
        while True:
            try:
                fn = watchers.popleft()
            except IndexError:
                return
            safely("a done callback", call, fn, call)

    def before_wait(self, call: Handle[Any]) -> None:
        """Called before somebody blocks on a handle; a test mode refuses what cannot end."""

    # Steering

    def cancel(self, call: Handle[Any]) -> bool:
        lane = call._lane
        for _ in range(3):  # it may be on its way from one place to the next
            state = call._state
            if state in TERMINAL:
                return state is CANCELLED
            if state is RUNNING:
                break
            if self._take_back(call, lane):
                self.end(call, CANCELLED, "cancelled before it ran")
                return True
        if call._more is not None:
            call._more.overran = False  # a retry does not undo this one
        self.cancels.add(call)
        if call._state in TERMINAL:
            self.cancels.discard(call)
        return False

    def overrun(self, call: Handle[Any]) -> None:
        """A running job is past its ``timeout``: set its cancel token, for this attempt."""
        if call in self.cancels:
            return
        call._extra().overran = True
        self.cancels.add(call)
        if call._state is not RUNNING:  # it ended, or went on to wait for a retry
            self.cancels.discard(call)

    def _take_back(self, call: Handle[Any], lane: Lane) -> bool:
        """Take a waiting job out of wherever it waits; False if it is not there."""
        state = call._state
        if state is QUEUED:
            return lane.withdraw(call)
        if state is DEFERRED:
            try:
                lane.deferred.remove(call)
            except KeyError:
                return False
            return True
        if lane.claim_delayed(call):
            # The scheduler still has an entry for it, or it was due and waited for room.
            self.scheduler.forget()
            if lane.overdue:
                try:
                    lane.overdue.remove(call)
                except ValueError:
                    pass
            return True
        return False

    def reschedule(self, call: Handle[Any], seconds: float) -> bool:
        lane = call._lane
        if call._state is DEFERRED or call._state is RUNNING or call._state in TERMINAL:
            return False
        if seconds == 0.0 and call._state is QUEUED:
            return True  # it is due already, and keeps its place
        if not self._take_back(call, lane):
            return False
        more = call._extra()
        more.when = None
        call._due = self.clock.monotonic() + seconds
        if seconds == 0.0:
            self._admit(call)
        else:
            self._schedule(call, call._due)
        return True

    def pause(self, job: type) -> None:
        """Start no more jobs of a class; accept them all the same."""
        lane = self.lane(job)
        lane.paused = True
        lane.gate.lane = None
        for call in lane.queued_calls():
            if lane.home(call).withdraw(call):
                lane.left(call)
                lane.hold.append(call)  # where it counts as waiting, as before

    def resume(self, job: type) -> None:
        lane = self.lane(job)
        lane.paused = False
        lane.release_hold()

    def cancel_all(self, job: type) -> int:
        """Cancel every live job of a class; the number of those that will never start."""
        lane = self.lane(job)
        return sum(1 for call in list(self.live(lane)) if call.cancel())

    def again(self, call: Handle[Any], options: dict[str, Any] | None) -> Handle[Any]:
        """Enqueue the arguments of a finished job as a new one, in the runtime in force."""
        return accepting().enqueue(call.job, call.args, call._kwargs, options)

    def cancel_requested(self, call: Handle[Any]) -> bool:
        return call in self.cancels

    def perform_now(
        self,
        job: type,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: dict[str, Any] | None = None,
    ) -> Any:
        """Run one attempt on this thread through the whole pipeline; return or raise."""
        lane = self.lane(job)
        self._refuse_late(lane)
        if lane.plan.check is None:
            raise TypeError(f"{job.__qualname__} cannot be run: it defines no perform()")
        lane.plan.check(*args, **kwargs)
        context = caller_context() if lane.options.context == "copy" else None
        key = None if lane.options.identity is None else _identity(lane, args, kwargs)
        number = lane.accepts()
        if lane.options.unique is not None:
            number = lane.draw()
        call: Handle[Any] = Handle(lane, number, args, kwargs, context, self.clock.monotonic())
        if key is not None:
            call._extra().key = key  # in_progress() knows of it; unique is about the queue
        if options:
            call._extra().options = dict(options)
        self.run_here(call, final=True)
        if call._state is FAILED:
            exc: BaseException = call._outcome
            frames = exc.__traceback__
            call._outcome = _detached(exc)  # the history must not keep the caller's frames
            raise exc.with_traceback(frames)
        return call.result(0)

    def run_here(self, call: Handle[Any], final: bool = False) -> None:
        """Run one attempt of a job that the caller owns on this thread."""
        if call._lane.plan.is_async:
            from ._loop import execute_here

            execute_here(call, final)
        else:
            execute(call, worker=False, final=final)

    # Reading

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

    def remembered(self) -> list[Handle[Any]]:
        """Finished jobs, oldest first, as far as count and age allow."""
        ttl = config.history_ttl
        calls = sorted([*self.history, *self.failed], key=_ending)
        if ttl is None:
            return calls
        before = self.clock.monotonic() - ttl
        return [call for call in calls if call._finished is None or call._finished >= before]

    def live(self, lane: Lane) -> Iterator[Handle[Any]]:
        """The jobs of a class that have not ended: running, queued, delayed, deferred."""
        yield from list(lane.running)
        yield from lane.queued_calls()
        yield from sorted([*lane.scheduled, *lane.retrying], key=_due)
        yield from list(lane.deferred)

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
                for call in self.live(lane):
                    if call._number == wanted:
                        return call
        # It may have ended between the two looks.
        return next((call for call in self.remembered() if call.id == id), None)

    # Changing

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
        if not lane.pool.shared and lane.pool.size != plan.options.workers:
            lane.pool.resize(plan.options.workers)

    # Stopping

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

    def thread_count(self) -> int:
        """Threads of workers, scheduler and event loop that are alive or being started."""
        thread = self.scheduler.thread
        scheduling = thread is not None and thread.is_alive()
        return (
            sum(pool.threads() for pool in list(self.pools.values()))
            + scheduling
            + len(self._loops)
        )

    def idle(self, delayed: bool = False) -> bool:
        """True if no job runs or is queued, the caller's own aside; with ``delayed``, if
        none waits for a time either."""
        # One look can miss a job that moves from a place not yet looked at to one already
        # seen empty. Two cannot, unless an attempt began in between.
        attempts = self._attempts()
        return self._rests(delayed) and self._rests(delayed) and self._attempts() == attempts

    def _attempts(self) -> int:
        return sum(lane.attempts.value for lane in list(self.lanes.values()))

    def _rests(self, delayed: bool) -> bool:
        from threading import get_ident

        me, own = get_ident(), current_job()
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
            if any(call is not own for call in list(lane.running)):
                return False
            if lane.hold:
                return False
        return True

    def wait_idle(self, timeout: float | None = None, delayed: bool = False) -> bool:
        """Sleep until ``idle(delayed)``; False if ``timeout`` seconds pass before."""
        start = self.clock.monotonic()
        sleeper = Sleeper()
        while not self.idle(delayed):
            left = None if timeout is None else start + timeout - self.clock.monotonic()
            if left is not None and left <= 0:
                return False
            self.resting.park(sleeper, lambda: self.idle(delayed), left)
        return True


def _detached(exc: BaseException) -> BaseException:
    """A copy of an exception that does not collect the frames it is raised through."""
    import copy

    try:
        twin = copy.copy(exc)
    except Exception:  # its constructor wants other arguments than it keeps
        return exc
    return twin.with_traceback(None) if type(twin) is type(exc) else exc


def _identity(lane: Lane, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The identity of a job as a tuple: what ``Job.in_progress(*identity)`` is asked with.

    Raises:
        InvalidOption: If the class's identity function gives something unhashable.
    """
    key = lane.job.identity(*args, **kwargs)  # type: ignore[attr-defined]
    as_tuple = key if isinstance(key, tuple) else (key,)
    try:
        hash(as_tuple)
    except TypeError:
        owner = lane.job.__qualname__
        raise InvalidOption(
            owner, "identity", key, "a hashable value, or a tuple of them"
        ) from None
    return as_tuple


def _ending(call: Handle[Any]) -> float:
    return call._finished or 0.0


def _due(call: Handle[Any]) -> float:
    return call._due


class _Installed:
    """The runtime of this process, and the test modes in front of it, innermost last."""

    __slots__ = ("ending", "heirs", "modes", "runtime")

    def __init__(self) -> None:
        self.runtime: Runtime | None = None
        #: See ``_replace``; in use while there is no runtime.
        self.heirs: dict[int, Runtime] = {}
        self.modes: tuple[Runtime, ...] = ()
        #: The interpreter has begun to end: what is stopped stays stopped.
        self.ending = False


installed = _Installed()


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
