"""What an adapter does that needs its package, and no broker."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from engine_processes import require

import counterpunch
from counterpunch import BackendError, InvalidOption, Retry


@pytest.fixture(autouse=True)
def threads_again() -> Iterator[None]:
    yield
    counterpunch.configure(backend=None)


def test_dramatiq_logs_no_arguments(ledger: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Neither does it when a job fails."""
    require("dramatiq")
    import dramatiq
    import engine_jobs
    from dramatiq.brokers.stub import StubBroker

    from counterpunch.backends.dramatiq import DramatiqBackend

    caplog.set_level(logging.DEBUG)
    broker: Any = StubBroker()
    backend = DramatiqBackend(broker)
    counterpunch.configure(backend=backend)
    worker = dramatiq.Worker(broker, worker_timeout=100, worker_threads=1)
    worker.start()
    try:
        engine_jobs.Secret.perform_async("hunter2")
        broker.join("default", timeout=20_000, fail_fast=False)
        worker.join()
    finally:
        worker.stop()
        broker.close()
    said = "".join(
        caplog.handler.format(one) for one in caplog.records if one.name.startswith("dramatiq")
    )
    assert "Failed to process message" in said
    assert "hunter2" not in said


def test_rq_refuses_a_budget_and_allows_as_many_starts(ledger: Any) -> None:
    """A budget is counted within a process, and each job has its own."""
    require("rq")
    import engine_jobs
    import redis
    import rq

    from counterpunch.backends.rq import RQBackend, _starts

    queue = rq.Queue(connection=redis.Redis())  # never connected
    backend = RQBackend(queue, timeout=timedelta(seconds=3))  # type: ignore[arg-type,unused-ignore]
    counterpunch.configure(backend=backend)
    refused = engine_jobs.Add.using(retry=Retry(2, budget=0.5))
    with pytest.raises(InvalidOption, match="without a budget"):
        refused.perform_async(1)
    sent: list[Any] = []
    backend.write = lambda key, text: None  # type: ignore[method-assign]
    backend.publish = lambda message, delay: sent.append(message)  # type: ignore[method-assign]
    engine_jobs.Add.perform_async(1)
    engine_jobs.Add.using(retry=Retry(7)).perform_async(1)
    assert [_starts(message) for message in sent] == [3, 7]


def test_rq_says_what_a_wrong_url_should_be_and_does_not_show_it() -> None:
    """A password may be in it."""
    require("rq")
    from counterpunch.backends import rq

    with pytest.raises(InvalidOption, match=r"RQBackend: queue=.* URL of a Redis server") as told:
        rq.RQBackend("http://user:hunter2@localhost")
    assert "hunter2" not in str(told.value)


def test_celery_on_rabbitmq_has_the_priorities_of_its_queue() -> None:
    """One that was declared without them would take every message as equal: refused."""
    require("celery")
    import engine_jobs
    from celery import Celery
    from kombu import Queue

    from counterpunch.backends.celery import CeleryBackend

    app = Celery("rabbit", broker="amqp://nobody@localhost:1//")  # never connected
    plain = CeleryBackend(app)
    counterpunch.configure(backend=plain)
    with pytest.raises(InvalidOption, match=r"priority=3.*0: .* has no priorities"):
        engine_jobs.Add.using(priority=3).perform_async(1)
    app.conf.task_queues = [
        Queue("one", max_priority=9), Queue("two", queue_arguments={"x-max-priority": 9}),
        Queue("three"),
    ]  # fmt: skip
    app.amqp.queues = app.conf.task_queues
    queues = ("one", "two", "three", "unknown")
    can = [CeleryBackend(app, queue=queue).capabilities.supports_priority for queue in queues]
    assert can == [True, True, False, False]
    assert "unknown" not in app.amqp.queues
    every = Celery("rabbit", broker="amqp://nobody@localhost:1//")
    every.conf.task_queue_max_priority = 9
    assert CeleryBackend(every, queue="unknown").capabilities.supports_priority


def test_celery_on_rabbitmq_survives_a_connection_that_was_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its client keeps one, and learns by a failure that the broker has closed it: it is tried
    once more, on a new one. A broker that is not there is still an error."""
    require("celery")
    import engine_jobs
    from celery import Celery
    from kombu import transport
    from kombu.transport import memory

    from counterpunch.backends.celery import CeleryBackend

    failures: list[Exception] = []
    sent: list[Any] = []

    class Stale(memory.Transport):  # type: ignore[misc,unused-ignore]
        driver_type = "amqp"
        connection_errors = recoverable_connection_errors = (ConnectionResetError,)

        class Channel(memory.Channel):  # type: ignore[misc,unused-ignore]
            def _put(self, queue: Any, message: Any, **kwargs: Any) -> None:
                if failures:
                    raise failures.pop()
                sent.append(message)

    monkeypatch.setitem(sys.modules, "stale_transport", SimpleNamespace(Stale=Stale))
    monkeypatch.setitem(transport.TRANSPORT_ALIASES, "stale", "stale_transport:Stale")
    counterpunch.configure(backend=CeleryBackend(Celery("stale", broker="stale://")))
    for closed, arrived in ((0, 1), (1, 2)):
        failures.extend([ConnectionResetError("closed")] * closed)
        engine_jobs.Add.perform_async(1)
        assert (failures, len(sent)) == ([], arrived)
    failures.extend([ConnectionResetError("closed")] * 9)
    with pytest.raises(BackendError, match="Add was not enqueued"):
        engine_jobs.Add.perform_async(1)
    assert len(sent) == 2


def test_dramatiq_on_rabbitmq_is_not_trusted_with_long_delays() -> None:
    """It takes away what a worker holds unacknowledged for half an hour."""
    require("dramatiq", "pika")
    from dramatiq.brokers.rabbitmq import RabbitmqBroker

    from counterpunch.backends.dramatiq import DramatiqBackend

    broker = RabbitmqBroker(url="amqp://nobody:nothing@localhost:1")  # never connected
    assert DramatiqBackend(broker).longest_delay == 900
    assert DramatiqBackend(broker, queue="short", keep=60).longest_delay == 30


def test_an_rq_queue_that_is_not_async(ledger: Any, redis: Any) -> None:
    """Its jobs run in the caller's process, which does not leave after each of them."""
    require("rq")
    import engine_jobs
    import redis as client
    import rq

    from counterpunch.backends.rq import RQBackend

    connection = client.Redis(port=redis.port)
    counterpunch.configure(backend=RQBackend(rq.Queue(connection=connection, is_async=False)))
    handle = engine_jobs.Parent.perform_async("not-async", 0.05)
    child = counterpunch.find(handle.result(20))
    assert child is not None
    child.result(20)
    assert ledger.words("not-async") == ["child"]
