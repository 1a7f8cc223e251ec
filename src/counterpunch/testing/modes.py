"""What the test modes do another way, and how one is put in front of the runtime in force."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ContextDecorator
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar
from weakref import WeakKeyDictionary

from ..core.port import Runtime, installed
from ..core.values.clock import VirtualClock
from ..core.values.errors import CounterpunchError
from ..core.values.failure import handed_over
from ..core.values.handle import Handle
from ..core.values.hooks import report
from ..core.values.mode import Mode
from ..core.values.status import DEFERRED, FAILED, LOST, QUEUED, RETRYING, SCHEDULED, TERMINAL

__all__ = ["UNCOMMITTED", "InFront", "Inline", "NothingRuns", "Recording", "reraise"]

T = TypeVar("T")

#: What is said of a job that waits for a transaction.
UNCOMMITTED = (
    "waits for its transaction to commit (after_commit); Django's TestCase never commits: put "
    "`with self.captureOnCommitCallbacks(execute=True):` around what enqueues it"
)


class NothingRuns(CounterpunchError, TimeoutError):
    """Raised where a test mode is asked to wait for what nobody will run. A ``TimeoutError`` as
    well: that is what the code under test would get, and may handle."""


class _TestMode(Mode):
    """A runtime without threads; jobs run on the thread that says so."""

    def __init__(self, start: float | None = None) -> None:
        self.clock = VirtualClock(start)
        self.runtime = Runtime(threads=False, clock=self.clock, mode=self)

    def before_wait(self, call: Any) -> None:
        if call.state is DEFERRED:
            raise NothingRuns(f"{call!r} {UNCOMMITTED}")


class Inline(_TestMode):
    """Runs each job where it is enqueued, to its end."""

    name = "inline"

    def placed(self, call: Handle[Any]) -> None:
        """Run it to its terminal status; raise its own exception if it failed."""
        runtime = self.runtime
        while call.state not in TERMINAL:
            if call.state in (SCHEDULED, RETRYING):
                self.clock.move_to(call.lane.expected(call))  # delays are not waited for
                runtime.scheduler.run_due()  # nor a rate
                runtime.reschedule(call, 0.0)
            if call.state is not QUEUED or not runtime.withdraw(call, runtime.here.run):
                return  # deferred, or another thread is at it
        reraise(call)

    def close(self) -> None:
        """Say which jobs have not run, and why: a test that looks for what they do would not."""
        for lane in self.runtime.registry.all():
            for call in self.runtime.whereabouts.live(lane):
                if call.state is DEFERRED:
                    report(logging.WARNING, "%r %s", call, UNCOMMITTED)


class Recording(_TestMode):
    """Keeps each job until it is told to run it."""

    name = "fake"

    def __init__(self, start: float | None) -> None:
        super().__init__(start)
        #: How many enqueues came before: in virtual time many jobs have the same instant.
        self.order: WeakKeyDictionary[Handle[Any], int] = WeakKeyDictionary()
        self._enqueues = count()

    def placed(self, call: Handle[Any]) -> None:
        self.order.setdefault(call, next(self._enqueues))

    def before_wait(self, call: Any) -> None:
        super().before_wait(call)
        raise NothingRuns(
            f"{call!r} waits in testing.fake(), where nothing runs by itself: call drain(), "
            f"perform_one() or advance(seconds) before waiting for its result"
        )


def reraise(call: Handle[Any]) -> None:
    if call.state is FAILED:
        raise handed_over(call)


_modes_lock = threading.Lock()


class InFront(ContextDecorator, Generic[T]):
    """Puts the runtime of a mode in front of the real one; gives what the mode's user is to have.
    ``make`` gives both, and what is called at the end, before what still waits is dropped.

    Not by ``contextmanager``, which assigns to an exception that passes through: a job's own, which
    the caller of an enqueue gets here, may refuse that.
    """

    def __init__(self, make: Callable[[], tuple[Runtime, T, Callable[[], object]]]) -> None:
        self._make = make

    def _recreate_cm(self) -> Self:  # as a decorator, for each call
        return type(self)(self._make)

    def __enter__(self) -> T:
        self._runtime, given, self._end = self._make()
        with _modes_lock:
            installed.modes = (*installed.modes, self._runtime)
        for each in installed.all():
            each.registry.close_gates()
        return given

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            text = f"{name!r} is of what the block gives: write `with testing.fake() as fake:`"
            raise AttributeError(text, name=name)

    def __exit__(self, *_: object) -> None:
        runtime = self._runtime
        with _modes_lock:
            installed.modes = tuple(mode for mode in installed.modes if mode is not runtime)
        runtime.registry.close_gates()
        self._end()
        while _drop_waiting(runtime):  # a batch that ends with them may enqueue its callback
            pass


def _drop_waiting(runtime: Runtime) -> bool:
    dropped = False
    end = partial(runtime.endings.end, status=LOST, reason="the test mode ended before it ran")
    for lane in runtime.registry.all():
        for call in runtime.whereabouts.live(lane):
            if call.state not in TERMINAL and runtime.steering.take_back(call, end):
                dropped = True
    return dropped
