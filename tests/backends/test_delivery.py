"""The part that all engines share, on an engine of this test's own: a list and a dict.

Nothing here needs a broker. The test delivers each message by hand, twice where an engine
might, and looks at the record in between, where a killed worker would have left it.
"""

from __future__ import annotations

import itertools
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from engine_processes import Ledger

import counterpunch
from counterpunch import (
    BackendError,
    Cancelled,
    CounterpunchError,
    InvalidOption,
    Job,
    Lost,
    NotSupported,
    Rate,
    RemoteError,
    Retry,
    Status,
)
from counterpunch._backend import engines
from counterpunch._runtime import current
from counterpunch.backends import _bounded, _delivery, _remote
from counterpunch.backends._bounded import Bounded
from counterpunch.backends._encoding import DEPTH, Unencodable, decode, encode, pack, unpack
from counterpunch.backends._engine import OPTIONS, RemoteEngine
from counterpunch.backends._message import Message
from counterpunch.options import DEFAULTS


class ListEngine(RemoteEngine):
    """Keeps messages in a list and records in a dict."""

    name = "list"

    def __init__(self, timeout: float = 20.0, results: bool = True) -> None:
        super().__init__(timeout)
        self.sent: list[tuple[Message, float]] = []
        self.kept: dict[str, str] = {}
        self.log: list[str] = []
        self.broken: Exception | None = None
        self.results = results
        engines.add(self)

    @property
    def keeps_results(self) -> bool:
        return self.results

    @property
    def longest_delay(self) -> float:
        return 100.0

    def publish(self, message: Message, delay: float) -> None:
        if self.broken is not None:
            raise self.broken
        # As text: what does not survive the wire does not get here.
        self.sent.append((Message.loads(message.dumps()), delay))

    def read(self, key: str) -> str | None:
        return self.kept.get(key)

    def write(self, key: str, text: str) -> None:
        if key in self.kept or not key.endswith("-cancelled"):
            record = json.loads(text)
            self.log.append(record["status"] if isinstance(record, dict) else text)
        self.kept[key] = text

    def take(self) -> Message:
        """The next message that is due or not, off the list."""
        return self.sent.pop(0)[0]

    def record(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kept[id])
        return found


@pytest.fixture
def engine() -> Iterator[ListEngine]:
    engine = ListEngine()
    counterpunch.configure(backend=engine)
    yield engine
    counterpunch.configure(backend=None)


@pytest.fixture
def jobs(ledger: Ledger) -> Any:
    import engine_jobs

    return engine_jobs


def deliver(engine: ListEngine, message: Message) -> None:
    engine.perform(message.dumps())


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


# What is delivered, once and twice


def test_a_job_that_has_ended_is_not_run_again(
    engine: ListEngine, jobs: Any, ledger: Ledger
) -> None:
    handle = jobs.Noted.perform_async("twice")
    message = engine.take()
    deliver(engine, message)
    deliver(engine, message)
    assert ledger.words("twice") == ["ran"]
    assert engine.log == ["queued", "running", "succeeded"]
    assert handle.status is Status.SUCCEEDED


def test_a_job_whose_worker_is_gone_is_run_again(engine: ListEngine, jobs: Any) -> None:
    """Each start that a kill cut off counts as an attempt; after three it is lost."""
    handle = jobs.Add.perform_async(1, 1)
    message = engine.take()
    waiting = engine.record(handle.id)

    def killed(attempt: int) -> None:
        engine.kept[handle.id] = pack({**waiting, "status": "running", "attempt": attempt})

    killed(2)
    deliver(engine, message)
    assert (handle.result(0), handle.attempt) == (2, 3)

    handle = jobs.Add.perform_async(1, 1)
    message = engine.take()
    waiting = engine.record(handle.id)
    killed(3)
    deliver(engine, message)
    assert handle.status is Status.LOST
    assert handle.attempt == 3
    with pytest.raises(Lost, match="its worker was gone before it ended, 3 times"):
        handle.result(0)


