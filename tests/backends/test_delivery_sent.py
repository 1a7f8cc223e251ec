"""What all engines send: the record, the message, its delay, and calls that are bounded."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from list_engine import ListEngine, _fields, deliver
from list_engine import engine as engine
from list_engine import jobs as jobs

import counterpunch
from counterpunch import BackendError, CounterpunchError, InvalidOption, Lost, Status
from counterpunch.backends import _bounded
from counterpunch.backends._bounded import Bounded
from counterpunch.backends._encoding import pack, unpack
from counterpunch.backends._message import Message

# What is sent


def test_the_record_is_there_before_the_message(engine: ListEngine, jobs: Any) -> None:
    """A worker may be done before the enqueue has returned."""
    seen: list[str] = []
    publish = engine.publish
    engine.publish = lambda message, delay: (  # type: ignore[method-assign]
        seen.append(engine.record(message.id)["status"]),
        publish(message, delay),
    )[-1]
    handle = jobs.Add.perform_async(1)
    assert seen == ["queued"]
    assert handle.id.startswith("list-")


def test_the_message(engine: ListEngine, jobs: Any) -> None:
    """Path, arguments, options and times, and nothing else of the caller."""
    jobs.Add.using(priority=0, expires_in=9, tags=("a",)).perform_async(1, two=2)
    message = engine.take()
    assert message.job == "engine_jobs:Add"
    assert (message.args, message.kwargs, message.attempt) == ([1], {"two": 2}, 1)
    assert message.options == {"priority": 0, "expires_in": 9.0, "tags": ["a"]}
    assert message.enqueued == message.due
    newer = pack({**unpack(message.dumps()), "version": 2})
    with pytest.raises(CounterpunchError, match=r"version 2 .* knows version 1"):
        engine.perform(newer)


def test_a_long_delay_goes_in_pieces(engine: ListEngine, jobs: Any) -> None:
    """No longer than the engine holds a message; who gets it early sends it on, unstarted."""
    handle = jobs.Add.perform_in(1000, 1)
    message, delay = engine.sent.pop()
    assert delay == 100
    deliver(engine, message)
    again, delay = engine.sent.pop()
    assert (again, delay) == (message, 100)
    assert handle.status is Status.SCHEDULED


def test_clocks_of_two_machines(engine: ListEngine, jobs: Any) -> None:
    """A job that was not delayed starts at once, though it comes from a clock that is ahead; one
    that comes a little early is waited for."""
    handle = jobs.Add.perform_async(1)
    ahead = time.time() + 60
    deliver(engine, Message(**{**_fields(engine.take()), "enqueued": ahead, "due": ahead}))
    assert (engine.sent, handle.status) == ([], Status.SUCCEEDED)
    due = time.time() + 0.1
    handle = jobs.Add.perform_at(due, 1)
    deliver(engine, engine.take())
    assert (engine.sent, handle.status) == ([], Status.SUCCEEDED)
    assert handle.started_at is not None
    assert handle.started_at.timestamp() >= due - 0.001  # two clocks are read one after another


def test_each_piece_looks_for_the_mark(engine: ListEngine, jobs: Any) -> None:
    """And writes the record anew: neither expires in a store that forgets after a day."""
    handle = jobs.Add.perform_in(1000, 1)
    message = engine.take()
    engine.log.clear()
    deliver(engine, message)
    assert engine.log == ["scheduled"]
    message = engine.take()
    assert handle.cancel() is True
    record = engine.record(handle.id)
    engine.kept[handle.id] = pack({**record, "status": "scheduled"})  # as if it had not been seen
    deliver(engine, message)
    assert engine.sent == []
    found = engine.find(handle.id)
    assert found is not None
    assert found.status is Status.CANCELLED


def test_nothing_is_accepted_if_the_broker_fails(engine: ListEngine, jobs: Any) -> None:
    """The cause is named and chained."""
    engine.broken = OSError("connection refused")
    with pytest.raises(BackendError, match=r"Add was not enqueued.*OSError: connection") as caught:
        jobs.Add.perform_async(1)
    assert caught.value.__cause__ is engine.broken
    assert engine.sent == []


def test_no_call_waits_longer_than_its_bound() -> None:
    """A client that hangs costs the caller ``seconds``, and no thread but its own."""
    bounded, gate = Bounded("list", 0.05), threading.Event()
    with pytest.raises(BackendError, match=r"asked: no answer from list within 0\.05 s"):
        bounded.call("asked", lambda: gate.wait(20))
    gate.set()
    patient = Bounded("list", 20.0)
    first = patient.call("asked", threading.get_ident)
    assert patient.call("asked", threading.get_ident) == first != threading.get_ident()
    with pytest.raises(BackendError, match=r"asked: list failed: KeyError: 'x'"):
        patient.call("asked", lambda: {}["x"])


def test_a_broker_that_hangs_does_not_eat_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that nobody waits for any more are bounded in number; then they fail at once."""
    monkeypatch.setattr(_bounded, "AT_A_TIME", 3)
    bounded, gate, over = Bounded("list", 0.01), threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        gate.wait(20)
        over.release()

    for _ in range(3):
        with pytest.raises(BackendError, match="no answer"):
            bounded.call("asked", hang)
    with pytest.raises(BackendError, match="asked: 3 calls to list go on already"):
        bounded.call("asked", hang)
    gate.set()
    assert all(over.acquire(timeout=20) for _ in range(3))
    bounded.seconds = 20.0
    deadline = time.monotonic() + 20
    while True:  # a helper says that it is done just after the call is
        try:
            assert bounded.call("asked", lambda: 7) == 7
            break
        except BackendError:
            assert time.monotonic() < deadline


