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
from collections.abc import Callable
from random import Random
from typing import Any

from counterpunch import CounterpunchError, Duplicate, Job, QueueFull, Rate, Retry, start
from counterpunch.testing import fake

ROUNDING = 1e-6
#: Far from zero, sums of instants are exact; both clocks show the same, so that crontabs are, too.
START = 1_100_000.0
#: How far apart the steps of a history may lie, and what lies between them.
GRID, BETWEEN = 2.0**-8, 2.0**-9
#: Of each crontab, seconds from run to run, and that of the first after midnight.
CRONTABS = {"*/20 * * * *": (1200.0, 0.0), "17 3 * * *": (86_400.0, 11_820.0)}


class Failing(Exception):
    """What a job raises that is to fail."""


class Options:
    """What the class of one history is like."""

    def __init__(self, random: Random) -> None:
        pick = random.choice
        self.rate = pick([None, (1, 10.0), (2, 10.0), (3, 0.75), (1, 600.0), (2, 3600.0)])
        self.unique = pick([None, None, "queued", "active"])
        self.on_duplicate = pick(["existing", "replace", "discard", "raise"])
        self.expires_in = pick([None, None, 5.0, 60.0, 900.0])
        self.attempts, self.wait = pick([1, 1, 2, 4]), pick([0.25, 5.0, 60.0, 1800.0])
        self.max_elapsed = pick([None, None, 30.0, 600.0])
        self.max_jobs = pick([None, None, 1, 2, 4])
        self.overflow = pick(["raise", "discard", "discard_oldest", "block", "caller_runs"])
        self.block_timeout = pick([None, 33.0]) if self.overflow == "block" else None
        # Which of two equally old jobs of different priority makes room is nobody's promise.
        oldest = self.max_jobs is not None and self.overflow == "discard_oldest"
        self.priorities = [0] if oldest else [0, 0, 0, 5, -3]
        self.every, self.cron = pick(
            [(None, None)] * 4
            + [(1801.0, None), (3607.0, None)]
            + [(None, expression) for expression in CRONTABS]
        )
        if self.rate is not None and (self.every or self.cron):
            self.attempts = 1  # whether a retry that stands in line is at work is left open
            self.rate = self.rate[0], self.rate[1] + 1.0  # no multiple of it is one of the crontabs


class Modelled:
    """A job as the model knows it."""

    def __init__(self, number: float, key: int, priority: int, due: float, now: float) -> None:
        self.number, self.key, self.priority = number, key, priority
        self.due, self.enqueued = due, now
        self.expires: float | None = None
        self.attempt, self.first = 0, 0.0
        self.ready = False  # it is due, and was admitted
        self.held = math.inf  # since when it is due and waits for room
        self.place = 0  # among those that wait for room, and then in the queue
        self.ended: str | None = None

    @property
    def since(self) -> tuple[float, ...]:
        return self.due, self.enqueued, self.number


