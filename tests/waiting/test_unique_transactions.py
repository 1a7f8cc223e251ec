"""Unique jobs that wait for a transaction: whose the key is, before and after its end."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable

import pytest
from unique_jobs import WAIT, unique_class

import counterpunch
from counterpunch import Duplicate, Handle, Job, Status
from counterpunch.testing import fake

# Transactions


class Open:
    """A transaction as ``after_commit`` takes it; ``within`` adds savepoints."""

    def __init__(self) -> None:
        self.ends: list[tuple[Callable[[], object], Callable[[], object]]] = []

    def defer(self, commit: Callable[[], object], rollback: Callable[[], object]) -> bool:
        self.ends.append((commit, rollback))
        return True

    def commit(self) -> None:
        while self.ends:
            self.ends.pop(0)[0]()

    def rollback(self) -> None:
        while self.ends:
            self.ends.pop(0)[1]()


TURNS = 30  # of each thread in the race
CHOICES = ("existing", "replace", "discard", "raise")


@pytest.mark.parametrize("choice", CHOICES)
def test_a_strangers_rollback_takes_nothing_along(choice: str) -> None:
    """A job deferred elsewhere is in nobody's way: not outside of a transaction, not in
    another one; and when it is dropped it gives back nobody else's key."""
    job = unique_class(choice)
    with fake() as recorder:
        stranger, own = Open(), Open()
        dropped = job.using(after_commit=stranger).perform_async("k")
        deferred = job.using(after_commit=own).perform_async("k")
        plain = job.perform_async("k")
        assert len({dropped, deferred, plain}) == 3
        assert plain.status is Status.QUEUED
        stranger.rollback()
        assert dropped.status is Status.DISCARDED
        job.on_duplicate = "existing"
        assert job.perform_async("k") is plain
        assert recorder.drain() == 1
        own.commit()
        assert deferred.status is Status.QUEUED
        assert job.perform_async("k") is deferred
        assert recorder.drain() == 1
        assert not recorder._runtime.keys.table


def test_jobs_of_one_transaction_share_its_fate() -> None:
    """Within it a second one is a duplicate, in each of the four ways."""
    with fake() as recorder:
        for choice in CHOICES:
            job = unique_class(choice)
            transaction = Open()
            using = job.using(after_commit=transaction)
            first = using.perform_async("k", 1)
            if choice == "raise":
                with pytest.raises(Duplicate, match=first.id):
                    using.perform_async("k", 2)
                second = first
            else:
                second = using.perform_async("k", 2)
            waits = second if choice == "replace" else first
            assert {first, second} - {waits} <= {h for h in (first, second) if h.done()}
            assert (second is first) == (choice in ("existing", "raise"))
            transaction.commit()
            assert recorder.jobs == [waits]
            assert recorder.drain() == 1
            transaction = Open()
            dropped = job.using(after_commit=transaction).perform_async("k")
            transaction.rollback()
            assert dropped.status is Status.DISCARDED
            assert not recorder._runtime.keys.table


