"""The jobs that the sweep enqueues, and the stage on which a scene sets them up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from interrupt_instrument import at_rest, until

import counterpunch
from counterpunch import Batch, Handle, Job, Rate

#: Seconds: as good as never, and soon.
FAR, SOON = 60.0, 0.05
#: The period of ``Rated``.
PERIOD = 0.25
#: The arguments of the checks' own jobs begin here.
CHECKS = 1000
#: Seconds that a stop may take where a job is stuck.
STOP = 0.15

#: Ids of the jobs that ran, once for each attempt, and of the batches whose callback ran.
ran: list[str] = []
called: list[str] = []
ticks: list[str] = []


class Gate:
    """What a job waits for, on a thread or on the event loop."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._wakes: list[Callable[[], object]] = []

    def open(self) -> None:
        self._event.set()
        for wake in self._wakes:
            try:
                wake()
            except RuntimeError:
                pass  # its loop has ended

    def wait(self) -> None:
        self._event.wait(20.0)

    async def passed(self) -> None:
        loop, passed = asyncio.get_running_loop(), asyncio.Event()
        self._wakes.append(lambda: loop.call_soon_threadsafe(passed.set))
        if not self._event.is_set():
            await passed.wait()


class Plain(Job):
    """A job that runs until its gate is open; without one it ends at once."""

    workers = 2
    max_jobs: int | None = 4

    def perform(self, key: int = 0, gate: Gate | None = None) -> int:
        ran.append(self.handle.id)
        if gate is not None:
            gate.wait()
        return key


class Other(Plain): ...


class Waited(Plain):
    delayed_on_shutdown = "wait"


class Hurried(Plain):
    delayed_on_shutdown = "run"


class Prior(Plain):
    priority = 3


class Shared(Plain):
    pool = "mail"


class Oldest(Plain):
    max_jobs, overflow = 1, "discard_oldest"


class Here(Plain):
    max_jobs, overflow = 1, "caller_runs"


class Full(Plain):
    """Whatever makes a job go the long way."""

    retry, timeout, expires_in = counterpunch.Retry(2), 10.0, 20.0

    def before(self) -> None: ...
    def after(self) -> None: ...


class Retried(Full):
    """Its first attempt fails."""

    retry = counterpunch.Retry(2, wait=FAR, jitter=0.0)

    def perform(self, key: int = 0, gate: Gate | None = None) -> int:
        if gate is None and self.attempt == 1 and key < CHECKS:
            raise OSError
        return super().perform(key, gate)


class Blocking(Plain):
    max_jobs, overflow, block_timeout = 1, "block", 0.02


class Async(Job):
    workers, max_jobs = 2, 4

    async def perform(self, key: int = 0, gate: Gate | None = None) -> int:
        ran.append(self.handle.id)
        if gate is not None:
            await gate.passed()
        return key


class Stubborn(Async):
    """It does not end by being cancelled."""

    async def perform(self, key: int = 0, gate: Gate | None = None) -> int:
        while gate is not None:
            try:
                await gate.passed()
                return key
            except asyncio.CancelledError:
                pass
        return key


class Queued(Plain):
    unique, identity = "queued", staticmethod(lambda key=0, gate=None: key)


class Active(Queued):
    unique = "active"


class Replacing(Active):
    on_duplicate = "replace"


class Discarding(Active):
    on_duplicate = "discard"


class Raising(Active):
    on_duplicate = "raise"


class Rated(Plain):
    rate = Rate(2, per=PERIOD)


class Called(Job):
    """The callback of the batches."""

    def perform(self, batch: str) -> None:
        called.append(batch)


class Tick(Job):
    """Its periodic subclasses are made by the scenes, so that others have none."""

    def perform(self) -> None:
        ticks.append(type(self).__name__)


class Transaction:
    """An open transaction, whose end is called by the scene."""

    def __init__(self) -> None:
        self.commit: Callable[[], object] = lambda: None
        self.rollback: Callable[[], object] = lambda: None

    def defer(self, commit: Callable[[], object], rollback: Callable[[], object]) -> bool:
        self.commit, self.rollback = commit, rollback
        return True


class Stage:
    """What a scene has set up, and what the checks have to know of it."""

    def __init__(self) -> None:
        #: Every handle that an enqueue has returned.
        self.handles: list[Handle[Any]] = []
        self.classes: list[Any] = []
        self.gates: list[Gate] = []
        #: Those that must complete, and all whose block is over by the time of the checks.
        self.batches: list[Batch] = []
        self.blocks: list[Batch] = []
        self.periodic: list[type[Tick]] = []
        #: What is called before the checks.
        self.first: list[Callable[[], object]] = []
        #: What the call may raise by itself.
        self.refusals: tuple[type[BaseException], ...] = ()
        #: Makes up for a call that was interrupted before any code of ours had run.
        self.again: Callable[[], object] | None = None
        #: What ``on_lost`` was given.
        self.lost: list[Handle[Any]] = []
        counterpunch.configure(pools={"mail": 2}, on_lost=self.lost.extend)

    def use(self, cls: Any) -> Any:
        if cls not in self.classes:
            self.classes.append(cls)
            cls._gate.paused = False  # by the place before
        return cls

    def add(self, handle: Any) -> Any:
        self.handles.append(handle)
        return handle

    def warm(self, cls: Any, threads: int | None = None) -> Any:
        """Have the class used before, and its threads waiting for work."""
        gate = self.busy(cls, cls.workers if threads is None else threads)
        gate.open()
        until(lambda: all(handle.done() for handle in self.handles))
        self.gates.remove(gate)
        at_rest()
        return cls

    def busy(self, cls: Any, threads: int | None = None) -> Gate:
        """Have the threads of the class at work until the gate is open."""
        gate = Gate()
        self.gates.append(gate)
        jobs = range(cls.workers if threads is None else threads)
        held = [self.add(self.use(cls).perform_async(100 + job, gate)) for job in jobs]
        until(lambda: all(handle.running() for handle in held))
        at_rest()
        return gate

    def opening(self, gate: Gate, after: float = 0.03) -> Callable[[], object]:
        """Open the gate some time after that is called."""

        def later() -> None:
            time.sleep(after)
            gate.open()

        return threading.Thread(target=later, daemon=True).start


def clocks() -> Iterator[type[Tick]]:
    """Two periodic classes."""
    for name in ("First", "Second"):
        kind = {"every": 0.1, "once_per": "process", "__module__": __name__}
        yield type(Job)(name, (Tick,), kind)  # type: ignore[misc]
