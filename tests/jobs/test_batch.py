"""Batches: members, progress, and callbacks that come exactly once."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import threading
import weakref
from typing import Any

import pytest

import counterpunch
from counterpunch import (
    Batch,
    CounterpunchError,
    Discard,
    Handle,
    InvalidOption,
    Job,
    Retry,
    Status,
    job,
)
from counterpunch.testing import fake, inline

WAIT = 10.0


@pytest.fixture
def ended() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def callbacks(ended: list[tuple[str, str]]) -> tuple[type[Job], type[Job]]:
    """A class for ``on_success`` and one for ``on_complete``; they note their batch's id."""

    class SuccessJob(Job):
        def perform(self, batch_id: str) -> None:
            ended.append(("success", batch_id))

    class CompleteJob(Job):
        def perform(self, batch_id: str) -> None:
            ended.append(("complete", batch_id))

    return SuccessJob, CompleteJob


Callbacks = tuple[type[Job], type[Job]]
Ended = list[tuple[str, str]]


class PartJob(Job):
    """A member that does as it is told."""

    def perform(self, how: str = "") -> None:
        if how == "fail":
            raise ValueError(how)
        if how == "discard":
            raise Discard
        if how == "child":
            PartJob.perform_async()


def open_batch(callbacks: Callbacks) -> Batch:
    return Batch(on_success=callbacks[0], on_complete=callbacks[1])


def test_callbacks_follow_the_last_member(callbacks: Callbacks, ended: Ended) -> None:
    """Both are ordinary jobs, given the id; progress counts the members that have ended."""
    with fake() as recorder:
        with open_batch(callbacks) as batch:
            members = [PartJob.perform_async(), PartJob.perform_in(10), PartJob.perform_async()]
        assert list(batch.handles) == members
        assert batch.progress == (0, 3)
        recorder.drain()
        assert batch.progress == (2, 3)
        assert not batch.done()
        assert ended == []
        recorder.advance(10)
        assert batch.progress == (3, 3)
        assert batch.done()
        assert batch.wait(0)
        assert ended == [("success", batch.id), ("complete", batch.id)]
        assert [handle.status for handle in batch.callbacks] == [Status.SUCCEEDED] * 2


def test_an_empty_batch_completes_at_once(callbacks: Callbacks, ended: Ended) -> None:
    """Nothing was to be done, and nothing failed."""
    with fake() as recorder:
        with open_batch(callbacks) as batch:
            pass
        assert batch.done()
        assert batch.progress == (0, 0)
        recorder.drain()
    assert ended == [("success", batch.id), ("complete", batch.id)]


@pytest.mark.parametrize("how", ["fail", "cancel", "discard"])
def test_on_complete_comes_however_the_members_end(
    how: str, callbacks: Callbacks, ended: Ended
) -> None:
    """A failed, cancelled or discarded member rules ``on_success`` out, and only that."""
    with fake() as recorder:
        with open_batch(callbacks) as batch:
            PartJob.perform_async()
            odd = PartJob.perform_async(how)
        if how == "cancel":
            assert odd.cancel()
        if how == "fail":
            with pytest.raises(ValueError, match="fail"):
                recorder.drain()
        recorder.drain()
    assert ended == [("complete", batch.id)]


def test_a_duplicate_that_is_discarded_is_a_member(callbacks: Callbacks, ended: Ended) -> None:
    """As any other job that is accepted and discarded: the batch is no success."""

    class OnceJob(Job):
        identity = staticmethod(lambda: "one")
        unique = "queued"
        on_duplicate = "discard"

        def perform(self) -> None: ...

    with fake() as recorder:
        OnceJob.perform_async()
        with open_batch(callbacks) as batch:
            duplicate = OnceJob.perform_async()
        assert list(batch.handles) == [duplicate]
        assert (duplicate.status, batch.progress) == (Status.DISCARDED, (1, 1))
        recorder.drain()
    assert ended == [("complete", batch.id)]


