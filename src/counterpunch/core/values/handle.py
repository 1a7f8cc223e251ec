"""The object that an enqueue returns: the face of a job's record.

What it knows is in ``record``; what it can do is asked of the ``Keeper`` of the job's lane.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextvars import Context
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .clock import moment
from .error_text import head_of
from .errors import Cancelled, CounterpunchError, Discarded, Lost
from .future import awaited, future_of, on_its_loop
from .jsonable import jsonable
from .keeper import Keeper
from .overrides import Overrides
from .record import Record, fill
from .status import CANCELLED, DISCARDED, FAILED, RUNNING, SUCCEEDED, TERMINAL, Status
from .times import due_in, time_limit
from .twin import without_frames

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Call", "Handle", "new_handle"]

R = TypeVar("R")


class Handle(Record, Generic[R]):
    """One job: its state, its result, and the means to steer it.

    Attributes:
        args: Positional arguments, a tuple, as given.
        attempt: Number of the latest attempt, from 1; 0 before the first.
    """

    __slots__ = ()

    # What it is

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments as given: a fresh dict, the values are not copied."""
        return dict(self.named)

    @property
    def status(self) -> Status:
        """Where the job is now."""
        return self.state

    @property
    def enqueued_at(self) -> datetime:
        """When the job was accepted, aware, UTC."""
        return self._wall(self.enqueued)

    @property
    def run_at(self) -> datetime:
        """When it is (or was) due: ``enqueued_at`` unless delayed, the next attempt's time while it
        waits for a retry, when the ``rate`` lets it start as things stand. Aware, UTC."""
        more = self.more
        if more is not None and more.when is not None:
            return moment(more.when)
        return self._wall(self.lane.expected(self))

    @property
    def started_at(self) -> datetime | None:
        """When the latest attempt started, aware, UTC; None before the first."""
        return None if self.started is None else self._wall(self.started)

    @property
    def finished_at(self) -> datetime | None:
        """When the job reached its terminal status, aware, UTC; None before."""
        return None if self.finished is None else self._wall(self.finished)

    @property
    def progress(self) -> tuple[float, float | None, str] | None:
        """``(done, total, message)`` as the job last reported it, or None."""
        return None if self.more is None else self.more.progress

    @property
    def data(self) -> dict[str, Any]:
        """What the job stored with ``set_status``: a copy."""
        return dict(self.more.data) if self.more is not None and self.more.data else {}

    @property
    def error(self) -> str | None:
        """Why it was discarded, cancelled or lost; else a failure's type, message, traceback."""
        return None if self.more is None else self.more.reason or self.more.error

    @property
    def tags(self) -> frozenset[str]:
        """Labels of the class and of ``using(tags=...)`` together."""
        own: frozenset[str] = self.option("tags")
        all_of_them: frozenset[str] = own | self.lane.options.tags
        return all_of_them

    @property
    def options(self) -> Overrides:
        """The options that ``using(...)`` may change, with the values that count for this
        job. Settable in ``around_enqueue`` and ``on_enqueue``, read-only afterwards."""
        return Overrides(self)

    def as_dict(self) -> dict[str, Any]:
        """The job as JSON values, strictly, for a page that polls it; without its arguments.

        ``progress`` is ``[done, total, message]``, ``error`` type and message alone. What JSON
        cannot say is text: dates, decimals and ids as written, a short ``repr`` of all else.
        """
        names = ("enqueued_at", "run_at", "started_at", "finished_at")
        moments = {name: (when := getattr(self, name)) and when.isoformat() for name in names}
        error = self.error
        return {
            "id": self.id,
            "job": self.job.__qualname__,
            "status": self.status.value,
            "attempt": self.attempt,
            **moments,
            "progress": jsonable(self.progress),
            "data": jsonable(self.data),
            "error": None if error is None else head_of(error),
        }

    # Waiting for it

    def done(self) -> bool:
        """True once the status is terminal."""
        return self.state in TERMINAL

    def running(self) -> bool:
        """True while an attempt is running."""
        return self.state is RUNNING

    def cancelled(self) -> bool:
        """True once the job has ended as ``cancelled``."""
        return self.state is CANCELLED

    def result(self, timeout: float | timedelta | None = None) -> R:
        """What ``perform`` returned. Waits for the end of the job, retries included.

        Inside a job it keeps the worker. If no other worker is left to run what it waits for,
        because all of them wait so, it is run right there. That needs a wait without a timeout.
        On the thread of a running event loop it blocks that: a ``RuntimeWarning``, once per place.

        Args:
            timeout: Seconds to wait at most; None waits without limit.

        Raises:
            TimeoutError: If the job has not ended by then.
            InvalidOption: (a ``ValueError``) for a timeout that is NaN or no time.
            Cancelled, Discarded, Lost: If it ended that way.
            CounterpunchError: In a job, without a timeout: if it waits for itself, or for a
                job that waits for it; the message names them. On the loop that the job runs on.
            BaseException: Its own, if it failed.
        """
        try:
            self.wait(timeout)
            if self.state is SUCCEEDED:
                outcome: R = self.outcome
                return outcome
            raise self.failure()
        finally:
            del self  # a frame that the exception holds, which the handle holds

    def exception(self, timeout: float | timedelta | None = None) -> BaseException | None:
        """The exception that ``result`` would raise, or None after success; each call gives a copy.

        Raises:
            TimeoutError: If the job has not ended after ``timeout`` seconds.
            Cancelled: If the job was cancelled, as ``Future.exception`` does.
        """
        self.wait(timeout)
        if self.state is SUCCEEDED:
            return None
        if self.state is CANCELLED:
            raise self.failure()
        return self.failure()

    def add_done_callback(self, fn: Callable[[Handle[R]], object]) -> None:
        """Call ``fn(handle)`` once the job has ended; at once if it already has.

        It runs on the thread that ended the job, mostly a worker of its class (which must not wait
        for another job of that); or on one for this, if a time did. An exception is logged.
        """
        self.lane.keeper.watch(self, on_its_loop(fn))

    def remove_done_callback(self, fn: Callable[[Handle[R]], object]) -> None:
        """Take a callback back that has not been called yet."""
        self.lane.keeper.unwatch(self, fn)

    def future(self) -> Future[R]:
        """A ``concurrent.futures.Future`` that follows this job, for ``wait`` and the like.

        Cancelling the future does not cancel the job. A job that is cancelled gives its future
        the exception ``Cancelled``; the future itself is then not ``cancelled()``, which
        ``asyncio.wrap_future`` would take for a cancellation of the task that waits. What the
        job's own is raised as is said at ``__await__``.
        """
        return future_of(self)

    def __await__(self) -> Generator[Any, None, R]:
        """``await handle``, in a task of asyncio or trio: as ``result()``, without blocking it.

        Cancelling the waiting task leaves the job alone. If the job failed with what would end
        the waiting task or its loop (``SystemExit``, ``asyncio.CancelledError``), it is the cause
        of a ``CounterpunchError``.
        """
        return awaited(self)

    # Steering it

    def cancel(self) -> bool:
        """True if the job will now never start (again).

        A running job has its cancel token set, which ``self.cancelled`` and
        ``self.check_cancelled()`` show to it, and False is returned; so is it for a job
        that has ended, unless it had been cancelled.
        """
        keeper: Keeper = self.lane.keeper
        return keeper.cancel(self)

    def reschedule(self, delay: float | timedelta) -> bool:
        """Make a waiting job due in ``delay`` seconds from now.

        False if it no longer waits, or waits for its transaction (``after_commit``).

        Raises:
            InvalidOption: (a ``ValueError``) for a negative or not finite delay.
            QueueFull: With delay 0, where it would be discarded; it waits on as before.
        """
        seconds = due_in(f"{self.job.__qualname__}.reschedule", delay)
        keeper: Keeper = self.lane.keeper
        return keeper.reschedule(self, seconds)

    def run_now(self) -> bool:
        """``reschedule(0)``. A job that waits for its class's ``rate`` keeps its place."""
        keeper: Keeper = self.lane.keeper
        return keeper.reschedule(self, 0.0)

    def retry(self) -> Handle[R]:
        """Enqueue the same arguments again, as a new job with an id of its own: ``retried_as``.
        Called again it returns that one, whose own ``retry()`` is the next.

        Raises as ``perform_async``, and a ``unique`` class answers as to any enqueue.

        Raises:
            CounterpunchError: If this job has not ended yet.
        """
        if self.state not in TERMINAL:
            raise CounterpunchError(
                f"{self!r} has not ended; run_now() brings a waiting job forward"
            )
        options = None if self.more is None else self.more.options
        handle: Handle[R] = self.lane.keeper.again(self, options)
        return handle

    # For the runtime

    def _wall(self, instant: float) -> datetime:
        return moment(instant + self.lane.keeper.wall_offset)

    def wait(self, timeout: float | timedelta | None = None) -> None:
        """Sleep until the job has ended.

        Raises:
            TimeoutError, InvalidOption, CounterpunchError: As ``result``.
        """
        limit = None if timeout is None else time_limit(f"{self.job.__qualname__}.result", timeout)
        if self.state not in TERMINAL and not self.lane.keeper.wait(self, limit):
            raise TimeoutError(f"{self!r} has not ended after {limit or 0:g} s")

    def failure(self) -> BaseException:
        """What ``result`` raises: the job's own exception, or ours that says how it ended."""
        if self.state is FAILED:
            return without_frames(self.outcome)
        reason = self.more.reason if self.more is not None else None
        text = f"{self.job.__qualname__} {self.id} was {self.state.value}"
        kind = {CANCELLED: Cancelled, DISCARDED: Discarded}.get(self.state, Lost)
        return kind(f"{text}: {reason}" if reason else text)


#: How the core calls a job: a handle, whatever its result.
Call = Handle[Any]


def new_handle(
    lane: Any,
    number: int,
    args: tuple[Any, ...],
    named: dict[str, Any],
    context: Context | None,
    enqueued: float,
) -> Handle[Any]:
    """A job that is in no container yet, already marked as queued and due at once."""
    call: Handle[Any] = Handle()
    fill(call, lane, number, args, named, context, enqueued)
    return call
