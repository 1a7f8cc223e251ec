"""Where the jobs of a pool wait: a queue for each priority in use, and the workers for them."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from itertools import starmap

from ..values.handle import Call
from .parking import Parking, Sleeper
from .permits import Permits
from .steps import entries

__all__ = ["Backlog", "Worker"]

_ENDLESS = itertools.repeat(())


class Worker:
    """What is known of one worker: its bed, its thread and the job it is at, for reports."""

    __slots__ = ("call", "ident", "name", "sleeper")

    def __init__(self) -> None:
        self.call: Call | None = None
        self.sleeper = Sleeper()
        self.ident: int | None = None
        self.name = ""


class Backlog:
    """The queue of one job class, or the shared one of ``configure(pools=...)``.

    Args:
        name: For threads and reports.
        size: Workers at most; none in a test mode, where nothing runs by itself.
        shared: Jobs of several classes come here.
        threads: False in a test mode.
        spread: Called once there is more than one priority.
    """

    #: False: its workers are tasks of the event loop.
    threaded = True
    #: They are those of the application's event loop.
    on_app = False

    def __init__(
        self, name: str, size: int, shared: bool, threads: bool, spread: Callable[[Backlog], object]
    ) -> None:
        self.name = name
        self.size = size
        self.shared = shared
        self.parking = Parking()
        self.workers: set[Worker] = set()
        #: How many may be hired in all, were ``size`` not just being changed.
        self.granted = size
        #: One for each worker that may still be started; taking it is the right to.
        self.vacancies = Permits(size if threads else 0)
        self.levels: tuple[deque[Call], ...] = ()
        #: Each level with what takes its first job: ``for hand.call in taker: break`` takes and
        #: notes it in one breath. IndexError: it is empty.
        self.ways: tuple[tuple[deque[Call], Iterator[Call]], ...] = ()
        self._by_priority: dict[int, deque[Call]] = {}
        self._spread = spread
        self._threads = threads

    def start_worker(self) -> bool:
        """Start one worker if there is a vacancy; False if no thread can be had."""
        return False

    def resize(self, size: int) -> None:
        """Change the number of workers."""
        self.size = self.granted = size

    def level(self, priority: int) -> deque[Call]:
        """The queue of one priority, made on first use."""
        queue = self._by_priority.get(priority)
        if queue is None:
            queue = self._by_priority.setdefault(priority, deque())
        # Two threads may add levels at once; who writes last may not have seen the other's,
        # and then looks again. Who finds a level there looks as well: the one that added it
        # may not have come this far yet, or was interrupted by an exception. Ways and levels are
        # written one after the other, so one of them may be somebody else's: both are looked at.
        while not len(self.levels) == len(self.ways) == len(self._by_priority):
            ordered = sorted(self._by_priority.copy().items(), reverse=True)
            self.ways = tuple((queue, starmap(queue.popleft, _ENDLESS)) for _, queue in ordered)
            self.levels = tuple(queue for _, queue in ordered)
            if len(self.levels) > 1:
                self._spread(self)  # the short path of an enqueue counts one queue only
        return queue

    def push(self, call: Call, priority: int) -> None:
        self.level(priority).append(call)
        self.offer()

    def offer(self) -> None:
        """There is work: wake a sleeping worker, or start one if none sleeps."""
        if self.parking.sleepers:
            self.parking.nudge()
        elif self.vacancies:
            self.start_worker()

    def rouse(self) -> None:
        """Wake whoever sleeps here, whatever was done about it before, and start who is missing."""
        self.parking.wake_all()
        if any(self.levels):
            self.offer()

    def take(self, hand: Worker) -> Call | None:
        """The next job, taken out into ``hand``: highest priority first, first come first served
        within. None if there is none."""
        for queue, taker in self.ways:
            if queue:
                try:
                    for hand.call in taker:
                        break
                    return hand.call
                except IndexError:
                    pass  # another worker took the last one
        return None

    def queued(self) -> int:
        return sum(map(len, self.levels))

    def calls(self) -> list[Call]:
        """A copy of the queue in the order in which it would run."""
        return list(itertools.chain.from_iterable(map(entries, self.levels)))

    def hired(self) -> int:
        """Workers that run, are being started, or sleep."""
        return self.granted - len(self.vacancies) if self._threads else 0

    def threads(self) -> int:
        """What ``max_threads`` counts."""
        return self.hired()

    def idle(self, own: bool = False) -> bool:
        """True if nothing is queued and every worker sleeps (all but the caller's, if ``own``)."""
        sleeping = len(self.parking.sleepers)
        return not any(self.levels) and sleeping >= self.hired() - (1 if own else 0)
