"""The workers of one pool: each a loop on a thread of its own that takes jobs and runs them."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from functools import partial
from typing import Any

from ..places.backlog import Backlog, Worker
from ..places.lane import Lane
from ..places.permits import Permits
from ..values.clock import monotonic
from ..values.config import config
from ..values.hooks import logger, process, report, safely
from ..values.interpreter import start
from ..values.stage import STOPPED
from .at_exit import first, import_for_the_end
from .attempt import execute, execute_plain
from .crew import Crew
from .hiring import Hiring

__all__ = ["IDLE_SECONDS", "Pool"]

#: A worker without a job for this long gives its thread back.
IDLE_SECONDS = 60.0
#: An enqueue waits no longer than this for the thread that starts a worker.
START_SECONDS = 1.0
#: A worker looks this often whether it has mostly computed since, and then lets other threads
#: have the interpreter lock. Measured: without it CPU-bound jobs back to back raise request
#: latency 3.5-4.3 times, with it 1.3-1.8 times; giving it away after every job costs throughput,
#: and after every job that only waited, which lets go of it anyway, it stalls requests: 99th
#: percentile 126 ms instead of 51 under gunicorn's gthread with jobs of 1 ms.
FAIR_SECONDS = 0.0005


class Pool(Backlog):
    """The threads of one job class, or the shared ones of ``configure(pools=...)``."""

    def __init__(self, crew: Crew, name: str, size: int, shared: bool, spread: Any) -> None:
        super().__init__(name, size, shared, crew.stage.threads, spread)
        self.crew = crew
        #: One for each worker that is to leave since the pool was made smaller.
        self.surplus = Permits()
        #: Pools that are owed a thread of this one, under ``max_threads``; itself: one too many.
        self.owed: deque[Pool] = deque()
        self.closed = False
        self._hiring = Hiring(f"counterpunch-{name}")
        self._numbers = itertools.count()

    def start_worker(self) -> bool:
        """Start one worker if the pool has a vacancy; False if no thread can be had."""
        claim: list[None] = []
        try:
            return self._start_worker(claim)
        except BaseException:  # out of a signal handler: its vacancy must not go with it
            self._give_back(claim)
            raise

    def _give_back(self, claim: list[None]) -> None:
        self.vacancies.give_back(claim)
        if self.crew.resting.sleepers:
            self.crew.resting.wake_all()  # it was counted as a worker on its way

    def _start_worker(self, claim: list[None]) -> bool:
        crew = self.crew
        while True:
            if not self.vacancies.take_into(claim):
                return True
            # Counted first and looked at afterwards: of two enqueues that start workers at
            # the ceiling at least one sees the other.
            if crew.ceiling.may_start(self):
                break
            self._give_back(claim)
            # A thread that left meanwhile and found no vacancy here relied on this one.
            if crew.stage.phase is STOPPED or (self.hired() and crew.ceiling.reached()):
                crew.fewer_workers()  # it may have been counted as a thread on its way
                return False
        name = f"counterpunch-starter-{self.name}"
        starter = threading.Thread(target=self._hire, args=(claim,), name=name, daemon=True)
        try:
            start(starter)
        except RuntimeError as exc:
            if isinstance(exc, RecursionError):
                raise  # the caller's, and no limit of threads
            self._give_back(claim)
            crew.fewer_workers()
            crew.no_thread(self, exc)
            return False
        starter.join(START_SECONDS)
        return True

    def _hire(self, claim: list[None]) -> None:
        """On the starter thread: have the executor run one more worker loop."""
        try:
            claim.pop()
        except IndexError:
            return  # an exception on the caller's thread took the vacancy back
        try:
            self._hiring.hire(self.size, partial(self._work, Worker()))
        except RuntimeError as exc:
            self.vacancies.give()
            self.crew.fewer_workers()
            self.crew.no_thread(self, exc)

    def _work(self, worker: Worker) -> None:
        """The worker loop, run by the executor on a thread of its own."""
        thread = threading.current_thread()
        thread.name = worker.name = f"counterpunch-{self.name}_{next(self._numbers)}"
        worker.ident = thread.ident
        self.workers.add(worker)
        try:
            import_for_the_end()
            for begin in process.at_work:
                safely("at_work", None, begin)
            self._serve(worker)
        except BaseException as exc:  # the executor would keep it to itself
            self.broke_down(worker, exc)
        finally:
            self.workers.discard(worker)
            self.crew.resting.wake_all()
            if config.max_threads is not None:
                self.crew.ceiling.fill()
            self.crew.fewer_workers()

    def broke_down(self, worker: Worker, exc: BaseException) -> None:
        """A worker ends by a defect: say so, end the job that it has in hand, get another."""
        self.vacancies.give()
        if self.crew.stage.phase is not STOPPED:
            report(logging.CRITICAL, "a worker of %s ended by a defect", self.name, exc_info=exc)
        call, worker.call = worker.call, None
        if call is not None:
            self.crew.rescue(call, exc)
        if any(self.levels):
            self.offer()

    def _serve(self, worker: Worker) -> None:
        watchdog = self.crew.watchdog
        if watchdog.asleep:
            watchdog.woken_by(self)
        rested, computed = monotonic(), time.thread_time()
        talks = logger.isEnabledFor(logging.INFO)
        while True:
            for queue, taker in self.ways:
                if queue:
                    try:
                        for worker.call in taker:  # in one breath, see ``record``
                            break
                        break
                    except IndexError:
                        pass  # another worker took the last one
            call = worker.call
            if call is not None:
                lane: Lane = call.lane
                if lane.tickets is not None or lane.away or lane.overdue or lane.blocked:
                    lane.moves.taken(call)
                if (
                    lane.plan.bare
                    and call.more is None
                    and not process.around_perform
                    and not talks
                ):
                    execute_plain(call, lane)
                elif lane.plan.is_async:
                    self.crew.loops.run(call)
                else:
                    execute(call, True)
                ended = call.finished  # None if another attempt follows
                worker.call = call = None  # nothing keeps the arguments of a job that ended
                if ended is None or ended - rested > FAIR_SECONDS:
                    if time.thread_time() - computed > FAIR_SECONDS / 2:
                        time.sleep(0)  # looked up late: gevent replaces it
                    rested, computed = monotonic(), time.thread_time()
                    talks = logger.isEnabledFor(logging.INFO)
                    first.again()
                if (self.surplus or self.owed) and self._leaves():
                    return
                continue
            if self.closed:
                self.vacancies.give()
                return
            if (self.surplus or self.owed) and self._leaves():
                return
            if config.max_threads is not None and self._lend():
                return
            if self.crew.site.left:
                self.crew.repair()
            seconds = self.crew.site.history.untidy() or IDLE_SECONDS
            if not self.parking.park(worker.sleeper, self.second_look, seconds):
                if seconds < IDLE_SECONDS:
                    self.crew.site.history.weigh()
                elif self._retire():
                    return
            if watchdog.asleep and not self.parking.sleepers:
                watchdog.woken_by(self)
            # While it got up, enqueues relied on it and woke nobody else: one job is for itself.
            if self.queued() > 1:
                self.offer()
            rested, computed = monotonic(), time.thread_time()
            talks = logger.isEnabledFor(logging.INFO)
            first.again()

    def second_look(self) -> bool:
        """After publishing itself as asleep: tell those who wait for idleness, look again."""
        if self.crew.resting.sleepers:
            self.crew.resting.wake_all()
        return self.closed or bool(self.surplus) or bool(self.owed) or any(self.levels)

    def _leaves(self) -> bool:
        """On a worker's thread: True if it is one that was asked to leave."""
        return self.surplus.take() or (bool(self.owed) and self._hand_over())

    def yield_worker(self, other: Pool) -> None:
        """Let one worker leave after the job it is at, so that ``other`` may start one."""
        wanted = min(other.queued(), len(other.vacancies)) + self.crew.ceiling.surplus()
        if self.owed.count(other) < wanted:  # too many, if others leave: each one looks again
            self.owed.append(other)
            self.parking.nudge()

    def dismiss(self, count: int) -> None:
        """The ceiling was lowered: so many workers are to leave, idle ones first, the others
        after the job they are at."""
        self.owed.extend([self] * count)
        self.parking.wake_all()

    def _hand_over(self) -> bool:
        """On a worker's thread: leave in favour of another pool, if it still needs it; or, if it
        is this one, because there are too many."""
        try:
            other = self.owed.popleft()
        except IndexError:
            return False
        busy, surplus = any(self.levels), self.crew.ceiling.surplus()
        if other is self:
            if not surplus or (busy and self.hired() < 2):
                return False
        # Over the ceiling one leaves anyway, or ``other`` has counted the thread it asks for.
        elif not other.queued() or (busy and self.hired() - other.hired() < 2 - bool(surplus)):
            return False
        self.vacancies.give()
        self._hiring.drop()
        if other is not self:
            other.offer()
            if other.queued() and self.hired() - other.hired() >= 2:
                self.yield_worker(other)
        if any(self.levels) and not self.hired():
            self.offer()  # the others left at the same moment, and an enqueue counted on this one
        return True

    def _lend(self) -> bool:
        """Under a ceiling, and without a job here: leave in favour of a pool that has some."""
        other = self.crew.ceiling.in_need(self) if self.hired() > 1 else None
        if other is None:
            return False
        self.owed.append(other)
        return self._hand_over()

    def _retire(self) -> bool:
        """Give the thread back after a minute without work; False if there is some now.

        The vacancy is published first and the queue looked at afterwards: an enqueue that
        still saw this worker as hired, but not asleep, is found here.
        """
        self.vacancies.give()
        if any(self.levels):
            return not self.vacancies.take()  # gone: an enqueue started another one instead
        self._hiring.drop()
        return True

    def resize(self, size: int) -> None:
        """Change the number of threads; surplus workers leave after the job they are at."""
        more = size - self.size
        self.size = size
        if not self.crew.stage.threads:
            return
        vacancies, surplus, one = self.vacancies, self.surplus, (None,)
        while self.granted < size:  # each step in one breath, so it may be begun again
            vacancies += one
            self.granted += 1
        while self.granted > size:
            try:
                for _ in vacancies.taker:
                    break
            except IndexError:
                surplus += one
            self.granted -= 1
        self.crew.resting.wake_all()  # without its vacancies a larger pool seemed to be at work
        for _ in range(min(more, self.queued())):
            self.offer()
        if surplus:
            self.parking.wake_all()

    def close(self) -> None:
        """Tell the workers to leave once the queue is empty."""
        self.closed = True
        self.parking.wake_all()
        self._hiring.close()
