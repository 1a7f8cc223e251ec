"""Everything at once, at random, on all threads: does each job still end exactly once?

``python tests/benchmarks/chaos.py [--seconds S] [--seed N]``

Six threads enqueue jobs of twelve classes (shared pools, priorities, retries, unique, rates,
every overflow policy, async), now and later, in batches, with options of their own; they
cancel, reschedule, retry, pause, resume, resize, move the ceiling, ask and query. Jobs enqueue
jobs and wait for them. Another thread reads the counters all the while. Afterwards nothing may
be left waiting, every handle must have ended, each batch must have called back once, no
callback and no ``on_failure`` may have come twice, and no reading may have been out of balance.

Exit status 0 if all that holds. The seed fixes what each thread does, not when.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import importlib.util
import logging
import os
import random
import sys
import threading
import time
import traceback
from collections import Counter, deque
from pathlib import Path
from typing import Any

if importlib.util.find_spec("counterpunch") is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import counterpunch
from counterpunch import Batch, Cancelled, Discard, Discarded, Job, QueueFull, Rate, Retry

THREADS = 6
WAIT = 60.0

handles: deque[Any] = deque()
batches: deque[Batch] = deque()
called_back: deque[str] = deque()
told: deque[str] = deque()
given_up: deque[str] = deque()
wrong: deque[str] = deque()


class Plain(Job):
    """What a job does is among its arguments; ``depth`` bounds the jobs that it enqueues."""

    max_jobs = None

    def perform(self, depth: int, what: str) -> None:
        if what == "sleep":
            time.sleep(0.0005)
        elif what == "fail":
            raise OSError
        elif what == "report":
            self.progress(1, 2)
            self.set_status(step="half")
        elif what == "look":
            self.check_cancelled()
        elif what == "discard":
            raise Discard("by itself")
        elif what == "enqueue" and depth:
            type(self).perform_async(depth - 1, "nothing")
        elif what == "wait" and depth:
            type(self).perform_async(depth % 3, "enqueue").result()

    def on_failure(self, exc: BaseException) -> None:
        given_up.append(self.handle.id)


def key(depth: int, what: str) -> int:
    return depth % 5


class Retried(Plain):
    workers, retry = 3, Retry(max_attempts=3, wait=0.001, on=(OSError,))


class Shared(Plain):
    pool, priority = "mail", 3


class SharedRetried(Plain):
    pool, retry = "mail", Retry(max_attempts=2, wait=0.002)


class Active(Plain):
    identity, unique = staticmethod(key), "active"


class Replacing(Plain):
    identity, unique, on_duplicate = staticmethod(key), "queued", "replace"


class Rated(Plain):
    rate = Rate(50, per=0.02)


class Newest(Plain):
    max_jobs, overflow = 5, "discard_oldest"


class Blocking(Plain):
    max_jobs, overflow, block_timeout = 5, "block", 0.01


class Here(Plain):
    max_jobs, overflow, expires_in = 3, "caller_runs", 0.05


class Timed(Plain):
    pool, timeout = "low", 0.01


class Async(Job):
    max_jobs, workers, retry = None, 4, Retry(max_attempts=2, wait=0.001)

    async def perform(self, depth: int, what: str) -> None:
        if what == "sleep":
            await asyncio.sleep(0.0005)
        elif what == "fail":
            raise OSError


class Callback(Job):
    max_jobs = None

    def perform(self, batch: str) -> None:
        called_back.append(batch)


BOUNDED = (Newest, Blocking, Here)
CLASSES = (Plain, Retried, Shared, SharedRetried, Active, Replacing, Rated, *BOUNDED, Timed, Async)
TASKS = (*["nothing"] * 4, "sleep", "fail", "report", "look", "discard", "enqueue", "wait")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    faulthandler.dump_traceback_later(given.seconds + 3 * WAIT, exit=True)
    counterpunch.configure(pools={"mail": 3, "low": 1}, history=500)
    stop = threading.Event()
    threads = [
        *(threading.Thread(target=act, args=(given.seed + n, stop)) for n in range(THREADS)),
        threading.Thread(target=read, args=(stop,)),
    ]
    for thread in threads:
        thread.start()
    time.sleep(given.seconds)
    stop.set()
    for thread in threads:
        thread.join(WAIT)
    for job in CLASSES:
        job.resume()
    if not counterpunch.wait_idle(WAIT, scheduled=True):
        wrong.append("it does not come to rest")
    wrong.extend(f"it has not ended: {handle!r}" for handle in handles if not handle.done())
    calls = Counter(called_back)
    wrong.extend(f"{calls[b.id]} callbacks: {b!r}" for b in batches if calls[b.id] != 1)
    for name, ids in (("told", told), ("given up", given_up)):
        wrong.extend(f"{name} twice: {one}" for one, times in Counter(ids).items() if times > 1)
    counts = counterpunch.stats().total
    print(
        f"chaos (seed {given.seed}): {counts.accepted:,} jobs, {len(batches):,} batches, ", end=""
    )
    print(f"{counts.retries:,} retries: {'ok' if not wrong else 'WRONG'}")
    for line in list(wrong)[:10]:
        print(line)
    sys.stdout.flush()
    os._exit(1 if wrong else 0)  # a job that hangs is no reason to wait for it


def act(seed: int, stop: threading.Event) -> None:
    chance, mine = random.Random(seed), deque[Any](maxlen=200)
    try:
        while not stop.is_set():
            one_step(chance, mine)
    except BaseException:
        wrong.append(traceback.format_exc())


def one_step(chance: random.Random, mine: deque[Any]) -> None:
    job: Any = chance.choice(CLASSES)
    depth, what = chance.randrange(20), chance.choice(TASKS)
    if what == "wait" and (job in BOUNDED or job in (Active, Replacing, Rated)):
        what = "nothing"  # it would wait for itself, or for long
    step = chance.random()
    try:
        if step < 0.45:
            handle = job.perform_async(depth, what)
        elif step < 0.6:
            handle = job.perform_in(chance.random() * 0.02, depth, what)
        elif step < 0.65:
            handle = job.using(priority=chance.randrange(4)).perform_async(depth, what)
        elif step < 0.67 and job is not Async:
            handle = job.using(pool=chance.choice(("mail", "low"))).perform_async(depth, what)
        elif step < 0.7:
            with Batch(on_complete=Callback) as batch:
                batches.append(batch)
                for _ in range(chance.randrange(4)):
                    mine.append(job.perform_async(depth, what))
            return
        elif step < 0.8 and mine:
            old = chance.choice(mine)
            chance.choice((old.cancel, old.run_now, old.done, old.as_dict))()
            old.reschedule(chance.random() * 0.01)
            return
        elif step < 0.82 and mine:
            old = chance.choice(mine)
            if old.status != "failed":
                return
            handle = old.retry()
        elif step < 0.88:
            steer(chance, job)
            return
        elif step < 0.93:
            time.sleep(0.001)
            return
        else:
            job.perform_now(depth, chance.choice(("nothing", "report", "sleep")))
            return
    except (QueueFull, Discarded, Cancelled):
        return
    mine.append(handle)
    handles.append(handle)
    if job not in (Active, Replacing) and chance.random() < 0.05:  # those share their handles
        handle.add_done_callback(lambda handle: told.append(handle.id))


def steer(chance: random.Random, job: Any) -> None:
    what = chance.randrange(6)
    if what == 0:
        job.pause()
        time.sleep(chance.random() * 0.002)
        job.resume()
    elif what == 1:
        chance.choice((Retried, Rated)).workers = chance.randrange(2, 5)
    elif what == 2:
        counterpunch.configure(max_threads=chance.choice((None, 2, 3, 6)))
    elif what == 3 and chance.random() < 0.2:
        job.cancel_all()
    elif what == 4:
        counterpunch.jobs(job, status="queued")
        counterpunch.health()
    else:
        counterpunch.metrics()


def read(stop: threading.Event) -> None:
    while not stop.is_set():
        stats = counterpunch.stats()
        for name, counts in (*stats.jobs.items(), ("all", stats.total)):
            parts = [getattr(counts, status) for status in counterpunch.Status]
            if sum(parts) != counts.accepted or min(parts) < 0:
                wrong.append(f"out of balance: {name} {counts}")
        time.sleep(0.001)


if __name__ == "__main__":
    sys.exit(main())
