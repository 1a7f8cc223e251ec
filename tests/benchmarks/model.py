"""A small, slow, obviously right model of the limits, and the product beside it, over virtual days.

``python tests/benchmarks/model.py [--histories N] [--seed S]``

Each history is a class with random options (rate, unique, expiry, retries, a bound and its policy,
a period or a crontab) and random steps: enqueues, cancels, moves, pauses, other rates, and time
that passes. The model keeps the jobs in one list and looks at all of them each time. Both must
agree on every start, every ending and every counter, and so no window holds more starts than the
rate allows. The seed of what differs is printed; exit status 1.

Of two that are due at one instant either may come first. So ticks, and what people do, lie on grids
of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import sys
import time
from random import Random
from typing import Any

from modelled import ROUNDING, Failing, Model, Modelled, Options

from counterpunch import CounterpunchError, Duplicate, Job, QueueFull, Rate, Retry, start
from counterpunch.testing import fake

#: Far from zero, sums of instants are exact; both clocks show the same, so that crontabs are, too.
START = 1_100_000.0
#: How far apart the steps of a history may lie, and what lies between them.
GRID, BETWEEN = 2.0**-8, 2.0**-9


class History:
    """One class under random steps, in the product and in the model."""

    def __init__(self, seed: int) -> None:
        self.random, self.luck = Random(seed), Random(f"fates of {seed}")
        self.options = options = Options(self.random)
        self.armed = options.every is not None or options.cron is not None
        self.fates: dict[tuple[float, int], bool] = {}
        self.started: list[tuple[float, float, int]] = []
        self.handles: dict[float, Any] = {}
        self.agreed: set[Modelled] = set()
        self.pairs: list[tuple[Any, Modelled]] = []
        history, clock = self, self.clock

        class Subject(Job):
            unique, on_duplicate = options.unique, options.on_duplicate
            identity = staticmethod(lambda key=0, number=None: key)
            expires_in, max_jobs, overflow, block_timeout = (
                options.expires_in, options.max_jobs, options.overflow, options.block_timeout,
            )  # fmt: skip
            every, cron = options.every, options.cron
            rate = None if options.rate is None else Rate(*options.rate)
            retry = Retry(
                options.attempts,
                wait=options.wait,
                jitter=0,
                max_wait=1e9,
                max_elapsed=options.max_elapsed,
            )

            def perform(self, key: int = 0, number: float | None = None) -> None:
                if number is None:  # of a tick: there is one at a time
                    number = -self.handle.enqueued
                history.started.append((clock(), number, self.attempt))
                if history.fails(number, self.attempt):
                    raise Failing

        self.subject: Any = Subject

    def clock(self) -> float:
        now: float = self.recorder._runtime.clock.monotonic()
        return now

    def given_up(self, job: Modelled) -> float:
        """When the product let it fail without another attempt."""
        handle = self.handle_of(job)
        if str(handle.status) != "failed" or handle.attempt != job.attempt:
            return math.inf
        finished: float = handle.finished
        return finished

    def handle_of(self, job: Modelled) -> Any:
        return self.handles[job.number]

    def fails(self, number: float, attempt: int) -> bool:
        """Each attempt's fate, whoever asks first."""
        if (number, attempt) not in self.fates:
            self.fates[number, attempt] = self.luck.random() < 0.3
        return self.fates[number, attempt]

    def play(self, steps: int = 60) -> str | None:
        """What differs, if anything does."""
        begins = START if self.options.cron is None else START + BETWEEN
        with fake(now=begins) as self.recorder:
            runtime: Any = self.recorder._runtime
            runtime.clock._start = begins
            self.model = Model(self.options, self.clock(), self.given_up)
            if self.armed:
                self.begin()
            for step in range(steps):
                what = self.step()
                found = self.differs() or (self.miscounts() if step % 8 == 7 else None)
                if found:
                    return f"step {step}, {what}: {found}"
        return None

    def begin(self) -> None:
        """Arm the class, and note the jobs of its ticks."""
        start()
        clocks: Any = self.recorder._runtime.clockwork
        enqueue, model = clocks.enqueue, self.model

        def noted(job: Any) -> Any:
            handle = enqueue(job)
            if handle.args == ():
                self.handles.setdefault(-handle.enqueued, handle)
            return handle

        clocks.enqueue = noted
        model.next_tick = model.following(model.now)
        if self.options.every:
            self.passes(BETWEEN)

    def step(self) -> str:
        random, model = self.random, self.model
        chance = random.random()
        pair = random.choice(self.pairs) if self.pairs else None
        if chance < 0.45:
            return self.enqueue()
        if chance < 0.55 and pair:
            pair[0].cancel()
            model.cancel(pair[1])
            return f"cancel {pair[1].number}"
        if chance < 0.65 and pair:
            delay = random.choice([0.0, 0.0, 1.0, 30.0, 2000.0])
            self.passes(GRID)  # who comes first of two that are due at one instant is left open
            expected = model.reschedule(pair[1], delay)
            try:
                answer: Any = pair[0].reschedule(delay)
            except QueueFull:
                answer = "full"
            assert answer == expected, f"reschedule({delay}) {answer}, not {expected}"
            return f"reschedule {pair[1].number} {delay}"
        if chance < 0.7:
            model.paused = not model.paused
            (self.subject.pause if model.paused else self.subject.resume)()
            model.queue_again()
            return f"paused {model.paused}"
        if chance < 0.71:
            return self.perform_now()
        if chance < 0.715:
            self.subject.cancel_all()
            for job in model.live():
                model.cancel(job)
            return "cancel_all"
        if chance < 0.725:
            self.options.expires_in = random.choice([None, 5.0, 60.0, 900.0])
            self.subject.expires_in = self.options.expires_in
            model.expire(math.inf)
            return f"expires_in {self.options.expires_in}"
        if chance < 0.735 and self.options.attempts == 1 and self.options.overflow != "caller_runs":
            model.rate = None if model.rate is not None else (random.randint(1, 4), 11.0)
            self.subject.rate = None if model.rate is None else Rate(*model.rate)
            model.starts.clear()
            model.queue_again()
            return f"rate {model.rate}"
        if chance < 0.76 and model.rate is not None:
            model.rate = (random.randint(1, 4), model.rate[1])
            self.subject.rate = Rate(*model.rate)
            return f"rate {model.rate}"
        seconds = random.choice([0.0, 0.25, 1.0, 10.0, 60.0, 600.0, 5000.0, 40_000.0])
        self.passes(seconds)
        return f"advance {seconds}"

    def passes(self, seconds: float) -> None:
        with contextlib.suppress(Failing):
            self.recorder.advance(seconds, limit=100_000)
        model = self.model
        model.advance(seconds, self.fails)
        self.pairs += [(self.handle_of(job), job) for job in model.ticked]
        model.ticked.clear()

    def enqueue(self) -> str:
        random, model = self.random, self.model
        number = model.jobs
        key, priority = random.randrange(4), random.choice(self.options.priorities)
        delay = random.choice([0.0, 0.0, 0.0, 1.0, 10.0, 500.0])
        own: dict[str, Any] = {} if random.random() < 0.8 else {"expires_in": 20.0}
        expires = own.get("expires_in")
        expected = model.enqueue(number, key, delay, priority, expires, self.fails)
        using = self.subject.using(priority=priority, **own, **({"delay": delay} if delay else {}))
        try:
            handle: Any = using.perform_async(key, number)
        except (QueueFull, Duplicate) as exc:
            handle = "full" if isinstance(exc, QueueFull) else "duplicate"
        if isinstance(expected, Modelled):
            assert not isinstance(handle, str), f"enqueue {number}: {handle}, not a job"
            if expected.number == number:
                assert handle.args == (key, number), f"enqueue {number}: {handle}"
                self.pair(handle, expected)
            else:
                assert handle is self.handle_of(expected), "the wrong job was returned"
        elif expected == "discarded":
            assert handle.status == "discarded", f"enqueue: {handle}"
        else:
            assert handle == expected, f"enqueue: {handle}, not {expected}"
        return f"enqueue {number} key {key} priority {priority} delay {delay}"

    def pair(self, handle: Any, job: Modelled) -> None:
        self.handles[job.number] = handle
        self.pairs.append((handle, job))

    def perform_now(self) -> str:
        number = self.model.jobs
        with contextlib.suppress(Failing):
            self.subject.perform_now(0, number)
        self.model.perform_now(number, self.fails)
        return f"perform_now {number}"

    def differs(self) -> str | None:
        model = self.model
        if self.started != model.log:
            ours = next(
                (pair for pair in zip(self.started, model.log, strict=False) if pair[0] != pair[1]),
                (len(self.started), len(model.log)),
            )
            return f"starts differ: {ours[0]}, not {ours[1]}"
        if abs(self.clock() - model.now) > ROUNDING:
            return f"the clock stands at {self.clock()}, not {model.now}"
        model.now = self.clock()  # it may have looked for nothing at an expiry
        for handle, job in self.pairs:
            if job in self.agreed:
                continue
            status = str(handle.status) if handle.done() else None
            if (status, handle.attempt) != (job.ended, job.attempt):
                return (
                    f"job {job.number}: {handle.status} {handle.attempt}, "
                    f"not {job.ended} {job.attempt}"
                )
            if status is not None:
                self.agreed.add(job)  # it stays so
        ready = sum(job.ready for job in model.live())
        waiting = self.recorder._runtime.lane(self.subject).waiting()
        if waiting != ready:
            return f"{waiting} wait, not {ready}"
        return None

    def miscounts(self) -> str | None:
        model = self.model
        counts = self.subject.stats()
        discards = {name: getattr(counts.discards, name) for name in model.discards}
        if (counts.accepted, discards) != (model.accepted, model.discards):
            return f"counted {counts.accepted}, {discards}, not {model.accepted}, {model.discards}"
        return None


def differing(seeds: range, steps: int) -> str | None:
    """The first history in which the two do not agree."""
    logging.getLogger("counterpunch").setLevel(logging.CRITICAL + 1)
    sys.tracebacklimit = 0  # a tenth of the time is theirs
    try:
        for seed in seeds:
            history = History(seed)
            try:
                found = history.play(steps)
            except (AssertionError, CounterpunchError) as exc:
                found = str(exc)
            if history.armed:  # the next history arms all that come again
                history.subject.every = history.subject.cron = None
            if found:
                return f"--seed {seed} --histories 1: {found}"
    finally:
        logging.getLogger("counterpunch").setLevel(logging.NOTSET)
        del sys.tracebacklimit
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description="The limits beside a model of them.")
    parser.add_argument("--histories", type=int, default=100_000, metavar="N")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the first")
    parser.add_argument("--steps", type=int, default=50, metavar="N")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    begun = time.monotonic()
    for done in range(0, args.histories, 1000):
        first = args.seed + done
        seeds = range(first, first + min(1000, args.histories - done))
        found = differing(seeds, args.steps)
        if found:
            print(found)
            return 1
        print(f"{done + len(seeds)} histories, {time.monotonic() - begun:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
