"""The sweep at random: real signals, a thousand in a second, over a mix of all calls.

The handler raises in one of ten cases, and only while it has interrupted the library. Then the
signals cease, and everything must still work and come to rest; then they come again, over the
stop of a process with jobs in every place.
"""

from __future__ import annotations

import logging
import random
import signal
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from types import FrameType
from typing import Any

import interrupt_checks
import interrupt_stage as stages
from interrupt_instrument import Instrument, until
from interrupt_stage import Gate, Plain, Stage, Transaction

import counterpunch
from counterpunch import Batch, CounterpunchError, Handle, QueueFull, Status

__all__ = ["run"]

INTERVAL, SHARE = 0.001, 0.1
KEYS = 5
#: So many of the latest handles are steered.
RECENT = 50
CLASSES: tuple[Any, ...] = (
    stages.Plain, stages.Full, stages.Prior, stages.Shared, stages.Oldest, stages.Here,
    stages.Async, stages.Queued, stages.Active, stages.Replacing, stages.Discarding,
    stages.Raising, stages.Rated, stages.Waited,
)  # fmt: skip


class Storm:
    """The signals, and what came of them."""

    def __init__(self, ours: str, seed: int, kind: type[BaseException], deep: bool) -> None:
        self._where = Instrument(ours, deep=deep)
        self._chance = random.Random(seed)
        self.kind = kind
        self.signals = self.raised = self.caught = 0
        self.inside = False
        signal.signal(signal.SIGALRM, self._arrive)
        sys.unraisablehook = self._unraisable

    def _arrive(self, number: int, frame: FrameType | None) -> None:
        self.signals += 1
        if frame is None or not self.inside or not self._where._counts(frame):
            return
        if self._chance.random() < SHARE:
            self.raised += 1
            raise self.kind("from the signal handler")

    def _unraisable(self, hint: Any) -> None:
        self.caught += isinstance(hint.exc_value, self.kind)  # by the interpreter itself

    def blow(self, on: bool) -> None:
        signal.setitimer(signal.ITIMER_REAL, INTERVAL if on else 0.0, INTERVAL)


