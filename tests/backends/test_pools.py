"""The other ways in which an engine's worker runs jobs: threads, greenlets, its own process."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from engine_processes import LONG, Ledger, Redis, Worker, eventually, require

import counterpunch
from counterpunch import Cancelled, Status

pytestmark = pytest.mark.timeout(90)


class Pool(NamedTuple):
    engine: str
    options: tuple[str, ...]
    #: Jobs that run at the same time.
    slots: int
    #: What it needs beside the engine.
    package: str = "redis"


POOLS = {
    "celery-threads": Pool("celery", ("-P", "threads"), 2),
    "celery-gevent": Pool("celery", ("-P", "gevent"), 2, "gevent"),
    "celery-solo": Pool("celery", ("-P", "solo"), 1),
    "rq-simple": Pool("rq", ("-w", "rq.SimpleWorker"), 1),
    "dramatiq-gevent": Pool("dramatiq-gevent", (), 2, "gevent"),
}


@pytest.fixture(scope="module")
def pool_workers(redis: Redis, ledger: Ledger) -> Iterator[dict[str, Worker]]:
    """All of them, started at once by the first test."""
    started = {}
    for number, (name, pool) in enumerate(POOLS.items(), start=7):
        require(pool.engine.removesuffix("-gevent"), pool.package)
        url = redis.database(number)
        started[name] = Worker(pool.engine, url, ledger, *pool.options, slots=pool.slots)
    yield started
    for worker in started.values():
        worker.kill()


@pytest.fixture(params=POOLS)
def pool(
    request: pytest.FixtureRequest, redis: Redis, pool_workers: dict[str, Worker]
) -> Iterator[tuple[Pool, Worker]]:
    import engine_set

    name: str = request.param
    worker = pool_workers[name]
    url = redis.database(7 + list(POOLS).index(name))
    engine = POOLS[name].engine.removesuffix("-gevent")
    counterpunch.configure(backend=engine_set.SETS[engine](url)[1])
    worker.until(worker.ready)
    try:
        yield POOLS[name], worker
    except BaseException:
        print(worker.output)
        raise


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def jobs() -> Any:
    import engine_jobs

    return engine_jobs


def test_jobs_are_kept_apart(pool: tuple[Pool, Worker], jobs: Any, key: str) -> None:
    """Beside each other and one after another, each has its own context and handle."""
    slots = pool[0].slots
    for round in range(2):
        at_once = [
            jobs.Meets.perform_async(f"{key}-{round}", f"{round}.{n}", slots - 1)
            for n in range(slots)
        ]
        for n, handle in enumerate(at_once):
            assert handle.result(30) == ["nobody's", f"{round}.{n}", f"{round}.{n}"]


def test_cancelled_while_it_runs(
    pool: tuple[Pool, Worker], jobs: Any, key: str, ledger: Ledger
) -> None:
    handle = jobs.Waits.perform_async(key)
    eventually(lambda: ledger.words(key), "start of the job")
    assert handle.cancel() is False
    with pytest.raises(Cancelled):
        handle.result(30)


def test_progress(pool: tuple[Pool, Worker], jobs: Any, key: str, ledger: Ledger) -> None:
    """It is seen while the job runs."""
    handle = jobs.Stands.perform_async(key)
    try:
        eventually(lambda: (handle.progress or (0,))[0], "progress")
        assert handle.running()
    finally:
        ledger.write(key, "go")
    assert handle.result(30) == "went on"


@pytest.mark.parametrize("name", ["Overstays", "OverstaysSoon"])
def test_past_its_time_limit(pool: tuple[Pool, Worker], jobs: Any, key: str, name: str) -> None:
    """The token of that job is set, and the report has its stack."""
    handle = getattr(jobs, name).perform_async(key)
    with pytest.raises(Cancelled):
        handle.result(30)
    worker = pool[1]
    head = f"{name} {handle.id} attempt 1 has been running for more than timeout=0.3 s"
    pattern = rf"{head}\n(.*)\n"
    after = eventually(lambda: re.search(pattern, worker.output), "the report")[1]
    if pool[0].package == "gevent" and name == "Overstays":
        assert "(no stack)" in after  # Python tells where threads are, and knows no greenlets
    else:
        assert re.search(r"engine_jobs\.py.* in perform|in attempt_async", after)


def test_what_is_left_in_its_threads(
    pool: tuple[Pool, Worker], jobs: Any, key: str, ledger: Ledger
) -> None:
    """A job that a job has put into threads there runs, and is not lost with the first one."""
    jobs.Parent.perform_async(key, 0.2).result(30)
    eventually(lambda: ledger.words(key) == ["child"], "the child's line")


def test_no_thread_is_left_per_job(pool: tuple[Pool, Worker], jobs: Any) -> None:
    counts = [jobs.Counts.perform_async(n).result(30) for n in range(8)]
    assert counts[-1] <= counts[2] + 1, counts


def test_async(pool: tuple[Pool, Worker], jobs: Any) -> None:
    handle = jobs.Coroutine.perform_async(21)
    assert (handle.result(30), handle.status) == (42, Status.SUCCEEDED)


def test_a_stop(
    redis: Redis, pool_workers: dict[str, Worker], jobs: Any, key: str, ledger: Ledger
) -> None:
    """The last test of these workers. What is in their threads ends before they leave."""
    import engine_set

    handles = []
    for number, name in enumerate(POOLS, start=7):
        pool_workers[name].until(pool_workers[name].ready)
        engine = POOLS[name].engine.removesuffix("-gevent")
        counterpunch.configure(backend=engine_set.SETS[engine](redis.database(number))[1])
        handles.append(jobs.Parent.perform_async(f"{key}-{name}", 0.0, True))
    for handle in handles:
        handle.result(30)
    for worker in pool_workers.values():
        worker.popen.terminate()
    for name in POOLS:
        ledger.write(f"{key}-{name}", "go")
    statuses = {name: worker.popen.wait(LONG) for name, worker in pool_workers.items()}
    assert statuses == dict.fromkeys(POOLS, 0)
    drained = [ledger.words(f"{key}-{name}") for name in POOLS]
    assert drained == [["go", "child"]] * len(POOLS)
