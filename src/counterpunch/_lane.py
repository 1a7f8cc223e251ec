"""One job class in one process: its queue, its counters, and the jobs that are not queued."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ._counts import Count, Counts, Discards, WorkerCounts
from ._status import CANCELLED, DISCARDED, FAILED, LOST, SUCCEEDED, Status
from ._timings import Timings
from .handle import Handle

if TYPE_CHECKING:
    from ._plan import Plan
    from ._pool import Pool
    from ._runtime import Runtime
    from .options import Options
    from .rate import TokenBucket

__all__ = ["Gate", "Lane"]

#: Where the numbers of jobs of ``unique`` classes begin.
UNIQUE_NUMBERS = 1 << 40


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
        "away",
        "blocked",
        "bucket",
        "deferred",
        "drawn",
        "ended",
        "gate",
        "halted",
        "here",
        "hold",
        "job",
        "max_jobs",
        "monotonic",
        "options",
        "overdue",
        "parked",
        "paused",
        "plan",
        "pool",
        "prefix",
        "queue",
        "recent",
        "retrying",
        "running",
        "runtime",
        "scheduled",
        "scheduler",
        "sleepers",
        "starts",
        "stopped",
        "succeeds",
        "tickets",
        "timings",
        "vacancies",
        "wake_one",
    )

    def __init__(self, runtime: Runtime, job: type, plan: Plan, pool: Pool, index: int) -> None:
        self.runtime = runtime
        self.job = job
        self.gate: Gate = job._gate  # type: ignore[attr-defined]
        self.here = runtime.here
        self.monotonic: Callable[[], float] = runtime.clock.monotonic
        self.prefix = f"{runtime.token}-{index:x}-"
        self.pool = pool
        # Of the pool, for the short path of an enqueue.
        parking = pool.parking
        self.parked, self.sleepers, self.wake_one = (
            parking.parked,
            parking.sleepers,
            parking.wake_one,
        )
        self.vacancies = pool.vacancies
        self.scheduler = runtime.scheduler
        #: Jobs accepted so far. Its next value is the number, and so the id, of a job.
        self.accepted = Count()
        self.accepts: Callable[[], int] = self.accepted.add
        #: Numbers of a ``unique`` class, where a job has its number before it is accepted.
        self.drawn = Count()
        self.attempts = Count()
        self.starts: Callable[[], int] = self.attempts.add
        self.ended: dict[Status, Count] = {
            status: Count() for status in (SUCCEEDED, FAILED, CANCELLED, DISCARDED, LOST)
        }
        self.succeeds = self.ended[SUCCEEDED].add
        self.running: set[Handle[Any]] = set()
        #: Jobs with a due time; the scheduler's heap only says when to look.
        self.scheduled: set[Handle[Any]] = set()
        self.retrying: set[Handle[Any]] = set()
        self.deferred: set[Handle[Any]] = set()
        #: Queued jobs of a paused class, as they come; they leave in the order of the queue.
        self.hold: deque[Handle[Any]] = deque()
        #: The jobs among those that are due, found the queue full and wait for room; with the
        #: due time, since an entry may outlive the wait of a job that was rescheduled.
        self.overdue: deque[tuple[Handle[Any], float]] = deque()
        #: How to wake each producer that waits for room.
        self.blocked: deque[Callable[[], None]] = deque()
        #: In a shared pool: one entry for each of this class's jobs in the pool's queue.
        self.tickets: deque[None] | None = deque() if pool.shared else None
        #: Jobs of this class in the queue of another pool, by ``using(pool=...)``.
        self.away: set[Handle[Any]] = set()
        #: For ``Retry(budget=...)``: False for each job that started, True for each retry
        #: that was granted. Granted, not begun: a thousand failures at once must not all be.
        self.recent: deque[bool] = deque(maxlen=100)
        self.paused = False
        #: Set at the end of a drain: who queues or starts a job afterwards takes it back.
        self.stopped = False
        #: Stopped or paused: who has queued or taken a job asks ``Runtime.turned_away``.
        self.halted = False
        self.bucket: TokenBucket | None = None
        self.timings = Timings(self)
        self.adopt(plan)

    def draw(self) -> int:
        """A number for a job of a ``unique`` class: never one that ``accepts`` gives."""
        return UNIQUE_NUMBERS + self.drawn.add()

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
        return queued + len(self.away) + len(self.hold)

    def full(self) -> bool:
        return self.waiting() >= self.max_jobs

    def push(self, call: Handle[Any]) -> None:
        """Queue a job that the caller owns and that is already marked as queued."""
        if self.paused:
            self.keep(call)
        else:
            self._enter(call)
            if self.halted:  # since the look
                self.runtime.turned_away(call)

    def keep(self, call: Handle[Any]) -> None:
        """Hold a job that the caller owns while the class is paused."""
        self.hold.append(call)
        if not self.paused:  # resumed between the look and the append
            self.release_hold()
        elif self.runtime.deadline is not None:
            self.runtime.lose_held(self)

    def halt(self, paused: bool) -> None:
        """Start no more jobs: paused, or stopped for good."""
        if paused:
            self.paused = True
        else:
            self.stopped = True
        self.halted = True
        self.gate.lane = None

    def home(self, call: Handle[Any]) -> Pool:
        """The pool that a job is queued in: the class's, unless ``using(pool=...)`` differs."""
        more = call._more
        name = None if more is None or more.options is None else more.options.get("pool")
        return self.pool if name is None else self.runtime.shared_pool(name, self.job.__qualname__)

    def _enter(self, call: Handle[Any]) -> None:
        pool = self.home(call)
        if pool is not self.pool:
            self.away.add(call)
            self.gate.lane = None  # the short path counts one queue only
        elif self.tickets is not None:
            self.tickets.append(None)
        pool.push(call, call._option("priority"))
        if self.runtime.waits:
            from ._deadlock import look_again

            look_again(self.runtime, call)

    def withdraw(self, call: Handle[Any]) -> bool:
        """Take a queued job out again; False if a worker was faster."""
        try:
            self.hold.remove(call)
        except ValueError:
            if not self.home(call).withdraw(call):
                return False
            self.taken(call)
        else:
            self.made_room()
        return True

    def taken(self, call: Handle[Any]) -> None:
        """A job of this class has left a pool's queue: there is room for another."""
        self.left(call)
        self.made_room()

    def left(self, call: Handle[Any]) -> None:
        """A job of this class is no longer counted in a pool's queue."""
        if call in self.away:
            self.away.discard(call)
        elif self.tickets:
            self.tickets.pop()

    def made_room(self) -> None:
        """Due jobs that found the queue full come first, then producers that wait."""
        if self.overdue:
            self.runtime.admit_overdue(self)
        if self.blocked and not self.full():
            self.wake_blocked()

    def wake_blocked(self) -> None:
        try:
            self.blocked.popleft()()
        except (IndexError, RuntimeError):
            pass  # it has given up waiting meanwhile

    def take_oldest(self) -> Handle[Any] | None:
        """Take out the job of this class that has been queued longest, to make room."""
        while heads := self._heads():
            oldest = min(heads, key=_waits_since)
            if self.withdraw(oldest):
                return oldest
        return None

    def queued_calls(self) -> list[Handle[Any]]:
        """The queued jobs, in the order in which they would run."""
        if self.tickets is None and not self.away:
            calls = self.pool.calls()  # nobody else's are there
        else:
            calls = [call for pool in self.pools() for call in pool.calls() if call._lane is self]
        return calls + self._held()

    def _held(self) -> list[Handle[Any]]:
        return sorted(self.hold.copy(), key=_waits_since)

    def pools(self) -> list[Pool]:
        """The pools that may hold a queued job of this class, its own first."""
        if not self.away:
            return [self.pool]
        pools = self.runtime.pools
        return [self.pool, *(pool for pool in list(pools.values()) if pool is not self.pool)]

    def release_hold(self) -> None:
        """Put the jobs of a class that is no longer paused into the queue, in order."""
        while self.hold:
            for call in self._held():
                if self.paused:
                    return
                try:
                    self.hold.remove(call)
                except ValueError:
                    continue  # cancelled meanwhile, or another thread is at it
                self.push(call)

    def over_budget(self, budget: float) -> bool:
        """True if one more retry would make retries more than ``budget`` of recent attempts."""
        recent = self.recent.copy()
        return len(recent) >= 10 and sum(recent) / len(recent) >= budget

    # Reading

    def counts(self, now: float) -> Counts:
        """One consistent reading: taken twice, until nothing changed in between.

        ``queued`` is what was accepted and is nowhere else, so the sum is exact by
        construction; what is read first lies furthest down a job's way, so a job on the
        move is at worst still counted where it came from. The distributions are read in
        between: an attempt is noted there first and counted as ended afterwards, so they are
        never behind the counters, and ahead by the attempts that are at their end just now.
        """
        _, settled, found = self._whole_reading()
        for _ in range(100):
            if settled:
                break
            sound, settled, latest = self._whole_reading()
            if sound:
                found = latest
        (*elsewhere, retries, _, accepted), (wait_times, run_times), discards, attempts = found
        succeeded, failed, cancelled, discarded, lost, running, retrying, scheduled, deferred = (
            elsewhere
        )
        queued = accepted - sum(elsewhere)
        if queued < 0:  # in each of a hundred readings; never yet observed
            running, queued = running + queued, 0
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
            retries=retries,
            discards=discards,
            wait_times=wait_times,
            run_times=run_times,
            threads=self.pool.threads(),
        )

    def _whole_reading(self) -> tuple[bool, bool, tuple[Any, ...]]:
        """The counters with the distributions, and what to think of them: whether no job was
        seen twice, on its way back, and whether nothing changed meanwhile either."""
        timings = self.timings
        before = self._reading()
        times = timings.durations.read()
        discards = Discards(**{cause: count.value for cause, count in timings.discards.items()})
        after = self._reading()
        sound = before[-1] >= sum(before[:-3])
        # Attempts from afterwards: the distributions hold none that it does not count.
        return sound, sound and before == after, (before, times, discards, after[-2])

    def _reading(self) -> tuple[int, ...]:
        ended = tuple(count.value for count in self.ended.values())
        running = len(self.running)
        waiting = (len(self.retrying), len(self.scheduled), len(self.deferred))
        counted = (self.timings.retries.value, self.attempts.value, self.accepted.value)
        return (*ended, running, *waiting, *counted)

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
        return max(0.0, now - min(map(_waits_since, self._heads()), default=now))

    def _heads(self) -> list[Handle[Any]]:
        """The job of this class that is first in each queue."""
        heads = _head(self.hold)
        for pool in self.pools():
            for queue in pool.levels:
                calls = queue.copy() if pool.shared else _head(queue)
                heads += islice((call for call in calls if call._lane is self), 1)
        return heads


#: Since when a job has been due; of equals the one that came first stays first.
_waits_since: Callable[[Handle[Any]], float] = attrgetter("_due")


def _head(queue: deque[Handle[Any]]) -> list[Handle[Any]]:
    try:
        return [queue[0]]
    except IndexError:
        return []