def test_a_policy_may_allow_more_starts(engine: ListEngine, jobs: Any) -> None:
    """As many as attempts, if that is more than three."""
    handle = jobs.Add.using(retry=Retry(5)).perform_async(1, 1)
    message = engine.take()
    record = engine.record(handle.id)
    engine.kept[handle.id] = pack({**record, "status": "running", "attempt": 4})
    deliver(engine, message)
    assert (handle.status, handle.attempt) == (Status.SUCCEEDED, 5)


def test_without_a_result_store(jobs: Any, ledger: Ledger) -> None:
    """Jobs run; whoever asks is told why there is no answer."""
    engine = ListEngine(results=False)
    counterpunch.configure(backend=engine)
    handle = jobs.Noted.perform_async("unseen")
    deliver(engine, engine.take())
    assert ledger.words("unseen") == ["ran"]
    assert engine.kept == {}
    assert engine.capabilities.supports_get_result is False
    for ask in (handle.result, handle.cancel, handle.as_dict, lambda: handle.status):
        with pytest.raises(NotSupported, match="no result store"):
            ask()
    with pytest.raises(NotSupported, match="no result store"):
        engine.find(handle.id)
    assert counterpunch.find("list-unknown") is None


def test_an_integration_knows_the_thread_of_an_engine(engine: ListEngine, jobs: Any) -> None:
    """Connections that belong to the thread are closed around a job there, as on a worker."""
    from counterpunch.integrations._worker import on_a_worker

    seen: list[bool] = []

    @contextmanager
    def look(handle: Any) -> Iterator[None]:
        seen.append(on_a_worker(handle))
        yield

    remove = counterpunch.around_perform(look)
    try:
        jobs.Add.perform_async(1)
        deliver(engine, engine.take())
        jobs.Add.perform_now(1)
    finally:
        remove()
    assert seen == [True, False]


def test_a_failed_attempt_sends_the_next(engine: ListEngine, jobs: Any) -> None:
    """With the policy's wait, the attempt's number, and the first start for max_elapsed."""
    handle = jobs.Hooked.perform_async("next", 9)
    deliver(engine, engine.take())
    message, delay = engine.sent.pop()
    assert 0 < delay <= 0.2
    assert (message.attempt, message.id) == (2, handle.id)
    assert message.first is not None
    assert handle.status is Status.RETRYING
    assert handle.run_at.timestamp() == pytest.approx(message.due)
    counts = jobs.Hooked.stats()
    assert (counts.accepted, counts.failed, counts.retries, counts.retrying) == (1, 1, 1, 0)


def test_the_first_start_travels(engine: ListEngine, jobs: Any) -> None:
    """From attempt to attempt, as it was."""
    jobs.Hooked.using(retry=Retry(5, wait=0.0, jitter=0)).perform_async("first", 9)
    deliver(engine, engine.take())
    second = engine.take()
    deliver(engine, second)
    assert engine.take().first == second.first


def test_max_elapsed_counts_from_the_first_start(engine: ListEngine, jobs: Any) -> None:
    """Across processes."""
    policy = Retry(5, wait=0.0, jitter=0, max_elapsed=50)
    handle = jobs.Hooked.using(retry=policy).perform_async("elapsed", 9)
    message = engine.take()
    with pytest.raises(OSError, match="attempt 2"):
        deliver(engine, Message(**{**_fields(message), "attempt": 2, "first": time.time() - 60}))
    assert handle.status is Status.FAILED


def _fields(message: Message) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(message.dumps())
    return fields


def test_the_engine_is_told_of_a_failure(engine: ListEngine, jobs: Any) -> None:
    """By the job's own exception; never by one that would end its worker."""
    jobs.Raises.perform_async("boom")
    with pytest.raises(ArithmeticError, match="boom"):
        deliver(engine, engine.take())
    jobs.Raises.perform_async("exit")
    with pytest.raises(RemoteError, match="SystemExit: 3"):
        deliver(engine, engine.take())


