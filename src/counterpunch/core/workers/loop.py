"""The event loop that ``async def`` jobs run on, on one thread; and one attempt without it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from contextvars import Context
from typing import Any

from ..places.lane import Lane
from ..places.parking import Parking
from ..values.app_loop import app_loop
from ..values.blocking import running_loop
from ..values.handle import Call
from ..values.hooks import report
from ..values.matching import is_a
from ..values.status import CANCELLED, Status
from .attempt import admitted, context_of, run_async, steps
from .loop_settings import set_apart
from .loop_tasks import GRACE_SECONDS, LoopTasks
from .outcome import Abandon, broken

__all__ = ["Loop", "execute_here", "execute_on_loop", "perform_on", "run_to_end"]

#: An enqueue waits no longer than this for the thread of the loop to come up.
START_SECONDS = 1.0
#: Who waits for a job on the application's loop looks this often whether that still runs.
LOOK_SECONDS = 1.0


class Loop(LoopTasks):
    """The event loop of one runtime, on a daemon thread of its own."""

    def __init__(self) -> None:
        super().__init__(asyncio.new_event_loop())
        self._threads = set_apart(self.loop)
        self._over = False
        self.thread = threading.Thread(target=self._run, name="counterpunch-loop", daemon=True)
        self._up = threading.Event()
        try:
            self.thread.start()
            self._up.wait(START_SECONDS)
        except BaseException:  # nobody will know of it
            self.stop()
            raise

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self._up.set)
        try:
            while not self._over and not self.loop.is_closed():
                self._run_until_stopped()
        finally:
            with contextlib.suppress(Exception, asyncio.CancelledError):
                self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()
            self._threads.shutdown(wait=False)

    def _run_until_stopped(self) -> None:
        """Until ``stop``, or until something else ends the loop, which then is to go on.

        A job may call the loop's ``stop``. asyncio lets SystemExit and KeyboardInterrupt of any
        task or callback out of ``run_forever``, and a job may start tasks of its own.
        """
        try:
            self.loop.run_forever()
        except (SystemExit, KeyboardInterrupt) as exc:
            if is_a(exc, Abandon):
                raise
            report(logging.ERROR, "a task of the event loop raised; the loop goes on", exc_info=exc)

    @property
    def ident(self) -> int | None:
        return self.thread.ident

    def spawn(self, coroutine: Any, context: Context | None = None) -> asyncio.Task[Any]:
        """As of any loop. It is not among ``asyncio.all_tasks()``: a job that cancels, or awaits,
        all tasks it can find is not to find other jobs.
        """
        task = super().spawn(coroutine, context)
        asyncio._unregister_task(task)
        return task

    def stop(self) -> None:
        """Cancel what still runs, tasks that jobs have started included, let it clean up, and
        end the thread."""
        self.call(lambda: self.spawn(self._end()))

    async def _end(self) -> None:
        me = asyncio.current_task()
        close = self.loop.time() + GRACE_SECONDS
        # Jobs alone at first: each passes it on to the tasks that it waits for, in a TaskGroup
        # or so, and to cancel those twice would break off an ``await`` in their ``finally``.
        await self.cancel(self.tasks - {me}, close - GRACE_SECONDS / 2)
        while (left := (asyncio.all_tasks() | self.tasks) - {me}) and self.loop.time() < close:
            await self.cancel(left, close)
        self._over = True
        self.loop.stop()

    def join(self) -> int | None:
        """Wait for the thread to end after ``stop``: at once if nothing ran, a little longer
        than its tasks may clean up otherwise. Its ident if it still runs."""
        if threading.get_ident() == self.thread.ident:
            return None
        self.thread.join(GRACE_SECONDS * 1.25)
        return self.thread.ident if self.thread.is_alive() else None


async def perform_on(loop: LoopTasks, call: Call) -> None:
    """One attempt, as a task in the job's own context variables."""
    lane: Lane = call.lane
    if not admitted(call, lane):
        return
    task = loop.spawn(run_async(steps(call, lane)), context_of(call, lane))
    loop.jobs[call] = task
    try:
        status: Status = await asyncio.shield(task)
    except asyncio.CancelledError:
        # The deadline of the drain: this worker and the job's task are both cancelled. Once
        # is enough: a second time would break off an ``await`` in the job's ``finally``.
        if not task.cancelling():
            task.cancel()
        status = CANCELLED
    except Exception as exc:  # not the user's code, which ``steps`` has caught
        status = broken(call, exc)
    finally:
        del loop.jobs[call]
    lane.moves.settle(call, status)


