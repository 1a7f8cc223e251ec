"""Job classes that every backend runs, and the ledger in which they write what happened.

They know of no engine. ``engine_site`` is the module that a worker is given; it imports this.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from fractions import Fraction
from typing import Any

import counterpunch
from counterpunch import Discard, Handle, Job, Rate, Retry, current_job, job


def note(key: str, word: str) -> None:
    """One line in the ledger; appending so little is atomic."""
    with open(os.environ["ENGINE_LEDGER"], "a") as ledger:
        ledger.write(f"{key} {word} {os.getpid()} {time.time()}\n")


def wait_for_go(key: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with open(os.environ["ENGINE_LEDGER"]) as ledger:
            if f"{key} go " in ledger.read():
                break
        time.sleep(0.02)


@contextmanager
def around(handle: Handle[Any]) -> Iterator[None]:
    """Around each attempt; registered by whoever runs jobs."""
    if handle.job is Hooked:
        note(handle.args[0], "enter")
    yield
    if handle.job is Hooked:
        note(handle.args[0], "leave")


class Add(Job):
    def perform(self, one: int, two: int = 0) -> int:
        return one + two


class Echo(Job):
    """Gives back what it was given."""

    def perform(self, *args: Any, **kwargs: Any) -> Any:
        return [list(args), kwargs]


class Noted(Job):
    def perform(self, key: str) -> int:
        note(key, "ran")
        return os.getpid()


class Hooked(Job):
    """Notes each hook in turn; fails as often as it is told to."""

    retry = Retry(max_attempts=3, wait=0.2, factor=2, jitter=0)

    def on_enqueue(self) -> None:
        note(self.handle.args[0], "on_enqueue")

    def before(self) -> None:
        note(self.handle.args[0], "before")

    def perform(self, key: str, failures: int = 0) -> int:
        handle = current_job()
        assert handle is self.handle
        note(key, f"perform-{self.attempt}-{handle.id}")
        if self.attempt <= failures:
            raise OSError(5, f"attempt {self.attempt}")
        return self.attempt

    def on_success(self, result: int) -> None:
        note(self.handle.args[0], f"on_success-{result}")

    def on_error(self, exc: BaseException) -> None:
        note(self.handle.args[0], "on_error")

    def on_failure(self, exc: BaseException) -> None:
        note(self.handle.args[0], "on_failure")

    def after(self) -> None:
        note(self.handle.args[0], "after")


class Awkward(Exception):
    """One that cannot be made again from its ``args``."""

    def __init__(self, code: int, *, why: str) -> None:
        super().__init__(f"{code}: {why}")
        self.code = code


class Raises(Job):
    discard_on = (KeyError,)

    def perform(self, what: str) -> None:
        if what == "awkward":
            raise Awkward(7, why="so")
        if what == "exit":
            raise SystemExit(3)
        if what == "discard":
            raise Discard("no longer wanted")
        if what == "key":
            raise KeyError("gone")
        raise ArithmeticError(what, Decimal("1.5"))


class Waits(Job):
    """Runs until its cancel token is set."""

    def perform(self, key: str) -> str:
        note(key, "started")
        for _ in range(600):
            self.check_cancelled()
            time.sleep(0.05)
        return "never told"


class Overruns(Job):
    """Fails as soon as its time limit is over."""

    def perform(self, key: str) -> None:
        note(key, "started")
        deadline = time.monotonic() + 20
        while not self.cancelled and time.monotonic() < deadline:
            time.sleep(0.005)
        raise ArithmeticError("too long")


class Reports(Job):
    def perform(self) -> str:
        self.set_status(step="one", amount=Decimal("2.5"))
        for _ in self.track(range(4)):
            pass
        self.set_status(step="two")
        return "done"


class BadReport(Job):
    def perform(self) -> None:
        self.progress(Fraction(1, 2), 1)  # type: ignore[arg-type]


class Mutates(Job):
    """Changes what it has reported into what no record can hold."""

    def perform(self) -> str:
        rows: list[object] = [1]
        self.set_status(rows=rows)
        rows.append(object())
        return "done"


class Secret(Job):
    def perform(self, password: str) -> None:
        raise ArithmeticError("refused")


class Stands(Job):
    """Reports progress, and stands until the ledger says to go on."""

    def perform(self, key: str) -> str:
        note(key, "started")
        deadline = time.monotonic() + 20
        for done in range(1000):
            self.progress(done, 1000, "standing")
            with open(os.environ["ENGINE_LEDGER"]) as ledger:
                if f"{key} go " in ledger.read() or time.monotonic() > deadline:
                    break
            time.sleep(0.05)
        return "went on"


class Sleeps(Job):
    def perform(self, seconds: float) -> str:
        time.sleep(seconds)
        return "slept"


class Asks(Job):
    """Waits for a job of its own."""

    def perform(self, number: int) -> int:
        return Add.perform_async(number, 1).result(20)


class Limited(Job):
    """Fails as Celery has it, and as the machine has."""

    def perform(self, memory: bool = False) -> None:
        if memory:
            raise MemoryError("of the job")
        from celery.exceptions import SoftTimeLimitExceeded

        raise SoftTimeLimitExceeded


class Coroutine(Job):
    async def perform(self, value: int) -> int:
        handle = current_job()
        assert handle is self.handle
        return value * 2


class Unstorable(Job):
    def perform(self) -> Any:
        return threading.Lock()


class Dies(Job):
    """Its process is killed in the middle of it, the first ``times`` times."""

    def perform(self, key: str, times: int) -> int:
        note(key, "started")
        if self.attempt <= times:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.attempt


class Stays(Job):
    """Stays in the middle of its first attempt, for somebody to kill the worker."""

    def perform(self, key: str) -> int:
        note(key, "started")
        if self.attempt == 1:
            time.sleep(30)
        return self.attempt


class Parent(Job):
    """Enqueues a job into the threads of the process it runs in."""

    def perform(self, key: str, delay: float = 0.0, held: bool = False) -> str:
        return Child.perform_in(delay, key, held).id


class Child(Job):
    backend = "threads"
    #: Long enough that a worker which does not wait for it would be seen to leave it behind.
    seconds = 0.3

    def perform(self, key: str, held: bool = False) -> None:
        if held:
            wait_for_go(key)
            time.sleep(4 * self.seconds)
        time.sleep(self.seconds)
        note(key, "child")


@job
def shout(text: str) -> str:
    return text.upper()


# What only one process can keep


class Unique(Add):
    identity = staticmethod(lambda one, two=0: one)
    unique = "active"


class Rated(Add):
    rate = Rate(100, per=1.0)


class Serial(Add):
    workers = 1


class Bounded(Add):
    max_jobs = 10


class Overflowing(Add):
    overflow = "discard"


class Pooled(Add):
    pool = "mail"


class Urgent(Add):
    priority = 5


def watch_attempts() -> Any:
    return counterpunch.around_perform(around)


# What an engine's pool of threads, greenlets or one process must keep apart


_whose: ContextVar[str] = ContextVar("whose", default="nobody's")


class Meets(Job):
    """Finds no context variable of another job; waits in the middle for its ``others``."""

    def perform(self, key: str, name: str, others: int) -> list[str]:
        found = [_whose.get()]
        _whose.set(name)
        note(key, name)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with open(os.environ["ENGINE_LEDGER"]) as ledger:
                if sum(line.startswith(f"{key} ") for line in ledger) > others:
                    break
            time.sleep(0.02)
        handle = current_job()
        assert handle is self.handle
        return [*found, _whose.get(), handle.args[1]]


class Overstays(Job):
    """Runs past its time limit, until it is told so."""

    timeout = 0.3

    def perform(self, key: str) -> str:
        self.set_status(key=key)
        for _ in range(1000):
            self.check_cancelled()
            time.sleep(0.02)
        return "never told"


class OverstaysSoon(Job):
    timeout = 0.3

    async def perform(self, key: str) -> str:
        for _ in range(1000):
            self.check_cancelled()
            await asyncio.sleep(0.02)
        return "never told"


class WaitsForItself(Job):
    def perform(self) -> None:
        self.handle.result()


class Counts(Job):
    """How many threads its process has, after a report that takes one."""

    def perform(self, number: int) -> int:
        self.progress(number)
        return threading.active_count()
