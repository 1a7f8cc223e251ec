"""A job that waits for another job: how a wait that could never end is noticed and mended.

``result()`` inside a job keeps that job's worker. If what it waits for is queued and every
worker of that queue waits likewise, nobody is left to run it. Then, and only then, one of
those workers runs it right there, inside its wait: a pool never has more threads for that.
Where nothing is queued and running jobs wait for each other in a circle, the one that
closed the circle gets an error that names them.

A thread runs what its own job needs, if that is queued in its own pool: this is always safe,
for it cannot need that job in turn. Only where no thread can do so (two classes that wait for
each other's queued jobs) it runs one that another thread needs. Should that one turn out to
wait for the very job below it, it is told so, as of any circle.

Only waits without a timeout count, on the worker's own thread; all others end by themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import Any

from ..places.parking import Parking, Sleeper
from ..places.site import Site
from ..places.steps import entries
from ..places.watchers import waker
from ..values.blocking import blocking
from ..values.current import current, current_job
from ..values.errors import CounterpunchError
from ..values.handle import Call
from ..values.status import QUEUED, RUNNING, TERMINAL
from .attempt import execute
from .ceiling import Ceiling
from .here import Here
from .loops import Loops
from .pool import Pool

__all__ = ["Wait", "Waits"]


class Wait:
    """One worker's thread that waits for a job."""

    __slots__ = ("call", "helping", "ident", "news", "owner", "parking", "pool")

    def __init__(self, owner: Call, call: Call, ident: int, pool: Pool) -> None:
        self.owner = owner
        self.call = call
        self.ident = ident
        self.pool = pool
        #: The job that the thread runs inside this wait.
        self.helping: Call | None = None
        self.parking = Parking()
        #: Something may have changed: the thread is to look again.
        self.news: deque[None] = deque()

    @waker
    def wake(self, _: object = None) -> None:
        self.news.append(None)
        self.parking.nudge()


