"""How a job is accepted: checked, bounded, kept unique, numbered and placed."""

from __future__ import annotations

import logging
from contextvars import Context
from typing import Any

from . import _commit, _strict
from ._backend import engine_of
from ._commit import Scope
from ._config import config
from ._current import current_batch, current_job
from ._hooks import enter_around, process, report
from ._lane import Lane
from ._parking import Parking, Sleeper
from ._performing import Performing
from ._state import OPEN, QUIET, STOPPED
from ._status import DEFERRED, DISCARDED, FAILED, RETRYING, SCHEDULED, TERMINAL
from .errors import Discard, QueueFull, ShuttingDown
from .handle import NO_KWARGS, Handle, new_handle
from .options import due_at, due_in, hashable

__all__ = ["Admission"]

_DELAYED = (DEFERRED, SCHEDULED, RETRYING)


class Admission(Performing):
    """Everything of an enqueue that the short path in ``_express`` leaves out."""

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
        if not inside:
            self._refuse_late(lane)
        if self.threads:  # a test mode stays in front of an engine
            engine = engine_of(lane.options, config.backend)
            if engine is not None:
                return engine.enqueue(job, args, kwargs, options)
        deferral = None
        if options is not None and "after_commit" in options:
            options = dict(options)
            deferral = _commit.defer(self.whole, job.__qualname__, options.pop("after_commit"))
        try:
            scope = None if deferral is None else deferral.scope
            call, due, waiting = self._build(lane, args, kwargs, options, inside, scope)
            if not waiting:
                pass
            elif deferral is None:
                self.place(call, due)
            else:
                self._defer(call, due, deferral)
        finally:
            if lane.blocked:
                # Woken for room that it did not take after all, by a refusal or an exception:
                # the next producer has to be, as nothing else may ever leave the queue.
                lane.made_room()
        if lane.gate.lane is None:
            self._open_gate(lane)
        return call

    def tick(self, job: type, context: Context | None) -> Handle[Any]:
        """On the scheduler's thread: a periodic job is due, to run in a copy of ``context``.

        No user code runs there, so no enqueue middleware, hook or identity function does;
        a full queue is answered as for any job that falls due, without blocking.
        """
        lane = self.lane(job)
        own = None if context is None else context.copy()
        call: Handle[Any] = new_handle(
            lane, lane.accepts(), (), NO_KWARGS, own, self.clock.monotonic()
        )
        call._state = SCHEDULED
        self._admit(call)
        return call

    def _refuse_late(self, lane: Lane) -> None:
        if self.phase is OPEN:
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
        inside: bool = False,
        scope: Scope | None = None,
    ) -> tuple[Handle[Any], float | None, bool]:
        """A job that is checked and numbered but nowhere yet, when it is due (None: now),
        and whether it still has to be placed: a middleware or an overflow policy may have
        ended or run it."""
        plan, owner = lane.plan, lane.job.__qualname__
        needs_room = scope is None and not inside
        if plan.check is None:
            raise TypeError(f"{owner} cannot be enqueued: {plan.lacks}")
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
            holder = self._in_the_way(lane, key, scope)
            if holder is not None:
                replaces = lane.options.on_duplicate == "replace" and holder._state in _DELAYED
                if replaces and at_once and needs_room:
                    # Only a queued one makes the room that its successor needs: a refusal
                    # must come before the old job goes, or both are gone.
                    self._room(lane)
                duplicate = self._answer_duplicate(holder, lane, key, args, kwargs)
                if duplicate is not None:
                    return duplicate, None, False
        policy = self._room(lane) if at_once and needs_room else None
        copied = plan.options.context == "copy"
        context = process.copy_context() if copied else process.fresh_context()
        if context is not None and not len(context):
            context = None
        # Its number comes last: up to here nothing was accepted, and a number is counted.
        call: Handle[Any] = new_handle(lane, -1, args, kwargs or NO_KWARGS, context, now)
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
            more.in_batch = batch is not None
        if plan.options.unique is not None:
            call._extra().scope = scope
            call._number = lane.draw()  # others see it as soon as it has the key
            holder = self._claim_key(call)
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

    def _announce(self, call: Handle[Any], lane: Lane) -> None:
        """Middleware and hook around an enqueue; may end the job before it is anywhere."""
        import contextlib

        self.announced.add(call)
        try:
            with contextlib.ExitStack() as stack:
                for around in process.around_enqueue:
                    enter_around(stack, "around_enqueue", around, call)
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
            if not self.threads:
                raise QueueFull(
                    f"{lane.job.__qualname__} was not enqueued: max_jobs={lane.max_jobs} jobs wait "
                    f"already, and in a test mode nothing makes room while the caller blocks"
                )
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

            try:
                in_time = parking.park(sleeper, ready, left)
            finally:  # a Ctrl-C, too, leaves nothing here that a wake-up could be wasted on
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
            raise TypeError(f"{job.__qualname__} cannot be run: {lane.plan.lacks}")
        lane.plan.check(*args, **kwargs)
        copied = lane.options.context == "copy"
        context = process.copy_context() if copied else process.fresh_context()
        key = None if lane.options.identity is None else _identity(lane, args, kwargs)
        number = lane.accepts()
        if lane.options.unique is not None:
            number = lane.draw()
        call: Handle[Any] = new_handle(lane, number, args, kwargs, context, self.clock.monotonic())
        if key is not None:
            call._extra().key = key  # in_progress() knows of it; unique is about the queue
        if options:
            call._extra().options = dict(options)
        self.run_here(call, final=True)
        if call._state is FAILED:
            exc: BaseException = call._outcome
            frames = exc.__traceback__
            call._outcome = _detached(exc)  # the history must not keep the caller's frames
            try:
                raise exc.with_traceback(frames)
            finally:
                del exc, frames, call  # the exception holds this frame
        return call.result(0)


def _detached(exc: BaseException) -> BaseException:
    """A copy of an exception that does not collect the frames it is raised through; where
    none can be made that says the same, the exception itself."""
    import copy

    # A constructor that wants other arguments than it keeps refuses them, or makes something
    # else of them; without it an OSError cannot be made.
    for make in (copy.copy, _without_init):
        try:
            twin = make(exc)
            same = twin.args == exc.args and str(twin) == str(exc)
        except Exception:
            continue
        if type(twin) is type(exc) and same is True:
            twin.__cause__, twin.__context__ = exc.__cause__, exc.__context__
            twin.__suppress_context__ = exc.__suppress_context__
            return twin.with_traceback(None)
    return exc


def _without_init(exc: BaseException) -> BaseException:
    twin = BaseException.__new__(type(exc), *exc.args)
    vars(twin).update(vars(exc))
    return twin


def _identity(lane: Lane, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The identity of a job as a tuple: what ``Job.in_progress(*identity)`` is asked with.

    Raises:
        InvalidOption: If the class's identity function gives something unhashable.
    """
    key = lane.job.identity(*args, **kwargs)  # type: ignore[attr-defined]
    as_tuple = key if isinstance(key, tuple) else (key,)
    return hashable(lane.job.__qualname__, as_tuple)
