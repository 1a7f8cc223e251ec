"""The object that an enqueue returns.

A ``Handle`` is the queue item, the receipt and the record of one job all at once. It is
made for every enqueue, so it has slots, no lock, no event and no ``Future``: what few jobs
need (a delay, an error text, progress) lives in ``More``, made when first needed, and
whoever waits is kept in the runtime's table of watchers.

Who may change a handle: the one who took it out of its container (a queue, the set of
delayed jobs, the set of running jobs). Taking out is one atomic step, so a worker, the
scheduler, ``cancel()`` and the drain can race for a job and exactly one of them gets it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ._clock import moment
from ._more import More
from ._overrides import Overrides
from ._parking import Parking, Sleeper
from ._status import (
    CANCELLED,
    DISCARDED,
    FAILED,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    TERMINAL,
    Status,
)
from .errors import Cancelled, CounterpunchError, Discarded, Lost
from .options import due_in, time_limit

if TYPE_CHECKING:
    from concurrent.futures import Future
    from contextvars import Context

    from ._lane import Lane

__all__ = ["NO_KWARGS", "Handle", "fill_handle", "new_handle"]

R = TypeVar("R")


NO_KWARGS: dict[str, Any] = {}


class Handle(Generic[R]):
    """One job: its state, its result, and the means to steer it.

    Attributes:
        args: Positional arguments, a tuple, as given.
        attempt: Number of the latest attempt, from 1; 0 before the first.
    """

    __slots__ = (
        "__weakref__",
        "_context",
        "_due",
        "_enqueued",
        "_finished",
        "_kwargs",
        "_lane",
        "_more",
        "_number",
        "_outcome",
        "_started",
        "_state",
        "args",
        "attempt",
    )
    #: The job runs on the thread of an engine's worker.
    _foreign = False

    # No __init__: the short path in _express would pay for its frame more than for all the
    # rest of the object. ``new_handle`` below sets the same fields.
    _lane: Lane
    _number: int
    args: tuple[Any, ...]
    _kwargs: dict[str, Any]
    _context: Context | None
    _enqueued: float  # an instant of the monotonic clock, as those below
    _due: float  # when it, or its next attempt, is due
    _state: Status
    attempt: int
    _started: float | None
    _finished: float | None
    _outcome: Any
    _more: More | None

    def __repr__(self) -> str:
        return f"<Handle {self.job.__qualname__} {self.id} {self._state.value}>"

    def __lt__(self, other: object) -> bool:
        """Order of acceptance: decides between two jobs that are due at the same instant."""
        if not isinstance(other, Handle):
            return False  # a timer of the same instant goes first
        return (self._enqueued, self._number) < (other._enqueued, other._number)

    # What it is

    @property
    def id(self) -> str:
        """Unique within this process and very likely beyond it; opaque."""
        return f"{self._lane.prefix}{self._number:x}"

    @property
    def job(self) -> type[Any]:
        """The job class."""
        return self._lane.job

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments as given: a fresh dict, the values are not copied."""
        return dict(self._kwargs)

    @property
    def status(self) -> Status:
        """Where the job is now."""
        return self._state

    @property
    def enqueued_at(self) -> datetime:
        """When the job was accepted, aware, UTC."""
        return self._wall(self._enqueued)

    @property
    def run_at(self) -> datetime:
        """When it is (or was) due: ``enqueued_at`` unless delayed, the next attempt's
        time while it waits for a retry. Aware, UTC."""
        more = self._more
        if more is not None and more.when is not None:
            return moment(more.when)
        return self._wall(self._due)

    @property
    def started_at(self) -> datetime | None:
        """When the latest attempt started, aware, UTC; None before the first."""
        return None if self._started is None else self._wall(self._started)

    @property
    def finished_at(self) -> datetime | None:
        """When the job reached its terminal status, aware, UTC; None before."""
        return None if self._finished is None else self._wall(self._finished)

    @property
    def progress(self) -> tuple[float, float | None, str] | None:
        """``(done, total, message)`` as the job last reported it, or None."""
        return None if self._more is None else self._more.progress

    @property
    def data(self) -> dict[str, Any]:
        """What the job stored with ``set_status``: a copy."""
        return dict(self._more.data) if self._more is not None and self._more.data else {}

    @property
    def error(self) -> str | None:
        """Why it was discarded, cancelled or lost; else the latest failure with its traceback."""
        return None if self._more is None else self._more.reason or self._more.error

    @property
    def tags(self) -> frozenset[str]:
        """Labels of the class and of ``using(tags=...)`` together."""
        own: frozenset[str] = self._option("tags")
        return own | self._lane.options.tags

    @property
    def options(self) -> Overrides:
        """The options that ``using(...)`` may change, with the values that count for this
        job. Settable in ``around_enqueue`` and ``on_enqueue``, read-only afterwards."""
        return Overrides(self)

    def as_dict(self) -> dict[str, Any]:
        """The job as plain JSON values, for a page that polls it. Arguments are left out."""
        moments = {
            name: None if when is None else when.isoformat()
            for name, when in (
                ("enqueued_at", self.enqueued_at),
                ("run_at", self.run_at),
                ("started_at", self.started_at),
                ("finished_at", self.finished_at),
            )
        }
        error = self.error
        return {
            "id": self.id,
            "job": self.job.__qualname__,
            "status": self.status.value,
            "attempt": self.attempt,
            **moments,
            "progress": self.progress,
            "data": self.data,
            "error": error.strip().rsplit("\n", 1)[-1] if error else None,
        }

    # Waiting for it

    def done(self) -> bool:
        """True once the status is terminal."""
        return self._state in TERMINAL

    def running(self) -> bool:
        """True while an attempt is running."""
        return self._state is RUNNING

    def cancelled(self) -> bool:
        """True once the job has ended as ``cancelled``."""
        return self._state is CANCELLED

    def result(self, timeout: float | timedelta | None = None) -> R:
        """What ``perform`` returned. Waits for the end of the job, retries included.

        Inside a job it keeps the worker. If no other worker is left to run what it waits for,
        because all of them wait so, it is run right there. That needs a wait without a timeout.

        Args:
            timeout: Seconds to wait at most; None waits without limit.

        Raises:
            TimeoutError: If the job has not ended by then.
            InvalidOption: (a ``ValueError``) for a timeout that is NaN or no time.
            Cancelled, Discarded, Lost: If it ended that way.
            CounterpunchError: In a job, without a timeout: if it waits for itself, or for a
                job that waits for it; the message names them.
            BaseException: Its own, if it failed.
        """
        try:
            self._wait(timeout)
            if self._state is SUCCEEDED:
                outcome: R = self._outcome
                return outcome
            raise self._failure()
        finally:
            del self  # a frame that the exception holds, which the handle holds

    def exception(self, timeout: float | timedelta | None = None) -> BaseException | None:
        """The exception that ``result`` would raise, or None after success.

        Raises:
            TimeoutError: If the job has not ended after ``timeout`` seconds.
            Cancelled: If the job was cancelled, as ``Future.exception`` does.
        """
        self._wait(timeout)
        if self._state is SUCCEEDED:
            return None
        if self._state is CANCELLED:
            raise self._failure()
        return self._failure()

    def add_done_callback(self, fn: Callable[[Handle[R]], object]) -> None:
        """Call ``fn(handle)`` once the job has ended; at once if it already has.

        It runs on the thread that ended the job. An exception it raises is logged.
        """
        self._lane.runtime.watch(self, fn)

    def future(self) -> Future[R]:
        """A ``concurrent.futures.Future`` that follows this job, for ``wait`` and the like.

        Cancelling the future does not cancel the job. A job that is cancelled gives its future
        the exception ``Cancelled``; the future itself is then not ``cancelled()``, which
        ``asyncio.wrap_future`` would take for a cancellation of the task that waits.
        """
        from concurrent.futures import Future

        future: Future[R] = Future()

        def settle(handle: Handle[R]) -> None:
            if not future.set_running_or_notify_cancel():
                return
            if handle._state is SUCCEEDED:
                future.set_result(handle._outcome)
            else:
                future.set_exception(handle._failure())

        self.add_done_callback(settle)
        return future

    def __await__(self) -> Generator[Any, None, R]:
        """``await handle``: as ``result()``, without blocking the event loop.

        Cancelling the waiting task leaves the job alone.
        """
        import asyncio

        loop = asyncio.get_running_loop()
        waiter = loop.create_future()

        def arrived() -> None:
            if not waiter.done():
                waiter.set_result(None)

        def ended(_: object) -> None:
            try:
                loop.call_soon_threadsafe(arrived)
            except RuntimeError:
                pass  # the loop was closed meanwhile; nobody waits any more

        runtime = self._lane.runtime
        if self._state not in TERMINAL:
            runtime.before_wait(self)
            runtime.watch(self, ended)
            try:
                yield from waiter
            finally:
                runtime.unwatch(self, ended)
        try:
            return self.result(0)
        finally:
            del self  # as in ``result``

    # Steering it

    def cancel(self) -> bool:
        """True if the job will now never start (again).

        A running job has its cancel token set, which ``self.cancelled`` and
        ``self.check_cancelled()`` show to it, and False is returned; so is it for a job
        that has ended, unless it had been cancelled.
        """
        return self._lane.runtime.cancel(self)

    def reschedule(self, delay: float | timedelta) -> bool:
        """Make a waiting job due in ``delay`` seconds from now.

        False if it no longer waits, and for a job that waits for its transaction
        (``after_commit``), which is due by what the enqueue said.

        Raises:
            InvalidOption: (a ``ValueError``) for a negative or not finite delay.
        """
        seconds = due_in(f"{self.job.__qualname__}.reschedule", delay)
        return self._lane.runtime.reschedule(self, seconds)

    def run_now(self) -> bool:
        """Make a delayed or retry-waiting job due now; True and False as ``reschedule``."""
        return self._lane.runtime.reschedule(self, 0.0)

    def retry(self) -> Handle[R]:
        """Enqueue the same arguments again, as a new job with an id of its own.

        Raises as ``perform_async``, and a ``unique`` class answers as to any enqueue.

        Raises:
            CounterpunchError: If this job has not ended yet.
        """
        if self._state not in TERMINAL:
            raise CounterpunchError(
                f"{self!r} has not ended; run_now() brings a waiting job forward"
            )
        options = None if self._more is None else self._more.options
        handle: Handle[R] = self._lane.runtime.again(self, options)
        return handle

    # For the runtime

    def _wall(self, instant: float) -> datetime:
        return moment(instant + self._lane.runtime.wall_offset)

    def _option(self, name: str) -> Any:
        """An option of this job: the one of ``using(...)``, else the class's."""
        more = self._more
        if more is not None and more.options is not None and name in more.options:
            return more.options[name]
        return getattr(self._lane.options, name)

    def _extra(self) -> More:
        """The rare fields. Called only by the one who holds the job, see the module."""
        more = self._more
        if more is None:
            more = self._more = More()
        return more

    def _cancel_requested(self) -> bool:
        return self._lane.runtime.cancel_requested(self)

    def _wait(self, timeout: float | timedelta | None) -> None:
        limit = None if timeout is None else time_limit(f"{self.job.__qualname__}.result", timeout)
        if self._state in TERMINAL:
            return
        runtime = self._lane.runtime
        runtime.before_wait(self)
        if limit is None and runtime.wait_in_job(self):
            return
        parking, sleeper = Parking(), Sleeper()
        done: deque[None] = deque()

        def ended(_: object) -> None:
            done.append(None)
            parking.nudge()

        runtime.watch(self, ended)
        try:
            if not parking.park(sleeper, lambda: done, limit):
                raise TimeoutError(f"{self!r} has not ended after {limit or 0:g} s")
        finally:  # who asks for a job again and again leaves nothing behind
            runtime.unwatch(self, ended)

    def _failure(self) -> BaseException:
        """What ``result`` raises: the job's own exception, or ours that says how it ended."""
        if self._state is FAILED:
            exc: BaseException = self._outcome
            return exc.with_traceback(None)
        reason = self._more.reason if self._more is not None else None
        text = f"{self.job.__qualname__} {self.id} was {self._state.value}"
        kind = {CANCELLED: Cancelled, DISCARDED: Discarded}.get(self._state, Lost)
        return kind(f"{text}: {reason}" if reason else text)


def new_handle(
    lane: Lane,
    number: int,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: Context | None,
    enqueued: float,
) -> Handle[Any]:
    """A job that is in no container yet, already marked as queued and due at once."""
    call: Handle[Any] = Handle()
    fill_handle(call, lane, number, args, kwargs, context, enqueued)
    return call


def fill_handle(
    call: Handle[Any],
    lane: Lane,
    number: int,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: Context | None,
    enqueued: float,
) -> None:
    """The fields of ``new_handle``, for a class of handles that has more of its own."""
    call._lane = lane
    call._number = number
    call.args = args
    call._kwargs = kwargs
    call._context = context
    call._enqueued = call._due = enqueued
    call._state = QUEUED
    call.attempt = 0
    call._started = call._finished = call._outcome = call._more = None
