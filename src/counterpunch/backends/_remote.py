"""The handle of a job that runs somewhere else: every question is asked of the result store.

Nobody tells this process that a job has ended, so whoever waits looks again and again, with
growing pauses. A terminal status is remembered and not asked for again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..core.port import Lane, Permits
from ..core.values.blocking import blocking
from ..core.values.clock import moment as moment_of
from ..core.values.clock import monotonic
from ..core.values.errors import CounterpunchError, NotSupported
from ..core.values.future import carried, on_its_loop
from ..core.values.handle import Handle
from ..core.values.hooks import safely
from ..core.values.record import fill
from ..core.values.status import TERMINAL, Status
from ..core.values.times import time_limit
from ._asked import Asked
from ._encoding import decode
from ._record import Record, RecordGone, closed, failure_in, value_in
from ._watch import Watch

if TYPE_CHECKING:
    from concurrent.futures import Future


__all__ = ["RemoteHandle"]

R = TypeVar("R")

#: Seconds between two looks: the first pause, its growth, and the longest.
FIRST, GROWTH, LONGEST = 0.01, 1.5, 0.25

_watch = Watch()


class RemoteHandle(Handle[R], Generic[R]):
    """A ``Handle`` by the id alone, in whatever process; see ``Handle`` for each method.

    What asks the engine raises ``BackendError`` if it does not answer within the backend's
    ``timeout``, or no longer knows the job; ``NotSupported`` if it keeps no results.
    ``add_done_callback`` calls from a thread of this process that looks for the end, about
    four times a second; a process that ends calls nobody.
    """

    __slots__ = ("_attempt", "_id", "engine", "known", "pinned", "unsent")

    def __init__(self, engine: Asked, lane: Lane, args: Any, kwargs: Any, record: Record) -> None:
        fill(self, lane, -1, args, kwargs, None, lane.monotonic())
        self.engine = engine
        self._id: str = record["id"]
        self.pinned = False
        #: Holds one entry while a transaction decides whether the job is sent. Who takes it
        #: out decides what becomes of the job.
        self.unsent = Permits()
        self.learn(record)

    @property
    def id(self) -> str:
        """Unique, and the same in every process."""
        return self._id

    # What is known of it

    def learn(self, record: Record) -> None:
        state = Status(record["status"])
        if self.state in TERMINAL and state not in TERMINAL:
            return  # asked for before the end, by another thread
        if state is Status.SUCCEEDED and record["unstorable"] is None:
            self.outcome = value_in(record)
        elif state is Status.FAILED:
            self.outcome = failure_in(record)
        self.known = record
        self._attempt = record["attempt"]
        self.extra().reason = record["reason"]
        self.state = state  # last: who sees a terminal state reads the rest

    def look(self) -> Record:
        """The record as it is now, unless it cannot change any more."""
        if self.pinned or self.state in TERMINAL or self.unsent:
            return self.known
        record = self.engine.record_of(self._id, f"{self!r}")
        if record is None:
            raise RecordGone(
                f"{self!r}: {self.engine.name} does not know it any longer; records are kept "
                f"for as long as its result store is told to, see the backend's docstring"
            )
        self.learn(record)
        return self.known

    @property
    def attempt(self) -> int:
        """Number of the latest attempt, from 1; 0 before the first."""
        self.look()
        number: int = self._attempt
        return number

    @attempt.setter  # a slot in the base
    def attempt(self, number: int) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._attempt = number

    @property
    def status(self) -> Status:
        """Where the job is now."""
        self.look()
        return self.state

    @property
    def enqueued_at(self) -> datetime:
        """When the job was accepted, aware, UTC, by the clock of who enqueued it."""
        return moment_of(self.known["enqueued"])

    @property
    def run_at(self) -> datetime:
        """When it, or its next attempt, is (or was) due, aware, UTC."""
        return moment_of(self.look()["due"])

    @property
    def started_at(self) -> datetime | None:
        """When the latest attempt started, aware, UTC, by the worker's clock."""
        return self._instant("started")

    @property
    def finished_at(self) -> datetime | None:
        """When the job reached its terminal status, aware, UTC, by the worker's clock."""
        return self._instant("finished")

    def _instant(self, name: str) -> datetime | None:
        epoch = self.look()[name]
        return None if epoch is None else moment_of(epoch)

    @property
    def progress(self) -> tuple[float, float | None, str] | None:
        """As the job last reported it; a running job sends it at most twice a second."""
        progress = self.look()["progress"]
        return None if progress is None else tuple(progress)

    @property
    def data(self) -> dict[str, Any]:
        """What the job stored with ``set_status``, sent as ``progress`` is."""
        return decode(self.look()["data"]) or {}

    @property
    def error(self) -> str | None:
        """Why it was discarded, cancelled or lost; else the latest failure with its traceback."""
        record = self.look()
        text: str | None = record["reason"] or record["error"]
        return text

    def as_dict(self) -> dict[str, Any]:
        """The job as plain JSON values, by one look into the store."""
        self.look()
        before, self.pinned = self.pinned, True
        try:
            return super().as_dict()
        finally:
            self.pinned = before

    # Waiting for it

    def done(self) -> bool:
        return self.status in TERMINAL

    def running(self) -> bool:
        return self.status is Status.RUNNING

    def cancelled(self) -> bool:
        return self.status is Status.CANCELLED

    def result(self, timeout: float | timedelta | None = None) -> R:
        self.wait(timeout)
        if self.state is Status.SUCCEEDED and self.known["unstorable"] is not None:
            raise CounterpunchError(
                f"{self!r}: its return value cannot be stored: {self.known['unstorable']}"
            )
        return super().result(0)

    def wait(self, timeout: float | timedelta | None = None) -> None:
        limit = time_limit(f"{self.job.__qualname__}.result", timeout)
        end = None if limit is None else monotonic() + limit
        pause, rest = FIRST, threading.Event()
        while not self.done():
            if end is not None:
                left = end - monotonic()
                if left <= 0:
                    raise TimeoutError(f"{self!r} has not ended after {limit:g} s")
                pause = min(pause, left)
            if pause <= FIRST:
                blocking("to wait for %s", self.job.__qualname__, "`await handle`")
            rest.wait(pause)
            pause = min(LONGEST, pause * GROWTH)

    def __await__(self) -> Generator[Any, None, R]:
        """``await handle``: as ``result()``, without blocking the event loop."""
        return self._arrive().__await__()

    async def _arrive(self) -> R:
        pause = FIRST
        while not await asyncio.to_thread(self.done):
            await asyncio.sleep(pause)
            pause = min(LONGEST, pause * GROWTH)
        try:
            return self.result(0)
        except BaseException as exc:
            failure = carried(self, exc)
            if failure is exc:
                raise
            raise failure from exc

    def add_done_callback(self, fn: Callable[[Handle[R]], object]) -> None:
        if self.done():
            safely("a done callback", self, fn, self)
        else:
            _watch.add(self, on_its_loop(fn))

    def remove_done_callback(self, fn: Callable[[Handle[R]], object]) -> None:
        _watch.remove(self, fn)

    def future(self) -> Future[R]:
        """As of any handle; it also gets the error of a result that cannot be stored, or of a
        job that the result store has forgotten."""
        from concurrent.futures import Future

        future: Future[R] = Future()

        def settle(_: Handle[R]) -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                value = self.result(0)
            except BaseException as exc:  # the job's own may be any
                future.set_exception(carried(self, exc))
            else:
                future.set_result(value)

        self.add_done_callback(settle)
        return future

    # Steering it

    def cancel(self) -> bool:
        """True if the job will now never start (again); a running one is told, as in threads,
        and sees it within about a second."""
        if self.unsent.take():
            self.learn(closed(self.known, Status.CANCELLED, "cancelled unsent"))
            return True
        return self.engine.cancel(self)

    def reschedule(self, delay: float | timedelta) -> bool:
        raise NotSupported(
            f"{self!r}: {self.engine.name} cannot change when a job is due; cancel() it and "
            f"enqueue it again with perform_in"
        )

    def run_now(self) -> bool:
        return self.reschedule(0.0)

    def retry(self) -> Handle[R]:
        self.look()
        return super().retry()
