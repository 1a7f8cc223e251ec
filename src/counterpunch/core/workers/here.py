"""Attempts on the thread of whoever asks for them, and where those are just now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context
from threading import get_ident
from typing import Any

from ..places.lane import Lane
from ..places.parking import Parking
from ..places.steps import entries
from ..values.handle import Call
from ..values.status import Status
from .attempt import execute, run, steps

__all__ = ["Here"]


class Here:
    """The jobs that threads run for themselves, as ``perform_now`` does.

    Args:
        resting: Where those sleep who wait until nothing is on its way.
    """

    def __init__(self, resting: Parking) -> None:
        self._resting = resting
        #: By thread, innermost last.
        self.runs: dict[int, list[Call]] = {}
        #: Of those, the coroutine of each async one.
        self.coroutines: dict[Call, Any] = {}

    @contextmanager
    def _noted(self, call: Call) -> Iterator[None]:
        stack = self.runs.setdefault(get_ident(), [])
        stack.append(call)
        try:
            yield
        finally:
            stack.pop()
            if not stack:
                self.runs.pop(get_ident(), None)
            if self._resting.sleepers:
                self._resting.wake_all()  # no worker falls asleep after it

    def run(self, call: Call, final: bool = False) -> None:
        """Run one attempt of a job that the caller owns, and what follows from it."""
        try:
            with self._noted(call):
                if call.lane.plan.is_async:
                    from .loop import execute_here

                    execute_here(call, self.coroutines, self._resting, final)
                else:
                    execute(call, worker=False, final=final)
            call.lane.history.weigh()
        except BaseException as exc:
            # Not the user's code, whose exceptions end the attempt. It is noted before anything
            # is called, see ``record``.
            left = call.lane.left
            left += ((self._rescue, (call, exc), 0),)
            call.lane.moves.repair()
            raise

    def _rescue(self, call: Call, exc: BaseException) -> None:
        if call not in self.coroutines:  # else it goes on, on a thread of its own
            call.lane.moves.rescue(call, exc)

    def attempt(self, call: Call, context: Context) -> Status:
        """Run the attempt of a job that was marked as running; nothing follows from it here."""
        lane: Lane = call.lane
        with self._noted(call):
            if lane.plan.is_async:
                from .loop import run_to_end

                return run_to_end(call, lane, context, self.coroutines)
            status: Status = context.run(run, steps(call, lane), call)
            return status

    def of_thread(self, ident: int) -> tuple[Call, ...]:
        return tuple(entries(self.runs.get(ident, ())))

    def of_lane(self, lane: Lane) -> Iterator[Call]:
        for calls in entries(self.runs.values()):
            yield from (call for call in entries(calls) if call.lane is lane)
