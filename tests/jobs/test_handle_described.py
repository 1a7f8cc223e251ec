"""Large arguments and results of jobs that have ended: described, and not held."""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from doors import LONG, Boom
from eventually import eventually

import counterpunch
from counterpunch import Handle, InvalidOption, Job, NotKept, Status, testing
from counterpunch.core.port import accepting
from counterpunch.core.values.interpreter import LOCKED

BIG = 200_000
CHUNK = BIG // 10
#: What is kept may weigh as much as five of them; the default is asked once.
KEPT = 5 * BIG
MOST = 2 * KEPT
JOBS = 50


class Owner:
    """An upload, for example."""

    def __init__(self) -> None:
        self.name, self.part = "a.png", {"content": bytes(BIG)}


LARGE: dict[str, Callable[[], Any]] = {
    "bytes": lambda: bytes(BIG),
    "str": lambda: "x" * BIG,
    "list": lambda: [bytes(CHUNK) for _ in range(10)],
    "long list": lambda: [0] * (BIG // 8),
    "dict": lambda: {number: bytes(CHUNK) for number in range(10)},
    "object": Owner,
}


class Keep(Job):
    def perform(self, value: Any = None, *, fail: bool = False) -> None:
        if fail:
            raise Boom


class KeepAsync(Keep):
    async def perform(self, value: Any = None, *, fail: bool = False) -> None:  # type: ignore[override]
        if fail:
            raise Boom


class Give(Job):
    def perform(self, kind: str) -> Any:
        return LARGE[kind]()


@pytest.fixture
def left() -> Any:
    """What is in use since the test began, in bytes."""
    counterpunch.configure(history_bytes=KEPT)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]

    def now() -> int:
        assert counterpunch.wait_idle(LONG)
        for _ in range(6):  # without the interpreter lock: what threads that sleep are to free
            gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    yield now
    tracemalloc.stop()


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is logged: pytest keeps the records, and those keep frames with the handle."""
    caplog.set_level(1000, "counterpunch")


@pytest.mark.parametrize("kind", LARGE)
def test_fifty_large_arguments_leave_little(kind: str, left: Callable[[], int]) -> None:
    """A fifth of what they were, at most; and all fifty jobs are there to be seen."""
    for _ in range(JOBS):
        Keep.perform_async(LARGE[kind]())
    assert left() < MOST
    assert len(counterpunch.jobs(Keep, "succeeded")) == JOBS


@pytest.mark.parametrize("kind", LARGE)
def test_fifty_large_results_leave_little(kind: str, left: Callable[[], int]) -> None:
    """The same."""
    for _ in range(JOBS):
        Give.perform_async(kind)
    assert left() < MOST
    oldest = counterpunch.jobs(Give)[-1]
    assert oldest.args == (kind,)
    with pytest.raises(NotKept, match="result"):
        oldest.result()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("way", ["failed", "async", "cancelled", "now", "inline"])
def test_however_they_end(way: str, left: Callable[[], int]) -> None:
    """On any way to the end."""
    for _ in range(JOBS):
        if way == "failed":
            Keep.perform_async(bytes(BIG), fail=True)
        elif way == "async":
            KeepAsync.perform_async(bytes(BIG))
        elif way == "cancelled":
            Keep.perform_in(60, bytes(BIG)).cancel()
        elif way == "now":
            Keep.perform_now(bytes(BIG))
        else:
            with testing.inline():
                Keep.perform_async(bytes(BIG))
    assert left() < MOST


@pytest.mark.skipif(
    not LOCKED, reason="what another thread has made is freed when that one gets to it"
)
def test_nor_do_they_meanwhile(left: Callable[[], int]) -> None:
    """In a burst, with no pause in which a worker could look after what has ended."""
    for _ in range(6 * JOBS):
        Give.perform_async("bytes")
    left()
    assert tracemalloc.get_traced_memory()[1] < 6 * JOBS * BIG / 5


def test_by_default_eight_megabytes_are_kept() -> None:
    """Of forty: nobody has to set the bound."""
    for _ in range(40):
        Keep.perform_async(bytes(1_000_000))
    assert counterpunch.wait_idle(LONG)
    assert 6 <= sum(not call.described for call in counterpunch.jobs(Keep)) <= 8


def test_a_handle_that_is_kept_has_everything() -> None:
    """And is the one that is found; when it is gone, a description is."""
    counterpunch.configure(history_bytes=0)
    kept = Give.perform_async("bytes")
    also = Keep.perform_async(bytes(BIG), fail=True)
    assert counterpunch.wait_idle(LONG)
    assert counterpunch.find(kept.id) is kept
    assert not kept.described
    assert kept.result() == bytes(BIG)
    assert len(also.args[0]) == BIG
    assert also.retry().kwargs == {"fail": True}
    assert counterpunch.wait_idle(LONG)
    id, gone = kept.id, weakref.ref(kept)
    del kept
    eventually(lambda: gone() is None)
    found = counterpunch.find(id)
    assert found is not None
    assert found.described
    assert found is counterpunch.find(id)
    assert found.status is Status.SUCCEEDED
    with pytest.raises(NotKept, match=rf"{id} succeeded>: .*result.*history_bytes"):
        found.result()


@pytest.mark.usefixtures("quiet")
def test_a_failed_job_is_retried_within_the_bound() -> None:
    """The latest that fit are; of the others it is refused by name."""
    counterpunch.configure(history_bytes=5 * BIG)
    for _ in range(10):
        Keep.perform_async(bytes(BIG), fail=True)
    assert counterpunch.wait_idle(LONG)
    for _ in range(10):
        Keep.perform_async(bytes(BIG))  # those that succeeded go first
    assert counterpunch.wait_idle(LONG)
    failed = counterpunch.jobs(Keep, "failed")
    assert [call.described for call in failed] == [False] * 3 + [True] * 7
    again = failed[0].retry()
    assert again.args == failed[0].args
    with pytest.raises(NotKept, match=r"cannot be retried.* raise configure"):
        failed[-1].retry()
    with pytest.raises(Boom):
        failed[-1].result()  # which is small
    assert "Boom" in (failed[-1].error or "")


def test_who_waits_for_a_description() -> None:
    """Callbacks, futures and ``await`` answer at once, as for any job that has ended."""
    counterpunch.configure(history_bytes=0)
    id = Give.perform_async("bytes").id
    assert counterpunch.wait_idle(LONG)
    found = counterpunch.find(id)
    assert found is not None
    called: list[Handle[Any]] = []
    found.add_done_callback(called.append)
    assert called == [found]

    async def ask() -> None:
        assert found is not None
        await found

    with pytest.raises(NotKept):
        asyncio.run(ask())
    for future in (found.future(), found.future()):
        assert isinstance(future.exception(LONG), NotKept)


def test_a_question_of_what_is_gone_is_answered_no() -> None:
    """``jobs(where=...)`` goes on."""
    counterpunch.configure(history_bytes=0)
    small = Keep.perform_async("x")
    Keep.perform_async("x" * BIG)
    assert counterpunch.wait_idle(LONG)
    assert counterpunch.jobs(Keep, where=lambda call: call.args[0][0] == "x") == [small]
    with pytest.raises(NotKept):
        counterpunch.jobs(Keep, where=lambda call: _raise())


def _raise() -> None:
    raise NotKept("of something else")


def test_an_identity_is_still_known() -> None:
    """``latest`` and its like find the description."""

    class Of(Job):
        @staticmethod
        def identity(name: str, value: Any) -> str:
            return name

        def perform(self, name: str, value: Any) -> None: ...

    counterpunch.configure(history_bytes=0)
    Of.perform_async("a", bytes(BIG))
    assert counterpunch.wait_idle(LONG)
    latest = Of.latest("a")
    assert latest is not None
    assert latest.described
    assert Of.status("a") is Status.SUCCEEDED


def test_the_bound_can_be_changed() -> None:
    """At once."""
    Keep.perform_async(bytes(BIG))
    assert counterpunch.wait_idle(LONG)
    assert not counterpunch.jobs(Keep)[0].described
    counterpunch.configure(history_bytes=BIG // 2)
    assert counterpunch.jobs(Keep)[0].described
    for wrong in (-1, 1.5, True, None, "8M"):
        with pytest.raises(InvalidOption, match="history_bytes"):
            counterpunch.configure(history_bytes=wrong)  # type: ignore[arg-type]


def test_what_is_let_go_runs_no_code_before_it_is_put_down() -> None:
    """An object whose end enqueues a job, from the worker that lets go of it."""
    ends: list[Handle[Any]] = []
    told = threading.Event()

    class Last:
        def __init__(self) -> None:
            self.content = bytes(BIG)

        def __del__(self) -> None:
            ends.append(Keep.perform_async())
            told.set()

    counterpunch.configure(history_bytes=0)
    id = Keep.perform_async(Last()).id
    eventually(told.is_set)  # without the interpreter lock it is this thread's to free
    ends[0].result(LONG)
    assert counterpunch.wait_idle(LONG)
    assert [call.id for call in counterpunch.jobs(Keep)] == [ends[0].id, id]


# By age, in an idle process


class Secret:
    """An argument whose end can be seen."""


def test_an_idle_process_lets_go_of_what_is_too_old() -> None:
    """Nobody enqueues, ends or looks."""
    counterpunch.configure(history_ttl=0.2)
    told = threading.Event()
    count = [20]

    def gone() -> None:
        count[0] -= 1
        if not count[0]:
            told.set()

    for _ in range(count[0]):
        secret = Secret()
        weakref.finalize(secret, gone)
        Keep.perform_async(secret)
    del secret
    assert counterpunch.wait_idle(LONG)
    eventually(told.is_set)  # as above


def test_a_process_of_jobs_without_anything_starts_no_scheduler() -> None:
    """Neither an argument nor a result: nothing that could be let go of."""
    scheduler = accepting().scheduler
    Keep.perform_async().result(LONG)
    Keep.perform_now()
    assert counterpunch.wait_idle(LONG)
    assert scheduler.thread is None
    Keep.perform_async(1)
    assert counterpunch.wait_idle(LONG)
    assert scheduler.thread is not None


def test_virtual_time_lets_go_as_well() -> None:
    """``advance`` reaches the instant, as any other that something is due at."""
    counterpunch.configure(history_ttl=100)
    with testing.fake() as recorder:
        secret = Secret()
        gone = weakref.ref(secret)
        Keep.perform_async(secret)
        del secret
        assert recorder.drain() == 1
        recorder.advance(99)
        assert gone() is not None
        assert recorder.advance(5) == 0
        assert gone() is None
        assert counterpunch.wait_idle(0)


@pytest.mark.parametrize("seconds", [0.001, LONG])
def test_a_worker_without_more_to_do_gets_up_to_weigh_what_it_has_run(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process in which nothing more happens; who waits for idleness is before it."""
    monkeypatch.setattr("counterpunch.core.places.history.TIDY_SECONDS", seconds)
    counterpunch.configure(history_bytes=0)
    monkeypatch.setattr(accepting().history, "look_back", float("inf"))
    Keep.perform_async(Owner()).result(LONG)
    if seconds == LONG:
        assert counterpunch.wait_idle(LONG)
        assert not accepting().history.untidy()
    eventually(lambda: not accepting().history.untidy())
    assert counterpunch.jobs(Keep)[-1].described
