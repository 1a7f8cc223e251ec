"""The part that all engines share, on an engine of this test's own: a list and a dict.

Nothing here needs a broker. The test delivers each message by hand, twice where an engine
might, and looks at the record in between, where a killed worker would have left it.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from engine_processes import Ledger
from eventually import eventually
from list_engine import ListEngine, _fields, deliver
from list_engine import engine as engine
from list_engine import jobs as jobs

import counterpunch
from counterpunch import (
    Cancelled,
    CounterpunchError,
    Lost,
    NotSupported,
    RemoteError,
    Retry,
    Status,
)
from counterpunch.backends import _attempt, _delivery
from counterpunch.backends._encoding import pack
from counterpunch.backends._message import Message
from counterpunch.core.process.in_force import current

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
    """Across processes: the second attempt does not begin, and what failed is not known here."""
    policy = Retry(5, wait=0.0, jitter=0, max_elapsed=50)
    handle = jobs.Hooked.using(retry=policy).perform_async("elapsed", 9)
    message = engine.take()
    with pytest.raises(CounterpunchError, match="no attempt begins later than max_elapsed=50 s"):
        deliver(engine, Message(**{**_fields(message), "attempt": 2, "first": time.time() - 60}))
    assert handle.status is Status.FAILED


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
    engine.bounded.seconds = 0.01
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
    engine.bounded.seconds = 20.0
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
    eventually(lambda: "timeout=0.05" in caplog.text)  # it is written on a thread of its own
    (said,) = (one.getMessage() for one in caplog.records if "timeout=0.05" in one.getMessage())
    first = said.splitlines()[1]
    assert "engine_jobs.py" in first
    assert "test_delivery.py" not in said
    assert (current().here.runs, current().here.coroutines) == ({}, {})


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
        lane.keeper.endings.end(call, Status.LOST, "the process stopped")
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
    monkeypatch.setattr(_attempt, "QUIET", 0.01)
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
