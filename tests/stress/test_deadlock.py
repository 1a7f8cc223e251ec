"""Jobs that wait for jobs: what would be a deadlock is run right there, or said by name."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from eventually import eventually

import counterpunch
from counterpunch import (
    Batch,
    CounterpunchError,
    Handle,
    Job,
    Rate,
    Retry,
    Status,
    configure,
    testing,
)
from counterpunch.core.workers.pool import Pool

WAIT = 10.0


@pytest.fixture(autouse=True)
def pools() -> Iterator[None]:
    configure(pools={"narrow": 1})
    yield
    configure(max_threads=None)


class SumJob(Job):
    """Each waits for a job of its own class, on the only worker of it."""

    workers = 1

    def perform(self, number: int) -> tuple[int, int]:
        if number == 0:
            return 0, threading.get_ident()
        total, thread = SumJob.perform_async(number - 1).result()
        assert thread == threading.get_ident()
        return total + number, thread


def test_a_job_waits_for_one_of_its_own_class_on_a_single_worker() -> None:
    """It is run inside the wait, on the same thread, as deep as it goes; each job is itself."""
    assert SumJob.perform_async(10).result(WAIT)[0] == 55
    counts = SumJob.stats()
    assert (counts.succeeded, counts.attempts, counts.workers.total) == (11, 11, 1)


def test_under_a_low_ceiling() -> None:
    """``max_threads`` leaves the class one thread of four, and keeps the rest from it."""
    configure(max_threads=1)

    class CeilingSumJob(Job):
        workers = 4

        def perform(self, number: int) -> int:
            return number and number + CeilingSumJob.perform_async(number - 1).result()

    assert CeilingSumJob.perform_async(5).result(WAIT) == 15
    assert CeilingSumJob.stats().workers.total == 1


def test_all_workers_wait_at_once() -> None:
    """Four workers, four jobs that each wait for two children queued behind them."""
    meet = threading.Barrier(4)

    class FamilyJob(Job):
        workers = 4

        def perform(self, parent: bool) -> int:
            if not parent:
                return 1
            meet.wait(WAIT)
            children = FamilyJob.perform_bulk([(False,), (False,)])
            return sum(child.result() for child in children)

    handles = FamilyJob.perform_bulk([(True,)] * 4)
    assert [handle.result(WAIT) for handle in handles] == [2] * 4
    assert FamilyJob.stats().succeeded == 12


def test_what_need_not_be_run_in_a_wait_is_not() -> None:
    """While another worker can take it, the order of the queue and its threads stay."""
    go, busy, ran = threading.Event(), threading.Event(), []

    class PatientJob(Job):
        workers = 2

        def perform(self, name: str) -> int:
            if name == "busy":
                busy.set()
                assert go.wait(WAIT)
            elif name == "parent":
                PatientJob.perform_async("earlier")
                child = PatientJob.perform_async("child")
                waits.set()
                assert child.result() != threading.get_ident()
            ran.append(name)
            return threading.get_ident()

    waits = threading.Event()
    PatientJob.perform_async("busy")
    assert busy.wait(WAIT)
    parent = PatientJob.perform_async("parent")
    assert waits.wait(WAIT)
    go.set()
    parent.result(WAIT)
    assert ran == ["busy", "earlier", "child", "parent"]


def test_the_job_that_is_waited_for_is_delayed_or_retried() -> None:
    """It is run in the wait when it falls due, and at each of its attempts."""

    class LaterJob(Job):
        workers = 1
        retry = Retry(3, wait=0.001)

        def perform(self, parent: bool) -> int:
            if parent:
                return LaterJob.perform_in(0.01, False).result()
            if self.attempt < 3:
                raise OSError
            return self.attempt

    assert LaterJob.perform_async(True).result(WAIT) == 3


def test_a_rate_and_a_pause_are_kept() -> None:
    """The wait runs nothing that may not start yet."""
    starts: list[str] = []

    class RatedWaitJob(Job):
        workers = 1
        rate = Rate(1, per=0.05)

        def perform(self, parent: bool) -> None:
            if parent:
                child = RatedWaitJob.perform_async(False)
                late = time.monotonic() - began >= 0.05  # a busy machine: it may start at once
                assert child.status is Status.SCHEDULED or late
                child.result()

    began = time.monotonic()
    RatedWaitJob.perform_async(True).result(WAIT)

    class PausedWaitJob(Job):
        workers = 1

        def perform(self, parent: bool) -> None:
            starts.append("parent" if parent else "child")
            if parent:
                PausedWaitJob.pause()
                child = PausedWaitJob.perform_async(False)
                children.append(child)
                paused.set()
                child.result()

    children: list[Handle[None]] = []
    paused = threading.Event()
    handle = PausedWaitJob.perform_async(True)
    assert paused.wait(WAIT)
    assert starts == ["parent"]
    assert children[0].status is Status.QUEUED
    PausedWaitJob.resume()
    handle.result(WAIT)
    assert starts == ["parent", "child"]


def test_two_classes_that_wait_for_each_others_jobs() -> None:
    """Each worker runs what its own pool has queued: no class gets a second thread."""
    both = threading.Barrier(2)
    threads: dict[str, set[int]] = {"left": set(), "right": set()}

    class LeftJob(Job):
        workers = 1

        def perform(self, parent: bool) -> None:
            threads["left"].add(threading.get_ident())
            if parent:
                both.wait(WAIT)
                RightJob.perform_async(False).result()

    class RightJob(Job):
        workers = 1

        def perform(self, parent: bool) -> None:
            threads["right"].add(threading.get_ident())
            if parent:
                both.wait(WAIT)
                LeftJob.perform_async(False).result()

    handles = [LeftJob.perform_async(True), RightJob.perform_async(True)]
    for handle in handles:
        handle.result(WAIT)
    assert len(threads["left"]) == len(threads["right"]) == 1


def test_a_shared_pool_of_threads_and_of_async_jobs() -> None:
    """Different classes in one pool of one thread, one of them an ``async def``."""

    class AsyncNarrowJob(Job):
        pool = "narrow"

        async def perform(self) -> str:
            await asyncio.sleep(0)
            return "async"

    class NarrowJob(Job):
        pool = "narrow"

        def perform(self) -> str:
            return AsyncNarrowJob.perform_async().result()

    assert NarrowJob.perform_async().result(WAIT) == "async"


def test_a_batch_of_its_own_class() -> None:
    """``Batch.wait()`` in a job runs the members, nested batches included."""

    class BatchedJob(Job):
        workers = 1

        def perform(self, parent: bool) -> int:
            if not parent:
                return 1
            with Batch() as outer:
                BatchedJob.perform_bulk([(False,)] * 3)
                with Batch():
                    BatchedJob.perform_async(False)
            assert outer.wait()
            return outer.progress[0]

    assert BatchedJob.perform_async(True).result(WAIT) == 4


def test_a_batch_is_not_waited_for_inside_its_own_block() -> None:
    """It cannot complete there; with a timeout it says False instead."""
    with Batch() as batch:
        assert not batch.wait(0)
        with pytest.raises(CounterpunchError, match="still open"):
            batch.wait()
    assert batch.wait()


def test_a_job_that_waits_for_itself_is_told() -> None:
    """The error names it; with a timeout it is that which ends the wait."""

    class NarcissusJob(Job):
        def perform(self, timeout: float | None) -> None:
            self.handle.result(timeout)

    handle = NarcissusJob.perform_async(None)
    with pytest.raises(CounterpunchError, match="can ever end") as caught:
        handle.result(WAIT)
    assert str(caught.value).count(handle.id) == 2
    with pytest.raises(TimeoutError):
        NarcissusJob.perform_async(0.001).result(WAIT)


@pytest.mark.parametrize("how", ["perform_now", "inline", "drain"])
def test_a_job_that_somebody_runs_himself_cannot_wait_for_itself(how: str) -> None:
    """On a thread that is no worker, and in the test modes: told, not stuck."""

    class NowNarcissusJob(Job):
        unique = "active"

        @staticmethod
        def identity() -> int:
            return 1

        def perform(self) -> None:
            newest = NowNarcissusJob.latest(1)
            assert newest is not None
            newest.result()

    told = pytest.raises(CounterpunchError, match=r"never end|nothing runs by itself")
    if how == "perform_now":
        with told:
            NowNarcissusJob.perform_now()
    elif how == "inline":
        with testing.inline(), told:
            NowNarcissusJob.perform_async()
    else:
        with testing.fake() as recorder, told:
            NowNarcissusJob.perform_async()
            recorder.drain()
    assert not counterpunch.core.port.current().here.runs


def test_running_jobs_that_wait_for_each_other_are_told() -> None:
    """Three in a circle: the one that closes it fails, by name, and the others go on."""
    handles: list[Handle[str]] = []
    ready, meet = threading.Event(), threading.Barrier(3)

    class CircleJob(Job):
        workers = 3

        def perform(self, number: int) -> str:
            assert ready.wait(WAIT)
            meet.wait(WAIT)
            with contextlib.suppress(CounterpunchError):
                return handles[(number + 1) % 3].result()
            return f"told {number}"

    handles += [CircleJob.perform_async(number) for number in range(3)]
    ready.set()
    told = {handle.result(WAIT) for handle in handles}
    assert all(text.startswith("told") for text in told)


def test_a_wait_on_the_event_loop_for_a_job_of_the_loop_is_told() -> None:
    """It would stop the loop for ever; ``await`` is the way, and a job of threads is no harm."""

    class LoopJob(Job):
        workers = 2

        async def perform(self, how: str) -> str:
            if how == "child":
                return "child"
            child = LoopJob.perform_async("child")
            return await child if how == "await" else child.result()

    assert LoopJob.perform_async("await").result(WAIT) == "child"
    with pytest.raises(CounterpunchError, match="await the handle"):
        LoopJob.perform_async("block").result(WAIT)
    assert counterpunch.wait_idle(WAIT)
    assert LoopJob.stats().succeeded == 3


def test_a_stop_ends_the_waits() -> None:
    """What is lost ends the wait for it; nothing is left in the table."""
    begun, go = threading.Event(), threading.Event()

    class StoppedWaitJob(Job):
        workers = 1

        def perform(self, parent: bool) -> None:
            if parent:
                child = StoppedWaitJob.perform_in(3600, False)
                begun.set()
                try:
                    child.result()
                finally:
                    go.set()

    StoppedWaitJob.perform_async(True)
    assert begun.wait(WAIT)
    runtime = counterpunch.core.port.current()
    counterpunch.shutdown(WAIT)
    assert go.wait(WAIT)
    assert not runtime.waits.table


@pytest.mark.parametrize("ceiling", [None, 2])
def test_trees_of_waits_end_and_nobody_is_told_without_need(ceiling: int | None) -> None:
    """Three classes of few workers whose jobs wait for children of any of them, at random."""
    configure(max_threads=ceiling)
    source = random.Random(7)

    class TreeAJob(Job):
        workers = 1

        def perform(self, depth: int) -> int:
            if depth == 0:
                return 1
            children = [
                source.choice((TreeAJob, TreeBJob, TreeCJob)).perform_async(depth - 1)
                for _ in range(2)
            ]
            if source.random() < 0.5:
                children.reverse()
            return sum(child.result() for child in children)

    class TreeBJob(TreeAJob):
        workers = 2

    class TreeCJob(TreeBJob):
        pool = "narrow"

    for _ in range(20):
        handles = [job.perform_async(5) for job in (TreeAJob, TreeBJob, TreeCJob)]
        assert [handle.result(WAIT) for handle in handles] == [32] * 3
    assert counterpunch.wait_idle(WAIT)  # a worker may still be about to tidy up
    runtime = counterpunch.core.port.current()
    assert not runtime.waits.table
    assert not runtime.watchers.table


def test_a_wait_that_counted_on_a_thread_that_is_then_denied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An enqueue from outside is about to start a worker as the only one begins to wait."""
    configure(max_threads=1)
    go = threading.Event()

    class WaitingJob(Job):
        def perform(self, wait: bool) -> int:
            if not wait:
                return 1
            assert go.wait(WAIT)
            return WaitingJob.perform_async(False).result()

    first = WaitingJob.perform_async(True)
    runtime = counterpunch.core.port.current()
    ask = runtime.ceiling.may_start
    asked: list[None] = []

    def asleep() -> bool:
        return any(stack[-1].parking.sleepers for stack in runtime.waits.table.values())

    def may_start(pool: Pool) -> bool:
        if not asked:
            asked.append(None)
            go.set()
            eventually(asleep)
        return ask(pool)

    monkeypatch.setattr(runtime.ceiling, "may_start", may_start)
    second = WaitingJob.perform_async(False)
    assert first.result(WAIT) == second.result(WAIT) == 1
    assert asked


