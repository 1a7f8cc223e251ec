"""Limits hold when something else comes in between: retries, stops, pauses, forks, identities."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

import counterpunch
from counterpunch import CounterpunchError, InvalidOption, Job, Rate, Retry, Status
from counterpunch.testing import fake

WAIT = 10.0


# Retry.max_elapsed


def late_by_pause(job: Any, recorder: Any, handle: Any) -> None:
    job.pause()
    recorder.advance(100)
    job.resume()
    recorder.drain()


def late_by_reschedule(job: Any, recorder: Any, handle: Any) -> None:
    assert handle.reschedule(100)
    recorder.advance(100)


def late_by_rate(job: Any, recorder: Any, handle: Any) -> None:
    job.rate = Rate(1, per=100)
    job.using(priority=9).perform_async(False)
    recorder.advance(100)


@pytest.mark.parametrize("late", [late_by_pause, late_by_reschedule, late_by_rate])
def test_no_attempt_begins_after_max_elapsed(late: Callable[[Any, Any, Any], None]) -> None:
    """Whatever held it up: the job fails by its last exception; who is told of a job that was given
    up is told, once, and nobody hears of an attempt that never was."""
    told: list[Any] = []

    class Strict(Job):
        retry = Retry(5, wait=10, jitter=0, max_elapsed=30)

        def perform(self, fails: bool = True) -> None:
            if fails:
                told.append(("perform", self.attempt))
                raise OSError("down")

        def on_error(self, exc: BaseException) -> None:
            told.append(("on_error", str(exc)))

        def on_failure(self, exc: BaseException) -> None:
            told.append(("on_failure", str(exc)))

        def after(self) -> None:
            told.append(("after", self.attempt))

    remove = counterpunch.on_error(
        lambda exc, handle, will_retry: told.append(("handler", will_retry))
    )
    with fake() as recorder:
        handle = Strict.perform_async()
        recorder.drain()
        assert handle.status is Status.RETRYING
        told.append("late")
        with pytest.raises(OSError, match="down"):
            late(Strict, recorder, handle)
    remove()
    first = [("perform", 1), ("on_error", "down"), ("after", 1), ("handler", True)]
    told = [one for one in told if one != ("after", 0)]
    assert told[:5] == [*first, "late"]
    assert [one for one in told[5:] if one[0] != "after"] == [
        ("on_failure", "down"),
        ("handler", False),
    ]
    assert (handle.status, handle.attempt) == (Status.FAILED, 1)
    assert (handle.error or "").startswith("OSError: down")
    assert Strict.stats().running == 0


def test_an_async_job_is_given_up_likewise() -> None:
    """On its loop, where its hooks are awaited."""
    told: list[str] = []

    class Strict(Job):
        retry = Retry(5, wait=0.01, jitter=0, max_elapsed=0.2)

        async def perform(self) -> None:
            raise OSError("down")

        async def on_failure(self, exc: BaseException) -> None:
            told.append(str(exc))

    handle = Strict.perform_async()
    while handle.attempt == 0 or handle.running():
        pass
    if handle.status is Status.RETRYING:
        handle.reschedule(0.3)
    with pytest.raises(OSError, match="down"):
        handle.result(WAIT)
    assert counterpunch.wait_idle(WAIT)
    assert told == ["down"]


def test_an_attempt_in_time_is_made() -> None:
    """At the very end of the time as well."""

    class InTime(Job):
        retry = Retry(2, wait=10, jitter=0, max_elapsed=30)

        def perform(self) -> None:
            if self.attempt == 1:
                raise OSError

    with fake() as recorder:
        handle = InTime.perform_async()
        recorder.drain()
        assert handle.reschedule(30)
        recorder.advance(30)
        assert handle.status is Status.SUCCEEDED


# Retry.budget


def test_a_budget_recovers_when_nothing_happens() -> None:
    """What failed a week ago says nothing about today."""

    class Budgeted(Job):
        retry = Retry(5, wait=1, jitter=0, budget=0.2)

        def perform(self, down: bool) -> None:
            if down or self.attempt == 1:
                raise OSError

    with fake() as recorder:
        for _ in range(30):
            Budgeted.perform_async(True)
        with pytest.raises(OSError, match=r"^$"):
            recorder.advance(3600)
        handles = []
        for _ in range(20):
            handles.append(Budgeted.perform_async(False))
            recorder.advance(3600)
        assert [handle.attempt for handle in handles] == [2] * 20


# timeout


@pytest.mark.parametrize("attempts", [3, 1])
def test_a_job_that_obeys_its_time_limit_is_tried_again(attempts: int) -> None:
    """The token of ``timeout`` ends the attempt; after the last one the job has failed."""
    told: list[str] = []

    class Limited(Job):
        timeout = 0.01
        retry = Retry(attempts, wait=0, jitter=0)

        def perform(self) -> str:
            if self.attempt == 3:
                return "done"
            while True:
                self.check_cancelled()

        def on_error(self, exc: BaseException) -> None:
            told.append("error")

        def on_failure(self, exc: BaseException) -> None:
            told.append("failure")

    handle = Limited.perform_async()
    handle.exception(WAIT)
    assert counterpunch.wait_idle(WAIT)
    if attempts == 3:
        assert (handle.result(), handle.attempt, told) == ("done", 3, ["error", "error"])
    else:
        assert (handle.status, told) == (Status.FAILED, ["error", "failure"])
        assert isinstance(handle.exception(), counterpunch.Cancelled)


def test_a_job_that_is_cancelled_is_not_tried_again() -> None:
    """The token of ``cancel()`` ends the job, also when the time limit has passed before."""
    over = threading.Event()

    class Limited(Job):
        timeout = 0.01
        retry = Retry(3, wait=0, jitter=0)

        def perform(self) -> None:
            while not self.cancelled:
                pass
            over.set()
            assert go_on.wait(WAIT)
            self.check_cancelled()

    go_on = threading.Event()
    handle = Limited.perform_async()
    assert over.wait(WAIT)
    assert not handle.cancel()
    go_on.set()
    with pytest.raises(counterpunch.Cancelled):
        handle.result(WAIT)
    assert (handle.status, handle.attempt) == (Status.CANCELLED, 1)


# retry()


def test_a_job_is_retried_by_hand_once() -> None:
    """What is retried every hour is what has failed since; a failed retry is retried itself."""
    ran: list[int] = []

    class Hello(Job):
        def perform(self, number: int) -> None:
            ran.append(number)
            if ran.count(number) < (3 if number == 2 else 2):
                raise OSError

    with fake() as recorder:
        handles = [Hello.perform_async(number) for number in range(3)]
        for _ in range(4):
            try:
                recorder.drain()
            except OSError:
                pass
            for failed in counterpunch.jobs(Hello, "failed"):
                failed.retry()
    assert sorted(ran) == [0, 0, 1, 1, 2, 2, 2]
    newer = handles[0].retried_as
    assert handles[0].retry() is newer
    assert newer.status is Status.SUCCEEDED
    assert newer.retried_as is None
    assert handles[2].retried_as.retried_as.status is Status.SUCCEEDED


def test_two_threads_retry_a_job_once() -> None:
    """The one that comes second has the same newer job, or is refused."""
    inside, go_on = threading.Event(), threading.Event()

    class Slow(Job):
        def on_enqueue(self) -> None:
            if self.handle.args and slow.done():
                inside.set()
                assert go_on.wait(WAIT)

        def perform(self, name: str) -> None: ...

    slow = Slow.perform_async("x")
    slow.result(WAIT)
    made: list[Any] = []
    other = threading.Thread(target=lambda: made.append(slow.retry()))
    other.start()
    assert inside.wait(WAIT)
    with pytest.raises(CounterpunchError, match="just being retried"):
        slow.retry()
    go_on.set()
    other.join(WAIT)
    assert slow.retry() is made[0] is slow.retried_as
    assert Slow.stats().accepted == 2


def test_a_retry_that_was_refused_may_be_tried_again() -> None:
    """Nothing came of it."""

    class Once(Job):
        max_jobs = 1

        def perform(self) -> None: ...

    with fake() as recorder:
        handle = Once.perform_async()
        recorder.drain()
        Once.perform_async()
        with pytest.raises(counterpunch.QueueFull):
            handle.retry()
        assert handle.retried_as is None
        recorder.drain()
        assert handle.retry() is handle.retried_as is not handle


# An older job in its enqueue


@pytest.mark.parametrize("unique", ["queued", "active"])
def test_the_newest_arguments_count_while_the_older_job_is_enqueued(unique: Any) -> None:
    """The older one is in its middleware; it ends as replaced once that is through."""
    inside, go_on, got = threading.Event(), threading.Event(), []

    class Index(Job):
        identity = staticmethod(lambda doc, version: doc)
        on_duplicate = "replace"

        def on_enqueue(self) -> None:
            if self.handle.args[1] == 1:
                inside.set()
                assert go_on.wait(WAIT)

        def perform(self, doc: str, version: int) -> None:
            got.append(version)

    Index.unique = unique
    older: list[Any] = []
    thread = threading.Thread(target=lambda: older.append(Index.perform_async("d", 1)))
    thread.start()
    assert inside.wait(WAIT)
    newer = Index.perform_async("d", 2)
    assert newer.args == ("d", 2)
    assert newer.result(WAIT) is None
    go_on.set()
    thread.join(WAIT)
    assert counterpunch.wait_idle(WAIT)
    assert got == [2]
    assert older[0].status is Status.CANCELLED


def test_a_job_may_be_cancelled_in_its_own_enqueue() -> None:
    """It never starts, and the answer says so."""
    answers: list[bool] = []

    class Unwanted(Job):
        def on_enqueue(self) -> None:
            answers.append(self.handle.cancel())

        def perform(self) -> None:
            raise AssertionError

    handle = Unwanted.perform_async()
    assert (handle.status, answers) == (Status.CANCELLED, [True])


# The stop


def test_a_stop_runs_each_delayed_job_once_more() -> None:
    """A retry that fails again is lost, and so is what a job enqueues for later as it stops."""
    ran: list[str] = []

    class Hook(Job):
        workers = 1
        retry = Retry(1_000_000, wait=30)
        delayed_on_shutdown = "run"

        def perform(self) -> None:
            ran.append("hook")
            raise OSError

    class Poll(Job):
        delayed_on_shutdown = "run"

        def perform(self) -> None:
            ran.append("poll")
            Poll.perform_in(60)

    class Rated(Job):
        rate = Rate(1, per=0.01)
        delayed_on_shutdown = "run"

        def perform(self) -> None:
            ran.append("rated")
            Rated.perform_in(60)

    hook, poll, rated = Hook.perform_async(), Poll.perform_in(60), Rated.perform_in(60)
    while hook.status is not Status.RETRYING:
        pass
    report = counterpunch.shutdown(timeout=WAIT)
    assert sorted(ran) == ["hook", "hook", "poll", "rated"]
    assert report.seconds < WAIT / 2
    assert (hook.status, poll.status, rated.status) == ("lost", "succeeded", "succeeded")
    assert len(report.lost) == 3
    assert "began to wait as the process stopped" in (hook.error or "")


# pause()


def test_a_pause_outlives_a_stop() -> None:
    """It is a setting of the class in this process, until it is resumed."""

    class Mail(Job):
        def perform(self) -> None: ...

    Mail.pause()
    counterpunch.shutdown()
    handle = Mail.perform_async()
    assert (handle.status, Mail.stats().running) == (Status.QUEUED, 0)
    Mail.resume()
    assert handle.result(WAIT) is None
    counterpunch.shutdown()
    assert Mail.perform_async().result(WAIT) is None


def test_a_pause_in_a_test_mode_is_its_own() -> None:
    """And it does not have the one of the process."""

    class Mail(Job):
        def perform(self) -> None: ...

    with fake():
        Mail.pause()
    assert Mail.perform_async().result(WAIT) is None
    Mail.pause()
    with fake() as recorder:
        assert Mail.perform_async()
        assert recorder.drain() == 1
    Mail.resume()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("resumed", [False, True])
def test_a_pause_outlives_a_fork(resumed: bool) -> None:
    """``Mail.pause()`` at import, under a server that loads the application before it forks."""

    class Mail(Job):
        def perform(self) -> None: ...

    Mail.pause()
    if resumed:
        Mail.resume()
    pid = os.fork()
    if pid == 0:
        try:
            handle = Mail.perform_async()
            ran = counterpunch.wait_idle(0.5) and handle.done()
            os._exit(10 + ran)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 10 + resumed
    Mail.resume()


# Serial


def test_what_would_not_be_serial_is_refused() -> None:
    """By name, where it is written: a shared pool, another pool, the thread of a caller."""
    counterpunch.configure(pools={"mail": 4})
    with pytest.raises(InvalidOption, match=r"workers=1.*left out with pool='mail'"):
        type("Serial", (Job,), {"workers": 1, "pool": "mail", "perform": lambda self: None})
    with pytest.raises(InvalidOption, match=r"overflow='caller_runs'.*workers=1"):
        type("Serial", (Job,), {"workers": 1, "overflow": "caller_runs"})

    class Serial(Job):
        workers = 1

        def perform(self) -> None: ...

    with pytest.raises(InvalidOption, match=r"pool='mail'.*strictly serial"):
        Serial.using(pool="mail").perform_async()

    class Moving(Serial):
        def on_enqueue(self) -> None:
            self.handle.options["pool"] = "mail"

    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    try:
        moving = Moving.perform_async()
        assert moving.options["pool"] is None
        moving.result(WAIT)
    finally:
        logging.getLogger("counterpunch").setLevel(logging.NOTSET)
