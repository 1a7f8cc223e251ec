"""How a job is accepted: checked, bounded, kept unique, numbered and placed."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any

from ..places.keys import Key
from ..places.lane import Lane
from ..places.site import Site
from ..values import commit, strict
from ..values.backend import engine_of
from ..values.commit import Deferral, Scope
from ..values.config import config
from ..values.current import current_batch
from ..values.error_text import message_of
from ..values.errors import Discard, interrupts
from ..values.handle import Call, Handle, new_handle
from ..values.hooks import context_for, enter_around, process, report
from ..values.mode import Mode
from ..values.per_call import misfit
from ..values.plan import identity_of
from ..values.record import NO_KWARGS
from ..values.status import CANCELLED, DISCARDED, QUEUED, TERMINAL
from ..values.times import due_at, due_in
from ..workers.registry import Registry
from ..workers.whereabouts import Whereabouts
from .deferring import Deferring
from .duplicates import Duplicates
from .endings import Endings
from .rating import Rating
from .room import Room
from .taking import Taking
from .waiting import Waiting

__all__ = ["Admission"]

#: The outcome of a job that has no number yet.
NOT_ACCEPTED: Any = object()
#: Why a job was discarded of which nothing was to remain.
INTERRUPTED = "its enqueue was interrupted"


class Admission:
    """Everything of an enqueue that the short path in ``express`` leaves out; ``open_gate`` is
    called with a lane whose next enqueue may take that."""

    def __init__(
        self,
        site: Site,
        mode: Mode,
        taking: Taking,
        registry: Registry,
        whereabouts: Whereabouts,
        endings: Endings,
        rating: Rating,
        waiting: Waiting,
        duplicates: Duplicates,
        deferring: Deferring,
        room: Room,
        open_gate: Callable[[Lane], object],
    ) -> None:
        self._stage, self._clock, self._mode = site.stage, site.clock, mode
        self._keys, self._tokens = site.keys, site.tokens
        self._taking, self._registry, self._whereabouts = taking, registry, whereabouts
        self._endings, self._rating, self._waiting = endings, rating, waiting
        self._duplicates, self._deferring = duplicates, deferring
        self._room, self._open_gate = room, open_gate

    def enqueue(
        self,
        job: type,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: dict[str, Any] | None = None,
        inside: list[Any] | None = None,
    ) -> Handle[Any]:
        """Check, build and place one job.

        ``inside`` marks an enqueue of the library itself, such as a batch's callback: never
        refused, nor a duplicate. The job is put into it once it is accepted: an interruption leaves
        no doubt.

        Raises:
            TypeError: If the arguments do not fit ``perform``.
            ShuttingDown: From outside a job, once the process began to stop.
            QueueFull: By the class's overflow policy.
        """
        lane = self._registry.lane(job)
        if lane.left:
            self._taking.repair()
        if inside is None:
            self._room.refuse_late(lane)
        if self._stage.threads:  # a test mode stays in front of an engine
            engine = engine_of(lane.options, config.backend)
            if engine is not None:
                return engine.enqueue(job, args, kwargs, options)  # type: ignore[no-any-return]
        if inside is None:
            self._room.refuse_without_app(lane)
        deferral = None
        if options is not None and "after_commit" in options:
            session = (options := dict(options)).pop("after_commit")
            deferral = commit.defer(self._deferring.follow, job.__qualname__, session)
        try:
            scope = None if deferral is None else deferral.scope
            own = inside is not None
            made, due, policy, new = self._build(lane, args, kwargs, options, own, scope)
            hand = [] if inside is None else inside
            call = self._accept(made, due, policy, deferral, hand) if new else made
            batch = None if new and call is made else current_batch.get()
            if batch is not None and not batch.closed:
                batch.add(call)  # what it is a duplicate of is waited for
        finally:
            if lane.blocked:
                # Woken for room that it did not take after all, by a refusal or an exception:
                # the next producer has to be, as nothing else may ever leave the queue.
                self._waiting.made_room(lane)
        if lane.gate.lane is None:
            self._open_gate(lane)
        return call

    def _accept(
        self,
        call: Handle[Any],
        due: float | None,
        policy: str | None,
        deferral: Deferral | None,
        hand: list[Any],
    ) -> Handle[Any]:
        """Number a job, which counts it, and place it; or the one that it is a duplicate of."""
        lane: Lane = call.lane
        unique = lane.options.unique is not None
        numbers = lane.ledger.drawn.numbers if unique else lane.numbers
        one = (call,)
        batch = current_batch.get() if call.more is not None and call.more.in_batch else None
        try:
            if unique:
                for call.number in numbers:  # others see it as soon as it has the key
                    break
                named = call.more is not None and call.more.name is not None
                holder = self._duplicates.claim(call) if named else call
                if holder is not call:
                    return holder
                for _ in lane.numbers:
                    break
            else:
                for call.number in numbers:
                    break
            call.outcome = None  # in one breath with its number: from here on it is accepted
            hand += one
            if process.around_enqueue or lane.plan.on_enqueue:
                self.announce(call, lane)
            if batch is not None:
                batch.add(call)  # not what an exception has kept out
            waiting = call.state not in TERMINAL
            if waiting and policy is not None:
                waiting = self._room.overflow(call, lane, policy)
            if waiting:
                if deferral is None:
                    self._place(call, due)
                else:
                    self._deferring.defer(call, due, deferral)
                self._mode.placed(call)
        except BaseException:
            left = lane.left
            left += ((self.interrupted, (call,), 0),)
            self._taking.repair()
            raise
        return call

    def interrupted(self, call: Call) -> None:
        """An enqueue was broken off: its job is where it waits, or nothing of it remains."""
        lane: Lane = call.lane
        if getattr(call, "number", None) is None:
            return  # by the short path, and not accepted
        lane.announced.discard(call)
        if call.outcome is NOT_ACCEPTED:
            self._keys.free(call)
            # Not counted; but another enqueue may have been given it, as what it is a duplicate of.
            call.extra().reason, call.outcome, call.state = INTERRUPTED, None, DISCARDED
        elif self._whereabouts.nowhere(call, QUEUED):
            lane.left_queue(call)
            self._endings.end(call, DISCARDED, INTERRUPTED, "refused")
        self._taking.shake(call)

    def _place(self, call: Handle[Any], due: float | None) -> None:
        """Put a new job where it waits."""
        if due is not None:
            self._waiting.schedule(call, due)
        else:
            self._rating.enter(call)

    def _build(
        self,
        lane: Lane,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: dict[str, Any] | None,
        inside: bool,
        scope: Scope | None,
    ) -> tuple[Handle[Any], float | None, str | None, bool]:
        """A job that is checked, when it is due (None: now), and the policy to apply to it if
        the queue is full. It is nowhere yet; False at last if it is somebody else's, of which
        the new one is a duplicate."""
        plan, owner = lane.plan, lane.job.__qualname__
        needs_room = scope is None and not inside
        if plan.check is None:
            raise TypeError(f"{owner} cannot be enqueued: {plan.lacks}")
        try:
            plan.check(*args, **kwargs)
        except TypeError as exc:
            raise misfit(exc, owner) from None
        if config.strict_args is not None:
            args, kwargs = strict.round_trip(owner, args, kwargs, plan.options, options)
        due, when, rest = self._due(lane, options)
        now = self._clock.monotonic()
        at_once = due is None or due <= now
        key = identity_of(lane.job, plan, args, kwargs)
        name = None
        if plan.options.unique is not None and key is not None and not inside:
            name = Key(lane.job, key)
            holder = self._duplicates.in_the_way(lane, name, scope)
            makes_none = self._duplicates.makes_no_room
            if holder is not None and at_once and needs_room and makes_none(holder):
                # A refusal must come before the old job goes, or both are gone.
                name = None if self._room.ask(lane) == "discard" else name
            if holder is not None and name is not None:
                duplicate = self._duplicates.answer(holder, lane, key, args, kwargs, rest)
                if duplicate is not None:
                    return duplicate, None, None, False
        policy = self._room.ask(lane) if at_once and needs_room else None
        context = context_for(plan.options.context)
        # Its number comes last: up to here nothing was accepted, and a number is counted.
        call: Handle[Any] = new_handle(lane, -1, args, kwargs or NO_KWARGS, context, now)
        call.outcome = NOT_ACCEPTED
        batch = current_batch.get()
        in_batch = batch is not None and not batch.closed  # or a task of the block outlives it
        if due is not None:
            call.due = due
        if rest or when is not None or key is not None or in_batch or scope is not None:
            more = call.extra()
            more.options, more.when, more.key, more.name = rest or None, when, key, name
            more.in_batch, more.scope = in_batch, scope if key is not None else None
        return call, None if at_once else due, policy, True

    def _due(
        self, lane: Lane, options: dict[str, Any] | None
    ) -> tuple[float | None, float | None, dict[str, Any] | None]:
        """When a job is due (None: now), by which epoch time if by one, and its other options."""
        if options is None:
            return None, None, None
        due = when = None
        rest, owner = dict(options), lane.job.__qualname__
        if rest.get("pool") is not None:
            self._registry.shared_pool(rest["pool"], owner, lane.options.workers)
        if "delay" in rest:
            due = self._clock.monotonic() + due_in(owner, rest.pop("delay"))
        if "at" in rest:
            when = due_at(owner, rest.pop("at"))
            due = self._clock.monotonic() + max(0.0, when - self._clock.time())
        return due, when, rest

    def announce(self, call: Handle[Any], lane: Lane) -> None:
        """Middleware and hook around an enqueue; may end the job before it is anywhere."""
        lane.announced.add(call)
        try:
            with contextlib.ExitStack() as stack:
                for around in process.around_enqueue:
                    enter_around(stack, "around_enqueue", around, call)
                if lane.plan.on_enqueue:
                    job: Any = lane.job()
                    object.__setattr__(job, "handle", call)
                    try:
                        job.on_enqueue()
                    except Discard:
                        raise
                    except Exception as exc:
                        message = "on_enqueue of %r raised; it is enqueued all the same"
                        report(logging.ERROR, message, call, exc_info=exc)
        except Discard as exc:
            said = message_of(exc) or "refused at the enqueue"
            self._endings.end(call, DISCARDED, said, "refused")
        except BaseException as exc:
            refused = f"refused at the enqueue: {type(exc).__name__}"
            reason = INTERRUPTED if interrupts(exc) else refused
            self._endings.end(call, DISCARDED, reason, "refused")
            raise
        finally:
            lane.announced.discard(call)
        if call in self._tokens.cancels and call.state not in TERMINAL:
            self._endings.end(call, CANCELLED, "cancelled or replaced as it was enqueued")
