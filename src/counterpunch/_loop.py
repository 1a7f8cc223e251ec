"""``async def perform``: one event loop on one thread, and pools whose workers are tasks.

A pool here has the same queue, parking and vacancies as one of threads, so enqueues,
bounds, pauses and the drain need not know the difference. Its workers are coroutines on
the loop: ``workers`` bounds how many jobs run at once, not how many threads there are.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import contextlib
import logging
import threading
from contextvars import Context
from typing import TYPE_CHECKING, Any

from ._execution import Abandon, admitted, attempt_async, broken
from ._hooks import process, report, safely
from ._pool import Pool, Worker
from ._status import CANCELLED, Status
from .handle import Handle

if TYPE_CHECKING:
    from ._lane import Lane

__all__ = ["Loop", "LoopPool", "execute_here", "run_to_end"]

#: An enqueue waits no longer than this for the thread of the loop to come up.
START_SECONDS = 1.0


class Loop:
    """The event loop of one runtime, on a daemon thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.tasks: set[asyncio.Task[Any]] = set()
        #: The task of each running job.
        self.jobs: dict[Handle[Any], asyncio.Task[Any]] = {}
        self.thread = threading.Thread(target=self._run, name="counterpunch-loop", daemon=True)
        self._up = threading.Event()
        self.thread.start()
        self._up.wait(START_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self._up.set)
        try:
            while self._run_until_stopped():
                pass
        finally:
            with contextlib.suppress(Exception, asyncio.CancelledError):
                self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()

    def _run_until_stopped(self) -> bool:
        """True if something other than ``stop`` ended the loop: then it is to go on.

        asyncio lets SystemExit and KeyboardInterrupt of any task or callback out of
        ``run_forever``, and a job may start tasks of its own.
        """
        try:
            self.loop.run_forever()
        except Abandon:
            raise
        except (SystemExit, KeyboardInterrupt) as exc:
            report(logging.ERROR, "a task of the event loop raised; the loop goes on", exc_info=exc)
            return True
        return False

    @property
    def ident(self) -> int | None:
        """Of its thread."""
        return self.thread.ident

    def call(self, fn: Any, *args: Any) -> bool:
        """Run ``fn(*args)`` on the loop; False if it is closed."""
        try:
            self.loop.call_soon_threadsafe(fn, *args)
        except RuntimeError:
            return False
        return True

    def spawn(self, coroutine: Any, context: Context | None = None) -> asyncio.Task[Any]:
        """On the loop's thread: start a task and keep it from being collected."""
        task = self.loop.create_task(coroutine, context=context)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def stop(self) -> None:
        """Cancel what still runs, tasks that jobs have started included, let it clean up, and
        end the thread."""
        # asyncio.to_thread runs in an executor of the loop's own, whose threads the end of
        # the interpreter would join without limit; they are daemons, as the loop's thread is.
        helpers = getattr(getattr(self.loop, "_default_executor", None), "_threads", ())
        joined_at_exit = getattr(concurrent.futures.thread, "_threads_queues", {})
        for thread in list(helpers):
            joined_at_exit.pop(thread, None)
        self.call(lambda: self.spawn(self._end()))

    async def _end(self) -> None:
        me = asyncio.current_task()
        close = self.loop.time() + GRACE_SECONDS
        # Jobs alone at first: each passes it on to the tasks that it waits for, in a TaskGroup
        # or so, and to cancel those twice would break off an ``await`` in their ``finally``.
        await self._cancel(self.tasks - {me}, close - GRACE_SECONDS / 2)
        while (left := asyncio.all_tasks() - {me}) and self.loop.time() < close:
            await self._cancel(left, close)
        self.loop.stop()

    async def _cancel(self, tasks: set[asyncio.Task[Any]], until: float) -> None:
        for task in tasks:
            if not task.cancelling():
                task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=until - self.loop.time())

    def join(self) -> int | None:
        """Wait for the thread to end after ``stop``: at once if nothing ran, a little longer
        than its tasks may clean up otherwise. Its ident if it still runs."""
        if threading.get_ident() == self.thread.ident:
            return None
        self.thread.join(GRACE_SECONDS * 1.25)
        return self.thread.ident if self.thread.is_alive() else None


#: Tasks that are cancelled at the deadline get this long for their ``finally`` blocks.
GRACE_SECONDS = 0.2


