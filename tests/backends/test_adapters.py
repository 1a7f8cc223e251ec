"""What an adapter does that needs its package, and no broker."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from engine_processes import require

import counterpunch
from counterpunch import InvalidOption, Retry


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
