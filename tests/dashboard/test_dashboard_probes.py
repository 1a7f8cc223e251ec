"""What a platform's probe is told, and what somebody who should look."""

from __future__ import annotations

import functools
import logging
import threading
import time

import pytest
from dashboard_client import SOON, Client

import counterpunch
from counterpunch import Job
from counterpunch.core.port import current


@pytest.fixture
def dead():
    """The thread of something that has ended."""
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    return thread


def test_live_says_whether_a_restart_would_help(caplog):
    """Not because a provider is down, a job is slow or a queue is long."""
    caplog.set_level(logging.CRITICAL, "counterpunch")

    class Charge(Job):
        def perform(self):
            raise OSError("the provider is down")

    for handle in Charge.perform_bulk([()] * 130):
        handle.exception(SOON)
    client = Client()
    assert client.get("/health").status == 503
    answer = client.get("/live")
    assert (answer.status, answer.json["ok"], answer.json["reasons"]) == (200, True, [])
    counterpunch.quiet()
    assert client.get("/health").status == 503
    assert client.get("/live").status == 200


def test_live_says_no_once_the_scheduler_is_gone(monkeypatch, dead):
    """What is due later runs no more, and nothing but a restart helps."""

    class Later(Job):
        def perform(self): ...

    Later.perform_in(3600)
    monkeypatch.setattr(current().scheduler, "thread", dead)
    answer = Client().get("/live")
    assert answer.status == 503
    assert "scheduler" in answer.json["reasons"][0]


def test_live_says_no_once_there_is_no_worker_to_be_had(monkeypatch, caplog):
    """Jobs wait, and no thread can be started for them."""
    caplog.set_level(logging.CRITICAL, "counterpunch")

    class Starved(Job):
        def perform(self): ...

    with monkeypatch.context() as patch:

        def refuse(*args, **kwargs):
            raise RuntimeError("can't start new thread")

        patch.setattr("_thread.start_new_thread", refuse)
        patch.setattr("threading._start_new_thread", refuse, raising=False)
        patch.setattr("threading._start_joinable_thread", refuse, raising=False)
        handle = Starved.perform_async()
        answer = Client().get("/live")
    assert (answer.status, handle.status) == (503, "queued")
    assert "no worker could be started" in answer.json["reasons"][0]


def test_live_says_no_once_the_event_loop_is_gone(monkeypatch, dead):
    """Its jobs run no more; those of threads do, and the page answers."""

    class Fetch(Job):
        async def perform(self): ...

    Fetch.perform_async().result(SOON)
    client = Client()
    assert client.get("/live").status == 200
    (loop,) = current().loops._loops
    monkeypatch.setattr(loop, "thread", dead)
    for path in ("/live", "/health"):
        answer = client.get(path)
        assert (answer.status, answer.json["ok"]) == (503, False)
        assert "the event loop's thread has died" in answer.json["reasons"][0]


def test_a_loop_that_is_held_up_is_for_somebody_to_look_at():
    """It may go on, and a restart would take what waits along: live; health and the stacks have it,
    and no page waits for it."""
    entered, gate = threading.Event(), threading.Event()

    class Holds(Job):
        workers = 1
        timeout = 0.001

        async def perform(self):
            entered.set()
            gate.wait(SOON)

    Holds.perform_async()
    assert entered.wait(SOON)
    second = Holds.perform_async()
    client = Client(health=functools.partial(counterpunch.health, max_wait=0))
    try:
        end = time.monotonic() + SOON
        while client.get("/health").status == 200 and time.monotonic() < end:
            pass
        assert "Holds: the oldest queued job has waited" in client.get("/health").text
        assert client.get("/live").status == 200
        assert "gate.wait(SOON)" in client.get("/threads").page.text
        assert client.json("/waiting")["jobs"][0]["id"] == second.id
    finally:
        gate.set()
    assert second.result(SOON) is None
