"""Makes the parts of the core alone, over a clock that only the test moves.

A race is made certain by what is handed in: ``interrupted`` gives a container in which another
thread comes by at one step, a ``Bed`` is a sleeper whose lock does what the test says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from counterpunch import Job
from counterpunch.core.moves.admission import Admission
from counterpunch.core.moves.deferring import Deferring
from counterpunch.core.moves.duplicates import Duplicates
from counterpunch.core.moves.endings import Endings
from counterpunch.core.moves.expiry import Expiry
from counterpunch.core.moves.performing import Performing
from counterpunch.core.moves.queueing import Queueing
from counterpunch.core.moves.rating import Rating
from counterpunch.core.moves.room import Room
from counterpunch.core.moves.steering import Steering
from counterpunch.core.moves.taking import Taking
from counterpunch.core.moves.waiting import Waiting
from counterpunch.core.places.backlog import Backlog
from counterpunch.core.places.lane import Lane
from counterpunch.core.places.site import Site
from counterpunch.core.values.clock import VirtualClock
from counterpunch.core.values.handle import Call, new_handle
from counterpunch.core.values.mode import Mode
from counterpunch.core.values.plan import plan_of
from counterpunch.core.values.status import RUNNING
from counterpunch.core.workers.here import Here
from counterpunch.core.workers.whereabouts import Whereabouts

__all__ = [
    "Asked", "Bed", "Parts", "call", "interrupted", "job", "lane", "meanwhile", "put", "running",
    "site", "where",
]  # fmt: skip

#: The containers of a lane, in the order of a job's way.
CONTAINERS = ("deferred", "scheduled", "retrying", "hold", "running")
#: The methods by which a job comes into one, and by which it is taken out.
STEPS = {
    "enters": ("__iadd__", "__setitem__", "add", "append", "extend"),
    "leaves": ("__delitem__", "discard", "pop", "popleft", "remove"),
}


def job(**body: Any) -> Any:
    """A job class of its own: ``perform`` returns its arguments, unless ``body`` says more."""
    return type("Sample", (Job,), {"perform": lambda self, *args: args, **body})


def site(threads: bool = False, release: Callable[[Call], None] | None = None) -> Site:
    """The places of a process that nobody works at."""
    return Site(VirtualClock(1_700_000_000.0), threads, release or (lambda call: None))


class Asked:
    """Stands for whom a part calls back: notes what it was asked, and answers as told.

    ``Asked(may_start=False).may_start(call)`` is False and notes ``("may_start", call)``.
    """

    wall_offset = 0.0

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def ask(*args: Any) -> Any:
            self.asked.append((name, *args))
            return self.answers.get(name)

        return ask


def lane(at: Site | None = None, of: Any = None, pool: Any = None, above: Any = None) -> Lane:
    """A lane of a class, in a site of its own unless one is given; its pool has no workers."""
    at, of, above = at or site(), of or job(), above or Asked()
    plan = plan_of(of)
    if pool is None:
        pool = Backlog(of.__name__, plan.options.workers, False, False, lambda pool: None)
        at.pools[of] = pool
    return Lane(at, of, plan, pool, len(at.pools), above, above)


def call(of: Lane, *args: Any) -> Call:
    """An accepted job of a lane, in no container yet."""
    return new_handle(of, of.ledger.accepted.add(), args, {}, None, of.monotonic())


def running(of: Lane, *args: Any) -> Call:
    """One whose attempt has begun."""
    made = call(of, *args)
    made.state, made.attempt, made.started = RUNNING, 1, of.monotonic()
    put(made, "running")
    return made


def put(call: Call, name: str) -> None:
    """Into a container of its lane, whatever that is."""
    container = getattr(call.lane, name)
    if isinstance(container, dict):
        container[call] = None
    else:
        (container.add if isinstance(container, set) else container.append)(call)


def where(call: Call) -> list[str]:
    """The containers that a job is in: one, or none once it has ended."""
    lane = call.lane
    found = [name for name in CONTAINERS if call in getattr(lane, name)]
    found += ["queue" for pool in lane.pools() for queue in pool.levels if call in queue]
    return found + ["history" for _ in range(lane.history.remembered().count(call))]


def meanwhile(owner: Any, name: str, steps: str, act: Callable[[], object]) -> None:
    """Let somebody else act, once, just before a job ``"enters"`` or ``"leaves"`` the container of
    that name, however that is written."""
    kind, pending = type(getattr(owner, name)), [act]

    def before(step: str) -> Any:
        def method(self: Any, *args: Any) -> Any:
            if pending:
                pending.pop()()
            return getattr(kind, step)(self, *args)

        return method

    body = {step: before(step) for step in STEPS[steps] if hasattr(kind, step)}
    setattr(owner, name, type(f"interrupted_{name}", (kind,), body)(getattr(owner, name)))


def interrupted(kind: type, step: str, act: Callable[[], object], late: bool = False) -> Any:
    """A container of ``kind`` in which somebody else acts, once, just before its method ``step``
    is carried out; with ``late`` just after it."""
    pending = [act]

    def method(self: Any, *args: Any) -> Any:
        if late:
            result = getattr(kind, step)(self, *args)
        if pending:
            pending.pop()()
        return result if late else getattr(kind, step)(self, *args)

    return type(f"interrupted_{kind.__name__}", (kind,), {step: method})()


class Bed:
    """Stands for a ``Sleeper``, with a lock that lies: each attempt to get it gives the next of
    ``answers``; one that is a function is called for it, and may raise."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.lock = self
        #: How it was asked for: blocking or not, and for how long.
        self.asked: list[tuple[Any, ...]] = []
        self.woken = 0

    def acquire(self, *how: Any) -> Any:
        self.asked.append(how)
        answer = self.answers.pop(0)
        return answer() if callable(answer) else answer

    def wake(self) -> None:
        self.woken += 1


