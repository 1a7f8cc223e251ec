"""Priorities, shared pools, a pool for one call, the thread ceiling, idle threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from eventually import eventually

import counterpunch
from counterpunch import InvalidOption, Job, QueueFull, Status, configure
from counterpunch.core.workers import pool as pool_module
from counterpunch.testing import fake

WAIT = 10.0


@pytest.fixture(autouse=True)
def mail_and_low() -> Iterator[None]:
    """Two shared pools of one thread each, so that order is exact."""
    configure(pools={"mail": 1, "low": 1, "wide": 4})
    yield
    configure(max_threads=None)


class Plug:
    """Holds one worker at a time until it is let go."""

    def __init__(self) -> None:
        self.busy = threading.Event()
        self.go = threading.Event()

    def hold(self) -> None:
        self.busy.set()
        assert self.go.wait(WAIT)


def threads_of(name: str) -> list[threading.Thread]:
    prefix = f"counterpunch-{name}_"
    return [thread for thread in threading.enumerate() if thread.name.startswith(prefix)]


def test_higher_priority_runs_sooner_and_equals_keep_their_order() -> None:
    """Within one class: by priority of the call, first come first served among equals."""
    plug, ran = Plug(), []

    class PriorityJob(Job):
        workers = 1

        def perform(self, name: str) -> None:
            if name == "plug":
                plug.hold()
            ran.append(name)

    PriorityJob.perform_async("plug")
    assert plug.busy.wait(WAIT)
    for name, priority in (("a", 0), ("b", 9), ("c", -1), ("d", 9), ("e", 0)):
        PriorityJob.using(priority=priority).perform_async(name)
    plug.go.set()
    assert counterpunch.wait_idle(WAIT)
    assert ran == ["plug", "b", "d", "a", "e", "c"]


def test_classes_share_a_pool_in_order_of_priority_then_of_arrival() -> None:
    """In a shared pool ties across classes are first come first served, under real threads."""
    plug, ran = Plug(), []

    class PluggedJob(Job):
        pool = "mail"

        def perform(self) -> None:
            plug.hold()

    class WelcomeJob(Job):
        pool = "mail"

        def perform(self, name: str) -> None:
            ran.append((name, threading.current_thread().name))

    class UrgentJob(WelcomeJob):
        priority = 5

    class NewsJob(WelcomeJob):
        pass

    PluggedJob.perform_async()
    assert plug.busy.wait(WAIT)
    for job, name in ((WelcomeJob, "w1"), (NewsJob, "n1"), (UrgentJob, "u1"), (WelcomeJob, "w2")):
        job.perform_async(name)
    NewsJob.using(priority=5).perform_async("n2")
    plug.go.set()
    assert counterpunch.wait_idle(WAIT)
    assert [name for name, _ in ran] == ["u1", "n2", "w1", "n1", "w2"]
    assert {thread for _, thread in ran} == {"counterpunch-mail_0"}


def test_fake_keeps_the_order_across_classes() -> None:
    """``fake().jobs`` and what ``drain`` does: the order of the enqueues, ties included."""
    ran = []

    class FirstJob(Job):
        pool = "mail"

        def perform(self, name: str) -> None:
            ran.append(name)

    class SecondJob(FirstJob):
        pass

    class OtherPoolJob(FirstJob):
        pool = None

    class UniqueOneJob(FirstJob):
        pool = None
        unique = "queued"

        @staticmethod
        def identity(name: str) -> str:
            return name

    with fake() as recorder:
        FirstJob.perform_async("1")
        UniqueOneJob.perform_async("2")
        OtherPoolJob.perform_async("3")
        FirstJob.perform_async("4")
        SecondJob.perform_async("5")
        OtherPoolJob.perform_async("6")
        SecondJob.using(priority=1).perform_async("0")
        assert [call.args[0] for call in recorder.jobs] == list("0123456")
        recorder.drain()
    assert ran == list("0123456")


def test_the_bound_of_a_class_in_a_shared_pool_is_its_own() -> None:
    """``max_jobs`` counts the class's jobs, not the pool's, and a job that ran makes room."""

    class BoundJob(Job):
        pool = "mail"
        max_jobs = 2

        def perform(self) -> None: ...

    class FillerJob(Job):
        pool = "mail"

        def perform(self) -> None: ...

    with fake() as recorder:
        for _ in range(5):
            FillerJob.perform_async()
        for _ in range(3):
            BoundJob.perform_async()
            BoundJob.perform_async()
            with pytest.raises(QueueFull):
                BoundJob.perform_async()
            recorder.drain()


def test_a_pool_that_does_not_exist_is_refused_by_name() -> None:
    """At the enqueue, for a class and for a call; nothing is accepted."""

    class NowhereJob(Job):
        pool = "nowhere"

        def perform(self) -> None: ...

    class PlainJob(Job):
        def perform(self) -> None: ...

    with pytest.raises(InvalidOption, match=r"NowhereJob: pool='nowhere'.*'low'.*'mail'.*'wide'"):
        NowhereJob.perform_async()
    with pytest.raises(InvalidOption, match=r"PlainJob: pool='nowhere'"):
        PlainJob.using(pool="nowhere").perform_async()
    assert PlainJob.stats().accepted == 0


def test_one_call_in_another_pool() -> None:
    """``using(pool=...)``: that pool's thread runs it; the class's own jobs go on beside it."""
    names = []

    class RoamingJob(Job):
        def perform(self) -> None:
            names.append(threading.current_thread().name)

    RoamingJob.using(pool="low").perform_async().result(WAIT)
    RoamingJob.perform_async().result(WAIT)
    RoamingJob.using(pool="low").perform_in(0.001).result(WAIT)
    assert names == ["counterpunch-low_0", "counterpunch-RoamingJob_0", "counterpunch-low_0"]


def test_a_call_queued_in_another_pool_counts_is_seen_and_can_be_steered() -> None:
    """Bound, counters, listing, cancel, pause, resume: as for a job in the class's own pool."""
    plug, ran = Plug(), []

    class LowPlugJob(Job):
        pool = "low"

        def perform(self) -> None:
            plug.hold()

    class GuestJob(Job):
        max_jobs = 3

        def perform(self, name: str) -> None:
            ran.append(name)

    LowPlugJob.perform_async()
    assert plug.busy.wait(WAIT)
    low = GuestJob.using(pool="low")
    first, second, third = (low.perform_async(name) for name in "abc")
    with pytest.raises(QueueFull):
        GuestJob.perform_async("own")
    assert GuestJob.stats().queued == 3
    assert GuestJob.stats().oldest_wait > 0
    assert counterpunch.jobs(GuestJob) == [first, second, third]
    assert first.cancel()
    assert first.cancelled()
    GuestJob.perform_async("own").result(WAIT)  # one cancelled, so there is room
    GuestJob.pause()
    late = low.perform_async("d")
    plug.go.set()
    LowPlugJob.perform_async().result(WAIT)  # behind them, if they were still in the queue
    assert counterpunch.jobs(GuestJob, "queued") == [second, third, late]
    assert ran == ["own"]
    GuestJob.resume()
    assert counterpunch.wait_idle(WAIT)
    assert ran == ["own", "b", "c", "d"]
    assert GuestJob.stats().succeeded == 4
    GuestJob.perform_bulk([("x",), ("y",), ("z",)])  # nothing is counted twice


