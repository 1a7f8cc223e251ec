"""One job class in one process: the containers that its jobs are in, and how they are read."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Any

from ..values.counts import Counts
from ..values.handle import Call
from ..values.interpreter import LOCKED
from ..values.keeper import Keeper
from ..values.options import Options
from ..values.plan import Plan
from ..values.rate import TokenBucket
from ..values.status import SUCCEEDED
from .above import Moves
from .alarm import Alarm
from .backlog import Backlog
from .ledger import Ledger
from .lineup import Lineup
from .site import Site
from .steps import entries

__all__ = ["Gate", "Lane", "Moves", "Site", "head_of", "waits_since"]


#: What is older than this says nothing about whether a service is down.
BUDGET_SECONDS = 60.0


class Gate:
    """The way from a class to its lane while an enqueue may take the short path.

    ``lane`` is None whenever something has to be looked at first: before the first use,
    after a fork, in a test mode, while the process stops, under a middleware.
    """

    __slots__ = ("lane", "paused")

    def __init__(self) -> None:
        self.lane: Lane | None = None
        #: The class is, in this process: after a stop as well, and in its children.
        self.paused = False


class Lane:
    """Where the jobs of one class are, each in exactly one of the containers below.

    Taking a job out of its container is atomic and gives the right to change it, see
    ``record``. The containers and counters take no lock.
    """

    __slots__ = (
        "_pools", "alarm", "announced", "away", "blocked", "bucket", "chance", "copies", "deferred",
        "expiry", "gate", "here", "history", "hold", "index", "job", "keeper", "ledger", "left",
        "lineup", "max_jobs", "monotonic", "moves", "numbers", "on_app", "options", "overdue",
        "parked", "paused", "plan", "pool", "prefix", "queue", "recent", "retrying",
        "running", "scheduled", "scheduler", "secret", "sleepers", "stage", "starts", "stopped",
        "succeeds", "tickets", "timings", "tokens", "vacancies", "wake_one", "watchers",
    )  # fmt: skip

    def __init__(
        self,
        site: Site,
        job: Any,
        plan: Plan,
        pool: Backlog,
        index: int,
        moves: Moves,
        keeper: Keeper,
    ) -> None:
        self._pools = site.pools
        self.job = job
        self.gate: Gate = job._gate
        self.pool = pool
        self.prefix, self.secret = f"{site.token}-{index:x}-", site.secret
        # Of the site and the pool, one step nearer for the hot path.
        self.here, self.stage, self.scheduler = site.mark, site.stage, site.scheduler
        self.history, self.watchers, self.tokens = site.history, site.watchers, site.tokens
        self.chance, self.moves, self.keeper = site.chance, moves, keeper
        self.left = site.left
        self.monotonic: Callable[[], float] = site.clock.monotonic
        parking = pool.parking
        self.parked, self.sleepers = parking.parked, parking.sleepers
        self.wake_one, self.vacancies = parking.wake_one, pool.vacancies
        # Tables, not sets: they are left and entered in one breath, see ``record``.
        self.running: dict[Call, None] = {}
        #: Jobs with a due time; the scheduler's heap only says when to look.
        self.scheduled: dict[Call, None] = {}
        self.retrying: dict[Call, None] = {}
        self.deferred: dict[Call, None] = {}
        #: Queued jobs of a paused class, as they come; they leave in the order of the queue.
        self.hold: deque[Call] = deque()
        #: The jobs among those that are due, found the queue full and wait for room; with the
        #: due time, since an entry may outlive the wait of a job that was rescheduled.
        self.overdue: deque[tuple[Call, float]] = deque()
        #: How to wake each producer that waits for room.
        self.blocked: deque[Callable[[], None]] = deque()
        #: Jobs that are being enqueued, while a middleware may change their options.
        self.announced: set[Call] = set()
        #: In a shared pool: one entry for each of this class's jobs in the pool's queue.
        self.tickets: dict[Call, None] | None = {} if pool.shared else None
        #: Jobs of this class in the queue of another pool, by ``using(pool=...)``.
        self.away: dict[Call, None] = {}
        #: For ``Retry(budget=...)``: False for each job that started, True for each retry
        #: that was granted. Granted, not begun: a thousand failures at once must not all be.
        self.recent: deque[tuple[float, bool]] = deque(maxlen=100)
        self.paused = self.stage.threads and self.gate.paused
        #: Set at the end of a drain: who queues or starts a job afterwards takes it back. Paused
        #: or stopped: who has queued or taken a job asks ``Moves.turned_away``.
        self.stopped = False
        #: Of a rated class: who may start, who waits for that, and when to look again.
        self.bucket: TokenBucket | None = None
        self.lineup = Lineup()
        self.alarm = Alarm(site.scheduler)
        #: When the first of those that wait expires.
        self.expiry = Alarm(site.scheduler)
        #: What it is called in ``Site.day``.
        self.index = index
        day = partial(site.day.note, index)
        self.ledger = Ledger(self.waiting, self._elsewhere, self.monotonic(), day)
        # To be drawn from in one breath: the next number, an attempt, a success.
        self.numbers = self.ledger.accepted.numbers
        self.starts = self.ledger.attempts.numbers
        self.succeeds = self.ledger.ended[SUCCEEDED].numbers
        self.timings = self.ledger.timings
        self.adopt(plan)

    def id_of(self, number: int) -> str:
        """The id of its job of that number, which ends with 48 bits of a keyed hash of it. Bytes
        are hashed with SipHash, which is made for that."""
        text = f"{self.prefix}{number:x}"
        return f"{text}-{hash(self.secret + text.encode()) & 0xFFFFFFFFFFFF:012x}"

    def adopt(self, plan: Plan) -> None:
        """Take over the options of the class, at first use and whenever they change."""
        self.plan = plan
        self.options: Options = plan.options
        #: An attempt runs in a copy of the context: another may follow; or as ``steps`` has it.
        self.copies = plan.options.retry is not None or not LOCKED
        #: Its coroutines run on the application's event loop.
        self.on_app = plan.options.loop == "app"
        limit = plan.options.max_jobs
        self.max_jobs = sys.maxsize if limit is None else limit
        self.queue = self.pool.level(plan.options.priority)
        rate = plan.options.rate
        if rate is None:
            self.bucket = None
        elif self.bucket is None:
            self.bucket = TokenBucket(rate)
        else:
            self.bucket.rate = rate

    def halt(self, paused: bool) -> None:
        """Start no more jobs: paused, or stopped for good."""
        if paused:
            self.paused = True
            self.gate.paused |= self.stage.threads
        else:
            self.stopped = True
        self.gate.lane = None

    def unpause(self) -> None:
        self.paused = False
        if self.stage.threads:  # a test mode's are its own
            self.gate.paused = False

    # The queue

    def waiting(self) -> int:
        """What ``max_jobs`` bounds: jobs in the queue, and those that wait for the rate only."""
        return self.queued() + len(self.lineup.table)

    def queued(self) -> int:
        """Jobs in the queue."""
        queued = self.pool.queued() if self.tickets is None else len(self.tickets)
        return queued + len(self.away) + len(self.hold)

    def full(self) -> bool:
        return self.waiting() >= self.max_jobs

    def home(self, call: Call) -> Any:
        """The pool that a job is queued in: the class's, unless ``using(pool=...)`` differs."""
        more = call.more
        name = None if more is None or more.options is None else more.options.get("pool")
        return self.pool if name is None else self._pools[name]

    def pools(self) -> list[Any]:
        """The pools that may hold a queued job of this class, its own first."""
        if not self.away:
            return [self.pool]
        others = entries(self._pools.values())
        return [self.pool, *(pool for pool in others if pool is not self.pool)]

    def left_queue(self, call: Call) -> None:
        """A job of this class is no longer counted in a pool's queue."""
        self.away.pop(call, None)
        if self.tickets:
            self.tickets.pop(call, None)

    def queued_calls(self) -> list[Call]:
        """The queued jobs, in the order in which they would run."""
        return self.pooled() + self.held()

    def pooled(self) -> list[Call]:
        """Those of them that a worker may take."""
        if self.tickets is None and not self.away:
            return self.pool.calls()  # nobody else's are there
        return [call for pool in self.pools() for call in pool.calls() if call.lane is self]

    def held(self) -> list[Call]:
        return sorted(entries(self.hold), key=waits_since)

    def keeps(self, call: Call) -> bool:
        """True if the job waits in one of the containers, or in a queue. Slow: for repairs."""
        tables = self.deferred, self.scheduled, self.retrying, self.hold
        return any(call in table for table in tables) or call in self.home(call).calls()

    def over_budget(self, budget: float) -> bool:
        """True if one more retry would make retries more than ``budget`` of recent attempts."""
        since = self.monotonic() - BUDGET_SECONDS
        recent = [retry for instant, retry in entries(self.recent) if instant > since]
        return len(recent) >= 10 and sum(recent) / len(recent) >= budget

    # Reading

    def counts(self, now: float) -> Counts:
        """How many jobs are where, see ``Ledger.counts``."""
        found = self.ledger.counts(self.pool.hired(), lambda: self.oldest_wait(now))
        return found._replace(threads=self.pool.threads())

    def _elsewhere(self) -> tuple[int, ...]:
        return len(self.running), len(self.retrying), len(self.scheduled), len(self.deferred)

    def oldest_wait(self, now: float) -> float:
        """Seconds for which the oldest queued job has been waiting since it was due."""
        oldest = map(waits_since, [*self.heads(), *self.lineup.table.copy()])
        return max(0.0, now - min(oldest, default=now))

    def forecast(self) -> dict[Call, float]:
        """When each job that waits for the rate starts, as things stand."""
        calls, bucket = self.lineup.calls(), self.bucket
        if bucket is None:
            return dict.fromkeys(calls, self.monotonic())
        return dict(zip(calls, bucket.forecast(self.monotonic(), len(calls)), strict=True))

    def expected(self, call: Call) -> float:
        """When a delayed job starts, as things stand: when it is due, or its rate lets it."""
        if self.bucket is None or call not in self.lineup.table:
            return call.due
        ahead = self.lineup.ahead_of(call)
        return self.bucket.forecast(self.monotonic(), ahead + 1)[-1]

    def heads(self) -> list[Call]:
        """The job of this class that is first in each queue."""
        heads = head_of(self.hold)
        for pool in self.pools():
            for queue in pool.levels:
                calls = entries(queue) if pool.shared else head_of(queue)
                heads += islice((call for call in calls if call.lane is self), 1)
        return heads

    def new_heads(self) -> list[Call]:
        """Among them is the job that has waited longest for its first attempt."""
        heads = self.heads()
        if not heads or any(call.attempt for call in heads):
            heads = [*self.queued_calls(), *self.lineup.calls()]
        return [call for call in heads if call.attempt == 0]


#: Since when a job has been due; of equals the one that came first stays first.
waits_since: Callable[[Call], float] = attrgetter("due")


def head_of(queue: deque[Call]) -> list[Call]:
    try:
        return [queue[0]]
    except IndexError:
        return []