def test_a_member_that_is_retried_holds_the_batch_open(callbacks: Callbacks, ended: Ended) -> None:
    """An attempt that fails is not the end of a member."""

    class FlakyPartJob(Job):
        retry = Retry(2, wait=5, jitter=0)

        def perform(self) -> None:
            if self.attempt == 1:
                raise OSError

    with fake() as recorder:
        with open_batch(callbacks) as batch:
            FlakyPartJob.perform_async()
        recorder.drain()
        assert not batch.done()
        recorder.advance(5)
    assert ended == [("success", batch.id), ("complete", batch.id)]


def test_members_lost_in_a_stop_complete_the_batch(callbacks: Callbacks, ended: Ended) -> None:
    """The callback is accepted exactly once and lost with the rest; no new pool is started."""
    running, go = threading.Event(), threading.Event()

    class StuckPartJob(Job):
        def perform(self) -> None:
            running.set()
            go.wait(WAIT)

    with open_batch(callbacks) as batch:
        member = StuckPartJob.perform_async()
    assert running.wait(WAIT)
    report = counterpunch.shutdown(0)
    go.set()
    assert member.status is Status.LOST
    assert batch.wait(WAIT)
    (callback,) = batch.callbacks
    assert (callback.job, callback.status) == (callbacks[1], Status.LOST)
    assert set(report.lost) == {member, callback}
    assert counterpunch.stats().total.accepted == 2
    assert ended == []


def test_nothing_leaks_out_of_a_test_mode(callbacks: Callbacks, ended: Ended) -> None:
    """Members that still wait when ``fake()`` ends do not enqueue callbacks for real."""
    with fake(), open_batch(callbacks) as batch:
        PartJob.perform_async()
    assert batch.done()
    assert [handle.status for handle in batch.callbacks] == [Status.LOST]
    assert callbacks[1].stats().accepted == 0
    assert ended == []


def test_nested_batches_complete_from_the_inside(callbacks: Callbacks, ended: Ended) -> None:
    """The outer one waits for the inner one and counts its members."""
    with fake() as recorder:
        with open_batch(callbacks) as outer:
            PartJob.perform_async()
            with open_batch(callbacks) as inner:
                PartJob.perform_in(10)
            PartJob.perform_async()
        recorder.drain()
        assert (outer.progress, inner.progress) == ((2, 3), (0, 1))
        assert not outer.done()
        recorder.advance(10)
        assert outer.done()
    order = [("success", inner.id), ("complete", inner.id)]
    order += [("success", outer.id), ("complete", outer.id)]
    assert ended == order


def test_a_failure_in_an_inner_batch_is_one_of_the_outer(
    callbacks: Callbacks, ended: Ended
) -> None:
    """``on_success`` of the outer batch needs every member at every depth."""
    with fake() as recorder:
        with open_batch(callbacks) as outer:
            PartJob.perform_async()
            with Batch():
                PartJob.perform_async("fail")
        with pytest.raises(ValueError, match="fail"):
            recorder.drain()
        recorder.drain()
    assert ended == [("complete", outer.id)]


def test_what_a_member_enqueues_does_not_belong(callbacks: Callbacks) -> None:
    """Only enqueues inside the block do; a member's own children are its own affair."""
    with fake() as recorder:
        with open_batch(callbacks) as batch:
            PartJob.perform_async("child")
        recorder.drain()
        assert batch.progress == (1, 1)
        assert PartJob.stats().accepted == 2
        PartJob.perform_async()
        assert batch.progress == (1, 1)


def test_exactly_once_under_real_threads(callbacks: Callbacks, ended: Ended) -> None:
    """Members that end while the block is still open, and all at once, over many rounds."""
    for _ in range(50):
        ended.clear()
        with open_batch(callbacks) as batch:
            for _ in range(8):
                PartJob.perform_async()
        assert batch.wait(WAIT)
        for handle in batch.callbacks:
            handle.result(WAIT)
        assert sorted(ended) == [("complete", batch.id), ("success", batch.id)]
        assert batch.progress == (8, 8)


def test_threads_and_tasks_of_the_block_need_its_context() -> None:
    """A thread belongs if it runs in a copy of the block's context, until the block ends."""
    with fake():
        with Batch() as batch:
            context = contextvars.copy_context()
            inside = threading.Thread(target=context.run, args=(PartJob.perform_async,))
            inside.start()
            inside.join(WAIT)
        late = threading.Thread(target=context.run, args=(PartJob.perform_async,))
        late.start()
        late.join(WAIT)
        assert batch.progress == (0, 1)
        assert PartJob.stats().accepted == 2