class LoopPool(Pool):
    """A pool whose workers are tasks of the runtime's event loop."""

    threaded = False

    def start_worker(self) -> bool:
        if self.runtime.phase == "stopped":
            return False
        try:
            self.vacancies.pop()
        except IndexError:
            return True
        try:
            loop = self.runtime.event_loop()
        except RuntimeError as exc:  # no thread to be had, as in Pool.start_worker
            self.vacancies.append(None)
            self.runtime.no_thread(self, exc)
            return False
        worker = Worker()
        # A worker that lives on must not keep the context of the caller that it was started for.
        if not Context().run(loop.call, lambda: loop.spawn(self._serve_tasks(loop, worker))):
            self.vacancies.append(None)
            return False
        return True

    def threads(self) -> int:
        """None: all of these pools share the one thread of the loop."""
        return 0

    async def _serve_tasks(self, loop: Loop, worker: Worker) -> None:
        worker.ident = threading.get_ident()
        worker.name = f"counterpunch-{self.name}_{next(self._numbers)}"
        self.workers.add(worker)
        for begin in process.at_work:
            safely("at_work", None, begin)
        self.runtime.watchdog.woken_by(self)
        try:
            while not await self._serve_some(loop, worker):
                pass
        except asyncio.CancelledError:  # by a job that cancels all tasks it can find
            self.vacancies.append(None)
            if self.queued():
                self.offer()
            raise
        except Exception as exc:
            self._broke_down(worker, exc)
        finally:
            self.workers.discard(worker)
            self.runtime.resting.wake_all()

    async def _serve_some(self, loop: Loop, worker: Worker) -> bool:
        """Run jobs until none is queued, then sleep; True if the worker is to leave."""
        while (call := self.take()) is not None:
            lane = call._lane
            if lane.tickets is not None or lane.away or lane.overdue or lane.blocked:
                lane.taken(call)
            worker.call = call
            await _execute(loop, call)
            worker.call = call = None
            if self.surplus and self._leave(self.surplus):
                return True
        if self.closed:
            self.vacancies.append(None)
            return True
        if self.surplus and self._leave(self.surplus):
            return True
        await self._sleep(loop)
        if self.runtime.watchdog.asleep:
            self.runtime.watchdog.woken_by(self)
        if self.queued() > 1:
            self.offer()  # as in Pool._serve: others relied on this one getting up
        return False

    async def _sleep(self, loop: Loop) -> None:
        """``Parking.park`` for a task: published first, and then the second look."""
        woken = loop.loop.create_future()

        def arrived() -> None:
            if not woken.done():
                woken.set_result(None)

        def wake() -> None:
            loop.call(arrived)

        parking = self.parking
        parking.parked.append(None)
        try:
            parking.sleepers.append(wake)
            if self._second_look():
                with contextlib.suppress(ValueError):
                    parking.sleepers.remove(wake)
                return
            await woken
        except asyncio.CancelledError:
            with contextlib.suppress(ValueError):
                parking.sleepers.remove(wake)  # nobody may count on this worker any more
            raise
        finally:
            parking.parked.pop()


async def _execute(loop: Loop, call: Handle[Any]) -> None:
    """One attempt, as a task in the job's own context variables."""
    lane = call._lane
    if not admitted(call, lane):
        return
    context = call._context
    task = loop.spawn(attempt_async(call, lane), Context() if context is None else context)
    loop.jobs[call] = task
    try:
        status: Status = await asyncio.shield(task)
    except asyncio.CancelledError:
        # The deadline of the drain: this worker and the job's task are both cancelled. Once
        # is enough: a second time would break off an ``await`` in the job's ``finally``.
        if not task.cancelling():
            task.cancel()
        status = CANCELLED
    except Exception as exc:  # not the user's code, which attempt_async() has caught
        status = broken(call, exc)
    finally:
        del loop.jobs[call]
    lane.runtime.settle(call, status)


async def _take_over(loop: Loop, call: Handle[Any]) -> None:
    """On the loop: run a job that a pool's thread has handed on, unless the drain took it."""
    try:
        call._lane.running.remove(call)
    except KeyError:
        return  # given up as lost, which was its one ending
    await _execute(loop, call)


def execute_on_loop(call: Handle[Any], worker: bool) -> None:
    """One attempt of an async job that was queued in a shared pool: it runs on the loop, and
    the pool's thread waits for it."""
    lane = call._lane
    lane.running.add(call)  # from here on the drain sees it
    if lane.halted and lane.runtime.turned_away(call, taken=True):
        return  # before anything is given to a loop that is about to close
    try:
        loop = lane.runtime.event_loop()
        coroutine = _take_over(loop, call)
        try:
            asyncio.run_coroutine_threadsafe(coroutine, loop.loop).result()
        finally:
            coroutine.close()  # it has never begun if the loop is closed already
    except BaseException as exc:
        lane.runtime.settle(call, broken(call, exc))


def execute_here(call: Handle[Any], final: bool = False) -> None:
    """Run one attempt of an async job to its end from synchronous code.

    On a loop of its own; on a thread of its own if this one already runs a loop.
    """
    lane = call._lane
    if not admitted(call, lane, final):
        return
    context = call._context or Context()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        status = run_to_end(call, lane, context, final)
    else:
        # It settles the job itself: a Ctrl-C may end the wait below, not the attempt.
        thread = threading.Thread(
            target=lambda: lane.runtime.settle(call, run_to_end(call, lane, context, final)),
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError as exc:  # no thread to be had
            lane.runtime.settle(call, broken(call, exc))
        else:
            thread.join()
        return
    lane.runtime.settle(call, status)


def run_to_end(call: Handle[Any], lane: Lane, context: Context, final: bool) -> Status:
    """One attempt of an async job on a loop of its own; what follows is not carried out."""
    coroutines, coroutine = lane.runtime.here_coroutines, attempt_async(call, lane, final)
    coroutines[call] = coroutine
    try:
        with asyncio.Runner() as runner:
            return runner.run(coroutine, context=context)
    except BaseException as exc:  # Ctrl-C, which the runner raises after the job has ended
        return broken(call, exc)
    finally:
        del coroutines[call]
