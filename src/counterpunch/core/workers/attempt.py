"""One attempt of one job: the steps of it, and the three ways to drive them.

``steps`` is the whole attempt: the user's code, the hooks and the decision to retry, all in the
job's own context variables. What the user's code gives is handed to whoever drives the steps:
``run`` has its thread wait for what is still to be awaited, ``run_async`` awaits it. Whatever the
user's code raises, ``SystemExit`` and ``KeyboardInterrupt`` included, ends the attempt and no more.

``execute_plain`` is the third: the same for a job that needs no more than most, written out in
full. It stays because it earns it: 1.3 instead of 2.4 microseconds for a job that does nothing.
It is one of the two places outside ``moves`` that write a job's state; see ``core``.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Generator
from contextvars import Context
from typing import Any

from ..places.lane import Lane
from ..places.timings import FOLD_MASK
from ..values.current import current, current_batch
from ..values.failure import beginnings, passed_through
from ..values.handle import Call
from ..values.hooks import enter_around, process
from ..values.status import RUNNING, SUCCEEDED, Status
from ..values.unfinished import finished, unfinished
from .outcome import broken, forked_child_left, judge, log
from .turns import Interrupted, Turn, give_up, turns

__all__ = [
    "admitted", "context_of", "execute", "execute_plain", "perform", "run", "run_async", "steps",
]  # fmt: skip

#: Bound once: from 3.12 on a method of an imported object is looked up anew at each call.
_set_current = current.set
#: What most jobs give needs no look.
_FINISHED = frozenset({type(None), bool, int, float, str, bytes, dict, list, tuple, set})


def steps(
    call: Call, lane: Lane, final: bool = False, worker: bool = False
) -> Generator[Any, Any, Status]:
    """One attempt, inside the job's context. Yields what each piece of the user's code gave, and
    wants it back, awaited or not; an exception of it is thrown in. Returns the status that follows.

    Args:
        call: The job, marked as running.
        lane: Its lane.
        final: No retry follows, whatever the policy says.
        worker: On a worker's thread: a child process that the job forked ends here.
    """
    current.set(call)
    if call.more is not None and call.more.in_batch:
        current_batch.set(None)  # the job belongs to the batch, what it enqueues does not
    if call.more is not None and call.more.spent:
        return (yield from give_up(call, lane))
    log(logging.DEBUG, call, "started")
    plan = lane.plan
    job: Any = None
    value = failure = None
    handled, arounds = sys.exception(), process.around_perform
    try:
        job = lane.job()
        object.__setattr__(job, "handle", call)  # its own may refuse it
        with contextlib.ExitStack() if arounds else _NOTHING as stack:
            for around in arounds:
                enter_around(stack, "around_perform", around, call)
            if plan.before:
                yield job.before()
            value = yield job.perform(*call.args, **call.named)
    except BaseException as exc:
        failure = passed_through(exc) if arounds else exc
    if worker and not lane.here[0]:
        forked_child_left(failure)
    status = judge(call, lane, value, failure, final)
    try:
        yield from turns(call, lane, job, Turn(status, value, failure, handled), final)
    finally:
        del failure, handled  # in perform_now it goes on with its frames, of which this is one
    return status


_NOTHING: Any = contextlib.nullcontext()


def run(attempt: Generator[Any, Any, Any], call: Call, thrown: BaseException | None = None) -> Any:
    """Drive the steps of an attempt on this thread, to what they return."""
    try:
        value = next(attempt) if thrown is None else attempt.throw(thrown)
        while True:
            try:
                look = type(value) not in _FINISHED
            except Exception:  # its metaclass does not let it be hashed
                look = True
            if look and unfinished(value):
                value = call.lane.moves.finish(call, value)
            value = attempt.send(value)
    except StopIteration as end:
        return end.value
    except BaseException as exc:
        if getattr(attempt, "gi_frame", None) is None:
            raise  # the steps themselves have failed
        # Of what was waited for; or out of a signal handler, between two steps: it is the job's.
        return run(attempt, call, exc)


async def run_async(attempt: Generator[Any, Any, Status]) -> Status:
    """Drive the steps of an attempt in a task; what the user's code gives is awaited."""
    try:
        value = next(attempt)
        while True:
            try:
                value = await finished(value)
            except BaseException as exc:
                value = attempt.throw(exc)
            else:
                value = attempt.send(value)
    except StopIteration as end:
        status: Status = end.value
        return status


def admitted(call: Call, lane: Lane, forced: bool = False) -> bool:
    """Mark the job as running; False if it is not to start after all.

    ``forced`` leaves out the questions of expiry and rate: the caller wants it run now.
    """
    if (lane.plan.guarded or call.more is not None) and not lane.moves.may_start(call, forced):
        return False
    running, now = lane.running, lane.monotonic()
    if call.more is not None and call.more.spent:
        call.state = RUNNING
        running[call] = None
        return True
    call.attempt, call.started, call.state = call.attempt + 1, now, RUNNING
    running[call] = None  # last: from here on the drain may end it
    if (lane.paused or lane.stopped) and lane.moves.turned_away(call, True):
        return False  # the drain ended, or the class was paused, after it left the queue
    for _ in lane.starts:
        break
    return True


