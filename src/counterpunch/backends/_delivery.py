"""The worker's side of every engine: one delivered message, one attempt, one answer.

An engine delivers at least once: the same message may come again after a worker was killed,
or beside a worker that still runs it. The record in the result store tells a job that has
ended, which is not run again, from one whose worker is gone, which is, a limited number of
times. Without a result store neither is known.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import Context
from dataclasses import replace
from typing import TypeVar

from ..core.port import accepting, admitted, broken
from ..core.values.arguments import hidden
from ..core.values.backend import HERE
from ..core.values.clock import epoch, monotonic
from ..core.values.error_text import one_line
from ..core.values.errors import RemoteError
from ..core.values.hooks import report
from ..core.values.matching import is_a
from ..core.values.retry import Retry
from ..core.values.status import Status
from ._asked import Asked
from ._attempt import AttemptHandle
from ._encoding import pack
from ._message import Message, arguments_in
from ._paths import find_class
from ._record import Record, RecordUnreadable, closed, ended, failure_out, opening, value_out

__all__ = ["Delivery", "end_unrun", "failed", "starts"]

T = TypeVar("T")

#: A job whose workers are killed is started this often, or as often as its policy allows
#: attempts if that is more; then it ends as lost, or it would kill workers for ever.
STARTS = 3
#: Seconds by which a message may come early and be waited for here, rather than sent on: engines
#: round, and the clocks of machines differ.
EARLY = 0.5
#: Seconds for which a worker that has an outcome tries to store it, and between two tries: a
#: restart of the broker.
PATIENCE, PAUSE = 30.0, 0.5


def starts(retry: Retry | None) -> int:
    """How often a job of this policy is started, workers that are killed included."""
    return max(STARTS, 1 if retry is None else retry.max_attempts)


def failed(record: Record, exc: Exception) -> Record:
    """The record of a job that failed before it could be run."""
    return {**closed(record, Status.FAILED, None), "error": one_line(exc), **failure_out(exc)}


def end_unrun(engine: Asked, id: str, end: Callable[[Record], Record]) -> None:
    """A message has come to its end without having been carried out: so has its job. Nothing is
    raised, for it is the engine that asks."""
    try:
        known = engine.fetch(id) if engine.keeps_results and engine.knows(id) else None
        if known is not None and not ended(known):
            engine.write(id, pack(end(known)))
    except Exception as exc:
        report(logging.ERROR, "%s %s: its end was not stored", engine.name, id, exc_info=exc)


class Delivery:
    """One message, from its arrival at a worker to what follows from its attempt."""

    def __init__(self, engine: Asked, message: Message) -> None:
        self.engine = engine
        self.message = message
        #: What the store knew of the job as the message came.
        self.known: Record | None = None
        #: The message of the next attempt, where the engine runs that in place, too.
        self.following: Message | None = None

    def carry_out(self) -> Message | None:
        """Run the attempt that the message stands for, and see to what follows from it.

        Returns:
            What to deliver next, at once and without an engine: one that is told to run jobs in
            place would nest the attempts into each other, and has nobody to wait for a delay.

        Raises:
            Exception: The job's own once it has failed for good, so that the engine's tools see
                a failure; what is no ``Exception`` comes as a ``RemoteError``.
            ImportError, AttributeError, TypeError: If its class cannot be had or does not take
                its arguments; the job has then failed.
        """
        engine, message = self.engine, self.message
        if engine.keeps_results:
            self.known = self._persist(self._fetch)
        if ended(self.known):
            report(logging.INFO, "%s %s came again after its end", message.job, message.id)
            return None
        # The due time of a job that was not delayed is the caller's clock, and no reason to wait.
        early = message.due - epoch() if message.due > message.enqueued else 0.0
        if early > 0.0 and not engine.in_place:
            if early > EARLY:
                self._send_on()
                return None
            threading.Event().wait(early)
        try:
            call = self._unpacked()
        except Exception as exc:
            self._fail(exc)
            raise
        number = self._number()
        call.attempt = number - 1
        if number > max(starts(call.option("retry")), message.attempt):
            reason = f"its worker was gone before it ended, {number - 1} times"
            call.lane.keeper.endings.end(call, Status.LOST, reason)
            self._save(call.record(Status.LOST))
            report(logging.ERROR, "%r was lost: %s", call, reason)
            return None
        self._attempt(call)
        return self.following

    def _fetch(self) -> Record | None:
        try:
            return self.engine.fetch(self.message.id)
        except RecordUnreadable as exc:  # the message has all that is needed
            report(logging.WARNING, "%s: it is written anew", exc)
            return None

    def _fail(self, exc: Exception) -> None:
        """The message is none that can be carried out: its job has failed."""
        record = failed(self.known or opening(self.message, Status.FAILED), exc)
        try:
            pack(record)
        except RecursionError:  # of the arguments
            record |= {"args": [], "kwargs": {}}
        self._save(record)

    def _send_on(self) -> None:
        """A long delay comes in pieces. Each is the time to look for the cancel mark, and to write
        the record anew, so that neither of them expires before the job is due."""
        if self._marked():
            record = self.known or opening(self.message, Status.CANCELLED)
            self._save(closed(record, Status.CANCELLED, "cancelled before it ran"))
            return
        if self.known is not None:
            self._save(self.known)
        self._persist(lambda: self.engine.send(self.message))

    def _unpacked(self) -> AttemptHandle:
        message = self.message
        job = find_class(message.job)
        args, kwargs = arguments_in(message.args, message.kwargs)
        lane = accepting().lane(job)
        if lane.options.backend == HERE:
            raise TypeError(f"{job.__qualname__} has backend={HERE!r}: no engine runs it")
        if lane.plan.check is None:
            raise TypeError(f"{job.__qualname__} cannot be run: {lane.plan.lacks}")
        lane.plan.check(*args, **kwargs)  # the worker may have another version of the class
        call = AttemptHandle(self.engine, lane, message, args, kwargs)
        if self.known is not None:
            call.resume(self.known)
        return call

    def _number(self) -> int:
        """That of the attempt: the message's, unless a worker is gone that had begun it."""
        known, number = self.known, self.message.attempt
        if known is not None and known["status"] == Status.RUNNING and known["attempt"] >= number:
            return int(known["attempt"]) + 1  # it has not come to an end
        return number

    def _attempt(self, call: AttemptHandle) -> None:
        lane, runtime = call.lane, call.lane.keeper
        number = call.attempt + 1
        self._save(call.record(Status.RUNNING, attempt=number, started=epoch()))
        # In this order: see RemoteEngine.cancel.
        if self._marked():
            runtime.endings.end(call, Status.CANCELLED, "cancelled before it ran")
            self._save(call.record(Status.CANCELLED))
            return
        if not admitted(call, lane):
            if call.state is Status.LOST:  # this process is ending: another one has it
                over = {"attempt": call.attempt, "finished": None, "reason": None}
                record = call.record(Status.QUEUED, **over)
                self._send_again(replace(self.message, attempt=number), record)
            else:  # it has waited too long, and was discarded
                self._save(call.record(call.state))
            return
        try:
            status = runtime.here.attempt(call, Context())
        except BaseException as exc:  # not the user's code, which attempt() has caught
            status = broken(call, exc)
        if status is Status.RETRYING:
            self._again(call)
        else:
            self._end(call, status)

    def _end(self, call: AttemptHandle, status: Status) -> None:
        """The attempt was the last."""
        outcome, over = call.outcome, {}
        call.lane.keeper.settle(call, status)
        call.told(PATIENCE)
        if status is Status.SUCCEEDED:
            over = value_out(outcome, hidden(call))
            if "unstorable" in over:
                report(logging.WARNING, "%r: %s is not stored", call, over["unstorable"])
        elif status is Status.FAILED:
            over = failure_out(outcome)
        self._save(call.record(status, **over))
        if status is Status.FAILED:
            # Celery takes a MemoryError for one of the worker's own, which ends it.
            if is_a(outcome, Exception) and not is_a(outcome, MemoryError):
                raise call.failure()
            raise RemoteError(f"{call!r} failed: {one_line(outcome)}")

    def _again(self, call: AttemptHandle) -> None:
        """The attempt failed and another follows. In this process it is over, and has failed."""
        runtime, now, passed = call.lane.keeper, epoch(), call.lane.monotonic()
        due = now + max(0.0, call.due - passed)
        first = self.message.first
        if first is None:
            first = now - (passed - (call.started or 0.0))
        record = call.record(Status.RETRYING, due=due)
        call.outcome = call.extra().exception
        # Not by its time limit, which is each attempt's own.
        cancelled = call in runtime.tokens.cancels
        runtime.settle(call, Status.FAILED)
        call.told(PATIENCE)
        if cancelled or self._marked():
            reason = "cancelled while it ran; its next attempt was dropped"
            self._save(closed(record, Status.CANCELLED, reason))
            return
        following = replace(self.message, attempt=call.attempt + 1, first=first, due=due)
        self._send_again(following, record)

    # What is asked of the engine, for as long as it takes

    def _marked(self) -> bool:
        return self._persist(lambda: self.engine.marked(self.message.id))

    def _send_again(self, message: Message, record: Record) -> None:
        engine, text = self.engine, pack(record)

        def send() -> None:
            if engine.keeps_results:
                engine.write(message.id, text)
            if engine.in_place:
                self.following = message
            else:
                engine.send(message)

        self._persist(send)

    def _save(self, record: Record) -> None:
        if self.engine.keeps_results:
            text = pack(record)  # a failure of it is no failure of the store
            self._persist(lambda: self.engine.write(record["id"], text))

    def _persist(self, fn: Callable[[], T]) -> T:
        """Do it, again and again for a while: the broker may just be restarting.

        Raises:
            Exception: The last one. The engine then counts the job as failed.
        """
        end, rest = monotonic() + PATIENCE, threading.Event()
        while True:
            try:
                return fn()
            except Exception as exc:
                if monotonic() > end:
                    raise
                report(logging.WARNING, "%s: trying again: %s", self.engine.name, exc)
            rest.wait(PAUSE)