def test_a_block_that_raises_is_no_success(callbacks: Callbacks, ended: Ended) -> None:
    """Half of the jobs were never enqueued: it completes, and so does the one around it."""
    with fake() as recorder:
        with (
            open_batch(callbacks) as outer,
            contextlib.suppress(KeyError),
            open_batch(callbacks) as inner,
        ):
            PartJob.perform_async()
            raise KeyError("the next row")
        recorder.drain()
    assert ended == [("complete", inner.id), ("complete", outer.id)]


def test_a_block_that_is_left_in_another_context_says_so_and_completes(
    callbacks: Callbacks, ended: Ended
) -> None:
    """As a dependency of FastAPI with ``yield``, whose two parts run in different threads."""
    batch = Batch(on_complete=callbacks[1])
    there = contextvars.copy_context()
    there.run(batch.__enter__)
    member = there.run(PartJob.perform_async)
    with pytest.raises(CounterpunchError, match="in another context than it was opened in"):
        batch.__exit__(None, None, None)
    assert batch.wait(WAIT)
    assert counterpunch.wait_idle(WAIT)
    assert (list(batch.handles), ended) == ([member], [("complete", batch.id)])


def test_a_remembered_member_does_not_keep_its_batch() -> None:
    """A batch of a million would stay for as long as one of its jobs is remembered."""
    with Batch() as batch:
        member = PartJob.perform_async()
    assert batch.wait(WAIT)
    assert counterpunch.wait_idle(WAIT)
    gone = weakref.ref(batch)
    del batch
    gc.collect()
    assert gone() is None
    assert counterpunch.find(member.id) is member


def test_a_batch_that_is_used_again_is_refused() -> None:
    """A ``with`` on a batch that was open already is an error, by name."""
    with fake():
        with Batch() as batch:
            pass
        with pytest.raises(CounterpunchError, match=rf"<Batch {batch.id} 0/0> was opened before"):
            batch.__enter__()
        with Batch() as outer, pytest.raises(CounterpunchError, match="opened before"):
            outer.__enter__()


def test_bad_callbacks_are_refused_where_they_are_written() -> None:
    """A callback is a job class or a decorated function."""
    for bad in (print, "ReportJob", PartJob.perform_async):
        with pytest.raises(InvalidOption, match=r"^Batch: on_complete="):
            Batch(on_complete=bad)

    seen = []

    @job
    def report(batch_id: str) -> None:
        seen.append(batch_id)

    with fake() as recorder:
        with Batch(on_success=report) as batch:
            pass
        recorder.drain()
    assert seen == [batch.id]


def test_a_callback_that_cannot_be_enqueued_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The other callback still comes, and the batch is complete."""
    ran = threading.Event()

    class NamelessJob(Job):
        @staticmethod
        def identity(batch_id: str) -> str:
            raise LookupError(batch_id)

        def perform(self, batch_id: str) -> None: ...

    class GoodJob(Job):
        def perform(self, batch_id: str) -> None:
            ran.set()

    with Batch(on_success=NamelessJob, on_complete=GoodJob) as batch:
        pass
    assert ran.wait(WAIT)
    assert batch.done()
    assert "the callback" in caplog.text
    assert "NamelessJob" in caplog.text


def test_a_callback_may_have_options_and_goes_past_a_full_queue(ended: Ended) -> None:
    """``using(...)`` of a class; its queue is full, and the batch's end is no reason to lose it."""
    gate, entered = threading.Event(), threading.Event()

    class ReportJob(Job):
        workers = max_jobs = 1

        def perform(self, name: str) -> None:
            if name == "first":
                entered.set()
                assert gate.wait(WAIT)
            ended.append((name, ",".join(self.handle.tags)))

    ReportJob.perform_async("first")
    assert entered.wait(WAIT)
    ReportJob.perform_async("second")
    with Batch(on_complete=ReportJob.using(tags=("end",))) as batch:
        pass
    assert [handle.status for handle in batch.callbacks] == [Status.QUEUED]
    gate.set()
    assert counterpunch.wait_idle(WAIT)
    assert ended == [("first", ""), ("second", ""), (batch.id, "end")]