class Parts:
    """The moves of one process over a site; no runtime, and nobody who works.

    It is what lanes see as ``Moves`` and ``Keeper``, and the moves as their registry.
    """

    def __init__(self) -> None:
        self.site = at = site(release=lambda call: self.waiting.release(call))
        self.clock: Any = at.clock
        self.wall_offset = self.clock.time() - self.clock.monotonic()
        self.lanes: dict[Any, Lane] = {}
        me: Any = self
        #: Whom waits for jobs and time limits would be asked of.
        self.others: Any = Asked()
        self.others.table = {}  # nobody waits for a job
        self.here = Here(at.resting)
        self.whereabouts = Whereabouts(at, me, self.here)
        self.taking = taking = Taking(at, self.whereabouts)
        self.endings = ends = Endings(at)
        self.queueing = queueing = Queueing(at, taking, ends, self.others)
        self.rating = rating = Rating(at, taking, ends, queueing)
        self.waiting = waiting = Waiting(at, taking, ends, rating)
        self.steering = Steering(
            at, taking, me, self.whereabouts, ends, queueing, rating, waiting, lambda: None
        )
        self.expiry = expiry = Expiry(at, ends, rating, waiting, self.steering)
        self.performing = Performing(at, taking, ends, expiry, rating, waiting, self.others)
        self.duplicates = Duplicates(at, taking, ends, expiry, self.steering)
        self.room = Room(at, self.here, ends, waiting)
        self.opened: list[Lane] = []
        self.taken, self.withdraw = waiting.taken, waiting.withdraw
        self.settle_delayed, self.turned_away = waiting.settle_delayed, queueing.turned_away
        self.advance = rating.advance
        self.expect, self.expire = expiry.expect, expiry.ask
        self.may_start, self.settle = self.performing.may_start, self.performing.settle
        self.rescue, self.repair = self.performing.rescue, taking.repair

    def lane(self, of: Any) -> Lane:
        """As a registry makes them."""
        if of not in self.lanes:
            self.lanes[of] = lane(self.site, of, above=self)
        return self.lanes[of]

    def must_be_here(self, *_: object) -> None:
        """As a registry without an engine."""

    def admission(self, mode: Any = None) -> Admission:
        """The long way of an enqueue."""
        me: Any = self
        mode = mode or Mode()
        deferring = Deferring(
            self.site, mode, self.taking, self.endings, self.waiting, self.duplicates
        )
        made = Admission(
            self.site,
            mode,
            self.taking,
            me,
            self.whereabouts,
            self.endings,
            self.rating,
            self.waiting,
            self.duplicates,
            deferring,
            self.room,
            self.opened.append,
        )
        self.interrupted = made.interrupted
        return made

    def passes(self, seconds: float) -> float | None:
        """Let time pass, do what is then due, and say when to come back."""
        self.clock.move_to(self.clock.monotonic() + seconds)
        return self.site.scheduler.run_due()

    def lost(self) -> list[Call]:
        """What is on the list for the report of a drain."""
        return list(self.endings.lost)