def test_a_backend_that_is_forgotten_leaves_no_thread() -> None:
    """``configure(backend=...)`` again: the helpers of the one before end with it, and so do the
    connections that a client has for each thread."""
    bounded, two = Bounded("list", 20.0), threading.Barrier(2)
    helpers: list[threading.Thread] = []

    def call() -> None:
        helpers.append(threading.current_thread())
        two.wait(20)

    caller = threading.Thread(target=bounded.call, args=("asked", call))
    caller.start()
    bounded.call("asked", call)
    caller.join(20)
    assert len(set(helpers)) == 2
    assert all(helper.is_alive() for helper in helpers)
    del bounded
    for helper in helpers:
        helper.join(20)
    assert not any(helper.is_alive() for helper in helpers)


@pytest.mark.parametrize("timeout", [0, -1, None, "5", float("nan")])
def test_a_bad_timeout(timeout: Any) -> None:
    with pytest.raises(InvalidOption, match="ListEngine: timeout="):
        ListEngine(timeout)


def test_cancelled_before_the_commit(engine: ListEngine, jobs: Any) -> None:
    """Nothing is sent by the commit, and nothing was before."""

    class Transaction:
        def defer(self, commit: Any, rollback: Any) -> bool:
            self.commit = commit
            return True

    transaction = Transaction()
    handle = jobs.Add.using(after_commit=transaction).perform_async(1)
    assert (engine.sent, engine.kept) == ([], {})
    assert handle.cancel() is True
    transaction.commit()
    assert (engine.sent, handle.status) == ([], Status.CANCELLED)


def test_lost_after_the_commit(engine: ListEngine, jobs: Any, caplog: Any) -> None:
    """The transaction is committed and the broker gone: reported, nothing is raised into it."""

    class Transaction:
        def defer(self, commit: Any, rollback: Any) -> bool:
            self.commit = commit
            return True

    lost: list[Any] = []
    counterpunch.configure(on_lost=lost.extend)
    transaction = Transaction()
    handle = jobs.Add.using(after_commit=transaction).perform_async(1)
    engine.broken = OSError("connection refused")
    transaction.commit()
    assert handle.status is Status.LOST
    assert lost == [handle]
    with pytest.raises(Lost, match="connection refused"):
        handle.result(0)
    assert "was lost" in caplog.text
