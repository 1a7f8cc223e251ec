"""The job as its worker has it: one attempt, whose reports go to the result store."""

from __future__ import annotations

import logging
import math
import threading
from contextvars import Context
from typing import Any

from ..core.port import Lane
from ..core.values.clock import epoch
from ..core.values.handle import Handle
from ..core.values.hooks import report
from ..core.values.more import More
from ..core.values.record import fill
from ..core.values.status import Status
from ._asked import Asked
from ._encoding import Unencodable, decode, encode, pack
from ._message import Message, options_in
from ._record import Record, opening

__all__ = ["AttemptHandle"]

#: Seconds between two reports of progress, and between two looks for a cancel mark.
QUIET = 0.5


class AttemptHandle(Handle[Any]):
    """The job as it is seen from inside: ``self.handle`` and ``current_job()`` on a worker."""

    __slots__ = ("_asked", "_engine", "_message", "_reported", "_told", "_untold")
    foreign = True

    def __init__(self, engine: Asked, lane: Lane, message: Message, args: Any, kwargs: Any) -> None:
        now, wall = lane.monotonic(), epoch()
        options = options_in(lane.job.__qualname__, message.options) or None
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
        more, now = self._reported, epoch()
        record = opening(self._message, status)
        record |= {"attempt": self.attempt, "error": more.error, "reason": more.reason, **more.sent}
        if self.started is not None:
            record["started"] = now - (self.lane.monotonic() - self.started)
        if status not in (Status.RUNNING, Status.RETRYING):
            record["finished"] = now
        return record | over

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
            if engine.bounded.call(f"{self!r}: its cancel mark", lambda: engine.marked(self.id)):
                self.lane.tokens.cancels.add(self)
        except Exception as exc:  # the job need not fail because the store is away
            report(logging.WARNING, "%r: its cancel mark was not read", self, exc_info=exc)

    def reported(self) -> None:
        """Progress or data have changed: store them, and look for a cancel mark."""
        if self.state is not Status.RUNNING or not self._engine.keeps_results:
            return
        now = self.lane.monotonic()
        if now - self._told >= QUIET and self._untold.is_set():
            self._told = now
            text = pack(self.record(Status.RUNNING))
            try:
                self._engine.bounded.call(f"{self!r}: its progress", lambda: self._tell(text))
            except Exception as exc:
                report(logging.WARNING, "%r: its progress was not stored", self, exc_info=exc)
        self._ask()

    def _tell(self, text: str) -> None:
        """On a helper thread, which may still be at it when the job has given up waiting."""
        self._untold.clear()
        try:
            if self.state is Status.RUNNING:
                self._engine.write(self.id, text)
        finally:
            self._untold.set()

    def told(self, patience: float) -> None:
        """The attempt is over. A report that is still under way would be written over its end:
        it is waited for, so many seconds."""
        self._untold.wait(patience)


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
