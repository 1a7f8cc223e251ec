"""What every backend does alike with a job under way: cancel, limit, move, wait, once more."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import Any

import pytest
from conformance import beside, waiting
from conformance import jobs as jobs
from conformance import key as key
from engine_places import Place
from engine_processes import Ledger, Worker, eventually

import counterpunch
from counterpunch import Cancelled, NotSupported, Status

pytestmark = pytest.mark.timeout(90)


@waiting
def test_cancel_a_waiting_job(place: Place, jobs: Any, key: str, ledger: Ledger) -> None:
    """True, and it never runs."""
    handle = jobs.Noted.perform_in(place.moment, key)
    assert handle.cancel() is True
    assert (handle.status, handle.cancelled()) == (Status.CANCELLED, True)
    with pytest.raises(Cancelled):
        handle.result(1)
    assert handle.cancel() is True
    # The next job passes the same way, after the cancelled one would have come.
    place.end(jobs.Noted.perform_in(2.1 * place.moment, key + "-later"))
    assert ledger.lines(key) == []
    found = counterpunch.find(handle.id)
    assert found is not None
    assert found.status is Status.CANCELLED


@beside
def test_cancel_a_running_job(place: Place, jobs: Any, key: str, ledger: Ledger) -> None:
    """False: its token is set, and it stops at its own check."""
    handle = jobs.Waits.perform_async(key)
    eventually(lambda: ledger.words(key), "start of the job")
    assert handle.cancel() is False
    place.end(handle)
    assert handle.status is Status.CANCELLED
    assert "cancel token" in str(handle.error)


@beside
def test_a_soft_time_limit(
    place: Place, jobs: Any, key: str, request: pytest.FixtureRequest
) -> None:
    """``timeout`` sets the job's cancel token, wherever it runs, and the log of the process it
    runs in has its stack."""
    timeout = 0.3 if place.remote else 0.05
    handle = place.run(lambda: jobs.Waits.using(timeout=timeout).perform_async(key))
    assert handle.status is Status.CANCELLED
    if place.remote:
        worker: Worker = request.getfixturevalue("workers")[place.name]
        report = (
            rf"{handle.id} attempt 1 has been running .*\n  File .*engine_jobs\.py.* in perform"
        )
        eventually(lambda: re.search(report, worker.output), "the report")


def test_cancel_after_the_end(place: Place, jobs: Any) -> None:
    handle = place.run(lambda: jobs.Add.perform_async(1))
    assert handle.cancel() is False
    assert handle.status is Status.SUCCEEDED


@waiting
def test_reschedule(place: Place, jobs: Any, key: str) -> None:
    """Where it is not possible it is refused, not forgotten."""
    handle = jobs.Noted.perform_in(60, key)
    if place.can.supports_reschedule:
        assert handle.run_now() is True
        place.end(handle)
        return
    for call in (handle.run_now, lambda: handle.reschedule(5)):
        with pytest.raises(NotSupported, match=f"{place.name} cannot change when"):
            call()
    assert handle.cancel() is True


@beside
def test_waiting_for_it(place: Place, jobs: Any, key: str) -> None:
    """``result(timeout)`` raises TimeoutError while it has not ended; callbacks, ``await`` and
    a Future come with the end."""
    handle = jobs.Noted.perform_in(place.moment, key)
    with pytest.raises(TimeoutError, match=handle.id):
        handle.result(place.moment / 10)
    called = threading.Event()
    seen: list[Any] = []
    handle.add_done_callback(lambda over: (seen.append(over), called.set()))
    future = handle.future()

    async def wait() -> Any:
        return await asyncio.wait_for(_awaited(handle), 30)

    value = asyncio.run(wait())
    assert value == handle.result(0)
    assert called.wait(30)
    assert seen == [handle]
    assert future.result(30) == value


async def _awaited(handle: Any) -> Any:
    return await handle


def test_once_more(place: Place, jobs: Any) -> None:
    """``retry()``: the same arguments as a new job; refused before the end."""
    handle = place.run(lambda: jobs.Add.perform_async(1, two=2))
    again = place.run(handle.retry)
    assert again.id != handle.id
    assert again.result(30) == 3
