"""health(): ok on a process that keeps up, and one plain reason for each thing that is wrong."""

from __future__ import annotations

import logging
import threading

import pytest

import counterpunch
from counterpunch import InvalidOption, Job, Retry
from counterpunch.core.process.in_force import current

SOON = 10.0  # bound of every wait, in seconds


class Gated(Job):
    """Runs until the test opens its gate."""

    workers = 1
    max_jobs = 10
    gate = threading.Event()
    entered = threading.Semaphore(0)

    def perform(self) -> None:
        self.entered.release()
        self.gate.wait(SOON)


@pytest.fixture
def gate():
    Gated.gate.clear()
    Gated.entered = threading.Semaphore(0)
    yield Gated.gate
    Gated.gate.set()
    counterpunch.wait_idle(SOON)


@pytest.fixture(autouse=True)
def quiet_log():
    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("counterpunch").setLevel(logging.NOTSET)


def test_an_unused_process_is_healthy():
    """Nothing enqueued: ok, true, no reasons."""
    counterpunch.start()
    health = counterpunch.health()
    assert health
    assert health == (True, ())


def test_a_process_that_keeps_up_is_healthy(gate):
    """Jobs that run and one that waits a moment are no reason."""
    gate.set()
    Gated.perform_async().result(SOON)
    Gated.perform_in(3600)
    assert counterpunch.health().ok


def test_a_nearly_full_queue_is_a_reason(gate):
    """From max_fill (0.9) of max_jobs on; other thresholds may be given."""
    Gated.perform_async()
    assert Gated.entered.acquire(timeout=SOON)
    Gated.perform_bulk([()] * 8)
    assert counterpunch.health()
    assert not counterpunch.health(max_fill=0.5)
    Gated.perform_async()
    health = counterpunch.health()
    assert not health
    assert health.reasons == ("Gated: the queue is nearly full: 9 of max_jobs=10 wait",)


def test_a_long_wait_is_a_reason_unless_the_class_is_paused(gate):
    """A job queued for more than max_wait; a paused class waits on purpose."""
    Gated.perform_async()
    assert Gated.entered.acquire(timeout=SOON)
    Gated.perform_async()
    (reason,) = counterpunch.health(max_wait=0.0).reasons
    assert reason.startswith("Gated: the oldest queued job has waited")
    Gated.pause()
    assert counterpunch.health(max_wait=0.0).ok
    Gated.resume()


def test_an_overrun_job_is_a_reason(gate):
    """A job that runs longer than its timeout."""
    Gated.using(timeout=0.001).perform_async()
    assert Gated.entered.acquire(timeout=SOON)
    threading.Event().wait(0.005)
    assert counterpunch.health().reasons == ("Gated: 1 running longer than their timeout",)


def test_everything_failing_is_a_reason_and_one_success_ends_it():
    """Ten failed attempts without a success, retried ones included."""

    class Moody(Job):
        retry = Retry(max_attempts=2, wait=0, jitter=0)

        def perform(self, good: bool) -> None:
            if not good:
                raise OSError

    for _ in range(4):
        Moody.perform_async(False).exception(SOON)
    assert counterpunch.health(), "eight attempts failed"
    Moody.perform_async(False).exception(SOON)
    (reason,) = counterpunch.health().reasons
    assert "everything fails: 10 attempts failed" in reason
    assert counterpunch.health(max_failures=11)
    Moody.perform_async(True).result(SOON)
    assert counterpunch.health()


def test_a_dead_scheduler_thread_is_a_reason():
    """The thread of the scheduler has ended though the process has not."""
    Gated.perform_in(3600)
    scheduler = current().scheduler
    assert counterpunch.health()
    scheduler.close()
    scheduler.thread.join(SOON)
    (reason,) = counterpunch.health().reasons
    assert reason.startswith("the scheduler's thread has died")


def test_a_logger_that_a_configuration_has_disabled_is_a_reason(monkeypatch):
    """dictConfig's default, and alembic's: every failure would be silent from then on."""
    monkeypatch.setattr(logging.getLogger("counterpunch"), "disabled", True)
    (reason,) = counterpunch.health().reasons
    assert "'counterpunch' is disabled" in reason
    assert "disable_existing_loggers=False" in reason


def test_a_quiet_and_a_stopped_process_are_not_ok():
    """A load balancer is to send nothing any more; start() makes it ok again."""
    Gated.gate.set()
    Gated.perform_async().result(SOON)
    counterpunch.quiet()
    assert counterpunch.health().reasons == ("the process is quiet and accepts no new jobs",)
    counterpunch.start()
    assert counterpunch.health()
    counterpunch.shutdown(timeout=1)
    assert not counterpunch.health()


def test_a_process_that_drains_is_not_ok():
    """Asked by a job while the drain waits for it."""
    seen = []

    class Asking(Job):
        def perform(self) -> None:
            entered.set()
            while current().stage.phase == "open":
                threading.Event().wait(0.001)
            seen.append(counterpunch.health().reasons)

    entered = threading.Event()
    Asking.perform_async()
    assert entered.wait(SOON)
    counterpunch.shutdown(timeout=SOON)
    assert seen == [("the process is stopping and accepts no new jobs",)]


def test_no_thread_to_be_had_is_a_reason(monkeypatch):
    """The system refuses one: the jobs wait, and it is said."""

    def refused(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        handle = Gated.perform_async()
        health = counterpunch.health()
    assert health.reasons == ("Gated: no worker could be started, and 1 wait for one",)
    Gated.gate.set()
    Gated.perform_async()
    handle.result(SOON)
    assert counterpunch.health()


@pytest.mark.parametrize(
    "threshold",
    [{"max_fill": -1}, {"max_fill": 90}, {"max_wait": float("nan")}, {"max_failures": 0}],
)
def test_a_bad_threshold_is_refused(threshold):
    """The error names the threshold."""
    with pytest.raises(InvalidOption, match=f"health: {next(iter(threshold))}="):
        counterpunch.health(**threshold)
