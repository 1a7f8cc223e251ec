"""The worker's side of every engine: one delivered message, one attempt, one answer.

An engine delivers at least once: the same message may come again after a worker was killed,
or beside a worker that still runs it. The record in the result store tells a job that has
ended, which is not run again, from one whose worker is gone, which is, a limited number of
times. Without a result store neither is known.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from contextvars import Context
from dataclasses import replace
from typing import Any, TypeVar

from ..core.port import (
    CANCELLED,
    FAILED,
    LOST,
    QUEUED,
    RETRYING,
    RUNNING,
    SUCCEEDED,
    Handle,
    Lane,
    More,
    RemoteError,
    Status,
    accepting,
    admitted,
    broken,
    fill,
    report,
)
from ._asked import Asked
from ._encoding import Unencodable, decode, encode, pack
from ._message import Message, find_class, options_in
from ._record import Record, ended, failure_out, opening, value_out

__all__ = ["STARTS", "AttemptHandle", "deliver"]

T = TypeVar("T")

#: A job whose workers are killed is started this often, or as often as its policy allows
#: attempts if that is more; then it ends as lost, or it would kill workers for ever.
STARTS = 3
#: Seconds by which a message may come early and be waited for here, rather than sent on: engines
#: round, and the clocks of machines differ.
EARLY = 0.5
#: Seconds between two reports of progress, and between two looks for a cancel mark.
QUIET = 0.5
#: Seconds for which a worker that has an outcome tries to store it, and between two tries: a
#: restart of the broker.
PATIENCE, PAUSE = 30.0, 0.5


class AttemptHandle(Handle[Any]):
    """The job as it is seen from inside: ``self.handle`` and ``current_job()`` on a worker."""

    __slots__ = ("_asked", "_engine", "_message", "_reported", "_told", "_untold")
    foreign = True

    def __init__(self, engine: Asked, lane: Lane, message: Message, args: Any, kwargs: Any) -> None:
        now, wall = lane.monotonic(), time.time()
        options = options_in(message.options) or None
        # After what may raise: what is accepted has to end.
        fill(self, lane, lane.ledger.accepted.add(), args, kwargs, Context(), now)
        self._engine = engine
        self._message = message
        self._asked = now
        self._told = -math.inf  # the first report is sent at once
        self._untold = threading.Event()  # not set while a report is under way
        self._untold.set()
        self.enqueued = now - (wall - message.enqueued)
        self.due = now - (wall - message.due)  # expires_in and the wait times count from here
        self.more = more = self._reported = _Reported(self)
        more.options = options
        if message.first is not None:
            more.first_started = now - (wall - message.first)

    @property
    def id(self) -> str:
        """The id that the caller has."""
        return self._message.id

    def resume(self, known: Record) -> None:
        """Go on from what earlier attempts have left, as in threads."""
        more = self.extra()
        more.error = known["error"]
        more.progress = None if known["progress"] is None else tuple(known["progress"])
        more.data = decode(known["data"])

    def record(self, status: Status, **over: Any) -> Record:
        """The job's record, as things are now."""
        message, more, now = self._message, self._reported, time.time()
        passed = self.lane.monotonic()
        record = opening(message, status)
        record["attempt"] = self.attempt
        if self.started is not None:
            record["started"] = now - (passed - self.started)
        if status not in (RUNNING, RETRYING):
            record["finished"] = now
        record.update(more.sent)
        record["error"], record["reason"] = more.error, more.reason
        return {**record, **over}

    def cancel_requested(self) -> bool:
        if not super().cancel_requested():
            self._ask()
        return super().cancel_requested()

    def _ask(self) -> None:
        now = self.lane.monotonic()
        if now - self._asked < QUIET:
            return
        self._asked = now
        engine = self._engine
        try:
            if engine.bounded(f"{self!r}: its cancel mark", lambda: engine.marked(self.id)):
                self.lane.tokens.cancels.add(self)
        except Exception as exc:  # the job need not fail because the store is away
            report(logging.WARNING, "%r: its cancel mark was not read", self, exc_info=exc)

    def reported(self) -> None:
        """Progress or data have changed: store them, and look for a cancel mark."""
        if self.state is not RUNNING or not self._engine.keeps_results:
            return
        now = self.lane.monotonic()
        if now - self._told >= QUIET and self._untold.is_set():
            self._told = now
            text = pack(self.record(RUNNING))
            try:
                self._engine.bounded(f"{self!r}: its progress", lambda: self._tell(text))
            except Exception as exc:
                report(logging.WARNING, "%r: its progress was not stored", self, exc_info=exc)
        self._ask()

    def _tell(self, text: str) -> None:
        """On a helper thread, which may still be at it when the job has given up waiting."""
        self._untold.clear()
        try:
            if self.state is RUNNING:
                self._engine.write(self.id, text)
        finally:
            self._untold.set()

    def told(self) -> None:
        """The attempt is over. A report that is still under way would be written over its end."""
        self._untold.wait(PATIENCE)