def test_what_is_no_callback_is_refused_where_it_is_written() -> None:
    """An instance, anything with a perform_async, a job that takes no id; a class with an
    attribute named job is one."""

    class NoArgumentJob(Job):
        def perform(self) -> None: ...

    class DailyJob(Job):
        job = "daily"

        def perform(self, batch_id: str) -> str:
            return self.job

    class Likeness:
        def perform_async(self) -> None: ...

    for wrong in (DailyJob(), Likeness(), NoArgumentJob, NoArgumentJob.using(priority=1)):
        with pytest.raises(InvalidOption, match="on_complete"):
            Batch(on_complete=wrong)
    with Batch(on_complete=DailyJob) as batch:
        pass
    assert [handle.result(WAIT) for handle in batch.callbacks] == ["daily"]


def test_inline_runs_members_and_callbacks_here(callbacks: Callbacks, ended: Ended) -> None:
    """Under ``inline()`` all is over when the block is, and a callback's failure shows."""
    with inline():
        with open_batch(callbacks) as batch:
            PartJob.perform_async()
        assert ended == [("success", batch.id), ("complete", batch.id)]

        class BrokenCallbackJob(Job):
            def perform(self, batch_id: str) -> None:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError), Batch(on_complete=BrokenCallbackJob):
            PartJob.perform_async()


def test_waiting_in_fake_says_what_to_do() -> None:
    """Nothing runs by itself there, so ``wait`` refuses instead of hanging."""
    with fake() as recorder:
        with Batch() as batch:
            PartJob.perform_async()
        with pytest.raises(CounterpunchError, match=r"drain\(\)"):
            batch.wait()
        recorder.drain()
        assert batch.wait()


def test_waiting_for_a_batch_that_was_never_opened_is_refused() -> None:
    """It would never end; with a time limit that runs out."""
    with pytest.raises(CounterpunchError, match="was never opened"):
        Batch().wait()
    assert not Batch().wait(0)


def test_wait_runs_out() -> None:
    """``wait(timeout)`` answers False while a member is alive."""
    go = threading.Event()

    class SlowPartJob(Job):
        def perform(self) -> None:
            assert go.wait(WAIT)

    with Batch() as batch:
        handle: Handle[None] = SlowPartJob.perform_async()
    assert not batch.wait(0.01)
    go.set()
    assert batch.wait(WAIT)
    assert handle.status is Status.SUCCEEDED


def test_callbacks_see_the_context_variables_of_who_opened_the_batch() -> None:
    trace: contextvars.ContextVar[str] = contextvars.ContextVar("trace", default="none")
    seen: list[str] = []

    class FollowJob(Job):
        def perform(self, batch_id: str) -> None:
            seen.append(trace.get())

    gate = threading.Event()

    @job
    def member() -> None:
        assert gate.wait(WAIT)

    trace.set("request 7")
    with Batch(on_complete=FollowJob) as batch:
        member.perform_async()
    trace.set("the next request")
    gate.set()
    assert batch.wait(WAIT)
    batch.callbacks[0].result(WAIT)
    assert seen == ["request 7"]


def test_a_block_whose_end_is_interrupted_twice_is_complete(
    callbacks: Callbacks, ended: Ended
) -> None:
    """The exception is the caller's; the callback is enqueued, once."""
    called, _ = callbacks
    times: list[type[BaseException]] = [KeyboardInterrupt, KeyboardInterrupt]

    def interrupting(handle: Handle[Any]) -> contextlib.AbstractContextManager[None]:
        if times:
            raise times.pop()
        return contextlib.nullcontext()

    batch = Batch(on_complete=called)
    batch.__enter__()
    remove = counterpunch.around_enqueue(interrupting)
    try:
        with pytest.raises(KeyboardInterrupt):
            batch.__exit__(None, None, None)
        assert batch.wait(WAIT)
    finally:
        remove()
    assert [handle.exception(WAIT) for handle in batch.callbacks] == [None]
    assert ended == [("success", batch.id)]
