"""Threads of which one runs at a time, and a seeded scheduler that decides which.

A simulated thread runs on a real one that has the baton. At every point (see
``simulation_points``) the scheduler may hand the baton to another; a thread that waits for a lock
gets it back when that is released, or when its time is up, which is the scheduler's decision as
well: nobody is promised to be fast. The same seed makes the same decisions, and so the same run.
"""

from __future__ import annotations

import _thread
import math
import sys
from collections.abc import Callable
from contextvars import Context
from functools import partial
from random import Random
from types import CodeType
from typing import Any, NamedTuple

from simulation_points import Points

__all__ = ["Clock", "Lock", "Over", "Switch", "Thread", "Threads", "World"]

#: A schedule of so many steps turns in circles.
ENDLESS = 30_000
#: Frames, and bytes of stack for them: a recursion without end is to be found as one that turns in
#: circles, before it breaks off in the midst of the simulation.
DEPTH, STACK = 20_000, 64 << 20
#: After so many steps anybody may go on: two threads may wake each other again and again while a
#: third one, for which both wait, does not run as its rank is low.
FAIR = 4_000
#: A count-down that never comes to its end.
NEVER = 1 << 60


class Over(BaseException):
    """Ends a simulated thread that still waits when its schedule is over."""


class Switch(NamedTuple):
    """Another thread went on: after so many steps, which one stopped where, and which it was."""

    step: int
    before: str
    where: str
    after: str


