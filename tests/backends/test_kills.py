"""Workers that are killed and a Redis that is restarted: what the README says becomes of a job.

Every test has servers and workers of its own, and kills them.
"""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from engine_places import ENGINES
from engine_processes import LONG, Ledger, Redis, Worker, eventually, require

import counterpunch
from counterpunch import Lost, Status

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def own_redis() -> Iterator[Redis]:
    require("redis-server", "redis")
    server = Redis()
    yield server
    server.close()


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


def _configure(engine: str, url: str, **options: Any) -> Any:
    require(engine)
    import engine_set

    backend = engine_set.SETS[engine](url, **options)[1]
    counterpunch.configure(backend=backend)
    return backend


@pytest.mark.parametrize("engine", ["celery", "rq"])
def test_the_process_of_a_job_is_killed(
    engine: str, own_redis: Redis, ledger: Ledger, key: str
) -> None:
    """The worker that is left has it started again; the kill counts as an attempt.
    One that kills its process each time is lost after three."""
    import engine_jobs

    _configure(engine, own_redis.url)
    with Worker(engine, own_redis.url, ledger) as worker:
        handle = engine_jobs.Dies.perform_async(key, 1)
        always = engine_jobs.Dies.perform_async(key + "-always", 99)
        assert handle.result(LONG) == 2
        assert (handle.attempt, handle.status) == (2, Status.SUCCEEDED)
        first, second = (pid for _, pid, _ in ledger.lines(key))
        assert first != second
        with pytest.raises(Lost, match="gone before it ended, 3 times"):
            always.result(LONG)
        assert len(ledger.lines(key + "-always")) == 3
        assert engine_jobs.Add.perform_async(1, 1).result(LONG) == 2
        assert worker.stop() == 0


def test_all_of_a_celery_worker_is_killed(own_redis: Redis, ledger: Ledger, key: str) -> None:
    """Another worker gets its job after ``visibility_timeout``, here 3 s."""
    import engine_jobs

    _configure("celery", own_redis.url)
    visible = {"ENGINE_VISIBILITY": "3"}
    with Worker("celery", own_redis.url, ledger, **visible) as worker:
        handle = engine_jobs.Stays.perform_async(key)
        eventually(lambda: ledger.words(key), "start of the job")
        worker.kill()
    assert handle.status is Status.RUNNING  # nobody knows better yet
    with Worker("celery", own_redis.url, ledger, **visible):
        assert handle.result(LONG) == 2


def test_all_of_an_rq_worker_is_killed(own_redis: Redis, ledger: Ledger, key: str) -> None:
    """Another worker finds the job when it cleans up after the dead, some minutes later; the
    test does not wait for that, it asks RQ for the same cleaning at a later time."""
    import engine_jobs

    backend = _configure("rq", own_redis.url)
    with Worker("rq", own_redis.url, ledger) as worker:
        handle = engine_jobs.Stays.perform_async(key)
        ((_, horse, _),) = eventually(lambda: ledger.lines(key), "start of the job")
        os.kill(worker.pid, signal.SIGKILL)
        os.kill(horse, signal.SIGKILL)  # left alone, it would end the job without its worker
    assert handle.status is Status.RUNNING
    backend.queue.started_job_registry.cleanup(timestamp=time.time() + 3600)
    with Worker("rq", own_redis.url, ledger):
        assert handle.result(LONG) == 2


def test_a_dramatiq_process_is_killed(own_redis: Redis, ledger: Ledger, key: str) -> None:
    """Dramatiq's command leaves with it; the next one gets the job, ``heartbeat_timeout``
    after the last sign of life, here 2 s."""
    import engine_jobs

    _configure("dramatiq", own_redis.url)
    with Worker("dramatiq", own_redis.url, ledger) as worker:
        handle = engine_jobs.Dies.perform_async(key, 1)
        eventually(lambda: ledger.words(key), "start of the job")
        assert worker.popen.wait(LONG) != 0
    with Worker("dramatiq", own_redis.url, ledger):
        assert handle.result(LONG) == 2


@pytest.mark.parametrize("engine", ENGINES)
def test_redis_is_restarted(engine: str, own_redis: Redis, ledger: Ledger, key: str) -> None:
    """Killed and started again with what it has on disk, while one job runs, one is queued
    behind it and one is delayed: each of them runs to its end."""
    import engine_jobs

    _configure(engine, own_redis.url)
    with Worker(engine, own_redis.url, ledger, slots=1):
        running = engine_jobs.Stands.perform_async(key)
        eventually(lambda: ledger.words(key), "start of the job")
        queued = engine_jobs.Noted.perform_async(key + "-queued")
        delayed = engine_jobs.Noted.perform_in(2.0, key + "-delayed")
        own_redis.restart()
        ledger.write(key, "go")
        for handle in (running, queued, delayed):
            handle.result(LONG)
    assert ledger.words(key + "-queued")[:1] == ["ran"]
    assert ledger.words(key + "-delayed")[:1] == ["ran"]


@pytest.mark.parametrize("engine", ["celery", "dramatiq"])
def test_priorities(engine: str, own_redis: Redis, ledger: Ledger, key: str) -> None:
    """Higher first, whatever the engine calls it: the queue is filled before a worker reads it."""
    import engine_jobs

    _configure(engine, own_redis.url)
    handles = [
        engine_jobs.Noted.using(priority=priority).perform_async(f"{key}-{priority}")
        for priority in (0, -3, 5, 99, 2)
    ]
    with Worker(engine, own_redis.url, ledger, slots=1, dramatiq_queue_prefetch="50"):
        for handle in handles:
            handle.result(LONG)
    ran = {p: ledger.lines(f"{key}-{p}")[0][2] for p in (0, -3, 5, 99, 2)}
    assert sorted(ran, key=ran.__getitem__) == [99, 5, 2, 0, -3]


def test_a_delay_in_pieces(own_redis: Redis, ledger: Ledger, key: str) -> None:
    """Longer than the engine is trusted with: the worker that gets it early sends it on."""
    import engine_jobs

    urls = {engine: own_redis.database(number) for number, engine in enumerate(ENGINES)}
    workers = [Worker(engine, url, ledger) for engine, url in urls.items()]
    handles = []
    with ExitStack() as stack:
        for worker in workers:
            stack.callback(worker.kill)
        for worker in workers:
            worker.until(worker.ready)
        before = time.time()
        for engine, url in urls.items():
            backend = _configure(engine, url, **({} if engine == "celery" else {"keep": 6.0}))
            if engine == "celery":
                backend.app.conf.result_expires = 6
            assert backend.longest_delay == 3
            handles.append(engine_jobs.Noted.perform_in(4.2, f"{key}-{engine}"))
        for handle in handles:
            handle.result(LONG)
    for engine in ENGINES:
        ((_, _, ran),) = ledger.lines(f"{key}-{engine}")
        assert ran >= before + 4.2
