"""One thread and one heap for everything that waits for a time.

``run_due`` is the decision, without a thread: it does what is due and answers when to come
back, so tests pass an hour in microseconds. ``_run`` is the thread that asks it and sleeps.
Nobody but that thread touches the heaps; others leave entries in an inbox. No user code
runs here: what is due is put where a worker finds it, and who is to be told is told ``aside``.

Delays are instants of the monotonic clock. ``perform_at`` and crontabs wait in a second
heap by the wall clock: setting the clock changes when they are due, and neither loses nor
repeats one.
"""

from __future__ import annotations

import _thread
import heapq
import logging
import threading
from collections import deque
from collections.abc import Callable

from ..values.clock import Clock, Offset
from ..values.handle import Call
from ..values.hooks import Apart, apart, report
from ..values.interpreter import start
from ..values.status import RETRYING, SCHEDULED
from .aside import Aside
from .parking import Parking, Sleeper
from .permits import Permits
from .steps import entries

__all__ = ["Scheduler", "Timer"]

#: While jobs wait for the wall clock it is looked at this often: nothing tells a process
#: that somebody has set it forward.
WALL_CHECK_SECONDS = 30.0
#: Below this many entries the heap is compacted for any cancelled one.
SMALL = 64


class Timer:
    """A moment at which the runtime itself has something to look at; not a job."""

    __slots__ = ("action", "cancelled", "due", "vital")

    def __init__(self, action: Callable[[], None], vital: bool = True) -> None:
        self.due = 0.0  # by the clock of the heap that it is given to
        self.action = action
        self.cancelled = False
        #: A job depends on it: it is an error if no thread can be had that looks.
        self.vital = vital

    def cancel(self) -> None:
        """Do nothing when the moment comes, and let go of what the action holds."""
        self.cancelled = True
        self.action = _nothing

    def __lt__(self, other: object) -> bool:
        return True  # among entries of the same instant any order will do


def _nothing(*_: object) -> None:
    pass


Entry = tuple[float, "Call | Timer"]


