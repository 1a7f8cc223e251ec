"""Identities that have the hash of another, and cannot be compared with it any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from unique_jobs import WAIT

import counterpunch
from counterpunch import Batch, Handle, Job, Retry, Status
from counterpunch.core.values.hooks import logger

wrong: list[Callable[[], object]] = []


class Id:
    """All have one hash. Once there is something ``wrong``, comparing two does that."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        for act in wrong:
            act()
        return isinstance(other, Id) and self.number == other.number


def raising() -> None:
    raise ValueError("no eq")


def leaving() -> None:
    raise SystemExit


def recursing() -> None:
    recursing()


Harm = Callable[[], None]


@pytest.fixture(params=[raising, leaving, recursing])
def harm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harm]:
    monkeypatch.setattr(logger, "disabled", True)
    yield lambda: wrong.append(request.param)
    wrong.clear()


class Open:
    def defer(self, commit: Callable[[], object], rollback: Callable[[], object]) -> bool:
        self.commit = commit
        return True


def a_class(unique: str, opened: threading.Event | None = None) -> Any:
    class Hostile(Job):
        workers = 1
        retry = Retry(2, wait=0.0)
        identity = staticmethod(lambda id: id)

        def perform(self, id: Id) -> None:
            if opened is not None:
                opened.wait(WAIT)
            if id.number == 1 and self.attempt == 1:
                raise OSError

    Hostile.unique = unique  # type: ignore[assignment]
    return Hostile


@pytest.mark.parametrize("unique", ["queued", "active"])
def test_each_job_ends_as_any_other(unique: str, harm: Harm) -> None:
    """It runs, is tried again, cancelled, or lost in the stop; no key is left."""
    opened = threading.Event()
    job = a_class(unique, opened)
    handles = [job.perform_async(Id(number)) for number in range(3)]
    far = [job.perform_in(60, Id(number)) for number in (3, 4)]
    harm()
    opened.set()
    assert [handle.exception(WAIT) for handle in handles] == [None] * 3
    assert far[0].cancel()
    report = counterpunch.shutdown(WAIT)
    assert report.lost == [far[1]]
    wrong.clear()
    assert job.perform_async(Id(4)).exception(WAIT) is None


def test_a_commit_loses_none(harm: Harm) -> None:
    """What is out of a signal handler reaches the caller, and the job goes on all the same."""
    job, transaction = a_class("active"), Open()
    far = job.perform_in(60, Id(1))
    handle = job.using(after_commit=transaction).perform_async(Id(2))
    harm()
    try:
        transaction.commit()
    except SystemExit:
        assert wrong == [leaving]
    assert handle.exception(WAIT) is None
    assert far.cancel()


def test_a_commit_that_cannot_go_on_leaves_its_job_where_it_is() -> None:
    """Another thread may cancel it, or the drain lose it, meanwhile."""
    job, transaction = a_class("active"), Open()
    far = job.perform_in(60, Id(1))
    handle = job.using(after_commit=transaction).perform_async(Id(2))
    seen: list[Any] = []

    def cancel() -> None:
        wrong.clear()
        seen.extend((handle.status, handle.cancel()))

    wrong.append(cancel)
    transaction.commit()
    assert seen == [Status.DEFERRED, True]
    assert job.perform_async(Id(2)).exception(WAIT) is None
    assert far.cancel()


def test_a_batch_calls_back(harm: Harm) -> None:
    """Nobody asks the identities of members that have succeeded."""
    called: list[str] = []

    class Called(Job):
        def perform(self, batch: str) -> None:
            called.append(batch)

    job = a_class("active")
    job.pause()
    with Batch(on_success=Called) as batch:
        members: list[Handle[Any]] = [job.perform_async(Id(number)) for number in range(3)]
    harm()
    job.resume()
    assert batch.wait(WAIT)
    assert [member.exception(WAIT) for member in members] == [None] * 3
    assert batch.callbacks[0].exception(WAIT) is None
    assert called == [batch.id]
