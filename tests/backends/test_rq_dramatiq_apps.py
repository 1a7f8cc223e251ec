"""Queues and brokers with settings of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from engine_processes import Ledger, Redis, Worker, eventually, require

import counterpunch
from counterpunch import InvalidOption, Retry, Status

LONG = 20.0


@pytest.fixture(autouse=True)
def threads_again(ledger: Ledger) -> Iterator[None]:
    yield
    counterpunch.configure(backend=None)


# RQ


def test_rq_refuses_a_connection_that_decodes() -> None:
    """RQ itself cannot read back then what it has pickled."""
    require("rq")
    import redis
    import rq

    from counterpunch.backends.rq import RQBackend

    queue = rq.Queue(connection=redis.Redis(decode_responses=True))  # never connected
    with pytest.raises(InvalidOption, match=r"RQBackend: queue=.*no decode_responses"):
        RQBackend(queue)
    with pytest.raises(InvalidOption, match=r"RQBackend: queue=.*no decode_responses"):
        RQBackend("redis://localhost/0?decode_responses=True")


@pytest.fixture
def in_place(redis: Redis) -> Iterator[Any]:
    """A queue whose jobs run in the call that enqueues them."""
    require("rq")
    import redis as client
    import rq

    from counterpunch.backends.rq import RQBackend

    queue = rq.Queue("in-place", connection=client.Redis(port=redis.port), is_async=False)
    counterpunch.configure(backend=RQBackend(queue, timeout=0.2))
    return queue


def test_rq_in_place_retries_at_once(in_place: Any) -> None:
    """Nobody is there to wait for a delay; and no attempt is nested into the one before it."""
    from engine_jobs import Hooked, Raises

    many = Hooked.using(retry=Retry(40, wait=600, factor=1, jitter=0))
    assert many.perform_async("rq-in-place", 39).result(0) == 40
    handle = Raises.perform_async("boom")
    assert handle.status is Status.FAILED


def test_rq_in_place_takes_as_long_as_the_job(in_place: Any) -> None:
    """The backend's timeout is for Redis."""
    from engine_jobs import Asks, Sleeps

    assert Sleeps.perform_async(0.5).result(0) == "slept"
    assert Asks.perform_async(2).result(0) == 3


def test_rq_jobs_of_a_class_of_ones_own(redis: Redis) -> None:
    """A delivery is a job of the queue's class, and so is that of a retry."""
    require("rq")
    import redis as client
    import rq
    from engine_jobs import Hooked

    from counterpunch.backends.rq import RQBackend

    performed: list[str] = []

    class Own(rq.job.Job):  # type: ignore[misc,unused-ignore]
        def perform(self) -> Any:
            performed.append(type(self).__name__)
            return super().perform()

    connection = client.Redis(port=redis.port)
    queue = rq.Queue("own-class", connection=connection, job_class=Own)
    counterpunch.configure(backend=RQBackend(queue))
    handle = Hooked.using(retry=Retry(2, wait=0.0, jitter=0)).perform_async("own", 1)
    worker = rq.SimpleWorker([queue], connection=connection, job_class=Own)

    def end() -> None: ...

    worker._install_signal_handlers = end  # the test's thread is no main thread of a worker
    worker.work(burst=True)
    assert handle.result(0) == 2
    assert performed == ["Own", "Own"]


def test_a_job_that_is_stopped_with_rqs_tools_is_cancelled(redis: Redis, ledger: Ledger) -> None:
    """Its process is killed: nothing in it could say so."""
    require("rq")
    import redis as client
    import rq
    from engine_jobs import Stands
    from rq.command import send_stop_job_command

    from counterpunch.backends.rq import RQBackend

    url = redis.database(3)
    counterpunch.configure(backend=RQBackend(url))
    connection = client.Redis.from_url(url)
    with Worker("rq", url, ledger):
        handle = Stands.perform_async("rq-stopped")
        eventually(lambda: ledger.words("rq-stopped"), "the start of the job")
        (id,) = rq.Queue(connection=connection).started_job_registry.get_job_ids()
        send_stop_job_command(connection, id)
        with pytest.raises(counterpunch.Cancelled, match="stopped on rq"):
            handle.result(LONG)