class Clock:
    """Moves a little whenever somebody looks, so that no two instants are the same."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        self.now += 1e-6
        return self.now

    def time(self) -> float:
        return 1_700_000_000.0 + self.monotonic()


class Lock:
    """What stands for a raw lock: who waits for it is not run."""

    __slots__ = ("_held", "_waiting", "_world")

    def __init__(self, world: World) -> None:
        self._world, self._held = world, False
        self._waiting: list[Thread] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        while self._held:
            if not blocking or timeout == 0 or not self._world.block(self._waiting, timeout):
                return False
        self._held = True
        return True

    def release(self) -> None:
        if not self._held:
            raise RuntimeError("release unlocked lock")
        self._held = False
        self._world.unblock(self._waiting)


class Thread:
    """A simulated thread; to the core it is a ``threading.Thread``."""

    __slots__ = ("_target", "baton", "deadline", "done", "ident", "late", "name", "rank", "waits")

    world: World  # the one there is

    def __init__(
        self,
        group: object = None,
        target: Callable[..., object] = lambda: None,
        name: str = "",
        args: tuple[Any, ...] = (),
        kwargs: Any = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self._target = partial(target, *args, **(kwargs or {}))
        self.name = name
        self.ident: int | None = None
        self.baton = _thread.allocate_lock()
        self.rank = 0.0
        #: Among whom it waits, until when, and that its time was up.
        self.waits: list[Thread] | None = None
        self.deadline: float | None = None
        self.late = False
        self.done: bool | list[Thread] = []  # those who wait for its end, until then

    def start(self) -> None:
        self.world.start(self)

    def run(self) -> None:
        self._target()

    def is_alive(self) -> bool:
        return self.done is not True

    def join(self, timeout: float | None = None) -> None:
        while isinstance(self.done, list):
            if self.world.current is None:
                return  # it is not one of them that waits: too late at once
            if not self.world.block(self.done, -1 if timeout is None else timeout):
                return


class Threads:
    """What stands for the modules ``threading``, ``time`` and ``_thread`` in the core."""

    Thread = Thread

    def __init__(self, world: World) -> None:
        self._world = world
        self.get_ident = _thread.get_ident

    def current_thread(self) -> Any:
        assert self._world.current is not None
        return self._world.current

    def allocate_lock(self) -> Lock:
        return Lock(self._world)

    def thread_time(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self._world.step()


class World:
    """The simulated threads of one schedule after the other."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.points = points = Points(self.reached)
        points.left = NEVER
        self.current: Thread | None = None
        self.threads: list[Thread] = []
        self.crashed: list[tuple[Thread, BaseException]] = []
        #: In all schedules.
        self.all_steps = self.all_switches = 0
        #: What was decided, when asked for.
        self.record: list[Switch] | None = None
        self._gap = 0
        self._over = False
        self._depth = sys.getrecursionlimit()
        self._main = _thread.allocate_lock()
        self._main.acquire()
        self._idle: list[_Carrier] = []
        self._carriers: list[_Carrier] = []
        Thread.world = self

    def begin(self, seed: str) -> Random:
        """A new schedule, with nobody in it."""
        self.random = random = Random(seed)
        self.clock.now = 1000.0
        self.threads, self.crashed = [], []
        self.steps = self.switches = 0
        self._ready: list[Thread] = []
        #: How likely it is at a decision that somebody's time is up, and how often it may be.
        self.late, self.lates = 0.0, 0
        # Half of them go on with anybody after a random number of steps; the others go on with
        # the same thread as long as they can, but for a few changes: these find what takes a
        # thread that stops at one certain place while others do a lot.
        self._mean = random.choice((3.0, 10.0, 40.0)) if random.random() < 0.5 else 0.0
        length = random.choice((100, 300, 900))
        self._changes = sorted(random.randrange(length) for _ in range(random.randint(1, 8)))
        self._changes.append(FAIR)
        self._lowest = 0.0
        self._over, self.endless = False, False
        sys.setrecursionlimit(DEPTH)
        self.points.left = self._gap = NEVER
        self.current = None
        return random

    def start(self, thread: Thread) -> None:
        """Somebody more may run."""
        if self._over:
            raise Over
        carrier = self._idle.pop() if self._idle else self._carry()
        thread.ident = carrier.ident
        carrier.thread, thread.baton = thread, carrier.baton
        thread.rank = self.random.random()
        self.threads.append(thread)
        self._ready.append(thread)
        self._preempt(thread)

    def _carry(self) -> _Carrier:
        carrier = _Carrier(self)
        self._carriers.append(carrier)
        return carrier

    def run(self) -> None:
        """Let the threads run until none of them can; on the thread that holds the simulation."""
        if self._ready:
            self._next(None)

    def quietly(self) -> None:
        """As ``run``, each going on as long as it can."""
        mean, changes, lates = self._mean, self._changes, self.lates
        self._mean, self._changes, self.lates = 0.0, [FAIR], 0
        self.run()
        self._mean, self._changes, self.lates = mean, changes, lates
        self.all_steps += self.steps
        self.steps = 0

    def time_passes(self) -> bool:
        """The first one whose time is up gets up; False if nobody waits for a time."""
        timed = [one for one in self.threads if one.waits is not None and one.deadline is not None]
        if not timed:
            return False
        self._too_late(min(timed, key=lambda one: one.deadline or 0.0))
        return True

    def end(self) -> None:
        """The schedule is over: whoever waits ends."""
        self.all_steps += self.steps
        self.all_switches += self.switches
        self._over, self.points.left = True, 0  # so that whatever they still do ends at once
        for thread in self.threads:
            if thread.is_alive():
                self.current = thread
                thread.baton.release()
                self._main.acquire()
        self.points.left = NEVER
        self.current = None
        self._ready = []

    def close(self) -> None:
        """The real threads end."""
        sys.setrecursionlimit(self._depth)
        for carrier in self._carriers:
            carrier.thread = None
            carrier.baton.release()
            carrier.gone.acquire()
        self._carriers, self._idle = [], []

    # What threads do

    def reached(self, code: CodeType | None = None, offset: int = 0) -> None:
        """It is time to decide, at a point."""
        if self._over:
            raise Over
        where = f"{code.co_qualname}+{offset}" if code is not None else "perform"
        self._account()
        if self.steps > ENDLESS:
            self.endless = True  # nobody goes on any more
            self._ready.clear()
        self._next(self.current, where)

    def step(self) -> None:
        """What a job itself does."""
        self.points.left -= 1
        if self.points.left <= 0:
            self.reached()

    def block(self, waiting: list[Thread], timeout: float) -> bool:
        """Wait among others; False if the time is up before."""
        me = self.current
        if self._over or me is None:
            raise Over
        me.late, me.waits = False, waiting
        me.deadline = None if timeout < 0 else self.clock.monotonic() + timeout
        waiting.append(me)
        self._ready.remove(me)
        self._account()
        self._next(me, "waits")
        return not me.late

    def unblock(self, waiting: list[Thread]) -> None:
        """All who wait there may go on."""
        for thread in waiting:
            thread.waits = None
            self._ready.append(thread)
            self._preempt(thread)
        waiting.clear()

    def _too_late(self, thread: Thread) -> None:
        assert thread.waits is not None
        self.clock.now = max(self.clock.now, thread.deadline or 0.0)
        thread.waits.remove(thread)
        thread.waits, thread.late = None, True
        self._ready.append(thread)

    # The decisions

    def _account(self) -> None:
        self.steps += self._gap - max(0, self.points.left)
        self._gap = self.points.left = 0

    def _preempt(self, other: Thread) -> None:
        """By rank, one that ranks higher goes on at the next point."""
        me = self.current
        if not self._mean and me is not None and not self._over and other.rank > me.rank:
            self._gap -= max(0, self.points.left - 1)
            self.points.left = 1

    def _next(self, me: Thread | None, where: str = "") -> None:
        """Decide who goes on, and hand the baton over; back when ``me`` has it again."""
        random, ready = self.random, self._ready
        if self.lates and random.random() < self.late:
            timed = [
                one for one in self.threads if one.waits is not None and one.deadline is not None
            ]
            if timed:
                self.lates -= 1
                self._too_late(timed[int(random.random() * len(timed))])
        other: Thread | None
        if not ready:
            other = None
        elif self._mean:
            other = ready[int(random.random() * len(ready))]
            gap = 1 + int(-self._mean * math.log(1.0 - random.random()))
        else:
            changes = self._changes
            while changes[0] <= self.steps:
                if len(changes) > 1:
                    del changes[0]
                    if me is not None:
                        self._lowest -= 1.0
                        me.rank = self._lowest
                else:
                    changes[0], self._mean = ENDLESS, 10.0
            other = max(ready, key=_rank)
            gap = changes[0] - self.steps
        self._gap = self.points.left = gap if other is not None else NEVER
        if other is me:
            return
        self.switches += 1
        if self.record is not None:
            before, after = me.name if me else "", other.name if other else ""
            self.record.append(Switch(self.steps, before, where, after))
        self.current = other
        (self._main if other is None else other.baton).release()
        if me is None:
            self._main.acquire()
        elif me.is_alive():
            me.baton.acquire()
            if self._over:
                raise Over

    def ended(self, thread: Thread) -> None:
        """A thread has come to its end; somebody else goes on."""
        waiting, thread.done = thread.done, True
        if self._over:
            self._main.release()
            return
        self._ready.remove(thread)
        assert isinstance(waiting, list)
        self.unblock(waiting)
        self._account()
        self._next(thread, "ended")


def _rank(thread: Thread) -> float:
    return thread.rank


class _Carrier:
    """A real thread, which carries one simulated thread after the other."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.thread: Thread | None = None
        self.baton = _thread.allocate_lock()
        self.gone = _thread.allocate_lock()
        self.baton.acquire()
        self.gone.acquire()
        before = _thread.stack_size(STACK)
        self.ident = _thread.start_new_thread(self._carry, ())
        _thread.stack_size(before)

    def _carry(self) -> None:
        world = self.world
        while True:
            self.baton.acquire()
            thread = self.thread
            if thread is None:
                self.gone.release()
                return
            world.points.trace_this_thread()  # again: one that was ended at a point has lost it
            try:
                if not world._over:
                    Context().run(thread.run)
            except Over:
                pass
            except BaseException as exc:
                world.crashed.append((thread, exc))
            self.thread = None
            world._idle.append(self)
            world.ended(thread)