class Waits:
    """The waits of one process, and how those that cannot end are found.

    Args:
        site: Of it, the watchers and all pools, as they are made.
        ceiling: Whether a pool may get another thread.
        here: Jobs that threads run for themselves.
        loops: The event loop.
        before_wait: Called with a job that somebody is about to block on.
    """

    def __init__(
        self,
        site: Site,
        ceiling: Ceiling,
        here: Here,
        loops: Loops,
        before_wait: Callable[[Any], object],
    ) -> None:
        self.stage, self.watchers = site.stage, site.watchers
        self.pools: dict[object, Pool] = site.pools
        self.ceiling, self.here, self.loops = ceiling, here, loops
        self.before_wait = before_wait
        #: By thread: the waits without limit, for other jobs, of workers' threads.
        self.table: dict[int, list[Wait]] = {}

    def wait(self, call: Call, limit: float | None) -> bool:
        """Sleep until the job has ended; False if ``limit`` seconds pass before.

        Raises:
            CounterpunchError: In a job, without a limit, if it can never end; and where a test
                mode says so.
        """
        self.before_wait(call)
        if limit is None or limit > 0.0:
            blocking("to wait for %s", call.job.__qualname__, "`await handle`", call.lane.on_app)
        return (limit is None and self.in_job(call)) or self.watchers.wait(call, limit)

    def coroutine_of(self, call: Call) -> Any:
        """The coroutine of a running async job; None if it has not begun."""
        found = self.here.coroutines.get(call)
        return self.loops.coroutine_of(call) if found is None else found

    def in_job(self, call: Call) -> bool:
        """Wait for ``call`` on a worker's thread, without limit; False, at once, on any other.

        Raises:
            CounterpunchError: If it can never end.
        """
        if self.here.runs and call in self.here.of_thread(get_ident()):
            raise CounterpunchError(
                f"{call!r} is waited for on the thread that runs it: that would never end"
            )
        if not self.stage.threads or current_job() is None:
            return False
        owner = current.get()
        pool = None if owner is None else self._pool_of_this_thread()
        if owner is None or pool is None:
            return False
        wait = Wait(owner, call, get_ident(), pool)
        stack = self.table.setdefault(wait.ident, [])
        stack.append(wait)  # published first, then the look: of two that wait last one sees both
        self.watchers.watch(call, wait.wake)
        sleeper = Sleeper()
        try:
            while call.state not in TERMINAL:
                wait.news.clear()
                if not self._mend(wait):
                    wait.parking.park(sleeper, lambda: wait.news or call.state in TERMINAL)
        finally:
            self.watchers.unwatch(call, wait.wake)
            stack.pop()
            if not stack:
                del self.table[wait.ident]
        return True

    def look_again(self, call: Call | None = None) -> None:
        """A job has been queued again, or (None) a worker has left: those who wait look who is
        left to run what they wait for."""
        for stack in entries(self.table.values()):
            for wait in entries(stack):
                if call is None or wait.call is call:
                    wait.wake()

    def _pool_of_this_thread(self) -> Pool | None:
        me = get_ident()
        for pool in entries(self.pools.values()):
            if any(worker.ident == me for worker in entries(pool.workers)):
                return pool
        return None

    def _mend(self, wait: Wait) -> bool:
        """True if a job was run here; the caller looks again then. False if it is to sleep."""
        circle = self._circle(wait)
        # Threads move while they are looked at. What is the same twice was so in between, all of
        # it at once: each of these threads slept from the first look to the second.
        if circle is None or circle != self._circle(wait):
            return False
        if not any(circle.values()):
            raise CounterpunchError(self._explanation(wait))
        # First choice: what the thread's own job needs. It cannot wait for that job in turn, while
        # one that only stands in the way of others could.
        for choices in (
            [(one, self._required(one)) for one in circle],
            [(other, one.call) for one in circle for other in circle],
        ):
            able = [
                (one, call)
                for one, call in choices
                if call.state is QUEUED
                and one.pool.threaded  # the loop's thread can run nothing while it waits
                and call.lane.home(call) is one.pool
            ]
            for one, call in able:
                if one is wait:
                    return self._run(wait, call)
            if able:
                for one, _ in able:
                    one.wake()
                return False
        return True  # another of them was faster

    def _required(self, wait: Wait) -> Call:
        """What a wait needs first: the job that it waits for, or, if that one waits itself, ..."""
        call = wait.call
        for _ in range(len(self.table)):
            waits = [self._asleep(ident) for ident in self._needed(call)]
            if call.state is not RUNNING or not waits or waits[0] is None:
                break
            call = waits[0].call
        return call

    def _run(self, wait: Wait, call: Call) -> bool:
        """Run a queued job of this thread's own pool inside the wait; True in any case: it has
        moved."""

        def run(call: Call) -> None:
            wait.helping = call
            try:
                if call.lane.plan.is_async:
                    self.loops.run(call)
                else:
                    execute(call, True)
            except BaseException as exc:  # not the user's; noted before anything is called
                left = call.lane.left
                left += ((call.lane.moves.rescue, (call, exc), 0),)
                raise
            finally:
                wait.helping = None

        call.lane.moves.withdraw(call, run)
        return True

    def helps(self, call: Call) -> bool:
        """True if a thread runs the job inside a wait."""
        return any(
            wait.helping is call
            for stack in entries(self.table.values())
            for wait in entries(stack)
        )

    def _circle(self, first: Wait) -> dict[Wait, bool] | None:
        """The waits of which none can end before another one does, and whether what they wait for
        is queued for threads; None if one of them can."""
        found: dict[Wait, bool] = {}
        pending = [first]
        while pending:
            wait = pending.pop()
            if wait in found:
                continue
            call = wait.call
            found[wait] = call.state is QUEUED and call.lane.home(call).threaded
            needed = self._needed(call)
            if not needed:
                return None
            for ident in needed:
                asleep = self._asleep(ident)
                if asleep is None:
                    return None
                pending.append(asleep)
        return found

    def _needed(self, call: Call) -> set[int]:
        """The threads of which one must get free for the job to end; empty if there are others."""
        if call.state is RUNNING:
            return self._thread_of(call)
        lane = call.lane
        if call.state is not QUEUED or lane.paused:
            return set()
        pool = lane.home(call)
        workers = {worker.ident for worker in entries(pool.workers) if worker.ident is not None}
        if not pool.threaded:
            return self.loops.idents(lane.on_app)
        if pool.vacancies and not self.ceiling.reached():
            return set()  # it gets another thread
        return workers if len(workers) == pool.hired() else set()

    def _thread_of(self, call: Call) -> set[int]:
        if self.coroutine_of(call) is not None:
            return self.loops.idents(call.lane.on_app)
        for worker in entries(call.lane.home(call).workers):
            if worker.call is call and worker.ident is not None:
                return {worker.ident}
        for ident, stack in entries(self.table.items()):
            if any(wait.helping is call for wait in entries(stack)):
                return {ident}
        return set()

    def _asleep(self, ident: int) -> Wait | None:
        """The wait that a thread sleeps in; None if it runs."""
        stack = self.table.get(ident)
        top = stack[-1:] if stack else []
        return top[0] if top and top[0].helping is None else None

    def _explanation(self, wait: Wait) -> str:
        names, one = [repr(wait.owner)], wait
        seen: set[int] = set()
        while one.ident not in seen:
            seen.add(one.ident)
            names.append(repr(one.call))
            following = [self._asleep(ident) for ident in self._needed(one.call)]
            if not following or following[0] is None:
                break
            one = following[0]
        chain = ", which waits for ".join(names[1:])
        return (
            f"{names[0]} waits for {chain}: none of them can ever end. Pass a timeout to result(), "
            f"await the handle in an async job, or let the first job enqueue what comes after it"
        )
