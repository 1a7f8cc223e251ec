"""A broker that is not there, or that hangs: an error at the call, in bounded time."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from engine_places import ENGINES
from engine_processes import Ledger, Redis, require

import counterpunch
from counterpunch import BackendError, InvalidOption, NotSupported


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    require(request.param, "redis")
    name: str = request.param
    return name


@pytest.fixture
def own_redis() -> Iterator[Redis]:
    """A server that a test may harm."""
    require("redis-server")
    server = Redis()
    yield server
    server.close()


def _backend(engine: str, url: str, **options: Any) -> Any:
    import engine_set

    return engine_set.SETS[engine](url, **options)[1]


def _refused(seconds: float, *calls: Any) -> list[str]:
    """What the calls, made beside each other, raise; they must do so in their time, and ten
    times that is generous."""
    failures: list[BaseException] = []

    def run(call: Any) -> None:
        try:
            call()
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=run, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10 * seconds)
        assert not thread.is_alive(), "still waiting for the broker"
    assert [type(failure) for failure in failures] == [BackendError] * len(calls)
    return [str(failure) for failure in failures]


def test_nobody_listens(engine: str, ledger: Ledger) -> None:
    """The enqueue raises; the job was not accepted."""
    import engine_jobs

    with socket.socket() as taken:  # bound and not listening: refused
        taken.bind(("127.0.0.1", 0))
        backend = _backend(engine, f"redis://127.0.0.1:{taken.getsockname()[1]}/0", timeout=2.0)
        counterpunch.configure(backend=backend)
        (failure,) = _refused(2.0, lambda: engine_jobs.Add.perform_async(1))
        assert f"Add was not enqueued (id {engine}-" in failure
        (failure,) = _refused(2.0, lambda: backend.find(f"{engine}-{'0' * 32}"))
        assert "find(" in failure


def test_it_hangs_and_comes_back(engine: str, own_redis: Redis, ledger: Ledger) -> None:
    """A server that accepts and does not answer: the bound holds for every kind of call."""
    import engine_jobs

    backend = _backend(engine, own_redis.url, timeout=1.0)
    counterpunch.configure(backend=backend)
    handle = engine_jobs.Add.perform_async(1)
    os.kill(own_redis.process.pid, signal.SIGSTOP)
    try:
        for failure in _refused(
            1.0,
            lambda: engine_jobs.Add.perform_async(2),
            lambda: handle.status,
            handle.cancel,
            handle.result,
            lambda: backend.find(handle.id),
        ):
            # RQ's connection has the same limit; either of the two may be the first.
            assert re.search(rf"no answer from {engine} within 1 s|TimeoutError", failure)
    finally:
        os.kill(own_redis.process.pid, signal.SIGCONT)
    deadline = time.monotonic() + 20
    while True:
        try:
            assert handle.cancel() is True
            break
        except BackendError:
            assert time.monotonic() < deadline


def test_a_broken_url_or_object(engine: str) -> None:
    """Refused where it is written, before anything is sent."""
    import importlib

    module = importlib.import_module(f"counterpunch.backends.{engine}")
    backend = getattr(
        module,
        {"celery": "CeleryBackend", "rq": "RQBackend", "dramatiq": "DramatiqBackend"}[engine],
    )
    with pytest.raises(InvalidOption, match=r"Backend: (app|queue|broker)=7"):
        backend(7)


def test_no_secret_in_its_repr(engine: str) -> None:
    """An error message may quote the backend; a URL has a password in it."""
    shown = repr(_backend(engine, "redis://user:hunter2@127.0.0.1:1/0"))
    assert "hunter2" not in shown
    assert "Backend(" in shown


def test_engines_without_results(redis: Redis, ledger: Ledger) -> None:
    """Celery without a shared result backend, Dramatiq without one: known at once."""
    require("celery", "dramatiq")
    import engine_jobs
    from celery import Celery
    from dramatiq.brokers.redis import RedisBroker

    from counterpunch.backends.celery import CeleryBackend
    from counterpunch.backends.dramatiq import DramatiqBackend

    for backend in (
        CeleryBackend(Celery("bare", broker=redis.url), queue="nobody"),
        CeleryBackend(Celery("rpc", broker=redis.url, backend="rpc://"), queue="nobody"),
        DramatiqBackend(RedisBroker(url=redis.url, namespace="nobody")),
    ):
        can = backend.capabilities
        assert (can.supports_status, can.supports_get_result, can.supports_cancel) == (False,) * 3
        counterpunch.configure(backend=backend)
        handle = engine_jobs.Add.perform_async(1)
        with pytest.raises(NotSupported, match="no result store"):
            handle.result(1)


def test_the_results_of_a_dramatiq_broker(redis: Redis) -> None:
    """A ``Results`` middleware that is there already is used."""
    require("dramatiq")
    from dramatiq.brokers.redis import RedisBroker
    from dramatiq.results import Results
    from dramatiq.results.backends import RedisBackend

    from counterpunch.backends.dramatiq import DramatiqBackend

    results = RedisBackend(url=redis.url)
    broker = RedisBroker(url=redis.url, middleware=[Results(backend=results)])
    assert DramatiqBackend(broker).results is results


def test_how_long_each_engine_is_trusted_with_a_delay(redis: Redis) -> None:
    """Less than it holds a message, and less than the record of the job is kept."""
    require("celery", "rq", "dramatiq")
    import engine_set

    app, backend = engine_set.celery(redis.url)
    assert backend.longest_delay == 1800
    app.conf.broker_transport_options = {"visibility_timeout": 60}
    assert backend.longest_delay == 30
    app.conf.result_expires = 40
    assert backend.longest_delay == 20
    assert engine_set.rq(redis.url, keep=10)[1].longest_delay == 5
    assert engine_set.dramatiq(redis.url, keep=10)[1].longest_delay == 5
    assert engine_set.dramatiq(redis.url, keep=1e9)[1].longest_delay < 7 * 86_400