class Scheduler:
    """Everything that waits for a time, in one process."""

    def __init__(self, clock: Clock, release: Callable[[Call], None], threads: bool) -> None:
        self.clock = clock
        self._release = release
        self._heap: list[Entry] = []
        self._wall: list[Entry] = []
        #: What has come in since the thread last looked; what is due later than it looks next
        #: may stay here long, and so is not wrapped in an entry of the heap yet.
        #: ``perform_in`` appends here itself, and calls ``hurry()`` if that is too late.
        self.inbox: deque[Call | Timer] = deque()
        self._wall_inbox: deque[Entry] = deque()
        #: Called on the thread with the seconds by which the wall clock has been set.
        self.clock_set: Callable[[float], None] = _nothing
        self._offset = Offset(clock)
        self._dead = Permits()  # one for each cancelled job in a heap
        self.parking = Parking()
        #: Where those sleep who wait until nothing is on its way; woken as the thread rests.
        self.resters = Parking()
        #: What its thread has done on others, not to wait for it: records for the log; who is told
        #: of a job's end, which may lead to further jobs.
        self.log = Aside("counterpunch-log", _nothing)
        self.calls = Aside("counterpunch-callbacks", self.resters.wake_all)
        #: Who is to be told of an end on its thread, once that is in the log.
        self._endings: deque[Callable[[], object]] = deque()
        #: When the sleeping thread will look next; a due time before it must wake it.
        self.next_look = float("inf")
        self._unstarted = Permits(1 if threads else 0)
        self._threads = threads
        #: The thread, once it was started; for ``health()``.
        self.thread: threading.Thread | None = None
        self.closed = False

    # For any thread

    def add(self, entry: Call | Timer, due: float, wall: bool = False) -> None:
        """Look at ``entry`` at ``due``: a monotonic instant, or epoch seconds if ``wall``."""
        if wall:
            self._wall_inbox.append((due, entry))
        else:
            entry.due = due
            self.inbox.append(entry)
        if wall or due < self.next_look:
            self.hurry()

    def hurry(self) -> None:
        """Something is due before the thread would look again: wake it, or start it."""
        if self._unstarted:
            self._start()
        else:
            self.parking.nudge()

    def forget(self) -> None:
        """An entry was cancelled or moved; the heap drops the dead once they weigh too much."""
        self._dead.give()
        if self._compaction_due():
            self.parking.nudge()

    def resting(self) -> bool:
        """True if the thread sleeps, with nothing on its way to a queue.

        Its inbox may hold entries then: those that are due later than it looks next, for
        which nobody wakes it.
        """
        if not self._threads:
            return not self.inbox and not self._wall_inbox
        asleep = self.closed or self.stranded() or bool(self.parking.sleepers)
        return asleep and self.calls.resting()  # in this order: what it hands over, it does before

    def stranded(self) -> bool:
        """True if there is no thread: none was needed yet, or none could be had."""
        return bool(self._unstarted)

    def close(self) -> None:
        """Let the thread end. What still waits has been taken away by then."""
        self.closed = True
        self.parking.wake_all()

    # For the scheduler's thread, or the one that stands in for it

    def run_due(self) -> float | None:
        """Do what is due; return the seconds until the next entry, None if there is none."""
        if step := self._offset.look():
            self.clock_set(step)
        self._sort_inbox()
        if self._compaction_due():
            self._compact()
        now = self.clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            due, entry = heapq.heappop(self._heap)
            self._fire(entry, due)
        wall_now = self.clock.time()
        while self._wall and self._wall[0][0] <= wall_now:
            due, entry = heapq.heappop(self._wall)
            self._fire(entry, due)
        return self.next_in()

    def next_in(self) -> float | None:
        """Seconds until the next entry is due, None if nothing waits; never negative."""
        self._sort_inbox()
        waits = []
        if self._heap:
            waits.append(self._heap[0][0] - self.clock.monotonic())
        if self._wall:
            waits.append(self._wall[0][0] - self.clock.time())
        return max(0.0, min(waits)) if waits else None

    def next_monotonic(self) -> float | None:
        """Due instant of the first entry by the monotonic clock."""
        return self._heap[0][0] if self._heap else None

    def next_wall(self) -> float | None:
        """Due time of the first entry by the wall clock."""
        return self._wall[0][0] if self._wall else None

    def _sort_inbox(self) -> None:
        try:
            while True:
                entry = self.inbox.popleft()
                # A job rescheduled meanwhile is here twice, and then twice in the heap: the
                # second one finds it gone.
                heapq.heappush(self._heap, (entry.due, entry))
        except IndexError:
            pass
        try:
            while True:
                heapq.heappush(self._wall, self._wall_inbox.popleft())
        except IndexError:
            pass

    def _fire(self, entry: Call | Timer, due: float) -> None:
        try:
            if isinstance(entry, Timer):
                if not entry.cancelled:
                    entry.action()
            elif _alive(entry, due):
                self._release(entry)
            else:
                self._dead.take()
        except BaseException as exc:  # a defect must not stop every other delayed job
            report(logging.ERROR, "the scheduler failed at %r", entry, exc_info=exc)
        while self._endings:
            self._endings.popleft()()

    def _compaction_due(self) -> bool:
        dead, size = len(self._dead), len(self._heap) + len(self._wall)
        return dead > 0 and (size <= SMALL or dead * 2 > size)

    def _compact(self) -> None:
        self._dead.clear()
        for heap in (self._heap, self._wall):
            heap[:] = [(due, entry) for due, entry in heap if _alive(entry, due)]
            heapq.heapify(heap)

    def _start(self) -> None:
        claim: list[None] = []
        try:
            if not self._unstarted.take_into(claim):
                return
            thread = threading.Thread(
                target=self._run, args=(claim,), name="counterpunch-scheduler", daemon=True
            )
            start(thread)
            self.thread = thread
        except BaseException as exc:
            # Out of a signal handler, or no thread to be had: the right to start must not go
            # with it, unless the thread has it already.
            self._unstarted.give_back(claim)
            self.resters.wake_all()
            if not isinstance(exc, RuntimeError) or isinstance(exc, RecursionError):
                raise
            # A limit of the system, or 3.12.0-3.12.2 at their end: the next entry tries
            # again, and the drain reports what still waits.
            vital = self._wall_inbox or any(
                getattr(one, "vital", True) for one in entries(self.inbox)
            )
            level = logging.ERROR if vital else logging.DEBUG
            report(level, "the scheduler thread could not be started (%s)", exc)

    def _run(self, claim: list[None]) -> None:
        try:
            claim.pop()
        except IndexError:
            return  # an exception on the caller's thread took it back
        ident = _thread.get_ident()
        apart[ident] = Apart(self.log.soon, self._endings.append)
        try:
            self._serve(Sleeper())
        finally:
            apart.pop(ident, None)

    def _serve(self, sleeper: Sleeper) -> None:
        while not self.closed:
            try:
                wait = self.run_due()
            except BaseException as exc:  # whatever it is, the other delayed jobs still count on it
                report(logging.CRITICAL, "the scheduler failed; it goes on", exc_info=exc)
                wait = 1.0
            if self._wall:
                wait = WALL_CHECK_SECONDS if wait is None else min(wait, WALL_CHECK_SECONDS)
            # Published before the thread is seen asleep: an earlier due time than this
            # one wakes it, and anything that came before is found by the second look.
            now = self.clock.monotonic()
            self.next_look = float("inf") if wait is None else now + wait
            if wait is None or wait > 0.0:
                self.parking.park(sleeper, self._second_look, wait)

    def _second_look(self) -> bool:
        if self.resters.sleepers:
            self.resters.wake_all()
        return bool(self.inbox or self._wall_inbox) or self.closed or self._compaction_due()


def _alive(entry: Call | Timer, due: float) -> bool:
    """False for a job that was cancelled or rescheduled since it was put into the heap."""
    if isinstance(entry, Timer):
        return not entry.cancelled
    more = entry.more
    waits = entry.state is SCHEDULED or entry.state is RETRYING
    return waits and due == (entry.due if more is None or more.when is None else more.when)
