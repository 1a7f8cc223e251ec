"""Stopping jobs: the token, the time limit and its report, expiry, pause and cancel_all."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from eventually import eventually

import counterpunch
from counterpunch import Cancelled, Discarded, Handle, Job, Retry, Status
from counterpunch import _drain as drain_module
from counterpunch import _express as express_module
from counterpunch import _pool as pool_module
from counterpunch._hooks import process
from counterpunch._lane import Lane
from counterpunch._runtime import Runtime
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
            looks.append(call._more.timer.action)
            runtime = call._lane.runtime
            runtime.cancels = Interrupted(lambda: looks.pop()() if looks else None)
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
    """``expires_in`` counts from when it was due; it is looked at when a worker takes the job."""
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
        recorder.advance(100)
        ExpiringJob.resume()
        recorder.drain()
        assert ran == ["patient", "later"]
        assert [handle.status for handle in (stale, patient, later)] == [
            Status.DISCARDED,
            Status.SUCCEEDED,
            Status.SUCCEEDED,
        ]
        with pytest.raises(Discarded, match="waited 100 s, expires_in=30"):
            stale.result()


def test_pause_holds_jobs_and_resume_lets_them_go_in_order() -> None:
    """Running ones end, new ones are accepted, cancelled ones stay away; order is kept."""
    running, go, ran = threading.Event(), threading.Event(), []

    class PausableJob(Job):
        workers = 1

        def perform(self, name: str) -> None:
            if name == "first":
                running.set()
                assert go.wait(WAIT)
            ran.append(name)

    first = PausableJob.perform_async("first")
    assert running.wait(WAIT)
    PausableJob.perform_async("second")
    PausableJob.pause()
    go.set()
    first.result(WAIT)
    PausableJob.perform_async("third")
    PausableJob.perform_in(0, "fourth")
    gone = PausableJob.perform_async("gone")
    assert gone.cancel()
    assert PausableJob.stats().queued == 3
    assert ran == ["first"]
    assert not counterpunch.wait_idle(0.01)
    PausableJob.resume()
    assert counterpunch.wait_idle(WAIT)
    assert ran == ["first", "second", "third", "fourth"]


@pytest.fixture
def short_paths(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without what integrations and logging have installed for the tests before."""
    logger = logging.getLogger("counterpunch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    for name in ("around_enqueue", "around_perform", "around_hooks"):
        monkeypatch.setattr(process, name, ())
    monkeypatch.setattr(process, "copy_context", contextvars.copy_context)
    yield
    logger.setLevel(level)
    process.changed()


@pytest.mark.usefixtures("short_paths")
def test_a_push_under_way_when_the_class_is_paused_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The class is paused between the look at the gate and the append: nothing starts."""

    class UnderWayJob(Job):
        def perform(self) -> None: ...

    UnderWayJob.perform_async().result(WAIT)  # opens the short way
    monotonic = express_module.monotonic

    def paused_now() -> float:
        UnderWayJob.pause()
        return monotonic()

    with monkeypatch.context() as patch:
        patch.setattr(express_module, "monotonic", paused_now)
        held = UnderWayJob.perform_async()
    assert held._lane.pool.queued() == 0
    assert (held.status, UnderWayJob.stats().queued) == (Status.QUEUED, 1)
    UnderWayJob.resume()
    held.result(WAIT)


@pytest.mark.usefixtures("short_paths")
@pytest.mark.parametrize("shared", [False, True])
def test_a_job_that_a_worker_has_just_taken_when_the_class_is_paused_goes_back(
    shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has not started; it is held in its old place, in front of later ones."""
    counterpunch.configure(pools={"taken": 1})
    name = "execute" if shared else "execute_plain"
    execute, paused, ran = getattr(pool_module, name), threading.Event(), []

    class TakenJob(Job):
        workers = 1
        pool = "taken" if shared else None
        timeout = 60.0 if shared else None  # not one for the short way

        def perform(self, name: str) -> None:
            ran.append(name)

    def pause_first(call: Any, how: Any) -> None:
        if not paused.is_set():
            TakenJob.perform_async("second")
            TakenJob.pause()
            execute(call, how)
            paused.set()
        else:
            execute(call, how)

    monkeypatch.setattr(pool_module, name, pause_first)
    first = TakenJob.perform_async("first")
    assert paused.wait(WAIT)
    assert (first.status, first.attempt, TakenJob.stats().queued) == (Status.QUEUED, 0, 2)
    TakenJob.resume()
    assert counterpunch.wait_idle(WAIT)
    assert ran == ["first", "second"]


def test_jobs_that_arrive_while_the_class_is_being_paused_stay_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One is enqueued when the class is paused already and those before it are not held yet."""
    busy, go, ran = threading.Event(), threading.Event(), []

    class OrderedJob(Job):
        workers = 1

        def perform(self, number: int) -> None:
            if number == 0:
                busy.set()
                assert go.wait(WAIT)
            ran.append(number)

    OrderedJob.perform_async(0)
    assert busy.wait(WAIT)
    for number in (1, 2, 3):
        OrderedJob.perform_async(number)
    turned_away = Runtime.turned_away

    def enqueue_first(runtime: Runtime, *args: Any) -> bool:
        monkeypatch.setattr(Runtime, "turned_away", turned_away)
        OrderedJob.perform_async(4)
        return turned_away(runtime, *args)

    monkeypatch.setattr(Runtime, "turned_away", enqueue_first)
    OrderedJob.pause()
    assert [handle.args[0] for handle in counterpunch.jobs(OrderedJob, "queued")] == [1, 2, 3, 4]
    go.set()
    OrderedJob.resume()
    assert counterpunch.wait_idle(WAIT)
    assert ran == [0, 1, 2, 3, 4]


class Fleeting(deque[Any]):
    """Held jobs that another thread lets go between any two looks at them."""

    def __init__(self, resume: Callable[[], None]) -> None:
        super().__init__()
        self.resume: Callable[[], None] | None = resume

    def __bool__(self) -> bool:
        found = len(self) > 0
        resume = self.resume
        if found and resume is not None:
            self.resume = None
            resume()
        return found

    def copy(self) -> deque[Any]:
        return deque(self)


def test_a_class_that_is_resumed_while_a_job_is_being_held_loses_none() -> None:
    """What was held before is gone again when the next one is put beside it."""

    class HeldJob(Job):
        def perform(self) -> None: ...

    HeldJob.pause()
    first = HeldJob.perform_async()
    lane = first._lane
    held = Fleeting(HeldJob.resume)
    held.extend(lane.hold)
    lane.hold = held
    second = HeldJob.perform_async()
    HeldJob.resume()
    first.result(WAIT)
    second.result(WAIT)


@pytest.mark.usefixtures("short_paths")
def test_a_class_that_is_paused_while_it_is_being_resumed_is_paused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A job that a worker has in hand does not start then."""
    slot: Any = Lane.__dict__["halted"]
    execute_plain, looked = pool_module.execute_plain, threading.Event()

    class TornJob(Job):
        def perform(self) -> None: ...

    def pause_in_between(lane: Lane, value: bool) -> None:
        if not value and lane.job is TornJob:
            TornJob.pause()
        slot.__set__(lane, value)

    def first_torn(call: Any, lane: Lane) -> None:
        monkeypatch.setattr(pool_module, "execute_plain", execute_plain)
        TornJob.pause()
        halted = property(lambda lane: slot.__get__(lane, Lane), pause_in_between)
        with monkeypatch.context() as patch:
            patch.setattr(Lane, "halted", halted)
            TornJob.resume()
        execute_plain(call, lane)
        looked.set()

    monkeypatch.setattr(pool_module, "execute_plain", first_torn)
    handle = TornJob.perform_async()
    assert looked.wait(WAIT)
    assert handle.status is Status.QUEUED
    TornJob.resume()
    handle.result(WAIT)


def test_a_stop_does_not_wait_for_a_paused_class() -> None:
    """Whoever enqueues to it, or pauses it, while the process stops: the jobs are lost at once."""
    go = threading.Event()

    class PausedTargetJob(Job):
        def perform(self) -> None: ...

    class LateEnqueuerJob(Job):
        def perform(self) -> list[Handle[None]]:
            assert go.wait(WAIT)
            return [PausedTargetJob.perform_async() for _ in range(2)]

    PausedTargetJob.pause()
    enqueuer = LateEnqueuerJob.perform_async()
    earlier = PausedTargetJob.perform_async()
    earlier.add_done_callback(lambda _: go.set())  # lost: the stop has begun
    report = counterpunch.shutdown(WAIT)
    later = enqueuer.result(0)
    assert set(report.lost) == {earlier, *later}
    for handle in report.lost:
        assert "paused when the process stopped" in (handle.error or "")


@pytest.mark.usefixtures("short_paths")
@pytest.mark.parametrize("when", ["before the list is made", "before it is out", "afterwards"])
def test_a_job_that_arrives_while_the_stop_makes_its_report_is_reported_once(
    when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The enqueue was accepted before the stop, and appends its job behind the sweep."""
    reported: list[list[Handle[None]]] = []
    counterpunch.configure(on_lost=reported.append)
    there, appended = threading.Event(), threading.Event()

    class ArrivingJob(Job):
        def perform(self) -> None: ...

    ArrivingJob.perform_async().result(WAIT)  # opens the short way
    take_all, publish = drain_module._take_all, drain_module._publish
    monotonic = express_module.monotonic

    def meet() -> None:
        there.set()
        assert appended.wait(WAIT)

    def take(lost: deque[Handle[Any]]) -> list[Handle[Any]]:
        if when == "before the list is made":
            meet()
        taken = take_all(lost)
        if when == "before it is out":
            meet()
        return taken

    def out(report: counterpunch.ShutdownReport) -> None:
        publish(report)
        if when == "afterwards":
            meet()

    def late_now() -> float:
        stopping.start()
        assert there.wait(WAIT)
        return monotonic()

    stopping = threading.Thread(target=counterpunch.shutdown, args=(0,), daemon=True)
    with monkeypatch.context() as patch:
        patch.setattr(drain_module, "_take_all", take)
        patch.setattr(drain_module, "_publish", out)
        patch.setattr(express_module, "monotonic", late_now)
        handle = ArrivingJob.perform_async()
        appended.set()
        stopping.join(WAIT)
    assert handle.status is Status.LOST
    assert reported == [[handle]]


def test_pause_is_one_classes_own() -> None:
    """Others of the same shared pool go on."""
    counterpunch.configure(pools={"common": 1})

    class HeldJob(Job):
        pool = "common"

        def perform(self) -> None: ...

    class FreeJob(Job):
        pool = "common"

        def perform(self) -> str:
            return "ran"

    HeldJob.pause()
    held = HeldJob.perform_async()
    assert FreeJob.perform_async().result(WAIT) == "ran"
    assert held.status is Status.QUEUED
    HeldJob.resume()
    held.result(WAIT)


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
