"""Celery and Dramatiq on a real RabbitMQ, with the records in Redis: as on Redis alone."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from engine_processes import LONG, Ledger, Redis, Worker, eventually, require
from rabbit import SCRIPT, Rabbit

import counterpunch
from counterpunch import Retry, Status

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def rabbit() -> Iterator[Rabbit]:
    if not SCRIPT.exists():
        if os.environ.get("COUNTERPUNCH_REQUIRE_HOSTS"):
            pytest.fail("not installed: rabbitmq-server, and COUNTERPUNCH_REQUIRE_HOSTS is set")
        pytest.skip("not installed: rabbitmq-server")
    server = Rabbit()
    yield server
    server.close()


@pytest.fixture(scope="module", params=["celery", "dramatiq"])
def place(
    request: pytest.FixtureRequest, rabbit: Rabbit, redis: Redis, ledger: Ledger
) -> Iterator[tuple[str, Any, Worker]]:
    """An engine with a worker of its own; in the same databases of Redis as nobody else."""
    name: str = request.param
    require(name, "pika" if name == "dramatiq" else "amqp")
    import engine_set

    url = redis.database(5)
    with (
        pytest.MonkeyPatch.context() as patch,
        Worker(name, url, ledger, ENGINE_BROKER=rabbit.url) as worker,
    ):
        patch.setenv("ENGINE_BROKER", rabbit.url)
        yield name, engine_set.SETS[name](url)[1], worker


@pytest.fixture
def backend(place: tuple[str, Any, Worker]) -> Iterator[Any]:
    counterpunch.configure(backend=place[1])
    yield place[1]
    counterpunch.configure(backend=None)


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


def test_a_job_runs_and_its_result_is_known(backend: Any) -> None:
    from engine_jobs import Add, Raises

    assert Add.perform_async(1, two=2).result(LONG) == 3
    with pytest.raises(ArithmeticError):
        Raises.perform_async("boom").result(LONG)


def test_a_delay_and_a_retry_are_waited_for(backend: Any, ledger: Ledger, key: str) -> None:
    from engine_jobs import Add, Hooked

    handle = Add.perform_in(0.3, 1)
    assert handle.status in (Status.SCHEDULED, Status.QUEUED)
    assert handle.result(LONG) == 1
    assert handle.started_at is not None
    assert handle.started_at >= handle.run_at
    hooked = Hooked.using(retry=Retry(3, wait=0.2, factor=1, jitter=0))
    assert hooked.perform_async(key, 2).result(LONG) == 3
    assert ledger.words(key).count("on_error") == 2


def test_a_cancelled_job_does_not_run(backend: Any, ledger: Ledger, key: str) -> None:
    from engine_jobs import Noted

    handle = Noted.perform_in(0.5, key)
    assert handle.cancel()
    with pytest.raises(counterpunch.Cancelled):
        handle.result(LONG)
    assert ledger.words(key) == []


def test_a_message_of_a_stranger_fails_and_shows_nothing(
    backend: Any, place: tuple[str, Any, Worker]
) -> None:
    """Neither its record nor the worker's log has anything of the worker's environment."""
    from engine_jobs import Add

    from counterpunch.backends._message import Message

    publish = backend.publish

    def hostile(message: Message, delay: float) -> None:
        values = {name: getattr(message, name) for name in Message.__slots__}
        publish(Message(**{**values, "job": "os:environ"}), delay)

    backend.publish = hostile
    try:
        handle = Add.perform_async(1)
    finally:
        del backend.publish
    with pytest.raises(TypeError, match="os:environ is neither a Job class nor"):
        handle.result(LONG)
    worker = place[2]
    eventually(lambda: "os:environ" in worker.output, "the failure in the log")
    assert "ENGINE_LEDGER" not in f"{handle.error}{worker.output}"


def test_the_process_of_a_job_is_killed(place: Any, ledger: Ledger, key: str, rabbit: Any) -> None:
    """Another has its job at once: RabbitMQ gives back what was not acknowledged."""
    import engine_jobs

    name, backend, _ = place
    counterpunch.configure(backend=backend)
    try:
        handle = engine_jobs.Stays.perform_async(key)
        eventually(lambda: ledger.lines(key), "the first start")
        os.kill(ledger.lines(key)[0][1], signal.SIGKILL)
        if name == "celery":
            assert handle.result(LONG) == 2
            return
        # Dramatiq's command leaves with a process that was killed.
        url = backend.results.client.connection_pool.connection_kwargs
        assert url["db"] == 5
        redis = f"redis://{url['host']}:{url['port']}/5"
        with Worker(name, redis, ledger, ENGINE_BROKER=rabbit.url):
            assert handle.result(LONG) == 2
    finally:
        counterpunch.configure(backend=None)