@pytest.mark.parametrize("scope", ["queued", "active"])
@pytest.mark.parametrize("choice", CHOICES)
def test_a_commit_meets_a_job_that_waits(
    choice: str, scope: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The one that waits goes, under ``"replace"``; else the committed one is a duplicate of
    it, and under ``"raise"`` that is an error in the log."""
    job = unique_class(choice, scope)
    with fake() as recorder:
        transaction = Open()
        committed = job.using(after_commit=transaction).perform_async("k", 1)
        waits = job.perform_in(60, "k", 2)
        transaction.commit()
        if choice == "replace":
            assert (waits.status, committed.status) == (Status.CANCELLED, Status.QUEUED)
            assert recorder.advance(60) == 1
        else:
            assert (waits.status, committed.status) == (Status.SCHEDULED, Status.DISCARDED)
            assert committed.error == f"a duplicate of {waits.id}"
            assert job.stats().discards.duplicate == 1
            assert job.perform_in(60, "k") is waits if choice == "existing" else True
            assert recorder.advance(60) == 1
        errors = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
        assert len(errors) == (choice == "raise")
        for text in errors:
            for part in (committed.id, waits.id, "UniqueJob", "('k',)", "on_duplicate='replace'"):
                assert part in text
        assert not recorder._runtime.keys.table


def test_the_log_hides_an_identity_as_it_hides_arguments(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An identity is made of arguments."""
    job = unique_class("raise")
    job.redact = {"key"}
    with fake():
        transaction = Open()
        job.using(after_commit=transaction).perform_async("secret")
        job.perform_in(60, "secret")
        transaction.commit()
    assert "[hidden]" in caplog.text
    assert "secret" not in caplog.text


def test_a_commit_meets_a_job_that_runs() -> None:
    """``"queued"``: it has given its key back. ``"active"``: the committed one is a duplicate,
    under ``"replace"`` as well, since a running job cannot be replaced."""
    for scope, expected in (("queued", Status.SUCCEEDED), ("active", Status.DISCARDED)):
        for choice in ("existing", "replace"):
            transaction = Open()

            class MetJob(Job):
                unique = scope
                on_duplicate = choice

                @staticmethod
                def identity(key: str, commits: bool = False) -> str:
                    return key

                def perform(self, key: str, commits: bool = False) -> None:
                    if commits:
                        transaction.commit()  # noqa: B023  (run within the round)

            with fake() as recorder:
                deferred = MetJob.using(after_commit=transaction).perform_async("k")
                running = MetJob.perform_async("k", commits=True)
                recorder.drain()
                assert running.status is Status.SUCCEEDED
                assert deferred.status is expected


def test_of_two_that_commit_the_first_has_the_key() -> None:
    """Whichever was enqueued first; the later commit finds a job that waits."""
    for choice in ("existing", "replace"):
        job = unique_class(choice)
        with fake() as recorder:
            transactions = Open(), Open()
            early, late = (job.using(after_commit=one).perform_async("k") for one in transactions)
            transactions[1].commit()
            assert (early.status, late.status) == (Status.DEFERRED, Status.QUEUED)
            transactions[0].commit()
            lost, kept = (late, early) if choice == "replace" else (early, late)
            assert recorder.jobs == [kept]
            assert lost.done()
            assert recorder.drain() == 1


def test_a_deferred_job_replaces_when_its_transaction_has_committed() -> None:
    """Not before: a rollback would leave neither. And not if a full queue is to refuse it."""
    job = unique_class("replace")
    with fake() as recorder:
        transaction = Open()
        old = job.perform_async("k")
        newer = job.using(after_commit=transaction).perform_async("k")
        assert (old.status, newer.status) == (Status.QUEUED, Status.DEFERRED)
        transaction.rollback()
        assert (old.status, newer.status) == (Status.QUEUED, Status.DISCARDED)
        recorder.drain()
        job.max_jobs = 1
        old = job.perform_in(60, "k")
        newer = job.using(after_commit=transaction).perform_async("k")
        job.perform_async("other")
        transaction.commit()
        assert (old.status, newer.status) == (Status.SCHEDULED, Status.DISCARDED)
        assert recorder.advance(60) == 2
        assert old.status is Status.SUCCEEDED
        job.max_jobs = 2
        old, newer = job.perform_async("k"), job.using(after_commit=transaction).perform_async("k")
        job.perform_async("other")
        job.max_jobs = 1  # more wait than that: without the older one it is full all the same
        transaction.commit()
        assert (old.status, newer.status) == (Status.QUEUED, Status.DISCARDED)


def test_a_transaction_that_cannot_be_compared_is_shared_by_none() -> None:
    """Without a weak reference or a hash to know it by, each of its jobs is by itself."""

    class Unhashable(Open):
        __hash__ = None  # type: ignore[assignment]

    class Slotted:
        __slots__ = ("commit",)

        def defer(self, commit: Callable[[], object], rollback: object) -> bool:
            self.commit = commit
            return True

    job = unique_class("existing")
    for transaction in (Unhashable(), Slotted()):
        with fake() as recorder:
            first, second = (
                job.using(after_commit=transaction).perform_async("k") for _ in range(2)
            )
            assert first is not second
            transaction.commit()
            assert recorder.drain() == 1


def test_a_savepoint_is_a_transaction_of_its_own() -> None:
    """One enqueued within it is a duplicate of one outside of it; the other way round it is
    not, as the savepoint alone may be rolled back."""

    class Nested(Open):
        savepoints: tuple[str, ...] = ()

        def within(self) -> tuple[object, ...]:
            return (id(self), *self.savepoints)

    for choice in ("existing", "replace"):
        job = unique_class(choice)
        with fake() as recorder:
            transaction = Nested()
            using = job.using(after_commit=transaction)
            outer = using.perform_async("k")
            transaction.savepoints = ("inner",)
            inside = using.perform_async("k")
            assert (inside is outer) == (choice == "existing")
            only = using.perform_async("only")
            transaction.savepoints = ()
            assert outer.status is Status.DEFERRED
            after = using.perform_async("only")
            assert after is not only
            for end in [end for end in transaction.ends if end[0].__self__._call is only]:
                transaction.ends.remove(end)
                end[1]()
            transaction.commit()
            assert only.status is Status.DISCARDED
            assert after.status is Status.QUEUED
            assert recorder.drain() == 2


class Yielding:
    """A key that lets another thread go on whenever it is looked up."""

    def __hash__(self) -> int:
        time.sleep(0)
        return 1

    def __eq__(self, other: object) -> bool:
        return self is other


@pytest.mark.parametrize("choice", CHOICES)
def test_sixteen_threads_race_with_commits_and_rollbacks(choice: str) -> None:
    """At most one waits per identity; what was committed or enqueued plainly has run, or is a
    duplicate of, or was replaced by, one that has; and no key is left behind."""
    job = unique_class(choice)
    job.max_jobs = None
    job.workers = 4
    start, key = threading.Barrier(16), Yielding()
    handles: list[tuple[bool, Handle[None]]] = []
    refused: list[None] = []
    crowded: list[int] = []
    lane = counterpunch.core.port.current().lane(job)

    def race(thread: int) -> None:
        start.wait(WAIT)
        still_open: list[tuple[bool, Open]] = []
        for turn in range(TURNS):
            kept = (thread + turn) % 3 != 0
            transaction = Open()
            chosen = job if (thread + turn) % 3 == 1 else job.using(after_commit=transaction)
            try:
                handles.append((kept, chosen.perform_async(key)))
            except Duplicate:
                refused.append(None)
            still_open.append((kept, transaction))
            if len(still_open) == 3 or turn == TURNS - 1:  # open while the others enqueue
                for commits, ending in still_open:
                    ending.commit() if commits else ending.rollback()
                still_open.clear()
            crowded.append(len(lane.queued_calls()))

    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that they meet between any two steps
    try:
        threads = [threading.Thread(target=race, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        assert counterpunch.wait_idle(WAIT)
    finally:
        sys.setswitchinterval(switch)
        logging.getLogger("counterpunch").setLevel(logging.NOTSET)
    assert len(handles) + len(refused) == 16 * TURNS
    assert max(crowded) <= 1
    by_id = {handle.id: handle for _, handle in handles}
    for kept, handle in handles:
        error = handle.error or ""
        if handle.status is Status.SUCCEEDED:
            continue
        if "duplicate of" in error:
            assert handle.status is Status.DISCARDED
            assert by_id[error.split()[-1]].status in (Status.SUCCEEDED, Status.CANCELLED)
        elif handle.status is Status.CANCELLED:
            assert choice == "replace"
        else:
            assert (handle.status, kept) == (Status.DISCARDED, False)
            assert error == "its transaction was rolled back"
    counts = job.stats()
    assert counts.accepted == counts.succeeded + counts.cancelled + counts.discarded
    assert not counterpunch.core.port.current().keys.table