class Model:
    """One class, one list of jobs, and a clock."""

    def __init__(self, options: Options, now: float, given_up: Callable[[Modelled], float]) -> None:
        self.options, self.now, self.rate = options, now, options.rate
        # A job past ``max_elapsed`` may be given up at any time until its turn comes.
        self.given_up = given_up
        self.jobs = 0
        self.alive: list[Modelled] = []
        self.places = 0
        #: The jobs of its runs: those that live, and all.
        self.ticks: list[Modelled] = []
        self.ticked: list[Modelled] = []
        self.next_tick = math.inf
        self.keys: dict[int, Modelled] = {}
        self.paused = False
        self.starts: list[float] = []
        self.log: list[tuple[float, float, int]] = []
        self.accepted = 0
        self.discards = {"expired": 0, "queue_full": 0, "duplicate": 0}

    def live(self) -> list[Modelled]:
        return [job for job in self.alive if job.ended is None]

    def end(self, job: Modelled, status: str, cause: str | None = None) -> None:
        job.ended = status
        if cause is not None:
            self.discards[cause] += 1
        job.ready, job.held = False, math.inf
        self.alive.remove(job)
        if self.keys.get(job.key) is job:
            del self.keys[job.key]

    def full(self) -> bool:
        bound = self.options.max_jobs
        return bound is not None and sum(job.ready for job in self.live()) >= bound

    def over(self) -> bool:
        """True if retries, which have always room, made it more than full."""
        bound = self.options.max_jobs
        return bound is not None and sum(job.ready for job in self.live()) > bound

    def drop_oldest(self) -> None:
        new = [job for job in self.live() if job.ready and not job.attempt]
        if new:
            self.end(min(new, key=lambda job: job.since), "discarded", "queue_full")

    def made_room(self) -> None:
        """Those that are due and found no room come first."""
        while not self.full():
            held = [job for job in self.live() if job.held < math.inf]
            if not held:
                return
            self.queue(min(held, key=lambda job: job.place))

    def queue(self, job: Modelled) -> None:
        self.places += 1
        job.ready, job.held, job.place = True, math.inf, self.places

    def queue_again(self) -> None:
        """After a pause, and without the rate: by when they were due."""
        for job in sorted(self.live(), key=lambda job: job.since):
            if job.ready:
                self.queue(job)

    def turn(self, job: Modelled) -> tuple[float, ...]:
        """The lowest is next: due first, if they wait for the rate, else queued first."""
        return -job.priority, *((job.place,) if self.rate is None else job.since)

    def enqueue(
        self,
        number: float,
        key: int,
        delay: float,
        priority: int,
        expires: float | None,
        fails: Any,
    ) -> Modelled | str:
        options = self.options
        # In virtual time nobody can wait; and the rate counts for a caller, too.
        refuses = options.overflow in ("raise", "block") or self.crowded()
        holder = self.keys.get(key) if options.unique else None
        if holder is not None:
            waits = not holder.ready
            if options.on_duplicate == "raise":
                return "duplicate"
            if options.on_duplicate == "replace":
                # Its room is the new one's, unless others wait for room or retries fill it.
                waits = waits or any(job.held < math.inf for job in self.live()) or self.over()
                if waits and not delay and self.full():
                    if refuses:
                        return "full"
                    if options.overflow == "discard":
                        self.accepted += 1
                        self.discards["queue_full"] += 1
                        return "discarded"
                self.end(holder, "cancelled")
                self.made_room()
            elif options.on_duplicate == "discard":
                self.accepted += 1
                self.discards["duplicate"] += 1
                return "discarded"
            else:
                return holder
        full = not delay and self.full()
        if full and refuses:
            return "full"
        job = Modelled(number, key, priority, self.now + delay, self.now)
        job.expires = expires
        self.accepted += 1
        self.jobs += 1
        self.alive.append(job)
        if options.unique:
            self.keys[key] = job
        if full and options.overflow == "discard":
            self.end(job, "discarded", "queue_full")
            return job
        if full and options.overflow == "caller_runs":
            self.run(job, fails)
            return job
        if full:
            self.drop_oldest()
        if not delay:
            self.queue(job)
        return job

    def fall_due(self, job: Modelled) -> None:
        if not job.attempt and self.full():
            if self.options.overflow in ("raise", "discard"):
                self.end(job, "discarded", "queue_full")
                return
            if self.options.overflow in ("block", "caller_runs"):
                self.places += 1
                job.held, job.place = self.now, self.places
                return
            self.drop_oldest()
        self.queue(job)

    def tick(self, fails: Any) -> None:
        """A run of the class is due: one job, unless the last one has not had its attempt."""
        self.next_tick = self.following(self.now)
        self.ticks = [job for job in self.ticks if job.ended is None]
        if any(job.ready or not job.attempt for job in self.ticks):
            return
        job = self.enqueue(-self.now, 0, 0.0, 0, None, fails)
        if isinstance(job, Modelled) and job not in self.ticks:
            self.ticks.append(job)
            if job.number == -self.now:
                self.ticked.append(job)

    def following(self, instant: float) -> float:
        """The first run after this instant."""
        if self.options.every is not None:
            return instant + self.options.every
        period, first = CRONTABS[self.options.cron]
        return (instant - first) // period * period + period + first

    def cancel(self, job: Modelled) -> None:
        if job.ended is None:
            self.end(job, "cancelled")
            self.made_room()

    def reschedule(self, job: Modelled, delay: float) -> bool | str:
        if job.ended is not None:
            return False
        if delay:
            job.ready, job.held, job.due = False, math.inf, self.now + delay
            self.made_room()
        elif not job.ready and job.held == math.inf:
            refuses = self.options.overflow in ("raise", "discard")
            if not job.attempt and self.full() and refuses:
                return "full"
            job.due = self.now
            self.fall_due(job)
        return True

    def last(self, job: Modelled) -> float:
        """The last instant at which it may start for the first time."""
        expires = self.options.expires_in if job.expires is None else job.expires
        return math.inf if expires is None or job.attempt else job.due + expires

    def free_at(self) -> float:
        """When the rate lets the next one start."""
        if self.rate is None:
            return self.now
        limit, per = self.rate
        recent = [start for start in self.starts if start + per > self.now]
        return self.now if len(recent) < limit else recent[-limit] + per

    def expire(self, patience: float) -> None:
        """End those that have waited too long, for their start or for room."""
        for job in self.live():
            if (job.ready or job.held < math.inf) and self.now > self.last(job):
                self.end(job, "discarded", "expired")
            elif self.now >= job.held + patience:
                self.end(job, "discarded", "queue_full")
        self.made_room()

    def crowded(self) -> bool:
        """True if those that may start are as many as the rate allows."""
        if self.rate is None or self.options.overflow != "caller_runs":
            return False
        limit, per = self.rate
        recent = sum(start + per > self.now for start in self.starts)
        return recent + sum(job.ready for job in self.live()) >= limit

    def perform_now(self, number: float, fails: Any) -> None:
        job = Modelled(number, 0, 0, self.now, self.now)
        self.accepted += 1
        self.jobs += 1
        self.alive.append(job)
        self.run(job, fails, counts=False, final=True)

    def spent(self, job: Modelled) -> bool:
        """True if it is too late for another attempt."""
        limit = self.options.max_elapsed
        return bool(job.attempt) and limit is not None and self.now > job.first + limit

    def drain(self, fails: Any) -> None:
        while ready := [job for job in self.live() if job.ready]:
            if not self.paused and self.free_at() <= self.now:
                self.run(min(ready, key=self.turn), fails)
            else:  # one that has a place already is given up though others come first
                spent = [job for job in ready if self.spent(job)]
                spent = [job for job in spent if self.given_up(job) <= self.now]
                if not spent:
                    return
                self.end(min(spent, key=self.turn), "failed")
            self.made_room()

    def run(self, job: Modelled, fails: Any, counts: bool = True, final: bool = False) -> None:
        options = self.options
        limit = options.max_elapsed
        if self.spent(job):
            self.end(job, "failed")
            return
        if options.unique == "queued" and self.keys.get(job.key) is job:
            del self.keys[job.key]
        job.attempt += 1
        if counts:
            self.starts.append(self.now)
        self.log.append((self.now, job.number, job.attempt))
        if not fails(job.number, job.attempt):
            self.end(job, "succeeded")
            return
        if job.attempt == 1:
            job.first = self.now
        wait = options.wait * 2.0 ** (job.attempt - 1)
        late = limit is not None and self.now - job.first + wait > limit
        if final or job.attempt >= options.attempts or late:
            self.end(job, "failed")
            return
        job.ready, job.due = False, self.now + wait
        if options.unique == "queued":
            self.keys.setdefault(job.key, job)

    def advance(self, seconds: float, fails: Any) -> None:
        end = self.now + seconds
        self.drain(fails)
        while True:
            live = self.live()
            instants = [job.due for job in live if not job.ready and job.held == math.inf]
            ready = [job for job in live if job.ready]
            held = [job for job in live if job.held < math.inf]
            instants += [math.nextafter(self.last(job), math.inf) for job in ready + held]
            instants += [job.held + (self.options.block_timeout or math.inf) for job in held]
            instants.append(self.next_tick)
            if self.options.max_elapsed is not None:
                given_up = [self.given_up(job) for job in ready if job.attempt]
                instants += [instant for instant in given_up if instant > self.now]
            if ready and not self.paused:
                instants.append(self.free_at())
            then = min(instants, default=math.inf)
            if then > end + ROUNDING:
                break
            self.now = max(self.now, then)
            self.expire(self.options.block_timeout or math.inf)
            if self.now >= self.next_tick:
                self.tick(fails)
            due = [job for job in self.live() if not job.ready and job.held == math.inf]
            due = [job for job in due if job.due <= self.now]
            for job in sorted(due, key=lambda job: job.since):
                if job.ended is None:
                    self.fall_due(job)
            self.drain(fails)
        self.now = max(self.now, end)


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