class Mix:
    """Random calls, and the handles that they gave."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed + 1)
        self.open: deque[Handle[Any]] = deque()
        self.lost: list[Handle[Any]] = []
        self.recent: deque[Handle[Any]] = deque(maxlen=RECENT)
        self.batches: list[Batch] = []
        self.transactions: deque[Transaction] = deque()
        self.calls: tuple[Callable[[Any], object], ...] = (
            self.enqueue, self.enqueue, self.later, self.options, self.bulk, self.now, self.steer,
            self.steer, self.steer, self.halt, self.defer, self.end, self.batch, self.read,
            self.process,
        )  # fmt: skip

    def step(self) -> None:
        self.chance.choice(self.calls)(self.chance.choice(CLASSES))

    def _key(self) -> int:
        return self.chance.randrange(KEYS)

    def _add(self, handle: Handle[Any]) -> None:
        self.open.append(handle)
        self.recent.append(handle)

    def enqueue(self, cls: Any) -> None:
        self._add(cls.perform_async(self._key()))

    def later(self, cls: Any) -> None:
        delay = self.chance.choice((0.001, 0.01, 30.0))
        if self.chance.random() < 0.5:
            self._add(cls.perform_in(delay, self._key()))
        else:
            self._add(cls.perform_at(time.time() + delay, self._key()))

    def options(self, cls: Any) -> None:
        options: Any = self.chance.choice(({"priority": 5}, {"delay": 0.01}, {"pool": "mail"}))
        if "pool" not in options or cls is not stages.Async:
            self._add(cls.using(**options).perform_async(self._key()))

    def bulk(self, cls: Any) -> None:
        for handle in cls.perform_bulk([(self._key(),) for _ in range(3)]):
            self._add(handle)

    def now(self, cls: Any) -> None:
        cls.perform_now(self._key())

    def steer(self, cls: Any) -> None:
        if self.recent:
            handle = self.chance.choice(self.recent)
            act = self.chance.randrange(4)
            if act == 0:
                handle.cancel()
            elif act == 1:
                handle.run_now()
            else:
                handle.reschedule(self.chance.choice((0.0, 0.005, 30.0)))

    def halt(self, cls: Any) -> None:
        self.chance.choice((cls.pause, cls.resume, cls.resume, cls.cancel_all))()

    def defer(self, cls: Any) -> None:
        transaction = Transaction()
        self.transactions.append(transaction)
        self._add(cls.using(after_commit=transaction).perform_async(self._key()))

    def end(self, cls: Any) -> None:
        if self.transactions:
            transaction = self.transactions.popleft()
            self.chance.choice((transaction.commit, transaction.rollback))()

    def batch(self, cls: Any) -> None:
        one = Batch(on_complete=stages.Called)
        with one:
            self.batches.append(one)
            for _ in range(self.chance.randrange(3)):
                self._add(cls.perform_async(self._key()))

    def read(self, cls: Any) -> None:
        counterpunch.stats()
        counterpunch.jobs(cls)
        counterpunch.wait_idle(0.0)

    def process(self, cls: Any) -> None:
        if self.chance.random() < 0.5:
            stages.Other.workers = self.chance.randrange(1, 5)
        else:
            counterpunch.start()

    def tidy(self) -> None:
        """Keep only the handles of jobs that are open, or lost."""
        still = [handle for handle in self.open if not handle.done()]
        self.lost += [handle for handle in self.open if handle.status is Status.LOST]
        self.open = deque(still)


def run(ours: str, seconds: float, seed: int, kind: type[BaseException], deep: bool) -> int:
    print(f"signals for {seconds:g} s, seed {seed}", flush=True)
    logging.disable(logging.CRITICAL)
    stage, mix, storm = Stage(), Mix(seed), Storm(ours, seed, kind, deep)
    stage.classes, stage.periodic = list(CLASSES), list(stages.clocks())
    wrong: Counter[str] = Counter()
    for cls in CLASSES:
        stage.warm(cls)
    stage.handles.clear()
    calls, end = 0, time.monotonic() + seconds
    storm.blow(True)
    while time.monotonic() < end:
        calls += 1
        _one(storm, mix.step, wrong)
        if calls % 5000 == 0:
            mix.tidy()
    storm.blow(False)
    mix.tidy()
    for transaction in mix.transactions:
        transaction.commit()
    stage.handles = [*mix.open, *mix.lost]
    stage.batches = [one for one in mix.batches if one.closed]
    wrong.update(interrupt_checks.safely(lambda: interrupt_checks.working(stage)))
    _stop(storm, stage, wrong)
    missing = storm.raised - storm.caught
    if missing:
        wrong["swallowed"] = missing
    print(f"{calls:,} calls, {storm.signals:,} signals, {storm.raised:,} raised", end="; ")
    print(", ".join(f"{word} {times}" for word, times in wrong.most_common()) or "nothing broken")
    return 1 if wrong else 0


def _one(storm: Storm, call: Callable[[], object], wrong: Counter[str]) -> bool:
    """Make a call; False if a signal came out of it, for one or for several: a second one that
    comes while the first is on its way out takes its place, as any exception does."""
    raised, caught = storm.raised, storm.caught
    try:
        storm.inside = True
        call()
    except storm.kind:
        storm.caught = caught + storm.raised - raised
        return False
    except CounterpunchError:
        time.sleep(0.0005)  # full, a duplicate, discarded: let others have a turn
    except BaseException:
        traceback.print_exc()
        wrong[traceback.format_exc().strip().splitlines()[-1]] += 1
    finally:
        storm.inside = False
    return True


def _stop(storm: Storm, stage: Stage, wrong: Counter[str]) -> None:
    """Stop under fire, with jobs that run, wait and are to come."""
    gate = Gate()
    held: list[Handle[Any]] = []
    for cls in (Plain, stages.Async):
        try:
            held += [cls.perform_async(key, gate) for key in range(4)]
        except QueueFull:
            pass  # it has lost its threads
    until(lambda: any(handle.running() for handle in held))
    stage.handles += [*held, Plain.perform_in(60.0)]
    stage.gates.append(gate)
    storm.blow(True)
    start = time.monotonic()
    for _ in range(100):
        if _one(storm, lambda: counterpunch.shutdown(1.0), wrong):
            break
    took = time.monotonic() - start
    storm.blow(False)
    checks = interrupt_checks.checked_stop
    wrong.update(interrupt_checks.safely(lambda: checks(stage, took, leaving=False)))