@pytest.mark.parametrize("workers", [1, 2])
def test_any_order_without_a_circle_comes_to_an_end(workers: int) -> None:
    """A hundred jobs of one class, queued in any order, wait for those of a lower rank."""
    source = random.Random(workers)
    ranks = source.sample(range(100), 100)
    handles: list[Handle[int]] = []

    class RankedJob(Job):
        def perform(self, number: int, before: list[int]) -> int:
            return number + 0 * sum(handles[other].result() for other in before)

    RankedJob.workers = workers
    RankedJob.pause()
    for number in range(100):
        others = source.sample(range(100), 3)
        before = [other for other in others if ranks[other] < ranks[number]]
        handles.append(RankedJob.perform_async(number, before))
    RankedJob.resume()
    assert [handle.result(WAIT) for handle in handles] == list(range(100))


@pytest.fixture
def shallow_stack() -> Iterator[int]:
    """Python's limit of frames, lowered: each level of waiting costs more than the one above."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(400)
    yield 400
    sys.setrecursionlimit(before)


def test_a_wait_too_deep_for_the_stack_fails_the_job_and_no_more(shallow_stack: int) -> None:
    """Python's own RecursionError; every job ends, and the worker lives."""

    class AbyssJob(Job):
        workers = 1

        def perform(self, depth: int) -> int:
            return depth and AbyssJob.perform_async(depth - 1).result()

    with pytest.raises(RecursionError):
        AbyssJob.perform_async(2 * shallow_stack).result(WAIT)
    assert counterpunch.wait_idle(WAIT)
    counts = AbyssJob.stats()
    assert (counts.accepted, counts.running) == (counts.succeeded + counts.failed, 0)
    assert AbyssJob.perform_async(0).result(WAIT) == 0
