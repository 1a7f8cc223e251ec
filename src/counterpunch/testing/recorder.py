"""What ``fake()`` gives: the recorded jobs, and the means to run them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Never

from ..core.port import Runtime, entries
from ..core.values.arguments import HIDDEN, hidden, shown_arguments
from ..core.values.clock import moment
from ..core.values.errors import CounterpunchError, InvalidOption, shorten
from ..core.values.failure import handed_over
from ..core.values.handle import Handle
from ..core.values.hiding import argument_text
from ..core.values.plan import plan_of
from ..core.values.short import clean
from ..core.values.status import FAILED, QUEUED
from ..core.values.times import due_in
from ..define.job_function import job_class
from .modes import UNCOMMITTED, Recording, reraise
from .order import starts_of

__all__ = ["DRAIN_LIMIT", "Fake"]

#: A drain of ``fake()`` runs no more attempts than this: a job that always enqueues itself
#: again would otherwise never let the test end.
DRAIN_LIMIT = 10_000
#: So many jobs that have ended are named where one is missed.
LISTED = 10
#: Sums of delays such as 0.7 + 0.1 miss 0.8 by less than this many seconds.
ROUNDING = 1e-6


class Fake:
    """What ``fake()`` gives: the recorded jobs, and the means to run them."""

    def __init__(self, mode: Recording) -> None:
        self._runtime, self._clock, self._orders = mode.runtime, mode.clock, mode.order
        self._kept: list[Handle[Any]] | None = None  # once its block has ended

    @property
    def jobs(self) -> list[Handle[Any]]:
        """The waiting jobs in the order in which they would run: queued, then by due time. After
        the block, those that still waited as it ended."""
        if self._kept is not None:
            return list(self._kept)
        starts = dict[Handle[Any], float]()
        for lane in self._runtime.registry.all():
            starts.update(starts_of(lane, self._order))
        return sorted(starts, key=lambda call: (starts[call], *self._order(call)))

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
        failures: list[BaseException] = []
        ran = self._drain(limit, failures)
        _raise_first(failures)
        return ran

    def perform_one(self, job: Any = None) -> Handle[Any]:
        """Run one attempt of the next queued job (of ``job``, if given); returns its handle.

        Like ``drain`` it leaves out the jobs of a paused class.

        Raises:
            CounterpunchError: If none is queued.
            BaseException: The job's own, if that attempt was its last.
        """
        self._must_be_open()
        self._runtime.scheduler.run_due()
        cls = None if job is None else job_class(job)
        for call in self.jobs:
            wanted = call.state is QUEUED and (cls is None or call.job is cls)
            run = self._runtime.here.run
            if wanted and not call.lane.paused and self._runtime.withdraw(call, run):
                reraise(call)
                return call
        name = "job" if cls is None else cls.__qualname__
        raise CounterpunchError(f"no {name} is queued; waiting: {self._listing()}")

    def advance(self, seconds: float | timedelta, limit: int = DRAIN_LIMIT) -> int:
        """Let virtual time pass, and run everything that falls due, at its due time, in order.

        Returns and raises as ``drain``; what was queued before runs first.
        """
        self._must_be_open()
        runtime = self._runtime
        end = runtime.clock.monotonic() + due_in("fake.advance", seconds)
        failures: list[BaseException] = []
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
        _raise_first(failures)
        return ran

    def clear(self, *job: Never) -> None:
        """Cancel everything that waits.

        Raises:
            InvalidOption: For an argument: one class is cleared by its ``cancel_all()``.
        """
        self._must_be_open()
        if job:
            allowed = "nothing: it cancels what waits of all classes; of one, Job.cancel_all() does"
            raise InvalidOption("clear", "job", job[0], allowed)
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
        options = plan_of(cls).options
        wanted += [] if args is None else [f"args={argument_text(options, tuple(args))}"]
        wanted += [] if kwargs is None else [f"kwargs={argument_text(options, dict(kwargs))}"]
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

    def close(self) -> None:
        """The block ends: what waits is kept as it is, to be read and asserted."""
        self._kept = self.jobs

    def _must_be_open(self) -> None:
        if self._kept is not None:
            raise CounterpunchError(
                "the block of this recorder has ended: what it has recorded can be read and "
                "asserted, and runs no more"
            )

    def _drain(self, limit: int, failures: list[BaseException], ran: int = 0) -> int:
        self._must_be_open()
        runtime = self._runtime
        if not isinstance(limit, int):
            allowed = "a number of attempts; the next job of one class is run by perform_one(Job)"
            raise InvalidOption("fake", "limit", limit, allowed)
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
                    failures.append(handed_over(call))

    def _next_queued(self) -> Handle[Any] | None:
        """The first of ``jobs``, by looking at the head of each queue only."""
        heads = [
            queue[0]
            for pool in entries(self._runtime.pools.values())
            for queue in pool.levels
            if queue
        ]
        return min(heads, key=self._order, default=None)

    def _order(self, call: Handle[Any]) -> tuple[float, ...]:
        order = self._orders.get(call, 0)
        return (-call.option("priority"), call.due, call.enqueued, order)

    def _due_in(self, call: Handle[Any]) -> float:
        due: float = call.lane.expected(call)
        return max(0.0, due - self._runtime.clock.monotonic())

    def _listing(self) -> str:
        lines = []
        for call in self.jobs:
            due = self._due_in(call)
            when = "" if due == 0 else f" in {due:g} s"
            given = f"args={shorten(call.args)} kwargs={shorten(call.kwargs)}"
            if hidden(call):
                given = f"({HIDDEN if (shown := shown_arguments(call)) is None else shown})"
            lines.append(f"  {clean(call.job.__qualname__)} {given}{when}")
        for lane in self._runtime.registry.all():
            lines += [f"  not yet: {call!r} {UNCOMMITTED}" for call in entries(lane.deferred)]
        lines += [f"  no longer: {call!r}" for call in self._runtime.history.remembered()[-LISTED:]]
        return "\n" + "\n".join(lines) if lines else "nothing"


def _raise_first(failures: list[BaseException]) -> None:
    try:
        if failures:
            raise failures[0]
    finally:
        failures.clear()  # the first holds the frame that the list is in


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
