"""One ``ThreadPoolExecutor`` and the worker loops it runs: the only room with job threads.

The executor gets one work item per *worker*, not per job: a loop that takes jobs from the
deques below until it has been idle for a minute. That makes an enqueue an append and, if a
worker sleeps, a wake-up; and it lets the process leave with a job stuck, which a plain
executor cannot (its threads are joined without limit when the interpreter ends):

* a thread inherits ``daemon`` from the thread that starts it, so the executor's ``submit``
  is called on a short-lived daemon thread and the new thread is a daemon too;
* ``concurrent.futures`` joins the threads in its private ``_threads_queues`` at exit, so
  they are taken out of it; where that name is missing nothing is taken.
"""

from __future__ import annotations

import concurrent.futures.thread
import itertools
import logging
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ._clock import monotonic
from ._config import config
from ._execution import broken, execute, execute_plain
from ._hooks import logger, process, report, safely
from ._parking import Parking, Sleeper, take_one
from ._status import QUEUED

if TYPE_CHECKING:
    from ._runtime import Runtime
    from .handle import Handle

__all__ = ["IDLE_SECONDS", "Pool", "Worker"]

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


class Worker:
    """What is known of one worker: its bed, its thread and the job it is at, for reports."""

    __slots__ = ("call", "ident", "name", "sleeper")

    def __init__(self) -> None:
        self.call: Handle[Any] | None = None
        self.sleeper = Sleeper()
        self.ident: int | None = None
        self.name = ""