class _Reported(More):
    """The rare fields of a job, two of which the caller wants to see while it runs."""

    __slots__ = ("_data", "_handle", "_progress", "sent")

    def __init__(self, handle: AttemptHandle) -> None:
        self._handle = handle
        #: Progress and data as they are sent: encoded when they are set, so that what happens
        #: to an object later does not reach the record.
        self.sent: dict[str, Any] = {}
        self._progress: Any = None
        self._data: Any = None
        super().__init__()

    @property
    def progress(self) -> Any:
        return self._progress

    @progress.setter  # a slot in the base
    def progress(self, value: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._keep("progress", None if value is None else list(value))
        self._progress = value
        self._handle.reported()

    @property
    def data(self) -> Any:
        return self._data

    @data.setter
    def data(self, value: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._keep("data", value or None)
        self._data = value
        self._handle.reported()

    def _keep(self, name: str, value: Any) -> None:
        try:
            self.sent[name] = encode(value, name)
        except Unencodable as exc:  # raised in the job, where the value comes from
            raise TypeError(f"{self._handle.job.__qualname__}: {exc}") from None


def deliver(engine: Asked, message: Message) -> None:
    """Run the attempt that a message stands for, and carry out what follows from it.

    Raises:
        Exception: The job's own once it has failed for good, so that the engine's tools see
            a failure; what is no ``Exception`` comes as a ``RemoteError``.
        ImportError, AttributeError, TypeError: If its class cannot be had or does not take
            its arguments; the job has then failed.
    """
    known = None
    if engine.keeps_results:
        known = _persist(engine, lambda: engine.fetch(message.id))
    if ended(known):
        report(logging.INFO, "%s %s came again after its end", message.job, message.id)
        return
    # The due time of a job that was not delayed is the caller's clock, and no reason to wait.
    early = message.due - time.time() if message.due > message.enqueued else 0.0
    if early > EARLY:
        _send_on(engine, message, known)
        return
    if early > 0.0:
        threading.Event().wait(early)
    try:
        call = _unpacked(engine, message, known)
    except Exception as exc:
        over = {"finished": time.time(), "error": f"{type(exc).__name__}: {exc}"}
        record = {**opening(message, FAILED), **over, **failure_out(exc)}
        _save(engine, record)
        raise
    number = message.attempt
    if known is not None and known["status"] == RUNNING.value and known["attempt"] >= number:
        number = known["attempt"] + 1  # its worker is gone: it has not come to an end
    retry = call.option("retry")
    if number > max(STARTS, 1 if retry is None else retry.max_attempts, message.attempt):
        reason = f"its worker was gone before it ended, {number - 1} times"
        call.attempt = number - 1
        call.lane.keeper.endings.end(call, LOST, reason)
        _save(engine, call.record(LOST))
        report(logging.ERROR, "%r was lost: %s", call, reason)
        return
    call.attempt = number - 1
    _attempt(engine, message, call)


def _send_on(engine: Asked, message: Message, known: Record | None) -> None:
    """A long delay comes in pieces. Each is the time to look for the cancel mark, and to write
    the record anew, so that neither of them expires before the job is due."""
    if _persist(engine, lambda: engine.marked(message.id)):
        record = opening(message, CANCELLED) if known is None else known
        over = {"status": CANCELLED.value, "finished": time.time()}
        over["reason"] = "cancelled before it ran"
        _save(engine, {**record, **over})
        return
    if known is not None:
        _save(engine, known)
    _persist(engine, lambda: engine.send(message))


def _unpacked(engine: Asked, message: Message, known: Record | None) -> AttemptHandle:
    job = find_class(message.job)
    args = tuple(decode(value) for value in message.args)
    kwargs = {name: decode(value) for name, value in message.kwargs.items()}
    lane = accepting().lane(job)
    if lane.plan.check is None:
        raise TypeError(f"{job.__qualname__} cannot be run: {lane.plan.lacks}")
    lane.plan.check(*args, **kwargs)  # the worker may have another version of the class
    call = AttemptHandle(engine, lane, message, args, kwargs)
    if known is not None:
        call.resume(known)
    return call


def _attempt(engine: Asked, message: Message, call: AttemptHandle) -> None:
    lane, runtime = call.lane, call.lane.keeper
    starting = call.record(RUNNING, attempt=call.attempt + 1, started=time.time())
    _save(engine, starting)
    # In this order: see RemoteEngine.cancel.
    if _persist(engine, lambda: engine.marked(call.id)):
        runtime.endings.end(call, CANCELLED, "cancelled before it ran")
        _save(engine, call.record(CANCELLED))
        return
    if not admitted(call, lane):
        if call.state is LOST:  # this process is ending: another one has it
            over = {"attempt": call.attempt, "finished": None, "reason": None}
            number = replace(message, attempt=call.attempt + 1)
            _send_again(engine, number, call.record(QUEUED, **over))
            return
        # It has waited too long, and was discarded.
        _save(engine, call.record(call.state))
        return
    try:
        status = runtime.here.attempt(call, Context())
    except BaseException as exc:  # not the user's code, which attempt() has caught
        status = broken(call, exc)
    if status is RETRYING:
        _again(engine, message, call)
        return
    outcome, over = call.outcome, {}
    runtime.settle(call, status)
    call.told()
    if status is SUCCEEDED:
        over = value_out(outcome)
        if "unstorable" in over:
            report(logging.WARNING, "%r: %s is not stored", call, over["unstorable"])
    elif status is FAILED:
        over = failure_out(outcome)
    record = call.record(status, **over)
    _save(engine, record)
    if status is FAILED:
        if isinstance(outcome, Exception):
            raise outcome
        raise RemoteError(f"{call!r} failed: {type(outcome).__name__}: {outcome}")


def _again(engine: Asked, message: Message, call: AttemptHandle) -> None:
    """The attempt failed and another follows. In this process it is over, and has failed."""
    runtime, now = call.lane.keeper, time.time()
    due = now + max(0.0, call.due - call.lane.monotonic())
    started = now - (call.lane.monotonic() - (call.started or 0.0))
    first = message.first if message.first is not None else started
    record = call.record(RETRYING, due=due)
    call.outcome = call.extra().exception
    cancelled = call in runtime.tokens.cancels  # not by its time limit, which is each attempt's own
    runtime.settle(call, FAILED)
    call.told()
    if cancelled or _persist(engine, lambda: engine.marked(call.id)):
        reason = "cancelled while it ran; its next attempt was dropped"
        over = {"status": CANCELLED.value, "reason": reason, "finished": now}
        _save(engine, {**record, **over})
        return
    following = replace(message, attempt=call.attempt + 1, first=first, due=due)

    _send_again(engine, following, record)


def _send_again(engine: Asked, message: Message, record: Record) -> None:
    text = pack(record)

    def send() -> None:
        if engine.keeps_results:
            engine.write(message.id, text)
        engine.send(message)

    _persist(engine, send)


def _save(engine: Asked, record: Record) -> None:
    if engine.keeps_results:
        text = pack(record)  # a failure of it is no failure of the store
        _persist(engine, lambda: engine.write(record["id"], text))


def _persist(engine: Asked, fn: Callable[[], T]) -> T:
    """Do it, again and again for a while: the broker may just be restarting.

    Raises:
        Exception: The last one. The engine then counts the job as failed.
    """
    end, rest = time.monotonic() + PATIENCE, threading.Event()
    while True:
        try:
            return fn()
        except Exception as exc:
            if time.monotonic() > end:
                raise
            report(logging.WARNING, "%s: trying again: %s", engine.name, exc)
        rest.wait(PAUSE)
