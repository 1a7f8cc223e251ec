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
from threading import get_ident
from typing import TYPE_CHECKING, Any

from ._current import current
from ._execution import execute
from ._parking import Parking, Sleeper
from ._status import QUEUED, RUNNING, TERMINAL
from .errors import CounterpunchError
from .handle import Handle

if TYPE_CHECKING:
    from ._pool import Pool
    from ._runtime import Runtime

__all__ = ["Wait", "look_again", "wait_in_job"]


class Wait:
    """One worker's thread that waits for a job."""

    __slots__ = ("call", "helping", "ident", "news", "owner", "parking", "pool")

    def __init__(self, owner: Handle[Any], call: Handle[Any], ident: int, pool: Pool) -> None:
        self.owner = owner
        self.call = call
        self.ident = ident
        self.pool = pool
        #: The job that the thread runs inside this wait.
        self.helping: Handle[Any] | None = None
        self.parking = Parking()
        #: Something may have changed: the thread is to look again.
        self.news: deque[None] = deque()

    def wake(self, _: object = None) -> None:
        self.news.append(None)
        self.parking.nudge()


def wait_in_job(call: Handle[Any]) -> bool:
    """Wait for ``call`` on a worker's thread, without limit; False, at once, on any other.

    Raises:
        CounterpunchError: If it can never end.
    """
    owner, runtime = current.get(), call._lane.runtime
    pool = None if owner is None else _pool_of_this_thread(runtime)
    if owner is None or pool is None:
        return False
    wait = Wait(owner, call, get_ident(), pool)
    stack = runtime.waits.setdefault(wait.ident, [])
    stack.append(wait)  # published first, then the look: of two that wait last one sees both
    runtime.watch(call, wait.wake)
    sleeper = Sleeper()
    try:
        while call._state not in TERMINAL:
            wait.news.clear()
            if not _mend(runtime, wait):
                wait.parking.park(sleeper, lambda: wait.news or call._state in TERMINAL)
    finally:
        runtime.unwatch(call, wait.wake)
        stack.pop()
        if not stack:
            del runtime.waits[wait.ident]
    return True


def look_again(runtime: Runtime, call: Handle[Any] | None = None) -> None:
    """A job has been queued again, or (None) a worker has left: those who wait look who is
    left to run what they wait for."""
    for stack in list(runtime.waits.values()):
        for wait in list(stack):
            if call is None or wait.call is call:
                wait.wake()


def _pool_of_this_thread(runtime: Runtime) -> Pool | None:
    me = get_ident()
    for pool in list(runtime.pools.values()):
        if any(worker.ident == me for worker in list(pool.workers)):
            return pool
    return None


def _mend(runtime: Runtime, wait: Wait) -> bool:
    """True if a job was run here; the caller looks again then. False if it is to sleep."""
    circle = _circle(runtime, wait)
    # Threads move while they are looked at. What is the same twice was so in between, all of
    # it at once: each of these threads slept from the first look to the second.
    if circle is None or circle != _circle(runtime, wait):
        return False
    if not any(circle.values()):
        raise CounterpunchError(_explanation(runtime, wait))
    # First choice: what the thread's own job needs. It cannot wait for that job in turn, while
    # one that only stands in the way of others could.
    for choices in (
        [(one, _required(runtime, one)) for one in circle],
        [(other, one.call) for one in circle for other in circle],
    ):
        able = [
            (one, call)
            for one, call in choices
            if call._state is QUEUED
            and one.pool.threaded  # the loop's thread can run nothing while it waits
            and call._lane.home(call) is one.pool
        ]
        for one, call in able:
            if one is wait:
                return _run(wait, call)
        if able:
            for one, _ in able:
                one.wake()
            return False
    return True  # another of them was faster


def _required(runtime: Runtime, wait: Wait) -> Handle[Any]:
    """What a wait needs first: the job that it waits for, or, if that one waits itself, ..."""
    call = wait.call
    for _ in range(len(runtime.waits)):
        waits = [_asleep(runtime, ident) for ident in _needed(runtime, call)]
        if call._state is not RUNNING or not waits or waits[0] is None:
            break
        call = waits[0].call
    return call


def _run(wait: Wait, call: Handle[Any]) -> bool:
    """Run a queued job of this thread's own pool inside the wait."""
    if not call._lane.withdraw(call):
        return True  # it has moved
    wait.helping = call
    try:
        if call._lane.plan.is_async:
            from ._loop import execute_on_loop

            execute_on_loop(call, True)
        else:
            execute(call, True)
    finally:
        wait.helping = None
    return True


def _circle(runtime: Runtime, first: Wait) -> dict[Wait, bool] | None:
    """The waits of which none can end before another one does, and whether what they wait for
    is queued for threads; None if one of them can."""
    found: dict[Wait, bool] = {}
    pending = [first]
    while pending:
        wait = pending.pop()
        if wait in found:
            continue
        call = wait.call
        found[wait] = call._state is QUEUED and call._lane.home(call).threaded
        needed = _needed(runtime, call)
        if not needed:
            return None
        for ident in needed:
            asleep = _asleep(runtime, ident)
            if asleep is None:
                return None
            pending.append(asleep)
    return found


def _needed(runtime: Runtime, call: Handle[Any]) -> set[int]:
    """The threads of which one must get free for the job to end; empty if there are others."""
    if call._state is RUNNING:
        return _thread_of(runtime, call)
    lane = call._lane
    if call._state is not QUEUED or lane.paused:
        return set()
    pool = lane.home(call)
    workers = {worker.ident for worker in list(pool.workers) if worker.ident is not None}
    if not pool.threaded:
        return runtime.loop_threads()
    if pool.vacancies and not runtime.at_ceiling():
        return set()  # it gets another thread
    return workers if len(workers) == pool.hired() else set()


def _thread_of(runtime: Runtime, call: Handle[Any]) -> set[int]:
    if runtime.coroutine_of(call) is not None:
        return runtime.loop_threads()
    for worker in list(call._lane.home(call).workers):
        if worker.call is call and worker.ident is not None:
            return {worker.ident}
    for ident, stack in list(runtime.waits.items()):
        if any(wait.helping is call for wait in list(stack)):
            return {ident}
    return set()


def _asleep(runtime: Runtime, ident: int) -> Wait | None:
    """The wait that a thread sleeps in; None if it runs."""
    stack = runtime.waits.get(ident)
    top = stack[-1:] if stack else []
    return top[0] if top and top[0].helping is None else None


def _explanation(runtime: Runtime, wait: Wait) -> str:
    names, one = [repr(wait.owner)], wait
    seen: set[int] = set()
    while one.ident not in seen:
        seen.add(one.ident)
        names.append(repr(one.call))
        following = [_asleep(runtime, ident) for ident in _needed(runtime, one.call)]
        if not following or following[0] is None:
            break
        one = following[0]
    chain = ", which waits for ".join(names[1:])
    return (
        f"{names[0]} waits for {chain}: none of them can ever end. Pass a timeout to result(), "
        f"await the handle in an async job, or let the first job enqueue what comes after it"
    )