def context_of(call: Call, lane: Lane) -> Context:
    """What one attempt runs in: the caller's variables as they were at the enqueue. What it sets
    itself its hooks see, and no other attempt."""
    context = call.context
    if context is None:
        return Context()  # the caller's was empty, or the class wants a fresh one
    if lane.copies or call.more is not None:  # a retry of its own, or what another one left
        return context.copy()
    return context


def execute(call: Call, worker: bool, final: bool = False) -> None:
    """Run one attempt of a job of plain functions that the caller has taken out of its container.

    Args:
        call: The job.
        worker: True on a worker's thread, False on the thread of whoever enqueued it.
        final: No retry follows, whatever the policy says.
    """
    lane: Lane = call.lane
    if not admitted(call, lane, final):
        return
    late, context = None, context_of(call, lane)
    try:
        status = context.run(run, steps(call, lane, final, worker), call)
    except Interrupted as one:
        status, late = one.status, one.__cause__
    except BaseException as exc:  # not the user's code, which ``steps`` has caught
        status = broken(call, exc)
    lane.moves.settle(call, status)
    if late is not None:
        raise late


def execute_plain(call: Call, lane: Lane) -> None:
    """``execute`` on a worker's thread, written out in full for a job that needs no more.

    That is a job of a class with a ``bare`` plan, with nothing of its own (``more``), while
    there is no ``around_perform`` and nobody logs successes. Most jobs are, and half of
    what a no-op job costs in ``execute`` are its calls of Python functions. A failure goes
    the long way from where it was raised.
    """
    running = lane.running
    call.attempt = 1  # an earlier attempt would have left something in ``more``
    call.started = started = lane.monotonic()
    call.state = RUNNING
    running[call] = None  # last: from here on the drain may end it
    if (lane.paused or lane.stopped) and lane.moves.turned_away(call, True):
        return  # the drain ended, or the class was paused, after it left the queue
    for _ in lane.starts:
        break
    context = call.context
    if context is None:
        context = Context()  # the caller's was empty
    elif lane.copies:
        context = context.copy()  # as in ``context_of``
    try:
        call.outcome = context.run(perform, call, lane)
    except BaseException as failure:
        if not lane.here[0]:
            forked_child_left(failure)
        try:
            status = context.run(_conclude, call, lane, failure)
        except BaseException as exc:
            status = broken(call, exc)
        lane.moves.settle(call, status)
        return
    if not lane.here[0]:
        forked_child_left(None)
    if call.more is not None:  # it reported progress or stored data
        lane.moves.settle(call, SUCCEEDED)
        return
    now, timings, tokens, history = lane.monotonic(), lane.timings, lane.tokens, lane.history
    if now >= timings.tick:
        timings.sample(now)
    pending, ended, number = timings.durations.pending, history.ended, 0
    try:
        del running[call]
    except KeyError:
        return  # the drain gave it up as lost; that was its one ending
    # In one breath with that: it is counted, ended and remembered.
    pending += (started - call.due, now - started)
    for number in lane.succeeds:
        break
    call.context, call.finished, call.state = None, now, SUCCEEDED
    ended.append(call)
    if tokens.cancels:  # now that nobody sets one any more
        tokens.cancels.discard(call)
    if not number & FOLD_MASK:
        timings.durations.fold()
    if now >= history.look_back or len(ended) > history.few:
        history.tend(now)
    if lane.watchers.table:
        lane.watchers.tell(call)


def perform(call: Call, lane: Lane) -> Any:
    """The user's code of a plain job, inside the job's context."""
    _set_current(call)
    job: Any = lane.job()
    job.handle = call
    args, direct = call.args, lane.plan.direct
    if call.named:
        value = job.perform(*args, **call.named)
    elif direct is None:  # without a dict for the call, a fiftieth of the whole
        value = job.perform(*args)
    elif not args:
        value = direct(job)
    elif len(args) == 1:  # without a list for the call, that becomes a tuple: another one
        value = direct(job, args[0])
    else:
        value = direct(job, *args)
    if value is None:
        return None
    try:
        if type(value) in _FINISHED:
            return value
    except Exception:  # as in ``run``
        pass
    return lane.moves.finish(call, value) if unfinished(value) else value


def _conclude(call: Call, lane: Lane, failure: BaseException) -> Status:
    """What follows from a failure in ``perform``, inside the job's context."""
    status = judge(call, lane, None, failure, False)
    run(turns(call, lane, None, Turn(status, None, failure), False), call)
    return status


beginnings.update(each.__code__ for each in (steps, run_async, perform))
