"""Pools whose workers are tasks of the event loop.

A pool here has the same queue, parking and vacancies as one of threads, so enqueues, bounds,
pauses and the drain need not know the difference. Its workers are coroutines on the loop:
``workers`` bounds how many jobs run at once, not how many threads there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from contextvars import Context
from typing import Any

from ..places.backlog import Worker
from ..places.lane import Lane
from ..places.steps import entries
from ..values.hooks import process, safely
from ..values.stage import STOPPED
from .at_exit import first
from .loop import perform_on
from .loop_tasks import LoopTasks
from .pool import Pool

__all__ = ["LoopPool"]


class LoopPool(Pool):
    """A pool whose workers are tasks of the runtime's event loop, or of the application's."""

    threaded = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        #: How to wake each task that sleeps, whatever became of its place in ``sleepers``.
        self._asleep: dict[Callable[[], None], None] = {}

    def rouse(self) -> None:
        super().rouse()
        for wake in entries(self._asleep):
            wake()

    def start_worker(self) -> bool:
        if self.crew.stage.phase is STOPPED:
            return False
        claim: list[None] = []
        try:
            if not self.vacancies.take_into(claim):
                return True
            loop, worker = self.crew.loops.of(self.on_app), Worker()

            def begin() -> None:
                loop.spawn(self._serve_tasks(loop, worker, claim))

            # A worker that lives on must not keep the context of the caller it was started for.
            if Context().run(loop.call, begin):
                return True
        except BaseException as exc:
            self.vacancies.give_back(claim)  # first, from where it was taken: see there
            self._give_back(claim)
            if not isinstance(exc, RuntimeError) or isinstance(exc, RecursionError):
                raise
            self.crew.no_thread(self, exc)  # as in Pool.start_worker
            return False
        self._give_back(claim)
        return False

    def threads(self) -> int:
        """None: all of these pools share the one thread of the loop."""
        return 0

    async def _serve_tasks(self, loop: LoopTasks, worker: Worker, claim: list[None]) -> None:
        if not claim:
            return  # an exception on the caller's thread took the vacancy back
        claim.clear()
        worker.ident = threading.get_ident()
        worker.name = f"counterpunch-{self.name}_{next(self._numbers)}"
        self.workers.add(worker)
        for begin in process.at_work:
            safely("at_work", None, begin)
        self.crew.watchdog.woken_by(self)
        try:
            while not await self._serve_some(loop, worker):
                pass
        except asyncio.CancelledError:  # by a job that cancels all tasks it can find
            self.vacancies.give()
            if self.queued():
                self.offer()
            raise
        except Exception as exc:
            self.broke_down(worker, exc)
        finally:
            self.workers.discard(worker)
            self.crew.resting.wake_all()

    async def _serve_some(self, loop: LoopTasks, worker: Worker) -> bool:
        """Run jobs until none is queued, then sleep; True if the worker is to leave."""
        while not loop.leaving and (call := self.take(worker)) is not None:
            lane: Lane = call.lane
            if lane.tickets is not None or lane.away or lane.overdue or lane.blocked:
                lane.moves.taken(call)
            await perform_on(loop, call)
            worker.call = call = None
            first.again()
            if self._leaves_loop(loop):
                return True
        if self.closed:
            self.vacancies.give()
            return True
        if self._leaves_loop(loop):
            return True
        self.crew.site.history.weigh()
        await self._sleep(loop)
        if self.crew.watchdog.asleep:
            self.crew.watchdog.woken_by(self)
        if self.queued() > 1:
            self.offer()  # as in Pool._serve: others relied on this one getting up
        return False

    def _leaves_loop(self, loop: LoopTasks) -> bool:
        """True for a worker that is to leave; on a loop that ends, another one takes its place."""
        if self.surplus.take():
            return True
        if loop.leaving:
            self.vacancies.give()
            if self.queued():
                self.offer()
        return loop.leaving

    async def _sleep(self, loop: LoopTasks) -> None:
        """``Parking.park`` for a task: published first, and then the second look."""
        woken = loop.loop.create_future()

        def arrived() -> None:
            if not woken.done():
                woken.set_result(None)

        def wake() -> None:
            loop.call(arrived)

        self._asleep[wake] = None

        parking = self.parking
        parking.parked.give()
        try:
            parking.sleepers.append(wake)
            if not (self.second_look() or loop.leaving):
                await woken
        finally:
            # Woken by ``rouse`` or not at all: nobody may count on this worker any more.
            with contextlib.suppress(ValueError):
                parking.sleepers.remove(wake)
            self._asleep.pop(wake, None)
            parking.parked.take()
