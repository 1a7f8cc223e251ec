"""What is a member of a batch, and what it counts for."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

import counterpunch
from counterpunch import Batch, Discard, Duplicate, Handle, Job, Retry, Status
from counterpunch.testing import fake, inline

WAIT = 10.0
Ended = list[str]


@pytest.fixture
def ended() -> Ended:
    return []


@pytest.fixture
def batch(ended: Ended) -> Batch:
    """It notes which of its callbacks have run."""

    class SuccessJob(Job):
        def perform(self, batch_id: str) -> None:
            ended.append("success")

    class CompleteJob(Job):
        def perform(self, batch_id: str) -> None:
            ended.append("complete")

    return Batch(on_success=SuccessJob, on_complete=CompleteJob)


BOTH = ["success", "complete"]


def once(on_duplicate: str, **options: object) -> Any:
    """A class that is unique by its argument."""

    def perform(self: Job, name: str) -> None: ...

    identity = staticmethod(lambda name: name)
    given = {"identity": identity, "unique": "active", "on_duplicate": on_duplicate, **options}
    made: Any = type(Job)
    return made("OnceJob", (Job,), {**given, "perform": perform})


def test_a_job_that_runs_already_is_waited_for(batch: Batch, ended: Ended) -> None:
    """The handle that the enqueue in the block returned is a member, whoever enqueued the job."""
    entered, gate, done = threading.Event(), threading.Event(), threading.Event()

    class ImportJob(Job):
        identity = staticmethod(lambda name: name)
        unique = "active"

        def perform(self, name: str) -> None:
            entered.set()
            assert gate.wait(WAIT)
            done.set()

    first = ImportJob.perform_async("a")
    assert entered.wait(WAIT)
    with batch:
        assert ImportJob.perform_async("a") is first
        assert ImportJob.perform_async("a") is first
    assert list(batch.handles) == [first]
    assert batch.progress == (0, 1)
    assert not batch.wait(0)
    gate.set()
    assert batch.wait(WAIT)
    assert done.is_set()
    assert batch.progress == (1, 1)
    assert counterpunch.wait_idle(WAIT)
    assert sorted(ended) == sorted(BOTH)


@pytest.mark.parametrize("ends", ["succeeds", "is cancelled"])
def test_a_job_that_waits_already_is_a_member(batch: Batch, ended: Ended, ends: str) -> None:
    """And counts by how it ends."""
    with fake() as recorder:
        job = once("existing")
        first = job.perform_in(60, "a")
        with batch:
            assert job.perform_in(30, "a") is first
        if ends == "is cancelled":
            first.cancel()
        recorder.advance(60)
    assert ended == (BOTH if ends == "succeeds" else ["complete"])


def test_a_replaced_member_leaves_it_to_the_newer_one(batch: Batch, ended: Ended) -> None:
    """Twice the same in one block is once."""
    with fake() as recorder:
        job = once("replace")
        with batch:
            first = job.perform_in(10, "a")
            job.perform_in(20, "b")
            second = job.perform_in(30, "a")
        assert first.cancelled()
        assert list(batch.handles)[::2] == [first, second]
        recorder.advance(30)
    assert ended == BOTH


@pytest.mark.parametrize("then", ["replaced from outside", "the newer one is cancelled"])
def test_a_member_that_nothing_has_made_up_for(batch: Batch, ended: Ended, then: str) -> None:
    """Cancelled is no success."""
    with fake() as recorder:
        job = once("replace")
        with batch:
            job.perform_in(10, "a")
            if then == "the newer one is cancelled":
                job.perform_in(10, "a").cancel()
        if then == "replaced from outside":
            job.perform_in(10, "a")
        recorder.advance(30)
    assert ended == ["complete"]


def test_what_an_exception_has_kept_out_is_no_member(batch: Batch, ended: Ended) -> None:
    """Out of a middleware, for a duplicate, for arguments that do not fit: nothing was enqueued."""
    job = once("raise")

    def around(handle: Handle[object]) -> contextlib.AbstractContextManager[None]:
        if handle.args == ("refused",):
            raise PermissionError
        return contextlib.nullcontext()

    remove = counterpunch.around_enqueue(around)
    try:
        with fake() as recorder:
            with batch:
                job.perform_async("a")
                with pytest.raises(PermissionError):
                    job.perform_async("refused")
                with pytest.raises(Duplicate):
                    job.perform_async("a")
                with pytest.raises(TypeError):
                    job.perform_async()
            assert batch.progress == (0, 1)
            recorder.drain()
    finally:
        remove()
    assert ended == BOTH


def test_what_a_middleware_discards_is_a_member(batch: Batch, ended: Ended) -> None:
    """Its handle was returned; it has ended, and not as a success."""

    def around(handle: Handle[object]) -> contextlib.AbstractContextManager[None]:
        if handle.args == ("a",):
            raise Discard("not today")
        return contextlib.nullcontext()

    with fake() as recorder:
        job = once("existing")
        remove = counterpunch.around_enqueue(around)
        try:
            with batch:
                refused = job.perform_async("a")
            assert list(batch.handles) == [refused]
        finally:
            remove()
        recorder.drain()
    assert (refused.status, ended) == (Status.DISCARDED, ["complete"])


def test_an_expired_member_is_no_success(batch: Batch, ended: Ended) -> None:
    """It was not done."""
    with fake() as recorder:
        job = once("existing", expires_in=10)
        with batch:
            job.perform_async("a")
        job.pause()
        recorder.advance(20)
        job.resume()
        recorder.drain()
    assert ended == ["complete"]


def test_a_member_that_succeeds_after_a_retry_has_succeeded(batch: Batch, ended: Ended) -> None:
    """It counts by its end."""

    class Flaky(Job):
        retry = Retry(2, wait=10, jitter=0)

        def perform(self) -> None:
            if self.attempt == 1:
                raise OSError

    with fake() as recorder:
        with batch:
            Flaky.perform_async()
        recorder.advance(10)
    assert ended == BOTH


def test_a_failed_member_that_is_enqueued_again_is_no_member(batch: Batch, ended: Ended) -> None:
    """Its batch is complete."""
    broken = [True]

    class Failing(Job):
        def perform(self) -> None:
            if broken:
                raise ZeroDivisionError

    with fake() as recorder:
        with batch:
            failed = Failing.perform_async()
        with pytest.raises(ZeroDivisionError):
            recorder.drain()
        broken.clear()
        failed.retry()
        recorder.drain()
        assert batch.progress == (1, 1)
    assert ended == ["complete"]


@pytest.mark.parametrize("on_duplicate", ["existing", "discard", "raise", "replace"])
@pytest.mark.parametrize("unique", ["queued", "active"])
def test_each_batch_calls_back_where_the_callback_is_unique(on_duplicate: Any, unique: Any) -> None:
    """Three batches are three reports, though the class has one at a time."""
    ran: list[str] = []

    class ReportJob(Job):
        identity = staticmethod(lambda batch_id: "the report")

        def perform(self, batch_id: str) -> None:
            ran.append(batch_id)

    ReportJob.unique, ReportJob.on_duplicate = unique, on_duplicate
    with fake() as recorder:
        batches = [Batch(on_complete=ReportJob, on_success=ReportJob) for _ in range(3)]
        for one in batches:
            with one:
                pass
        assert ReportJob.perform_async("by hand").status is Status.QUEUED  # it finds none of them
        recorder.drain()
    assert ran == [*(one.id for one in batches for _ in range(2)), "by hand"]


def test_inline_a_member_that_fails_is_a_member(batch: Batch, ended: Ended) -> None:
    """The exception is the job's own, not that of an enqueue."""

    class Failing(Job):
        def perform(self) -> None:
            raise ZeroDivisionError

    with inline(), batch, pytest.raises(ZeroDivisionError):
        Failing.perform_async()
    assert batch.progress == (1, 1)
    assert ended == ["complete"]
