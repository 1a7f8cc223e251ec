"""One job class in one process: its queue, its counters, and the jobs that are not queued."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._counts import Count, Counts, Discards, WorkerCounts
from ._timings import Timings
from .handle import (
    CANCELLED,
    DISCARDED,
    FAILED,
    LOST,
    SUCCEEDED,
    Handle,
    Status,
)

if TYPE_CHECKING:
    from ._plan import Plan
    from ._pool import Pool
    from ._runtime import Runtime
    from .options import Options
    from .rate import TokenBucket

__all__ = ["Gate", "Lane"]


class Gate:
    """The way from a class to its lane while an enqueue may take the short path.

    ``lane`` is None whenever something has to be looked at first: before the first use,
    after a fork, in a test mode, while the process stops, under a middleware.
    """

    __slots__ = ("lane",)

    def __init__(self) -> None:
        self.lane: Lane | None = None


class Lane:
    """Where the jobs of one class are, each in exactly one of the containers below.

    Taking a job out of its container is atomic and gives the right to change it, see
    ``handle``. The containers and counters take no lock.
    """

    __slots__ = (
        "accepted",
        "accepts",
        "attempts",
        "blocked",
        "bucket",
        "deferred",
        "ended",
        "gate",
        "hold",
        "job",
        "max_jobs",
        "monotonic",
        "options",
        "overdue",
        "paused",
        "pid",
        "plan",
        "pool",
        "prefix",
        "queue",
        "recent",
        "retrying",
        "running",
        "runtime",
        "scheduled",
        "stopped",
        "tickets",
        "timings",
    )

    def __init__(self, runtime: Runtime, job: type, plan: Plan, pool: Pool, index: int) -> None:
        self.runtime = runtime
        self.job = job
        self.gate: Gate = job._gate  # type: ignore[attr-defined]
        self.pid = runtime.pid
        self.monotonic: Callable[[], float] = runtime.clock.monotonic
        self.prefix = f"{runtime.token}-{index:x}-"
        self.pool = pool
        #: Jobs accepted so far. Its next value is the number, and so the id, of a job.
        self.accepted = Count()
        self.accepts: Callable[[], int] = self.accepted.add
        self.attempts = Count()
        self.ended: dict[Status, Count] = {
            status: Count() for status in (SUCCEEDED, FAILED, CANCELLED, DISCARDED, LOST)
        }
        self.running: set[Handle[Any]] = set()
        #: Jobs with a due time; the scheduler's heap only says when to look.
        self.scheduled: set[Handle[Any]] = set()
        self.retrying: set[Handle[Any]] = set()
        self.deferred: set[Handle[Any]] = set()
        #: Queued jobs of a paused class.
        self.hold: deque[Handle[Any]] = deque()
        #: The jobs among those that are due, found the queue full and wait for room.
        self.overdue: deque[Handle[Any]] = deque()
        #: How to wake each producer that waits for room.
        self.blocked: deque[Callable[[], None]] = deque()
        #: In a shared pool: one entry for each of this class's jobs in the pool's queue.
        self.tickets: deque[None] | None = deque() if pool.shared else None
        #: True for each recent attempt that was a retry; for ``Retry(budget=...)``.
        self.recent: deque[bool] = deque(maxlen=100)
        self.paused = False
        #: Set at the end of a drain: who queues or starts a job afterwards takes it back.
        self.stopped = False
        self.bucket: TokenBucket | None = None
        self.timings = Timings(self)
        self.adopt(plan)

    def adopt(self, plan: Plan) -> None:
        """Take over the options of the class, at first use and whenever they change."""
        self.plan = plan
        self.options: Options = plan.options
        limit = plan.options.max_jobs
        self.max_jobs = sys.maxsize if limit is None else limit
        self.queue = self.pool.level(plan.options.priority)
        rate = plan.options.rate
        if rate is None:
            self.bucket = None
        elif self.bucket is None or self.bucket.rate != rate:
            from .rate import TokenBucket

            self.bucket = TokenBucket(rate)

    # The queue

    def waiting(self) -> int:
        """Jobs in the queue: what ``max_jobs`` bounds."""
        queued = self.pool.queued() if self.tickets is None else len(self.tickets)
        return queued + len(self.hold)

    def full(self) -> bool:
        return self.waiting() >= self.max_jobs

    def push(self, call: Handle[Any]) -> None:
        """Queue a job that the caller owns and that is already marked as queued."""
        if self.paused:
            self.hold.append(call)
            if not self.paused:  # resumed between the look and the append
                self.release_hold()
        else:
            if self.tickets is not None:
                self.tickets.append(None)
            self.pool.push(call, call._option("priority"))
        if self.stopped:
            self.runtime.too_late(call)

    def withdraw(self, call: Handle[Any]) -> bool:
        """Take a queued job out again; False if a worker was faster."""
        try:
            self.hold.remove(call)
            return True
        except ValueError:
            pass
        if not self.pool.withdraw(call):
            return False
        self.taken()
        return True

    def taken(self) -> None:
        """A job of this class has left the pool's queue: there is room for another."""
        if self.tickets:
            self.tickets.pop()
        if self.overdue:
            self.runtime.admit_overdue(self)
        if self.blocked and not self.full():
            try:
                self.blocked.popleft()()
            except (IndexError, RuntimeError):
                pass  # it has given up waiting meanwhile

    def take_oldest(self) -> Handle[Any] | None:
        """Take out the job of this class that has been queued longest, to make room."""
        for call in self.queued_calls():
            if self.withdraw(call):
                return call
        return None

    def queued_calls(self) -> list[Handle[Any]]:
        """The queued jobs, in the order in which they would run."""
        calls = self.pool.calls()
        if self.tickets is not None:
            calls = [call for call in calls if call._lane is self]
        return calls + list(self.hold)

    def release_hold(self) -> None:
        """Put the jobs of a class that is no longer paused into the queue, in order."""
        while not self.paused:
            try:
                call = self.hold.popleft()
            except IndexError:
                return
            if self.tickets is not None:
                self.tickets.append(None)
            self.pool.push(call, call._option("priority"))

    def over_budget(self, budget: float) -> bool:
        """True if one more retry would make retries more than ``budget`` of recent attempts."""
        recent = list(self.recent)
        return len(recent) >= 10 and sum(recent) / len(recent) >= budget

    # Reading

    def counts(self, now: float) -> Counts:
        """One consistent reading: taken twice, until nothing changed in between.

        ``queued`` is what was accepted and is nowhere else, so the sum is exact by
        construction; what is read first lies furthest down a job's way, so a job on the
        move is at worst still counted where it came from.
        """
        before = reading = self._reading()
        for _ in range(100):
            reading = self._reading()
            if reading == before and reading[-1] - sum(reading[:-2]) >= 0:
                break
            before = reading
        *elsewhere, attempts, accepted = reading
        succeeded, failed, cancelled, discarded, lost, running, retrying, scheduled, deferred = (
            elsewhere
        )
        queued = accepted - sum(elsewhere)
        if queued < 0:  # a job seen twice while it came back for a retry; never yet observed
            running, queued = running + queued, 0
        timings = self.timings
        return Counts(
            accepted=accepted,
            deferred=deferred,
            scheduled=scheduled,
            queued=queued,
            running=running,
            retrying=retrying,
            succeeded=succeeded,
            failed=failed,
            cancelled=cancelled,
            discarded=discarded,
            lost=lost,
            workers=self._workers(running),
            attempts=attempts,
            oldest_wait=self.oldest_wait(now) if queued else 0.0,
            retries=timings.retries.value,
            discards=Discards(**{cause: n.value for cause, n in timings.discards.items()}),
            wait_times=timings.waits.read(),
            run_times=timings.runs.read(),
            threads=self.pool.threads(),
        )

    def _reading(self) -> tuple[int, ...]:
        ended = tuple(count.value for count in self.ended.values())
        running = len(self.running)
        waiting = (len(self.retrying), len(self.scheduled), len(self.deferred))
        return (*ended, running, *waiting, self.attempts.value, self.accepted.value)

    def _workers(self, running: int) -> WorkerCounts:
        total = self.pool.hired()
        busy = min(running, total)
        return WorkerCounts(total, busy, total - busy)

    def claim_delayed(self, call: Handle[Any]) -> bool:
        """Take a scheduled or retry-waiting job; False if somebody else was faster."""
        for container in (self.scheduled, self.retrying):
            try:
                container.remove(call)
            except KeyError:
                continue
            return True
        return False

    def oldest_wait(self, now: float) -> float:
        """Seconds for which the oldest queued job has been waiting since it was due."""
        oldest = now
        for queue in (*self.pool.levels, self.hold):
            calls = list(queue.copy()) if self.tickets is not None else _head(queue)
            call = next((call for call in calls if call._lane is self), None)
            if call is not None:
                more = call._more
                due = call._enqueued if more is None or more.due is None else more.due
                oldest = min(oldest, due)
        return now - oldest


def _head(queue: deque[Handle[Any]]) -> list[Handle[Any]]:
    try:
        return [queue[0]]
    except IndexError:
        return []
