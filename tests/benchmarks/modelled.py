"""The model of ``model.py``: one list of jobs, all of which it looks at each time."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

ROUNDING = 1e-6
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