class Pool:
    """The threads of one job class, or the shared ones of ``configure(pools=...)``."""

    #: False: its workers are tasks of the event loop.
    threaded = True

    def __init__(self, runtime: Runtime, name: str, size: int, shared: bool) -> None:
        self.runtime = runtime
        self.name = name
        self.size = size
        self.shared = shared
        self.parking = Parking()
        self.workers: set[Worker] = set()
        #: One entry for each worker that may still be started; taking it is the right to.
        self.vacancies: deque[None] = deque([None] * size if runtime.threads else ())
        #: One entry for each worker that is to leave since the pool was made smaller.
        self.surplus: deque[None] = deque()
        #: Pools that are owed a thread of this one, under ``max_threads``; itself, if one is
        #: too many.
        self.owed: deque[Pool] = deque()
        self.closed = False
        self.levels: tuple[deque[Handle[Any]], ...] = ()
        self._by_priority: dict[int, deque[Handle[Any]]] = {}
        self._executor: ThreadPoolExecutor | None = None
        self._executor_size = 0
        # Held while the executor is made, used or dropped, on starter and worker threads
        # only: never on a caller's, which may be inside a signal handler.
        self._executor_lock = threading.Lock()
        self._numbers = itertools.count()

    # Queue

    def level(self, priority: int) -> deque[Handle[Any]]:
        """The queue of one priority, made on first use."""
        queue = self._by_priority.get(priority)
        if queue is None:
            queue = self._by_priority.setdefault(priority, deque())
        # Two threads may add levels at once; who writes last may not have seen the other's,
        # and then looks again. Who finds a level there looks as well: the one that added it
        # may not have come this far yet, or was interrupted by an exception.
        while len(self.levels) != len(self._by_priority):
            ordered = sorted(self._by_priority.copy().items(), reverse=True)
            self.levels = tuple(queue for _, queue in ordered)
            if len(self.levels) > 1:
                self.runtime.close_gates(self)  # the short path counts one queue only
        return queue

    def push(self, call: Handle[Any], priority: int) -> None:
        self.level(priority).append(call)
        self.offer()

    def offer(self) -> None:
        """There is work: wake a sleeping worker, or start one if none sleeps."""
        if self.parking.sleepers:
            self.parking.nudge()
        elif self.vacancies:
            self.start_worker()

    def take(self) -> Handle[Any] | None:
        """The next job, taken out: highest priority first, first come first served within."""
        for queue in self.levels:
            if queue:
                try:
                    return queue.popleft()
                except IndexError:
                    pass  # another worker took the last one
        return None

    def withdraw(self, call: Handle[Any]) -> bool:
        """Take one job out; False if it is not, or no longer, queued here."""
        for queue in self.levels:
            try:
                queue.remove(call)
            except ValueError:
                continue
            return True
        return False

    def queued(self) -> int:
        return sum(map(len, self.levels))

    def calls(self) -> list[Handle[Any]]:
        """A copy of the queue in the order in which it would run."""
        return list(itertools.chain.from_iterable(queue.copy() for queue in self.levels))

    # Workers

    def hired(self) -> int:
        """Workers that run, are being started, or sleep."""
        return self.size - len(self.vacancies) if self.runtime.threads else 0

    def threads(self) -> int:
        """What ``max_threads`` counts."""
        return self.hired()

    def idle(self, own: bool = False) -> bool:
        """True if nothing is queued and every worker sleeps (all but the caller's, if ``own``)."""
        sleeping = len(self.parking.sleepers)
        return not any(self.levels) and sleeping >= self.hired() - (1 if own else 0)

    def start_worker(self) -> bool:
        """Start one worker if the pool has a vacancy; False if no thread can be had."""
        claim: list[None] = []
        try:
            return self._start_worker(claim)
        except BaseException:  # out of a signal handler: its vacancy must not go with it
            self._give_back(claim)
            raise

    def _give_back(self, claim: list[None]) -> None:
        try:
            claim.pop()
        except IndexError:
            return  # the starter thread has it already, or there was none
        self.vacancies.append(None)

    def _start_worker(self, claim: list[None]) -> bool:
        while True:
            try:
                take_one(self.vacancies, claim)
            except IndexError:
                return True
            # Counted first and looked at afterwards: of two enqueues that start workers at
            # the ceiling at least one sees the other.
            if self.runtime.may_start_thread(self):
                break
            self._give_back(claim)
            # A thread that left meanwhile and found no vacancy here relied on this one.
            if self.runtime.phase == "stopped" or (self.hired() and self.runtime.at_ceiling()):
                self._tell_waits()  # it may have been counted as a thread on its way
                return False
        starter = threading.Thread(
            target=self._hire,
            args=(claim,),
            name=f"counterpunch-starter-{self.name}",
            daemon=True,
        )
        try:
            starter.start()
        except RuntimeError as exc:
            self._give_back(claim)
            self._tell_waits()
            self.runtime.no_thread(self, exc)
            return False
        starter.join(START_SECONDS)
        return True

    def _hire(self, claim: list[None]) -> None:
        """On the starter thread: have the executor run one more worker loop."""
        try:
            claim.pop()
        except IndexError:
            return  # an exception on the caller's thread took the vacancy back
        worker = Worker()
        try:
            with self._executor_lock:
                if self._executor is not None and self._executor_size < self.size:
                    self._executor.shutdown(wait=False)  # its loops run on until they return
                    self._executor = None
                if self._executor is None:
                    self._executor = ThreadPoolExecutor(
                        max_workers=self.size, thread_name_prefix=f"counterpunch-{self.name}"
                    )
                    self._executor_size = self.size
                executor = self._executor
                executor.submit(self._work, worker)
                joined_at_exit = getattr(concurrent.futures.thread, "_threads_queues", {})
                for thread in getattr(executor, "_threads", ()):
                    joined_at_exit.pop(thread, None)
            if self.closed:  # it may have looked before there was an executor to shut down
                executor.shutdown(wait=False)
        except RuntimeError as exc:
            self.vacancies.append(None)
            self._tell_waits()
            self.runtime.no_thread(self, exc)

    def _work(self, worker: Worker) -> None:
        """The worker loop, run by the executor on a thread of its own."""
        thread = threading.current_thread()
        thread.name = worker.name = f"counterpunch-{self.name}_{next(self._numbers)}"
        worker.ident = thread.ident
        self.workers.add(worker)
        for begin in process.at_work:
            safely("at_work", None, begin)
        try:
            self._serve(worker)
        except BaseException as exc:  # the executor would keep it to itself
            self._broke_down(worker, exc)
        finally:
            self.workers.discard(worker)
            self.runtime.resting.wake_all()
            if config.max_threads is not None:
                self.runtime.fill_threads()
            self._tell_waits()

    def _tell_waits(self) -> None:
        """There is a worker less, or none more: jobs that wait for jobs look who is left."""
        if self.runtime.waits:
            from ._deadlock import look_again

            look_again(self.runtime)

    def _broke_down(self, worker: Worker, exc: BaseException) -> None:
        """A worker ends by a defect: say so, end the job that it has in hand, get another."""
        self.vacancies.append(None)
        if self.runtime.phase != "stopped":
            report(logging.CRITICAL, "a worker of %s ended by a defect", self.name, exc_info=exc)
        call = worker.call
        if call is not None and (call in call._lane.running or call._state is QUEUED):
            call._lane.running.add(call)
            self.runtime.settle(call, broken(call, exc))
        if any(self.levels):
            self.offer()

    def _serve(self, worker: Worker) -> None:
        watchdog = self.runtime.watchdog
        if watchdog.asleep:
            watchdog.woken_by(self)
        rested, computed = monotonic(), time.thread_time()
        talks = logger.isEnabledFor(logging.INFO)
        while True:
            call = None
            for queue in self.levels:
                if queue:
                    try:
                        call = queue.popleft()
                        break
                    except IndexError:
                        pass  # another worker took the last one
            if call is not None:
                lane = call._lane
                worker.call = call
                if lane.tickets is not None or lane.away or lane.overdue or lane.blocked:
                    lane.taken(call)
                if (
                    lane.plan.bare
                    and call._more is None
                    and not process.around_perform
                    and not talks
                ):
                    execute_plain(call, lane)
                elif lane.plan.is_async:  # in a shared pool: this thread waits for the loop
                    from ._loop import execute_on_loop

                    execute_on_loop(call, True)
                else:
                    execute(call, True)
                ended = call._finished  # None if another attempt follows
                worker.call = call = None  # nothing keeps the arguments of a job that ended
                if ended is None or ended - rested > FAIR_SECONDS:
                    if time.thread_time() - computed > FAIR_SECONDS / 2:
                        time.sleep(0)  # looked up late: gevent replaces it
                    rested, computed = monotonic(), time.thread_time()
                    talks = logger.isEnabledFor(logging.INFO)
                if self.surplus and self._leave(self.surplus):
                    return
                if self.owed and self._hand_over():
                    return
                continue
            if self.closed:
                self.vacancies.append(None)
                return
            if self.surplus and self._leave(self.surplus):
                return
            if self.owed and self._hand_over():
                return
            if config.max_threads is not None and self._lend():
                return
            woken = self.parking.park(worker.sleeper, self._second_look, IDLE_SECONDS)
            if not woken and self._retire():
                return
            if watchdog.asleep and not self.parking.sleepers:
                watchdog.woken_by(self)
            # While this thread got up, enqueues relied on it and woke nobody else. One job
            # is for itself; if there are more, the next sleeper gets up.
            levels = self.levels
            if (len(levels[0]) if len(levels) == 1 else self.queued()) > 1:
                self.offer()
            rested, computed = monotonic(), time.thread_time()
            talks = logger.isEnabledFor(logging.INFO)

    def _second_look(self) -> bool:
        """After publishing itself as asleep: tell those who wait for idleness, look again."""
        if self.runtime.resting.sleepers:
            self.runtime.resting.wake_all()
        return self.closed or bool(self.surplus) or bool(self.owed) or any(self.levels)

    def _leave(self, tokens: deque[None]) -> bool:
        try:
            tokens.pop()
        except IndexError:
            return False
        return True

    def yield_worker(self, other: Pool) -> None:
        """Let one worker leave after the job it is at, so that ``other`` may start one."""
        if other not in self.owed:
            self.owed.append(other)
            self.parking.nudge()

    def _hand_over(self) -> bool:
        """On a worker's thread: leave in favour of another pool, if it still needs it."""
        try:
            other = self.owed.popleft()
        except IndexError:
            return False
        if other is self:
            return self._shrink()
        even = self.hired() - other.hired() < 2
        if not other.queued() or (even and any(self.levels)):
            return False
        self.vacancies.append(None)
        self._drop_executor()
        other.offer()
        if other.queued() and self.hired() - other.hired() >= 2:
            self.yield_worker(other)
        if any(self.levels) and not self.hired():
            self.offer()  # an enqueue still counted on this worker
        return True

    def dismiss(self, count: int) -> None:
        """The ceiling was lowered: so many workers are to leave, idle ones first, the others
        after the job they are at."""
        self.owed.extend([self] * count)
        self.parking.wake_all()

    def _shrink(self) -> bool:
        """On a worker's thread: leave, if there are too many still and the work goes on."""
        if not self.runtime.surplus_threads() or (any(self.levels) and self.hired() < 2):
            return False
        self.vacancies.append(None)
        self._drop_executor()
        if any(self.levels) and not self.hired():
            self.offer()  # the others have left at the same moment
        return True

    def _lend(self) -> bool:
        """Under a ceiling, and without a job here: leave in favour of a pool that has some."""
        if self.hired() < 2:
            return False
        for other in list(self.runtime.pools.values()):
            if other is not self and other.threads() and other.queued() and other.vacancies:
                self.owed.append(other)
                return self._hand_over()
        return False

    def _retire(self) -> bool:
        """Give the thread back after a minute without work; False if there is some now.

        The vacancy is published first and the queue looked at afterwards: an enqueue that
        still saw this worker as hired, but not asleep, is found here.
        """
        self.vacancies.append(None)
        if any(self.levels):
            try:
                self.vacancies.pop()
            except IndexError:
                return True  # an enqueue has started another worker instead
            return False
        self._drop_executor()
        return True

    def _drop_executor(self) -> None:
        """Let the threads of workers that have left end; the next worker gets a new executor.

        The loops of workers that are still busy run on in the old one until they return.
        """
        with self._executor_lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)

    def resize(self, size: int) -> None:
        """Change the number of threads; surplus workers leave after the job they are at."""
        more = size - self.size
        self.size = size
        if not self.runtime.threads:
            return
        for _ in range(more):
            self.vacancies.append(None)
        for _ in range(-more):
            try:
                self.vacancies.pop()
            except IndexError:
                self.surplus.append(None)
        for _ in range(min(more, self.queued())):
            self.offer()
        if self.surplus:
            self.parking.wake_all()

    def close(self) -> None:
        """Tell the workers to leave once the queue is empty."""
        self.closed = True
        self.parking.wake_all()
        executor = self._executor
        if executor is not None:
            executor.shutdown(wait=False)
