"""Test modes: run jobs at once (``inline``), or record them and run them on demand (``fake``).

Each mode puts a runtime without threads in front of the real one, for the code inside the
``with`` and for every thread that code starts. Everything else is the pipeline of
production: the same checks, middleware, hooks, retries and counters. Nothing is patched,
and ``stats()``, ``find()`` and ``jobs()`` show the mode's own jobs meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

from ._clock import VirtualClock, moment
from ._function import job_class
from ._runtime import Runtime, installed
from ._status import DEFERRED, FAILED, LOST, QUEUED, RETRYING, SCHEDULED, TERMINAL
from .errors import CounterpunchError, InvalidOption, shorten
from .handle import Handle
from .options import due_at, due_in

__all__ = ["DRAIN_LIMIT", "Fake", "fake", "inline"]

#: A drain of ``fake()`` runs no more attempts than this: a job that always enqueues itself
#: again would otherwise never let the test end.
DRAIN_LIMIT = 10_000
#: So many jobs that have ended are named where one is missed.
LISTED = 10
#: Sums of delays such as 0.7 + 0.1 miss 0.8 by less than this many seconds.
ROUNDING = 1e-6


#: What is said of a job that waits for a transaction.
UNCOMMITTED = (
    "waits for its transaction to commit (after_commit); Django's TestCase never commits: put "
    "`with self.captureOnCommitCallbacks(execute=True):` around what enqueues it"
)


class _Mode(Runtime):
    """A runtime without threads; jobs run on the thread that says so."""

    keep_frames = True

    def __init__(self, start: float | None = None) -> None:
        super().__init__(threads=False, clock=VirtualClock(start))
        self.virtual: VirtualClock = self.clock  # type: ignore[assignment]

    def wait_idle(self, timeout: float | None = None, delayed: bool = False) -> bool:
        """What is idle now stays so: nothing runs by itself here."""
        self.scheduler.run_due()  # what is due counts as queued; the rest is not on its way
        return self.idle(delayed)

    def run(self, call: Handle[Any]) -> None:
        """Run one attempt of a job that was taken out of its queue, here."""
        self.run_here(call)


class _Inline(_Mode):
    """Runs each job where it is enqueued, to its end."""

    name = "inline"

    def before_wait(self, call: Handle[Any]) -> None:
        _refuse_deferred(call)

    def place(self, call: Handle[Any], due: float | None) -> None:
        if due is not None:
            self._schedule(call, due)
        else:
            call._lane.push(call)
        self.finish(call)

    def undefer(self, call: Handle[Any], due: float | None, dropped: str | None) -> None:
        super().undefer(call, due, dropped)
        self.finish(call)

    def finish(self, call: Handle[Any]) -> None:
        """Run a job to its terminal status; raise its own exception if it failed."""
        while call._state not in TERMINAL:
            if call._state in (SCHEDULED, RETRYING):
                self.virtual.move_to(call._due)  # delays are not waited for
                self.reschedule(call, 0.0)
            if call._state is not QUEUED or not call._lane.withdraw(call):
                return  # deferred, or another thread is at it
            self.run(call)
        _reraise(call)


class _Recording(_Mode):
    name = "fake"

    def __init__(self, start: float | None) -> None:
        super().__init__(start)
        #: How many enqueues came before: in virtual time many jobs have the same instant.
        self.order: WeakKeyDictionary[Handle[Any], int] = WeakKeyDictionary()
        self._enqueues = count()

    def enqueue(self, *args: Any, **kwargs: Any) -> Handle[Any]:
        call = super().enqueue(*args, **kwargs)
        self.order.setdefault(call, next(self._enqueues))
        return call

    def before_wait(self, call: Handle[Any]) -> None:
        _refuse_deferred(call)
        raise CounterpunchError(
            f"{call!r} waits in testing.fake(), where nothing runs by itself: call drain(), "
            f"perform_one() or advance(seconds) before waiting for its result"
        )


class Fake:
    """What ``fake()`` gives: the recorded jobs, and the means to run them."""

    def __init__(self, runtime: _Recording) -> None:
        self._runtime = runtime

    @property
    def jobs(self) -> list[Handle[Any]]:
        """The waiting jobs in the order in which they would run: queued, then by due time."""
        runtime = self._runtime
        queued = sorted(
            (call for lane in runtime.lanes.values() for call in lane.queued_calls()),
            key=self._order,
        )
        delayed = sorted(
            (call for lane in runtime.lanes.values() for call in (*lane.scheduled, *lane.retrying)),
            key=lambda call: (_due(call), call._enqueued, runtime.order.get(call, 0)),
        )
        return queued + delayed

    @property
    def now(self) -> datetime:
        """The virtual wall clock, aware, UTC."""
        return moment(self._runtime.clock.time())

    def drain(self, limit: int = DRAIN_LIMIT) -> int:
        """Run what is queued, and what that enqueues, until nothing is due.

        Delayed jobs and retry waits stay; ``advance`` reaches them. Jobs go on after one
        has failed; the first failure is raised at the end.

        Args:
            limit: Attempts at most.

        Returns:
            How many attempts ran.

        Raises:
            BaseException: The first failed job's own exception, after its last attempt.
            CounterpunchError: If ``limit`` attempts were not enough.
        """
        failures: list[Handle[Any]] = []
        ran = self._drain(limit, failures)
        if failures:
            _reraise(failures[0])
        return ran

    def perform_one(self, job: Any = None) -> Handle[Any]:
        """Run one attempt of the next queued job (of ``job``, if given); returns its handle.

        Like ``drain`` it leaves out the jobs of a paused class.

        Raises:
            CounterpunchError: If none is queued.
            BaseException: The job's own, if that attempt was its last.
        """
        self._runtime.scheduler.run_due()
        cls = None if job is None else job_class(job)
        for call in self.jobs:
            wanted = call._state is QUEUED and (cls is None or call.job is cls)
            if wanted and not call._lane.paused and call._lane.withdraw(call):
                self._runtime.run(call)
                _reraise(call)
                return call
        name = "job" if cls is None else cls.__qualname__
        raise CounterpunchError(f"no {name} is queued; waiting: {self._listing()}")

    def advance(self, seconds: float | timedelta, limit: int = DRAIN_LIMIT) -> int:
        """Let virtual time pass, and run everything that falls due, at its due time, in order.

        Returns and raises as ``drain``; what was queued before runs first.
        """
        runtime = self._runtime
        end = runtime.clock.monotonic() + due_in("fake.advance", seconds)
        failures: list[Handle[Any]] = []
        ran = self._drain(limit, failures)
        while True:
            wait = runtime.scheduler.next_in()
            now = runtime.clock.monotonic()
            if wait is None or now + wait > end + ROUNDING:
                break
            runtime.virtual.move_to(_next_instant(runtime, now + wait))
            runtime.scheduler.run_due()
            ran = self._drain(limit, failures, ran)
        runtime.virtual.move_to(end)
        if failures:
            _reraise(failures[0])
        return ran

    def clear(self) -> None:
        """Cancel everything that waits."""
        for call in self.jobs:
            call.cancel()

    def assert_enqueued(
        self,
        job: Any,
        args: tuple[Any, ...] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        within: float | timedelta | None = None,
    ) -> Handle[Any]:
        """Assert that a waiting job of the class matches, and return its handle.

        Args:
            job: The class, or the decorated function.
            args: All positional arguments; None matches any.
            kwargs: All keyword arguments; None matches any.
            within: It must be due at most this many seconds from now.

        Raises:
            AssertionError: If none does; says what waits instead.
            InvalidOption: If ``args`` is no tuple or list, as ``args=(42)`` is not.
        """
        cls = job_class(job)
        if args is not None and not isinstance(args, (tuple, list)):
            raise InvalidOption("assert_enqueued", "args", args, "a tuple, such as (42,)")
        limit = None if within is None else due_in("assert_enqueued", within)
        for call in self.jobs:
            if (
                call.job is cls
                and (args is None or call.args == tuple(args))
                and (kwargs is None or call._kwargs == dict(kwargs))
                and (limit is None or self._due_in(call) <= limit + ROUNDING)
            ):
                return call
        wanted = [cls.__qualname__]
        wanted += [] if args is None else [f"args={shorten(tuple(args))}"]
        wanted += [] if kwargs is None else [f"kwargs={shorten(dict(kwargs))}"]
        wanted += [] if limit is None else [f"within={limit:g} s"]
        raise AssertionError(f"not enqueued: {' '.join(wanted)}\nenqueued: {self._listing()}")

    def assert_not_enqueued(self, job: Any) -> None:
        """Assert that no job of the class waits.

        Raises:
            AssertionError: If one does; says which.
        """
        cls = job_class(job)
        if any(call.job is cls for call in self.jobs):
            raise AssertionError(
                f"enqueued, but should not be: {cls.__qualname__}\nenqueued: {self._listing()}"
            )

    def _drain(self, limit: int, failures: list[Handle[Any]], ran: int = 0) -> int:
        runtime = self._runtime
        while True:
            runtime.scheduler.run_due()
            call = self._next_queued()
            if call is None:
                return ran
            if ran >= limit:
                raise CounterpunchError(
                    f"{limit} attempts ran and jobs are still due, {call!r} next: does a job "
                    f"enqueue itself without end? Otherwise pass a higher limit"
                )
            if call._lane.withdraw(call):
                ran += 1
                runtime.run(call)
                if call._state is FAILED:
                    failures.append(call)

    def _next_queued(self) -> Handle[Any] | None:
        """The first of ``jobs``, by looking at the head of each queue only."""
        heads = [
            queue[0]
            for pool in list(self._runtime.pools.values())
            for queue in pool.levels
            if queue
        ]
        return min(heads, key=self._order, default=None)

    def _order(self, call: Handle[Any]) -> tuple[float, ...]:
        order = self._runtime.order.get(call, 0)
        return (-call._option("priority"), _due(call), call._enqueued, order)

    def _due_in(self, call: Handle[Any]) -> float:
        return max(0.0, _due(call) - self._runtime.clock.monotonic())

    def _listing(self) -> str:
        lines = []
        for call in self.jobs:
            due = self._due_in(call)
            when = "" if due == 0 else f" in {due:g} s"
            lines.append(f"  {call.job.__qualname__} args={call.args} kwargs={call.kwargs}{when}")
        for lane in self._runtime.lanes.values():
            lines += [f"  not yet: {call!r} {UNCOMMITTED}" for call in lane.deferred]
        lines += [f"  no longer: {call!r}" for call in self._runtime.remembered()[-LISTED:]]
        return "\n" + "\n".join(lines) if lines else "nothing"


def _refuse_deferred(call: Handle[Any]) -> None:
    if call._state is DEFERRED:
        raise CounterpunchError(f"{call!r} {UNCOMMITTED}")


def _due(call: Handle[Any]) -> float:
    return call._due


def _next_instant(runtime: Runtime, instant: float) -> float:
    """The instant to move to, past the rounding of wall clock arithmetic."""
    scheduler = runtime.scheduler
    step = 1e-6
    while True:
        offset = instant - runtime.clock.monotonic()
        wall = runtime.clock.time() + offset
        due_wall = scheduler.next_wall()
        due = scheduler.next_monotonic()
        if (due is not None and due <= instant) or (due_wall is not None and due_wall <= wall):
            return instant
        instant += step
        step *= 2


def _reraise(call: Handle[Any]) -> None:
    if call._state is FAILED:
        raise call._outcome


_modes_lock = threading.Lock()


@contextmanager
def _mode(runtime: _Mode) -> Iterator[None]:
    with _modes_lock:
        installed.modes = (*installed.modes, runtime)
    _close_gates()
    try:
        yield
    finally:
        with _modes_lock:
            installed.modes = tuple(mode for mode in installed.modes if mode is not runtime)
        runtime.close_gates()
        while _drop_waiting(runtime):  # a batch that ends with them may enqueue its callback
            pass


def _drop_waiting(runtime: _Mode) -> bool:
    dropped = False
    for lane in list(runtime.lanes.values()):
        for call in list(runtime.live(lane)):
            if call._state not in TERMINAL and runtime._take_back(call, lane):
                runtime.end(call, LOST, "the test mode ended before it ran")
                dropped = True
    return dropped


def _close_gates() -> None:
    for runtime in (installed.runtime, *installed.modes):
        if runtime is not None:
            runtime.close_gates()


@contextmanager
def inline() -> Iterator[None]:
    """Run each job where it is enqueued, on that thread, to its end.

    The enqueue returns the finished handle. Delays are not waited for, retries follow at
    once, up to ``max_attempts``; a job that then has failed raises its own exception to
    the caller of the enqueue. Jobs enqueued by a job run inline too. May be nested.

    Nothing watches ``timeout`` here, nor under ``fake()``: virtual time stands still while a
    job runs. A job that loops until ``self.cancelled`` needs a limit of its own in a test.
    """
    with _mode(_Inline()):
        yield


@contextmanager
def fake(now: datetime | float | None = None) -> Iterator[Fake]:
    """Record enqueued jobs; they run on this thread when the test says so, in virtual time.

    Args:
        now: What the virtual wall clock shows first: an aware datetime, or epoch seconds.
            Default: the real time.

    Yields:
        A ``Fake``: ``jobs``, ``drain()``, ``perform_one()``, ``advance(seconds)``,
        ``clear()``, ``assert_enqueued(...)``. What still waits at the end is dropped.
    """
    runtime = _Recording(None if now is None else due_at("fake", now))
    with _mode(runtime):
        yield Fake(runtime)
