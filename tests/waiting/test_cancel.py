"""Stopping jobs: the token, the time limit and its report, expiry and cancel_all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from eventually import eventually

from counterpunch import Cancelled, Discarded, Job, Retry, Status
from counterpunch.testing import fake

WAIT = 10.0


def test_the_token_is_seen_by_the_job_that_looks() -> None:
    """``cancel()`` of a running job is False, sets the token, and the job ends as cancelled."""
    running, told = threading.Event(), threading.Event()
    flags = []

    class LookingJob(Job):
        def perform(self) -> None:
            flags.append(self.cancelled)
            self.check_cancelled()
            running.set()
            assert told.wait(WAIT)
            flags.append(self.cancelled)
            self.check_cancelled()
            raise AssertionError("not reached")

    handle = LookingJob.perform_async()
    assert running.wait(WAIT)
    assert handle.cancel() is False
    told.set()
    with pytest.raises(Cancelled, match="own check"):
        handle.result(WAIT)
    assert flags == [False, True]
    assert handle.cancelled()
    assert handle.cancel() is True


def test_track_looks_at_the_token_between_rows() -> None:
    """``for row in self.track(rows)`` reports progress and stops when told to."""
    rows = []

    class TrackedJob(Job):
        def perform(self) -> None:
            for row in self.track(["a", "b", "c"]):
                rows.append((row, self.handle.progress))
                if row == "b":
                    self.handle.cancel()

    with fake() as recorder:
        handle = TrackedJob.perform_async()
        recorder.drain()
    assert rows == [("a", (0, 3, "")), ("b", (1, 3, ""))]
    assert (handle.status, handle.progress) == (Status.CANCELLED, (2, 3, ""))


def test_a_job_that_does_not_look_ends_as_it_ends() -> None:
    """The token forces nothing: the result stands. A Cancelled of its own making is a failure."""

    class StubbornJob(Job):
        def perform(self) -> str:
            self.handle.cancel()
            return "done"

    class ImpostorJob(Job):
        def perform(self) -> None:
            raise Cancelled("nobody asked")

    with fake() as recorder:
        stubborn, impostor = StubbornJob.perform_async(), ImpostorJob.perform_async()
        with pytest.raises(Cancelled, match="nobody asked"):
            recorder.drain()
        assert stubborn.result() == "done"
        assert impostor.status is Status.FAILED


def test_a_cancelled_job_is_not_retried() -> None:
    """The attempt that was told to stop was the last one, whatever the policy says."""

    class NoMoreJob(Job):
        retry = Retry(5, wait=1)

        def perform(self) -> None:
            self.handle.cancel()
            raise OSError

    with fake() as recorder:
        handle = NoMoreJob.perform_async()
        recorder.advance(60)
        assert (handle.status, handle.attempt) == (Status.CANCELLED, 1)


def test_a_time_limit_sets_the_token_and_reports_the_overrun(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The report names class, id, attempt and limit and shows the stack of the job's thread."""

    class OverrunJob(Job):
        timeout = 0.02

        def perform(self) -> None:
            self.wait_in_a_place_of_its_own()

        def wait_in_a_place_of_its_own(self) -> None:
            eventually(lambda: self.cancelled)
            eventually(lambda: "running for more than" in caplog.text)
            self.check_cancelled()

    handle = OverrunJob.perform_async()
    with pytest.raises(Cancelled):
        handle.result(WAIT)
    (record,) = [one for one in caplog.records if "running for more than" in one.getMessage()]
    message = record.getMessage()
    assert record.levelno == logging.WARNING
    assert f"{OverrunJob.__qualname__} {handle.id} attempt 1" in message
    assert "timeout=0.02 s" in message
    assert "wait_in_a_place_of_its_own" in message
    assert record.job_id == handle.id  # type: ignore[attr-defined]


def test_the_time_limit_is_each_attempts_own(caplog: pytest.LogCaptureFixture) -> None:
    """A late failure is retried as any other, and the next attempt starts with a fresh token."""
    tokens = []

    class LateFailureJob(Job):
        timeout = 0.02
        retry = Retry(2, wait=0)

        def perform(self) -> str:
            tokens.append(self.cancelled)
            if self.attempt == 1:
                eventually(lambda: self.cancelled)
                raise OSError
            return "second"

    assert LateFailureJob.perform_async().result(WAIT) == "second"
    assert tokens == [False, False]