async def _take_over(loop: LoopTasks, call: Call) -> None:
    """On the loop: run a job that a pool's thread has handed on, unless the drain took it."""
    try:
        del call.lane.running[call]
    except KeyError:
        return  # given up as lost, which was its one ending
    await perform_on(loop, call)


def execute_on_loop(event_loop: Callable[[], LoopTasks], call: Call) -> None:
    """One attempt of an async job that was queued in a shared pool: it runs on the loop, and
    the pool's thread waits for it."""
    lane: Lane = call.lane
    lane.running[call] = None  # from here on the drain sees it
    if (lane.paused or lane.stopped) and lane.moves.turned_away(call, True):
        return  # before anything is given to a loop that is about to close
    try:
        loop = event_loop()
        coroutine = _take_over(loop, call)
        try:
            asyncio.run_coroutine_threadsafe(coroutine, loop.loop).result()
        finally:
            coroutine.close()  # it has never begun if the loop is closed already
    except BaseException as exc:
        lane.moves.settle(call, broken(call, exc))


def execute_here(
    call: Call, coroutines: dict[Call, Any], resting: Parking, final: bool = False
) -> None:
    """Run one attempt of an async job to its end from synchronous code.

    On a loop of its own; on a thread of its own if this one already runs a loop. One that wants the
    application's runs there, if that is the loop of another thread.
    """
    lane: Lane = call.lane
    if not admitted(call, lane, final):
        return
    context, app = context_of(call, lane), None
    if lane.options.loop == "app":
        app = app_loop()
    if app is not None and app is not running_loop():
        _run_there(app, call, context, coroutines, resting, final)
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        status = run_to_end(call, lane, context, coroutines, final)
    else:
        # It settles the job itself: a Ctrl-C may end the wait below, not the attempt.
        def run_alone() -> None:
            lane.moves.settle(call, run_to_end(call, lane, context, coroutines, final))
            resting.wake_all()  # nobody may be left who says so

        thread = threading.Thread(target=run_alone, daemon=True)
        coroutines[call] = None
        try:
            thread.start()
        except RuntimeError as exc:  # no thread to be had
            del coroutines[call]
            lane.moves.settle(call, broken(call, exc))
        else:
            thread.join()
        return
    lane.moves.settle(call, status)


def _run_there(
    loop: Any,
    call: Call,
    context: Context,
    coroutines: dict[Call, Any],
    resting: Parking,
    final: bool,
) -> None:
    lane, over = call.lane, threading.Event()
    coroutine = coroutines[call] = run_async(steps(call, lane, final))

    def ended(task: asyncio.Task[Status]) -> None:
        # As ``run_alone``: a Ctrl-C may end the wait below, not the attempt.
        try:
            status = task.result()
        except BaseException as exc:
            status = broken(call, exc)
        coroutines.pop(call, None)
        lane.moves.settle(call, status)
        resting.wake_all()
        over.set()

    def begin() -> None:
        loop.create_task(coroutine, context=context).add_done_callback(ended)

    loop.call_soon_threadsafe(begin)
    while not over.wait(LOOK_SECONDS):
        if not loop.is_running():
            coroutine.close()
            coroutines.pop(call, None)
            ended_with = RuntimeError("the event loop of the application has ended")
            lane.moves.settle(call, broken(call, ended_with))
            return


def run_to_end(
    call: Call, lane: Lane, context: Context, coroutines: dict[Call, Any], final: bool = False
) -> Status:
    """One attempt of an async job on a loop of its own; what follows is not carried out."""
    coroutine = run_async(steps(call, lane, final))
    coroutines[call] = coroutine
    try:
        with asyncio.Runner() as runner:
            return runner.run(coroutine, context=context)
    except BaseException as exc:  # Ctrl-C, which the runner raises after the job has ended
        return broken(call, exc)
    finally:
        del coroutines[call]