def test_a_stop_drops_or_drains_calls_in_another_pool() -> None:
    """``on_shutdown`` is the class's, whatever pool the call waits in."""
    plug = Plug()

    class StopPlugJob(Job):
        pool = "low"

        def perform(self) -> None:
            plug.hold()

    class DroppedGuestJob(Job):
        on_shutdown = "drop"

        def perform(self) -> None: ...

    class DrainedGuestJob(Job):
        def perform(self) -> None: ...

    StopPlugJob.perform_async()
    assert plug.busy.wait(WAIT)
    dropped = DroppedGuestJob.using(pool="low").perform_async()
    drained = DrainedGuestJob.using(pool="low").perform_async()
    dropped.add_done_callback(lambda _: plug.go.set())
    report = counterpunch.shutdown(WAIT)
    assert (dropped.status, drained.status) == (Status.LOST, Status.SUCCEEDED)
    assert report.lost == [dropped]


def test_max_threads_bounds_all_pools_together() -> None:
    """Eight enqueuing threads, three classes of eight workers that have one each: never more
    threads than the ceiling."""
    configure(max_threads=6)
    lock = threading.Lock()
    running = peak = 0
    gate = threading.Event()

    class CeilingAJob(Job):
        workers = 8

        def perform(self) -> None:
            nonlocal running, peak
            with lock:
                running += 1
                peak = max(peak, running)
            gate.wait(WAIT)
            with lock:
                running -= 1

    class CeilingBJob(CeilingAJob):
        pass

    class CeilingCJob(CeilingAJob):
        pass

    for job in (CeilingAJob, CeilingBJob, CeilingCJob):
        job.perform_async()
    start = threading.Barrier(8)

    def enqueue() -> None:
        start.wait(WAIT)
        for _ in range(4):
            for job in (CeilingAJob, CeilingBJob, CeilingCJob):
                job.perform_async()

    threads = [threading.Thread(target=enqueue) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert counterpunch.stats().total.workers.total <= 6
    gate.set()
    assert counterpunch.wait_idle(WAIT)
    assert peak <= 6
    assert counterpunch.stats().total.succeeded == 99


def test_under_a_ceiling_a_job_may_wait_for_another_class() -> None:
    """No deadlock: the class that is waited for gets its one thread, beyond the ceiling."""
    configure(max_threads=1)

    class InnerWaitJob(Job):
        def perform(self) -> str:
            return "inner"

    class OuterWaitJob(Job):
        def perform(self) -> str:
            return "outer " + InnerWaitJob.perform_async().result(WAIT)

    assert OuterWaitJob.perform_async().result(WAIT) == "outer inner"


def test_under_a_ceiling_threads_go_where_the_work_is() -> None:
    """A pool that holds all threads hands half of them over, one after each job."""
    configure(max_threads=4)
    hog, guest = threading.Semaphore(0), threading.Event()
    hogging, together = threading.Semaphore(0), threading.Barrier(2)

    class HogJob(Job):
        workers = 4

        def perform(self) -> None:
            hogging.release()
            assert hog.acquire(timeout=WAIT)

    class GuestPoolJob(Job):
        workers = 4

        def perform(self) -> None:
            together.wait(WAIT)  # breaks unless two of them run at once
            guest.set()

    for _ in range(12):
        HogJob.perform_async()
    for _ in range(4):
        assert hogging.acquire(timeout=WAIT)
    guests = [GuestPoolJob.perform_async() for _ in range(2)]
    hog.release(2)
    for handle in guests:
        handle.result(WAIT)
    assert guest.is_set()
    hog.release(10)
    assert counterpunch.wait_idle(WAIT)


def test_a_pool_without_work_lends_its_threads_under_a_ceiling() -> None:
    """The queue that is left gets the threads that the other class no longer needs."""
    configure(max_threads=4)
    release, meet = threading.Event(), threading.Barrier(3)
    started = threading.Semaphore(0)

    class BriefJob(Job):
        workers = 4

        def perform(self) -> None:
            started.release()
            assert release.wait(WAIT)

    class ThreeAtOnceJob(Job):
        workers = 3

        def perform(self) -> None:
            meet.wait(WAIT)

    for _ in range(4):
        BriefJob.perform_async()
    for _ in range(4):
        assert started.acquire(timeout=WAIT)
    handles = [ThreeAtOnceJob.perform_async() for _ in range(3)]
    release.set()
    for handle in handles:  # they meet only if three threads come over, without a new enqueue
        handle.result(WAIT)


def test_the_thread_of_a_class_without_work_is_had_by_one_that_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its last worker leaves after ``IDLE_SECONDS``, and nobody enqueues afterwards."""
    monkeypatch.setattr(pool_module, "IDLE_SECONDS", 0.02)
    configure(max_threads=2)
    first, second = Plug(), Plug()

    class DoneJob(Job):
        workers = 1

        def perform(self) -> None:
            first.hold()

    class TwoPlugsJob(Job):
        def perform(self, plug: Plug) -> None:
            plug.hold()

    idle = Plug()
    DoneJob.perform_async()
    assert first.busy.wait(WAIT)
    handles = [TwoPlugsJob.perform_async(plug) for plug in (second, idle)]
    assert second.busy.wait(WAIT)
    assert handles[1].status is Status.QUEUED  # the ceiling is reached
    first.go.set()
    assert idle.busy.wait(WAIT)  # while the other one still runs
    for plug in (second, idle):
        plug.go.set()


def test_a_thread_that_leaves_while_another_is_denied_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It leaves the pool's only vacancy to an enqueue that has it in hand, and is denied."""
    monkeypatch.setattr(pool_module, "IDLE_SECONDS", 0.02)
    configure(max_threads=2)
    first, second, third = Plug(), Plug(), Plug()

    class LeavingJob(Job):
        workers = 1

        def perform(self) -> None:
            first.hold()

    class DeniedJob(Job):
        def perform(self, plug: Plug) -> None:
            plug.hold()

    LeavingJob.perform_async()
    DeniedJob.perform_async(second)
    assert first.busy.wait(WAIT)
    assert second.busy.wait(WAIT)
    runtime = counterpunch.core.port.current()
    leaving = threads_of("LeavingJob")
    ask = runtime.ceiling.may_start
    answers: list[bool] = []

    def denied_late(pool: pool_module.Pool) -> bool:
        answers.append(ask(pool))
        if len(answers) == 1:
            first.go.set()
            for thread in leaving:
                thread.join(WAIT)
        return answers[-1]

    monkeypatch.setattr(runtime.ceiling, "may_start", denied_late)
    DeniedJob.perform_async(third)
    assert third.busy.wait(WAIT)  # while the second still runs
    assert answers == [False, True]
    for plug in (second, third):
        plug.go.set()


def test_a_lower_ceiling_sends_idle_threads_home() -> None:
    """At once, not after a minute, and those that are left do the work that comes."""
    meet = threading.Barrier(4)

    class MeetingJob(Job):
        workers = 4

        def perform(self, alone: bool = False) -> threading.Thread:
            if not alone:
                meet.wait(WAIT)
            return threading.current_thread()

    handles = MeetingJob.perform_bulk([()] * 4)
    threads = [handle.result(WAIT) for handle in handles]
    assert counterpunch.wait_idle(WAIT)
    assert MeetingJob.stats().workers.total == 4
    configure(max_threads=1)
    eventually(lambda: sum(thread.is_alive() for thread in threads) == 1)
    assert MeetingJob.stats().workers.total == 1
    assert MeetingJob.perform_async(alone=True).result(WAIT) in threads


def test_a_lower_ceiling_holds_for_what_starts_afterwards() -> None:
    """Busy threads leave after the job they are at; a higher one brings threads back."""
    gates = [threading.Event() for _ in range(12)]
    started: list[int] = []
    begun = threading.Semaphore(0)

    class CeilingJob(Job):
        workers = 4

        def perform(self, number: int) -> None:
            started.append(number)
            begun.release()
            assert gates[number].wait(WAIT)

    def begin(count: int) -> None:
        for _ in range(count):
            assert begun.acquire(timeout=WAIT)

    handles = CeilingJob.perform_bulk([(number,) for number in range(12)])
    begin(4)
    configure(max_threads=2)
    for number in (0, 1):  # their workers leave
        gates[number].set()
        handles[number].result(WAIT)
    eventually(lambda: len(threads_of("CeilingJob")) == 2)
    assert sorted(started) == [0, 1, 2, 3]
    gates[2].set()
    begin(1)
    gates[3].set()
    begin(1)
    assert sorted(started) == [0, 1, 2, 3, 4, 5]
    assert CeilingJob.stats().workers.total == CeilingJob.stats().running == 2
    configure(max_threads=3)  # work is waiting: the third comes without an enqueue
    begin(1)
    assert CeilingJob.stats().running == 3
    configure(max_threads=None)
    begin(1)
    assert CeilingJob.stats().running == 4
    for gate in gates:
        gate.set()
    assert counterpunch.wait_idle(WAIT)
    assert sorted(started) == list(range(12))


def test_a_ceiling_below_the_number_of_classes_leaves_each_its_thread() -> None:
    """Lowered while they work: every class goes on, and nothing is left behind."""
    go = threading.Event()

    class OneJob(Job):
        workers = 3

        def perform(self) -> None:
            assert go.wait(WAIT)

    class TwoJob(OneJob):
        pass

    class ThreeJob(OneJob):
        pass

    jobs = (OneJob, TwoJob, ThreeJob)
    for job in jobs:
        job.perform_bulk([()] * 20)
    configure(max_threads=1)
    go.set()
    assert counterpunch.wait_idle(WAIT)
    assert [job.stats().succeeded for job in jobs] == [20, 20, 20]
    configure(max_threads=2)
    for job in jobs:
        job.perform_async().result(WAIT)


def test_idle_threads_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """After ``IDLE_SECONDS`` without a job a worker's thread ends; the next job gets another."""
    monkeypatch.setattr(pool_module, "IDLE_SECONDS", 0.02)

    class BriefThreadJob(Job):
        workers = 2

        def perform(self) -> threading.Thread:
            return threading.current_thread()

    thread = BriefThreadJob.perform_async().result(WAIT)
    thread.join(WAIT)
    assert not thread.is_alive()
    other = BriefThreadJob.perform_async().result(WAIT)
    assert other is not thread
    other.join(WAIT)
    assert BriefThreadJob.stats().workers.total == 0
    assert threads_of("BriefThreadJob") == []


def test_a_defect_in_the_loop_of_a_worker_is_said_and_costs_one_job(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The job that it had taken fails, the place is free again, and the next job runs."""

    class DefectJob(Job):
        pool = "mail"

        def perform(self) -> str:
            return "ran"

    with monkeypatch.context() as patch:
        patch.setattr(counterpunch.core.port.accepting(), "taken", lambda call: 1 / 0)
        broken = DefectJob.perform_async()
        assert isinstance(broken.exception(WAIT), ZeroDivisionError)
        eventually(lambda: DefectJob.stats().workers.total == 0)
    assert "a worker of mail ended by a defect" in caplog.text
    assert DefectJob.perform_async().result(WAIT) == "ran"
    assert counterpunch.wait_idle(WAIT)
    counts = DefectJob.stats()
    assert (counts.accepted, counts.failed, counts.succeeded) == (2, 1, 1)