def test_a_cancel_after_the_overrun_still_ends_the_retries() -> None:
    """The user's word outlives the attempt; the time limit's does not."""

    class ToldTwiceJob(Job):
        timeout = 0.02
        retry = Retry(3, wait=0)

        def perform(self) -> None:
            eventually(lambda: self.cancelled)
            self.handle.cancel()
            raise OSError

    handle = ToldTwiceJob.perform_async()
    with pytest.raises(Cancelled):
        handle.result(WAIT)
    assert handle.attempt == 1


class Interrupted(set[Any]):
    """Something else happens each time that it has been looked at, before the answer is used."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self.meanwhile = meanwhile

    def __contains__(self, one: object) -> bool:
        found = super().__contains__(one)
        self.meanwhile()
        return found


def test_an_overrun_at_the_end_of_an_attempt_cancels_no_retry() -> None:
    """The time is up just as the attempt has failed, and its token was looked at."""
    looks: list[Callable[[], object]] = []

    class PunctualJob(Job):
        timeout = 60.0
        retry = Retry(2, wait=0)

        def perform(self) -> list[bool]:
            if self.attempt == 2:
                return [self.cancelled]
            call: Any = self.handle
            looks.append(call.more.timer.action)
            runtime = call.lane.keeper
            runtime.tokens.cancels = Interrupted(lambda: looks.pop()() if looks else None)
            raise OSError

    assert PunctualJob.perform_async().result(WAIT) == [False]


def test_a_job_within_its_limit_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    """The watch ends with the attempt: a later job on the same thread is not blamed."""
    over = threading.Event()

    class QuickJob(Job):
        timeout = 0.25
        workers = 1

        def perform(self) -> None: ...

    class WaitingJob(Job):
        def perform(self) -> None:
            over.set()

    QuickJob.perform_async().result(WAIT)
    WaitingJob.perform_in(0.3)
    assert over.wait(WAIT)
    # By name: a report about the job of an earlier test may still be on its way to the log.
    messages = [record.getMessage() for record in caplog.records]
    assert not [text for text in messages if "QuickJob" in text and "timeout=" in text]


def test_a_limit_for_one_call() -> None:
    """``using(timeout=...)`` on a class without one."""

    class UnlimitedJob(Job):
        def perform(self) -> bool:
            eventually(lambda: self.cancelled)
            return True

    assert UnlimitedJob.using(timeout=0.01).perform_async().result(WAIT)


def test_a_job_that_waited_too_long_is_discarded() -> None:
    """``expires_in`` counts from when it was due; it ends then, though no worker looks."""
    ran = []

    class ExpiringJob(Job):
        expires_in = 30

        def perform(self, name: str) -> None:
            ran.append(name)

    with fake() as recorder:
        ExpiringJob.pause()
        stale = ExpiringJob.perform_async("stale")
        patient = ExpiringJob.using(expires_in=3600).perform_async("patient")
        later = ExpiringJob.perform_in(90, "later")
        recorder.advance(31)
        assert stale.status is Status.DISCARDED
        recorder.advance(69)
        ExpiringJob.resume()
        recorder.drain()
        assert ran == ["patient", "later"]
        assert [handle.status for handle in (stale, patient, later)] == [
            Status.DISCARDED,
            Status.SUCCEEDED,
            Status.SUCCEEDED,
        ]
        with pytest.raises(Discarded, match="waited 30 s, expires_in=30"):
            stale.result()


def test_cancel_all() -> None:
    """Every waiting job of the class ends as cancelled, running ones are told, others live."""
    running, go = threading.Event(), threading.Event()

    class AllJob(Job):
        workers = 1
        retry = Retry(2, wait=3600, jitter=0)

        def perform(self, how: str = "") -> None:
            if how == "fail":
                raise OSError
            running.set()
            assert go.wait(WAIT)
            self.check_cancelled()

    class SurvivorJob(Job):
        def perform(self) -> str:
            return "alive"

    retrying = AllJob.perform_async("fail")
    runs = AllJob.perform_async()
    assert running.wait(WAIT)
    waiting = [AllJob.perform_async(), AllJob.perform_in(60), retrying]
    assert AllJob.cancel_all() == 3
    go.set()
    assert all(handle.cancelled() for handle in waiting)
    with pytest.raises(Cancelled):
        runs.result(WAIT)
    assert SurvivorJob.perform_async().result(WAIT) == "alive"
    assert AllJob.cancel_all() == 0
    assert AllJob.stats().cancelled == 4
