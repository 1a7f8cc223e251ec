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
from functools import partial
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

from .core.port import (
    DEFERRED,
    FAILED,
    LOST,
    QUEUED,
    RETRYING,
    SCHEDULED,
    TERMINAL,
    CounterpunchError,
    Handle,
    InvalidOption,
    Mode,
    Runtime,
    VirtualClock,
    due_at,
    due_in,
    installed,
    moment,
    shorten,
)
from .define.job_function import job_class

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


class _TestMode(Mode):
    """A runtime without threads; jobs run on the thread that says so."""

    def __init__(self, start: float | None = None) -> None:
        self.clock = VirtualClock(start)
        self.runtime = Runtime(threads=False, clock=self.clock, mode=self)

    def before_wait(self, call: Any) -> None:
        if call.state is DEFERRED:
            raise CounterpunchError(f"{call!r} {UNCOMMITTED}")


class _Inline(_TestMode):
    """Runs each job where it is enqueued, to its end."""

    name = "inline"

    def placed(self, call: Handle[Any]) -> None:
        """Run it to its terminal status; raise its own exception if it failed."""
        runtime = self.runtime
        while call.state not in TERMINAL:
            if call.state in (SCHEDULED, RETRYING):
                self.clock.move_to(call.due)  # delays are not waited for
                runtime.reschedule(call, 0.0)
            if call.state is not QUEUED or not runtime.withdraw(call, runtime.here.run):
                return  # deferred, or another thread is at it
        _reraise(call)


class _Recording(_TestMode):
    """Keeps each job until it is told to run it."""

    name = "fake"

    def __init__(self, start: float | None) -> None:
        super().__init__(start)
        #: How many enqueues came before: in virtual time many jobs have the same instant.
        self.order: WeakKeyDictionary[Handle[Any], int] = WeakKeyDictionary()
        self._enqueues = count()

    def placed(self, call: Handle[Any]) -> None:
        self.order.setdefault(call, next(self._enqueues))

    def before_wait(self, call: Any) -> None:
        super().before_wait(call)
        raise CounterpunchError(
            f"{call!r} waits in testing.fake(), where nothing runs by itself: call drain(), "
            f"perform_one() or advance(seconds) before waiting for its result"
        )


class Fake:
    """What ``fake()`` gives: the recorded jobs, and the means to run them."""

    def __init__(self, mode: _Recording) -> None:
        self._runtime, self._clock, self._orders = mode.runtime, mode.clock, mode.order

    @property
    def jobs(self) -> list[Handle[Any]]:
        """The waiting jobs in the order in which they would run: queued, then by due time."""
        runtime = self._runtime
        queued = sorted(
            (call for lane in runtime.registry.all() for call in lane.queued_calls()),
            key=self._order,
        )
        delayed = sorted(
            (call for lane in runtime.registry.all() for call in (*lane.scheduled, *lane.retrying)),
            key=lambda call: (call.due, call.enqueued, self._orders.get(call, 0)),
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
            wanted = call.state is QUEUED and (cls is None or call.job is cls)
            run = self._runtime.here.run
            if wanted and not call.lane.paused and self._runtime.withdraw(call, run):
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
            self._clock.move_to(_next_instant(runtime, now + wait))
            runtime.scheduler.run_due()
            ran = self._drain(limit, failures, ran)
        self._clock.move_to(end)
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
                and (kwargs is None or call.named == dict(kwargs))
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
            if runtime.withdraw(call, runtime.here.run):
                ran += 1
                if call.state is FAILED:
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
        order = self._orders.get(call, 0)
        return (-call.option("priority"), call.due, call.enqueued, order)

    def _due_in(self, call: Handle[Any]) -> float:
        return max(0.0, call.due - self._runtime.clock.monotonic())

    def _listing(self) -> str:
        lines = []
        for call in self.jobs:
            due = self._due_in(call)
            when = "" if due == 0 else f" in {due:g} s"
            lines.append(f"  {call.job.__qualname__} args={call.args} kwargs={call.kwargs}{when}")
        for lane in self._runtime.registry.all():
            lines += [f"  not yet: {call!r} {UNCOMMITTED}" for call in lane.deferred]
        lines += [f"  no longer: {call!r}" for call in self._runtime.history.remembered()[-LISTED:]]
        return "\n" + "\n".join(lines) if lines else "nothing"


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
    if call.state is FAILED:
        raise call.outcome


_modes_lock = threading.Lock()


@contextmanager
def _mode(runtime: Runtime) -> Iterator[None]:
    with _modes_lock:
        installed.modes = (*installed.modes, runtime)
    for each in installed.all():
        each.registry.close_gates()
    try:
        yield
    finally:
        with _modes_lock:
            installed.modes = tuple(mode for mode in installed.modes if mode is not runtime)
        runtime.registry.close_gates()
        while _drop_waiting(runtime):  # a batch that ends with them may enqueue its callback
            pass


def _drop_waiting(runtime: Runtime) -> bool:
    dropped = False
    end = partial(runtime.endings.end, status=LOST, reason="the test mode ended before it ran")
    for lane in runtime.registry.all():
        for call in runtime.whereabouts.live(lane):
            if call.state not in TERMINAL and runtime.steering.take_back(call, end):
                dropped = True
    return dropped


@contextmanager
def inline() -> Iterator[None]:
    """Run each job where it is enqueued, on that thread, to its end.

    The enqueue returns the finished handle. Delays are not waited for, retries follow at
    once, up to ``max_attempts``; a job that then has failed raises its own exception to
    the caller of the enqueue. Jobs enqueued by a job run inline too. May be nested.

    Nothing watches ``timeout`` here, nor under ``fake()``: virtual time stands still while a
    job runs. A job that loops until ``self.cancelled`` needs a limit of its own in a test.
    """
    with _mode(_Inline().runtime):
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
    mode = _Recording(None if now is None else due_at("fake", now))
    with _mode(mode.runtime):
        yield Fake(mode)