# Dramatiq


@contextmanager
def broker_with(*middleware: Any, add: Any = None) -> Iterator[Any]:
    """A stub broker with a worker of one thread, and results in memory."""
    require("dramatiq")
    import dramatiq
    from dramatiq.brokers.stub import StubBroker
    from dramatiq.results.backends import StubBackend

    from counterpunch.backends.dramatiq import DramatiqBackend

    broker: Any = StubBroker(middleware=list(middleware) or None)
    if add is not None:
        broker.add_middleware(add)
    counterpunch.configure(backend=DramatiqBackend(broker, results=StubBackend()))
    worker = dramatiq.Worker(broker, worker_timeout=20, worker_threads=1)
    worker.start()
    try:
        yield broker
    finally:
        worker.stop()
        broker.close()


def test_what_dramatiqs_middleware_does_by_default_is_not_done_to_a_job() -> None:
    """Neither repeated, nor stopped, nor dropped for its age, nor kept by Dramatiq's results."""
    require("dramatiq")
    from dramatiq import middleware
    from dramatiq.results import Results
    from dramatiq.results.backends import StubBackend
    from engine_jobs import Add, Raises

    stored = StubBackend()
    ours = [
        middleware.AgeLimit(max_age=1),
        middleware.TimeLimit(time_limit=1),
        middleware.ShutdownNotifications(notify_shutdown=True),
        middleware.Retries(max_retries=9, retry_when=lambda retries, exc: True, min_backoff=1),
        Results(backend=stored, store_results=True),
    ]
    with broker_with(*ours) as broker:
        for actor in broker.actors.values():
            assert actor.options["retry_when"] is None
        gate = threading.Event()
        enqueue, held = broker.enqueue, []
        broker.enqueue = lambda message, delay=None: held.append(message) or message
        handle = Add.perform_async(1, 2)
        broker.enqueue = enqueue
        gate.wait(0.01)  # its age is above the limit of a millisecond now
        assert time.time() * 1000 - held[0].message_timestamp > 1
        broker.enqueue(held[0])
        assert handle.result(LONG) == 3
        failing = Raises.perform_async("boom")
        with pytest.raises(ArithmeticError):
            failing.result(LONG)
        broker.join("default", timeout=5000, fail_fast=False)
        assert failing.attempt == 1


def test_a_message_that_a_middleware_skips_ends_its_job(ledger: Ledger) -> None:
    require("dramatiq")
    from dramatiq.middleware import Middleware, SkipMessage
    from engine_jobs import Noted

    class Skips(Middleware):  # type: ignore[misc,unused-ignore]
        def before_process_message(self, broker: Any, message: Any) -> None:
            raise SkipMessage("not today")

    with broker_with(add=Skips()):
        handle = Noted.perform_async("skipped")
        with pytest.raises(counterpunch.Discarded, match="middleware of dramatiq's broker"):
            handle.result(LONG)
    assert ledger.words("skipped") == []


def test_a_middleware_that_stops_a_message_fails_its_job(ledger: Ledger) -> None:
    """By the one kind of exception that Dramatiq does not just log."""
    require("dramatiq")
    from dramatiq.middleware import Middleware, MiddlewareError
    from engine_jobs import Noted

    class Stops(Middleware):  # type: ignore[misc,unused-ignore]
        def before_process_message(self, broker: Any, message: Any) -> None:
            raise MiddlewareError("no database")

    with broker_with(add=Stops()):
        handle = Noted.perform_async("stops")
        with pytest.raises(MiddlewareError, match="no database"):
            handle.result(LONG)
    assert ledger.words("stops") == []