def test_a_worker_of_another_version(engine: ListEngine, jobs: Any) -> None:
    """A class that is gone, or takes other arguments: the job has failed, and says so."""
    for change, kind in (
        ({"job": "engine_jobs:Gone"}, AttributeError),
        ({"job": "no_such_module:Add"}, ModuleNotFoundError),
        ({"job": "engine_jobs:note"}, TypeError),
        ({"args": [1, 2, 3]}, TypeError),
    ):
        handle = jobs.Add.perform_async(1)
        message = Message(**{**_fields(engine.take()), **change})
        with pytest.raises(kind):
            deliver(engine, message)
        assert handle.status is Status.FAILED
        with pytest.raises(kind):
            handle.result(0)


def test_an_outcome_is_stored_though_the_store_was_away(
    engine: ListEngine, jobs: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker tries again while the broker restarts."""
    monkeypatch.setattr(_delivery, "PAUSE", 0.0)
    handle = jobs.Add.perform_async(1)
    write, failures = engine.write, iter([OSError("loading"), OSError("loading")])

    def flaky(key: str, text: str) -> None:
        failure = next(failures, None)
        if failure is not None:
            raise failure
        write(key, text)

    engine.write = flaky  # type: ignore[method-assign]
    deliver(engine, engine.take())
    assert handle.status is Status.SUCCEEDED
    assert caplog.text.count("trying again: loading") == 2


def test_it_does_not_try_for_ever(
    engine: ListEngine, jobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_delivery, "PATIENCE", 0.0)
    jobs.Add.perform_async(1)

    def away(key: str, text: str) -> None:
        raise OSError("gone")

    engine.write = away  # type: ignore[method-assign]
    with pytest.raises(OSError, match="gone"):
        deliver(engine, engine.take())


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_one_failed_read_loses_no_job(
    engine: ListEngine, jobs: Any, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """At the fetch, at the look for the mark before the attempt, and at that after it."""
    monkeypatch.setattr(_delivery, "PAUSE", 0.0)
    retry = Retry(2, wait=0.0, jitter=0.0)
    handle = jobs.Raises.using(retry=retry).perform_async("boom")
    read, reads, message = engine.read, itertools.count(1), engine.take()

    def flaky(key: str) -> str | None:
        if next(reads) == nth:
            raise OSError("reset")
        return read(key)

    engine.read = flaky  # type: ignore[method-assign]
    deliver(engine, message)
    engine.read = read  # type: ignore[method-assign]
    assert next(reads) > nth
    with pytest.raises(ArithmeticError):
        deliver(engine, engine.take())
    assert (handle.status, engine.record(handle.id)["attempt"]) == (Status.FAILED, 2)


def test_an_attempt_that_overran_is_retried(engine: ListEngine, jobs: Any, ledger: Ledger) -> None:
    """Its time limit is its own: all attempts are made."""
    retry = Retry(3, wait=0.0, jitter=0.0)
    handle = jobs.Overruns.using(timeout=0.01, retry=retry).perform_async("overran")
    for _ in range(2):
        deliver(engine, engine.take())
        assert handle.status is Status.RETRYING
    with pytest.raises(ArithmeticError):
        deliver(engine, engine.take())
    assert ledger.words("overran") == ["started"] * 3
    assert (handle.status, engine.sent) == (Status.FAILED, [])


def test_a_report_that_does_not_fit_fails_in_the_job(engine: ListEngine, jobs: Any) -> None:
    """Where the value comes from, not where the record is written."""
    handle = jobs.BadReport.perform_async()
    with pytest.raises(TypeError, match=r"BadReport: progress\[0\].*Fraction"):
        deliver(engine, engine.take())
    assert handle.status is Status.FAILED


def test_a_report_is_kept_as_it_was_made(engine: ListEngine, jobs: Any) -> None:
    """What happens to an object later cannot break the record."""
    handle = jobs.Mutates.perform_async()
    deliver(engine, engine.take())
    assert (handle.result(0), handle.data) == ("done", {"rows": [1]})


def test_the_first_report_is_sent_at_once(engine: ListEngine, jobs: Any) -> None:
    """However soon after the start it comes."""
    jobs.Reports.perform_async()
    message = engine.take()
    engine.log.clear()
    deliver(engine, message)
    assert engine.log[:3] == ["running", "running", "succeeded"]


def test_a_hanging_store_holds_up_no_job(engine: ListEngine, jobs: Any, caplog: Any) -> None:
    """A report waits as long as any call, and does not come after the job's end."""
    engine._bounded.seconds = 0.01
    handle = jobs.Reports.perform_async()
    message, write, gate = engine.take(), engine.write, threading.Event()
    texts: list[str] = []

    def hangs(key: str, text: str) -> None:
        texts.append(text)
        if len(texts) == 2:  # the first report
            threading.Timer(0.05, gate.set).start()
            gate.wait(20)
        write(key, text)

    engine.write = hangs  # type: ignore[method-assign]
    deliver(engine, message)
    engine._bounded.seconds = 20.0
    assert (handle.status, len(texts)) == (Status.SUCCEEDED, 3)
    assert "its progress was not stored" in caplog.text


def test_find_takes_ids_of_its_own_shape_only(engine: ListEngine, jobs: Any) -> None:
    """An id may come from a URL: it reaches no other key of the store."""
    handle = jobs.Add.perform_async(1)
    assert handle.cancel()
    assert engine.find(handle.id) is not None
    for id in (f"{handle.id}-cancelled", f"{handle.id}\n", "list-", f"list-{'A' * 32}"):
        assert engine.find(id) is None


@pytest.mark.parametrize("name", ["Overstays", "OverstaysSoon"])
def test_the_report_of_an_overrun_has_the_stack(
    engine: ListEngine, jobs: Any, caplog: Any, name: str
) -> None:
    """From the job's own first frame on, whatever the engine has below it; or its awaits."""
    getattr(jobs, name).using(timeout=0.05).perform_async("over")
    deliver(engine, engine.take())
    (said,) = (one.getMessage() for one in caplog.records if "timeout=0.05" in one.getMessage())
    first = said.splitlines()[1]
    assert "engine_jobs.py" in first or "attempt_async" in first
    assert "engine_jobs.py" in said
    assert "test_delivery.py" not in said
    assert (current().here_runs, current().here_coroutines) == ({}, {})


def test_a_job_cannot_wait_for_itself(engine: ListEngine, jobs: Any) -> None:
    """It is refused, as in threads, instead of never ending."""
    handle = jobs.WaitsForItself.perform_async()
    with pytest.raises(CounterpunchError, match="on the thread that runs it"):
        deliver(engine, engine.take())
    assert handle.status is Status.FAILED


def test_a_message_that_comes_at_the_exit_of_its_worker(
    engine: ListEngine, jobs: Any, monkeypatch: pytest.MonkeyPatch, ledger: Ledger
) -> None:
    """It is handed back to the broker: another process has it."""
    handle = jobs.Noted.perform_async("exit")
    message = engine.take()

    def stopped(call: Any, lane: Any) -> bool:
        lane.runtime.end(call, Status.LOST, "the process stopped")
        return False

    with monkeypatch.context() as patch:
        patch.setattr(_delivery, "admitted", stopped)
        deliver(engine, message)
    assert handle.status is Status.QUEUED
    deliver(engine, engine.take())
    assert (handle.status, ledger.words("exit")) == (Status.SUCCEEDED, ["ran"])


# Cancelling: the caller sets the mark and looks; the worker records its start and looks


def test_the_mark_stops_a_message_that_cannot_be_withdrawn(
    engine: ListEngine, jobs: Any, ledger: Ledger
) -> None:
    handle = jobs.Noted.perform_async("marked")
    assert handle.cancel() is True
    deliver(engine, engine.take())
    assert ledger.words("marked") == []
    with pytest.raises(Cancelled):
        handle.result(0)


def test_a_mark_set_just_before_the_start(engine: ListEngine, jobs: Any, ledger: Ledger) -> None:
    """The worker has recorded its start, then sees the mark: the job does not run."""
    handle = jobs.Noted.perform_async("just")
    write = engine.write

    def and_mark(key: str, text: str) -> None:
        write(key, text)
        if json.loads(text)["status"] == "running":
            engine.kept[f"{handle.id}-cancelled"] = "1"

    engine.write = and_mark  # type: ignore[method-assign]
    deliver(engine, engine.take())
    assert ledger.words("just") == []
    assert handle.status is Status.CANCELLED


def test_a_mark_set_just_after_the_start(
    engine: ListEngine, jobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller sees that it runs: False; the job sees the mark at its next look."""
    monkeypatch.setattr(_delivery, "QUIET", 0.01)
    handle = jobs.Waits.perform_async("after")
    message = engine.take()
    running = threading.Event()
    write = engine.write

    def tell(key: str, text: str) -> None:
        write(key, text)
        running.set()

    engine.write = tell  # type: ignore[method-assign]
    worker = threading.Thread(target=deliver, args=(engine, message))
    worker.start()
    assert running.wait(20)
    assert handle.cancel() is False
    worker.join(20)
    assert handle.status is Status.CANCELLED


def test_cancelled_between_two_attempts(engine: ListEngine, jobs: Any, ledger: Ledger) -> None:
    handle = jobs.Hooked.perform_async("between", 9)
    deliver(engine, engine.take())
    assert handle.status is Status.RETRYING
    assert handle.cancel() is True
    deliver(engine, engine.take())
    assert ledger.words("between").count("before") == 1


def test_cancelled_while_it_ran_and_failed(engine: ListEngine, jobs: Any) -> None:
    """No further attempt is sent."""
    handle = jobs.Hooked.perform_async("failing", 9)
    message = engine.take()

    def mark(failed: BaseException, handle: Any, will_retry: bool) -> None:
        engine.kept[f"{handle.id}-cancelled"] = "1"

    remove = counterpunch.on_error(mark)
    try:
        deliver(engine, message)
    finally:
        remove()
    assert engine.sent == []
    assert handle.status is Status.CANCELLED
    assert "its next attempt was dropped" in str(handle.error)


# What the handle says


def test_a_record_that_is_gone(engine: ListEngine, jobs: Any) -> None:
    """Expired or flushed: an error that says so, not a wait without end."""
    handle = jobs.Add.perform_async(1)
    engine.kept.clear()
    with pytest.raises(BackendError, match="does not know it any longer"):
        handle.result(5)
    assert counterpunch.find(handle.id) is None


def test_a_failure_calls_no_code_but_exceptions(engine: ListEngine, jobs: Any) -> None:
    """Whatever somebody has written into the store."""
    handle = jobs.Add.perform_async(1)
    record = engine.record(handle.id)
    for path in ("os:system", "builtins:print", "engine_jobs:Gone", "nowhere:Error", "x"):
        exception = {"path": path, "args": ["echo no"], "text": "made up"}
        over = {"status": "failed", "exception": exception}
        engine.kept[handle.id] = pack({**record, **over})
        found = engine.find(handle.id)
        assert found is not None
        with pytest.raises(RemoteError, match="made up"):
            found.result(0)


def test_one_look_for_a_page(engine: ListEngine, jobs: Any) -> None:
    """``as_dict`` asks the store once."""
    handle = jobs.Add.perform_async(1)
    read, reads = engine.read, itertools.count()

    def counted(key: str) -> str | None:
        next(reads)
        return read(key)

    engine.read = counted  # type: ignore[method-assign]
    assert handle.as_dict()["status"] == "queued"
    assert next(reads) == 1


def test_callbacks_survive_a_store_that_is_away(
    engine: ListEngine, jobs: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come once it answers again."""
    monkeypatch.setattr(_remote, "LONGEST", 0.01)
    caplog.set_level(logging.WARNING)
    handle = jobs.Add.perform_async(1)
    called = threading.Event()
    handle.add_done_callback(lambda over: called.set())
    read, failed = engine.read, threading.Event()

    def away(key: str) -> str | None:
        failed.set()
        raise OSError("away")

    engine.read = away  # type: ignore[method-assign]
    assert failed.wait(20)
    engine.read = read  # type: ignore[method-assign]
    deliver(engine, engine.take())
    assert called.wait(20)
    assert "a done callback waits on" in caplog.text


def test_one_warning_per_outage(
    engine: ListEngine, jobs: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is raised, the thread goes on; it does not fill the log meanwhile."""
    monkeypatch.setattr(_remote, "LONGEST", 0.01)
    caplog.set_level(logging.WARNING)
    handle = jobs.Add.perform_async(1)
    called, enough = threading.Event(), threading.Event()
    handle.add_done_callback(lambda over: called.set())
    read, reads = engine.read, itertools.count(1)

    def garbled(key: str) -> str | None:
        if next(reads) == 3:
            enough.set()
        return '"no record"'

    engine.read = garbled  # type: ignore[method-assign]
    assert enough.wait(20)
    engine.read = read  # type: ignore[method-assign]
    deliver(engine, engine.take())
    assert called.wait(20)
    assert caplog.text.count("a done callback waits on") == 1


def test_a_future_of_a_record_that_is_gone(engine: ListEngine, jobs: Any) -> None:
    """It will not come back: who waits is told."""
    future = jobs.Add.perform_async(1).future()
    engine.kept.clear()
    assert isinstance(future.exception(20), BackendError)


def test_a_future_of_a_result_that_cannot_be_stored(engine: ListEngine, jobs: Any) -> None:
    """The error that ``result()`` raises."""
    handle = jobs.Unstorable.perform_async()
    deliver(engine, engine.take())
    with pytest.raises(CounterpunchError, match="cannot be stored"):
        handle.future().result(20)


def test_attempt_looks(engine: ListEngine, jobs: Any) -> None:
    handle = jobs.Add.perform_async(1)
    assert handle.attempt == 0
    deliver(engine, engine.take())
    assert handle.attempt == 1


def test_an_end_is_not_taken_back(engine: ListEngine, jobs: Any) -> None:
    """An answer that was asked for before the end may arrive after it."""
    handle = jobs.Add.perform_async(1)
    early = engine.record(handle.id)
    deliver(engine, engine.take())
    assert handle.done()
    handle._learn(early)
    assert (handle.status, handle.result(0)) == (Status.SUCCEEDED, 1)


def test_an_enqueue_without_an_answer_may_have_happened(engine: ListEngine, jobs: Any) -> None:
    gate, engine._bounded.seconds = threading.Event(), 0.01
    engine.write = lambda key, text: gate.wait(20)  # type: ignore
    with pytest.raises(BackendError, match="Add may not have been enqueued"):
        jobs.Add.perform_async(1)
    gate.set()


def test_a_helper_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread, no bound: refused, unless the interpreter is ending."""
    bounded = Bounded("list", 20.0)
    why = ["can't start new thread"]

    def start(thread: threading.Thread) -> None:
        raise RuntimeError(why[0])

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(BackendError, match="asked: can't start new thread"):
            bounded.call("asked", lambda: 7)
        why[0] = "can't create new thread at interpreter shutdown"
        assert bounded.call("asked", lambda: 7) == 7
    assert bounded.call("asked", lambda: 8) == 8


# The encoding, and what an engine refuses


def test_every_option_has_its_rule() -> None:
    """An option that is added to classes must be decided on here, too."""
    assert OPTIONS.keys() == DEFAULTS.keys()


def test_defaults_are_harmless(engine: ListEngine) -> None:
    """A class that sets nothing can move."""
    engine.refuse("Plain", DEFAULTS)


@pytest.mark.parametrize(
    ("options", "way_out"),
    [
        ({"workers": 1}, "a queue of its own with a single worker"),
        ({"max_jobs": 5}, "the broker's queue has no bound"),
        ({"overflow": "block"}, "no bound to answer for"),
        ({"pool": "mail"}, "name a queue instead"),
        ({"priority": -1}, "or this queue of it, has no priorities"),
        ({"unique": "queued", "identity": lambda *_: 1}, "uniqueness is kept within one process"),
        ({"rate": Rate(1, per=1.0)}, "a rate is kept within one process"),
    ],
)
def test_what_is_refused(
    engine: ListEngine, jobs: Any, options: dict[str, Any], way_out: str
) -> None:
    """By class, option, value and engine, with the way out; before anything is sent."""
    counterpunch.configure(pools={"mail": 1})
    job: Any = type("Changed", (jobs.Add,), dict(options))
    name = next(iter(options))
    with pytest.raises(InvalidOption, match=rf"Changed: {name}=.*on list: .*{way_out}"):
        job.perform_async(1)
    assert (engine.sent, engine.kept) == ([], {})


def test_what_has_no_bound_may_move(engine: ListEngine, jobs: Any) -> None:
    """``max_jobs=None`` promises what the broker does."""
    engine.refuse("Unbounded", {**DEFAULTS, "max_jobs": None})


def test_values_that_look_like_the_encoding() -> None:
    """A dict of the user's with our mark for a key comes back as it was."""
    for value in ({"$": "datetime", "v": "no"}, {"$": {"$": ()}}, {"a": [{"$": None}]}):
        assert decode(unpack(pack(encode(value, "x")))) == value


@pytest.mark.parametrize("option", [{"every": 60.0}, {"cron": "* * * * *"}])
def test_a_periodic_class_cannot_name_an_engine(
    engine: ListEngine, jobs: Any, option: dict[str, Any]
) -> None:
    """Refused when it is defined; under ``configure`` it stays in threads."""
    with pytest.raises(InvalidOption, match=r"Ticks: (every|cron)=.*start\(\) armed"):
        type("Ticks", (jobs.Add,), {**option, "backend": engine, "perform": lambda self: None})
    ticks: Any = type("Ticks", (Job,), {**option, "perform": lambda self: 7})
    try:
        assert ticks.perform_async().result(20) == 7
    finally:
        ticks.every = ticks.cron = None
    assert engine.sent == []


@pytest.mark.parametrize("value", [1, "celery", ListEngine, object()])
def test_what_is_no_backend(value: Any) -> None:
    """A class, a name, a number: refused where it is written."""
    with pytest.raises(InvalidOption, match="configure: backend="):
        counterpunch.configure(backend=value)
    with pytest.raises(InvalidOption, match="Moved: backend="):
        type("Moved", (Job,), {"backend": value, "perform": lambda self: None})


def test_values_within_themselves() -> None:
    """Refused, not followed for ever."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(Unencodable, match=f"nested deeper than {DEPTH}"):
        encode(endless, "args[0]")
    deep: Any = 0
    for _ in range(DEPTH):
        deep = [deep]
    assert decode(unpack(pack(encode(deep, "x")))) == deep


@pytest.mark.parametrize("engine_name", ["celery", "rq", "dramatiq"])
def test_an_engine_that_is_not_installed(engine_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The import says what to install."""
    monkeypatch.setitem(sys.modules, engine_name, None)
    monkeypatch.delitem(sys.modules, f"counterpunch.backends.{engine_name}", raising=False)
    import importlib

    with pytest.raises(ImportError, match=rf"needs {engine_name}.*pip install '{engine_name}"):
        importlib.import_module(f"counterpunch.backends.{engine_name}")
