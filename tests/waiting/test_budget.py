"""The retry budget of a class, the store of failed jobs, and running them again."""

from __future__ import annotations

import threading

import pytest

import counterpunch
from counterpunch import CounterpunchError, InvalidOption, Job, Retry, Status
from counterpunch.testing import fake

WAIT = 10.0


class Down:
    """A service that is down, or not."""

    def __init__(self) -> None:
        self.calls = 0
        self.up = False


def calls_while_down(budget: float | None, jobs: int) -> int:
    """How often a service that is down is called by ``jobs`` jobs of up to five attempts."""
    service = Down()

    class HammerJob(Job):
        retry = Retry(5, wait=1, jitter=0, budget=budget)

        def perform(self) -> None:
            service.calls += 1
            raise OSError

    with fake() as recorder:
        HammerJob.perform_bulk([()] * jobs)
        with pytest.raises(OSError, match=r"^$"):
            recorder.advance(3600, limit=20_000)
        assert HammerJob.stats().failed == jobs
    return service.calls


def test_a_budget_stops_the_hammering() -> None:
    """Without one 50 jobs make 250 attempts; with a fifth, about a fifth are retries."""
    assert calls_while_down(None, 50) == 250
    with_budget = calls_while_down(0.2, 50)
    assert 55 <= with_budget <= 70


def test_a_class_that_works_retries_freely() -> None:
    """One failure in ten stays within a budget of a fifth: every job gets its retry."""

    class MostlyFineJob(Job):
        retry = Retry(3, wait=1, jitter=0, budget=0.2)

        def perform(self, number: int) -> None:
            if number % 10 == 0 and self.attempt == 1:
                raise OSError

    with fake() as recorder:
        for number in range(1, 201):
            MostlyFineJob.perform_async(number)
            if number % 20 == 0:
                recorder.advance(5)
        recorder.advance(60)
        assert MostlyFineJob.stats().succeeded == 200


def test_the_budget_is_said_in_the_log_and_is_each_classes_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A class that has used up its budget does not take it from another."""

    class SpentJob(Job):
        retry = Retry(5, wait=1, jitter=0, budget=0.1)

        def perform(self) -> None:
            raise OSError

    class ThriftyJob(Job):
        retry = Retry(2, wait=1, jitter=0, budget=0.1)

        def perform(self) -> None:
            if self.attempt == 1:
                raise OSError

    with fake() as recorder:
        SpentJob.perform_bulk([()] * 30)
        with pytest.raises(OSError, match=r"^$"):
            recorder.advance(60)
        assert "retry budget is used up" in caplog.text
        handle = ThriftyJob.perform_async()
        recorder.advance(60)
        assert handle.status is Status.SUCCEEDED


@pytest.mark.parametrize("budget", [0, -0.1, 1.1, float("nan"), "half"])
def test_a_bad_budget_is_refused(budget: object) -> None:
    """Above 0 up to 1."""
    with pytest.raises(InvalidOption, match=r"^Retry: budget="):
        Retry(budget=budget)  # type: ignore[arg-type]


# The failed-jobs store


class StoredJob(Job):
    def perform(self, how: str = "") -> str:
        if how == "fail":
            raise ValueError(how)
        return how


def test_successes_do_not_push_failures_out() -> None:
    """However many jobs succeed afterwards, the failed one is found, with its error."""
    counterpunch.configure(history=10)
    counterpunch.shutdown(0)
    failed = StoredJob.perform_async("fail")
    assert isinstance(failed.exception(WAIT), ValueError)
    for handle in StoredJob.perform_bulk([("ok",)] * 50):
        handle.result(WAIT)
    assert counterpunch.wait_idle(WAIT)  # a worker may have one still in hand
    assert counterpunch.find(failed.id) is failed
    assert counterpunch.jobs(StoredJob, "failed") == [failed]
    assert len(counterpunch.jobs(StoredJob, "succeeded")) == 10
    assert "ValueError: fail" in (failed.error or "")


def test_the_store_is_bounded_by_count_and_age() -> None:
    """The oldest failures go first; the age limit is the history's."""
    counterpunch.configure(history=3, history_ttl=100)
    with fake() as recorder:
        handles = []
        for _ in range(5):
            handles.append(StoredJob.perform_async("fail"))
            with pytest.raises(ValueError, match="fail"):
                recorder.drain()
        assert counterpunch.jobs(status="failed") == handles[:1:-1]
        recorder.advance(200)
        assert counterpunch.jobs(status="failed") == []
        assert counterpunch.find(handles[-1].id) is None
        assert StoredJob.stats().failed == 5
    counterpunch.configure(history_ttl=3600.0)


def test_finished_jobs_are_listed_newest_first_whatever_became_of_them() -> None:
    """Failures and successes in one order, by when they ended."""
    with fake() as recorder:
        handles = []
        for how in ("a", "fail", "b", "fail", "c"):
            recorder.advance(1)
            handles.append(StoredJob.perform_async(how))
            if how == "fail":
                with pytest.raises(ValueError, match="fail"):
                    recorder.drain()
            else:
                recorder.drain()
        assert counterpunch.jobs(StoredJob) == handles[::-1]


def test_a_smaller_history_shrinks_the_store_at_once() -> None:
    """``configure(history=...)`` keeps the newest of both."""
    for _ in range(4):
        StoredJob.perform_async("fail").exception(WAIT)
    newest = StoredJob.perform_async("fail")
    newest.exception(WAIT)
    assert counterpunch.wait_idle(WAIT)  # no worker has one in hand any more
    counterpunch.configure(history=1)
    assert counterpunch.jobs(StoredJob, "failed") == [newest]


def test_retry_of_a_failed_job_is_a_new_job() -> None:
    """Same arguments and options of the call, an id and attempts of its own; the old one stays."""
    service = Down()

    class AgainJob(Job):
        def perform(self, name: str, *, loud: bool = False) -> str:
            if not service.up:
                raise OSError
            return name.upper() if loud else name

    with fake() as recorder:
        first = AgainJob.using(priority=4, delay=60).perform_async("hi", loud=True)
        with pytest.raises(CounterpunchError, match="has not ended"):
            first.retry()
        with pytest.raises(OSError, match=r"^$"):
            recorder.advance(60)
        service.up = True
        second = first.retry()
        assert second.id != first.id
        assert (second.status, second.attempt) == (Status.QUEUED, 0)
        assert second.options["priority"] == 4
        recorder.drain()
        assert second.result() == "HI"
        assert first.status is Status.FAILED


def test_retry_after_a_stop_starts_afresh() -> None:
    """A handle that was lost in a stop can be enqueued again in the same process."""
    running, go = threading.Event(), threading.Event()

    class LostOnceJob(Job):
        def perform(self) -> str:
            running.set()
            assert go.wait(WAIT)
            return "second"

    first = LostOnceJob.perform_async()
    assert running.wait(WAIT)
    counterpunch.shutdown(0)
    assert first.status is Status.LOST
    go.set()
    assert first.retry().result(WAIT) == "second"
