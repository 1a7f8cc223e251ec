"""Identity and uniqueness: two switches, exact within the process."""

from __future__ import annotations

import functools
import logging
import threading
from typing import Any

import pytest
from unique_jobs import WAIT, unique_class

import counterpunch
from counterpunch import (
    CounterpunchError,
    Discarded,
    Duplicate,
    Handle,
    InvalidOption,
    Job,
    Retry,
    Status,
)
from counterpunch.core.places.keys import Keys
from counterpunch.testing import fake


class ReportJob(Job):
    """A class with an identity and no uniqueness."""

    @staticmethod
    def identity(user: int, kind: str = "pdf") -> tuple[int, str]:
        return user, kind

    def perform(self, user: int, kind: str = "pdf") -> None:
        self.set_status(step="reading", user=user)
        self.progress(1, 2, "half")
        self.set_status(step="writing")


def test_an_identity_alone_never_refuses_a_job() -> None:
    """Any number of jobs of one identity are accepted; asking about them works."""
    with fake() as recorder:
        handles = [ReportJob.perform_async(7) for _ in range(3)]
        assert len({handle.id for handle in handles}) == 3
        assert ReportJob.in_progress(7, "pdf")
        assert not ReportJob.in_progress(8, "pdf")
        assert ReportJob.status(7, "pdf") is Status.QUEUED
        assert ReportJob.latest(7, "pdf") is handles[-1]
        recorder.drain()
        assert not ReportJob.in_progress(7, "pdf")
        assert ReportJob.status(7, "pdf") is Status.SUCCEEDED
        assert ReportJob.status(8, "pdf") is None
        newest = ReportJob.latest(7, "pdf")
        assert newest is not None
        assert newest.data == {"step": "writing", "user": 7}
        assert newest.progress == (1, 2, "half")


def test_a_running_perform_now_is_in_progress() -> None:
    """The identity is known for a job that runs on the caller's thread as well."""
    seen = []

    class NowJob(Job):
        @staticmethod
        def identity(name: str) -> str:
            return name

        def perform(self, name: str) -> None:
            seen.append((NowJob.in_progress(name), NowJob.status(name)))

    NowJob.perform_now("a")
    assert seen == [(True, Status.RUNNING)]


def test_asking_a_class_without_identity_is_refused() -> None:
    """It is an error to ask, not a silent False."""

    class AnonymousJob(Job):
        def perform(self) -> None: ...

    for ask in (AnonymousJob.in_progress, AnonymousJob.status, AnonymousJob.latest):
        with pytest.raises(CounterpunchError, match="AnonymousJob has no identity"):
            ask(1)


def test_existing_returns_the_first_handle() -> None:
    """The default: one job, and both callers hold its handle."""
    job = unique_class("existing")
    with fake() as recorder:
        first = job.perform_async("k", 1)
        assert job.perform_async("k", 2) is first
        assert job.perform_async("other") is not first
        assert job.stats().accepted == len(recorder.jobs) == 2


def test_raise_refuses_by_name() -> None:
    """``Duplicate`` names the class and the job in the way; nothing is accepted."""
    job = unique_class("raise")
    with fake():
        first = job.perform_async("k")
        with pytest.raises(Duplicate, match=rf"UniqueJob was not enqueued.*{first.id}"):
            job.perform_async("k")
        assert job.stats().accepted == 1


def test_discard_ends_the_newcomer() -> None:
    """The second handle has its own arguments and is ``discarded``; the first still runs."""
    job = unique_class("discard")
    with fake() as recorder:
        first = job.perform_async("k", 1)
        second = job.perform_async("k", 2)
        assert (second.status, second.args) == (Status.DISCARDED, ("k", 2))
        assert second.id != first.id
        assert "duplicate" in (second.error or "")
        assert job.status("k") is Status.QUEUED
        recorder.drain()
        assert first.status is Status.SUCCEEDED


def test_replace_cancels_the_older() -> None:
    """The newer job takes the place of the waiting one, delayed ones included."""
    job = unique_class("replace")
    with fake() as recorder:
        first = job.perform_in(60, "k", 1)
        second = job.perform_async("k", 2)
        assert (first.status, second.status) == (Status.CANCELLED, Status.QUEUED)
        assert recorder.drain() == 1
        assert recorder.advance(120) == 0


def test_queued_frees_the_key_at_the_start_and_active_at_the_end() -> None:
    """The scope: while one waits, or until it has ended, its retries included."""
    answers = []

    class ScopedJob(Job):
        on_duplicate = "raise"
        retry = Retry(2, wait=10, jitter=0)

        @staticmethod
        def identity(key: str, again: bool = False) -> str:
            return key

        def perform(self, key: str, again: bool = False) -> None:
            if again:
                return
            try:
                type(self).perform_async(key, again=True)
                answers.append("accepted")
            except Duplicate:
                answers.append("refused")
            if self.attempt == 1:
                raise OSError

    class QueuedScopeJob(ScopedJob):
        unique = "queued"

    class ActiveScopeJob(ScopedJob):
        unique = "active"

    with fake() as recorder:
        QueuedScopeJob.perform_async("k")
        recorder.advance(60)
        assert answers == ["accepted", "accepted"]
        answers.clear()
        ActiveScopeJob.perform_async("k")
        recorder.drain()
        with pytest.raises(Duplicate):  # it waits for its retry
            ActiveScopeJob.perform_async("k")
        recorder.advance(60)
        assert answers == ["refused", "refused"]
        ActiveScopeJob.perform_async("k", again=True)


def test_a_job_that_waits_for_its_retry_is_the_one_that_waits() -> None:
    """Under ``"queued"`` it takes its key back; ``"replace"`` takes its place."""

    class FlakyJob(Job):
        unique = "queued"
        retry = Retry(3, wait=10, jitter=0)

        @staticmethod
        def identity(key: str, *rest: object) -> str:
            return key

        def perform(self, key: str, *rest: object) -> None:
            if self.attempt < 3:
                raise OSError

    with fake() as recorder:
        first = FlakyJob.perform_async("k")
        recorder.drain()
        assert first.status is Status.RETRYING
        assert FlakyJob.perform_async("k") is first
        recorder.advance(10)
        assert (first.status, first.attempt) == (Status.RETRYING, 2)
        assert FlakyJob.perform_async("k") is first
        FlakyJob.on_duplicate = "replace"
        newer = FlakyJob.perform_async("k", "newer")
        assert (first.status, newer.status) == (Status.CANCELLED, Status.QUEUED)
        assert recorder.advance(60) == 3
        assert newer.status is Status.SUCCEEDED
        assert FlakyJob.perform_async("k") not in (first, newer)
        assert len(recorder._runtime.keys.table) == 1


def test_a_retry_goes_on_although_another_job_waits_by_then() -> None:
    """It was accepted, so it is not dropped; and the key stays the other one's."""

    class OvertakenJob(Job):
        unique = "queued"
        retry = Retry(2, wait=10, jitter=0)

        @staticmethod
        def identity(key: str, wait: bool = True) -> str:
            return key

        def perform(self, key: str, wait: bool = True) -> None:
            if wait and self.attempt == 1:
                others.append(type(self).using(delay=60).perform_async(key, wait=False))
                raise OSError

    others: list[Handle[None]] = []
    with fake() as recorder:
        first = OvertakenJob.perform_async("k")
        recorder.drain()
        assert (first.status, others[0].status) == (Status.RETRYING, Status.SCHEDULED)
        recorder.advance(10)
        assert first.status is Status.SUCCEEDED
        assert OvertakenJob.perform_async("k") is others[0]
        recorder.advance(60)
        assert others[0].status is Status.SUCCEEDED
        assert not recorder._runtime.keys.table


def test_one_waits_per_identity_while_attempts_fail_in_real_threads() -> None:
    """Eight threads enqueue while jobs fail and come back: of those that hold the key at most
    one waits, every handle ends, and no key is left behind."""

    class StormJob(Job):
        workers = 4
        unique = "queued"
        retry = Retry(3, wait=0.0005)

        @staticmethod
        def identity(key: int) -> int:
            return key

        def perform(self, key: int) -> None:
            if self.attempt < 3:
                raise OSError

    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    try:
        handles: list[Handle[None]] = []

        def enqueue() -> None:
            for number in range(300):
                handles.append(StormJob.perform_async(number % 3))

        threads = [threading.Thread(target=enqueue) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        assert counterpunch.wait_idle(WAIT, scheduled=True)
    finally:
        logging.getLogger("counterpunch").setLevel(logging.NOTSET)
    assert len(handles) == 2400
    assert {handle.status for handle in handles} == {Status.SUCCEEDED}
    assert {handle.attempt for handle in handles} == {3}
    counts = StormJob.stats()
    assert counts.accepted == counts.succeeded == len(set(handles))
    assert not counterpunch.core.port.current().keys.table


def test_replace_leaves_a_running_job_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Under ``"active"`` it cannot be replaced: its handle comes back, as by ``"existing"``,
    its token is not set, and the log says so."""
    begun, go, seen = threading.Event(), threading.Event(), []

    class RunningJob(Job):
        unique = "active"
        on_duplicate = "replace"

        @staticmethod
        def identity(key: str, number: int) -> str:
            return key

        def perform(self, key: str, number: int) -> None:
            begun.set()
            assert go.wait(WAIT)
            seen.append((number, self.cancelled))

    with caplog.at_level(logging.INFO, "counterpunch"):
        first = RunningJob.perform_async("k", 1)
        assert begun.wait(WAIT)
        assert RunningJob.perform_async("k", 2) is first
    assert f"{first!r} runs and cannot be replaced" in caplog.text
    go.set()
    first.result(WAIT)
    RunningJob.perform_async("k", 3).result(WAIT)
    assert seen == [(1, False), (3, False)]


@pytest.mark.parametrize("how", ["cancel", "fail", "refuse"])
def test_a_job_that_ends_otherwise_frees_its_key(how: str) -> None:
    """Cancelled, failed and refused by a middleware: the identity is free again."""

    class FreedJob(Job):
        unique = "active"
        on_duplicate = "raise"

        @staticmethod
        def identity(key: str) -> str:
            return key

        def on_enqueue(self) -> None:
            if how == "refuse" and FreedJob.stats().accepted == 1:
                raise counterpunch.Discard("no")

        def perform(self, key: str) -> None:
            raise ValueError

    with fake() as recorder:
        handle = FreedJob.perform_async("k")
        if how == "cancel":
            assert handle.cancel()
        elif how == "fail":
            with pytest.raises(ValueError, match=r"^$"):
                recorder.drain()
        assert handle.done()
        FreedJob.perform_async("k")


def test_sixteen_threads_race_for_one_identity() -> None:
    """Exactly one job is accepted, and every thread holds the handle with its final id."""
    ran = threading.Semaphore(0)

    class RaceJob(Job):
        unique = "active"

        @staticmethod
        def identity(key: int) -> int:
            return key

        def perform(self, key: int) -> None:
            ran.release()
            assert let_go.wait(WAIT)

    for round_ in range(20):
        let_go = threading.Event()
        start = threading.Barrier(16)
        seen: list[tuple[object, str]] = []

        def race(round_: int = round_, start: threading.Barrier = start) -> None:
            start.wait(WAIT)
            handle = RaceJob.perform_async(round_)
            seen.append((handle, handle.id))  # noqa: B023  (joined within the round)

        threads = [threading.Thread(target=race) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        assert len(seen) == 16
        assert len(set(seen)) == 1
        assert counterpunch.find(seen[0][1]) is seen[0][0]
        assert RaceJob.stats().accepted == round_ + 1
        let_go.set()
        assert counterpunch.wait_idle(WAIT)
    assert RaceJob.stats().attempts == 20


def test_racing_threads_under_raise_and_discard() -> None:
    """One wins; the others are told so, each in its own way, and the counters agree."""
    for choice in ("raise", "discard"):
        job = unique_class(choice)
        job.pause()
        start = threading.Barrier(8)
        outcomes: list[str] = []

        def race(
            job: type[Job] = job,
            start: threading.Barrier = start,
            outcomes: list[str] = outcomes,
        ) -> None:
            start.wait(WAIT)
            try:
                outcomes.append(job.perform_async("k").status.value)
            except Duplicate:
                outcomes.append("raised")

        threads = [threading.Thread(target=race) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        loser = "raised" if choice == "raise" else "discarded"
        assert sorted(outcomes) == sorted(["queued"] + [loser] * 7)
        counts = job.stats()
        assert (counts.queued, counts.accepted) == (1, 1 if choice == "raise" else 8)
        job.cancel_all()


def test_an_unhashable_identity_is_refused_by_name() -> None:
    """At the enqueue, naming class, option and value; nothing is accepted."""

    class ListJob(Job):
        @staticmethod
        def identity(rows: list[int]) -> list[int]:
            return rows

        def perform(self, rows: list[int]) -> None: ...

    with pytest.raises(InvalidOption, match=r"ListJob: identity=\[1, 2\].*hashable"):
        ListJob.perform_async([1, 2])
    with pytest.raises(InvalidOption, match=r"ListJob: identity=\[1, 2\].*hashable"):
        ListJob.perform_now([1, 2])
    with pytest.raises(InvalidOption, match=r"ListJob: identity=\[1, 2\].*hashable"):
        ListJob.in_progress([1, 2])  # type: ignore[arg-type]  # as type checkers say too
    with pytest.raises(InvalidOption, match=r"jobs: identity=\[1, 2\].*hashable"):
        counterpunch.jobs(ListJob, identity=[1, 2])  # type: ignore[arg-type]
    assert ListJob.stats().accepted == 0


def method(self: Any, user: int) -> int:
    return user


def identity_of(identity: Any, perform: Any) -> Any:
    """A class of the two."""
    return type(Job)("ShapedJob", (Job,), {"identity": identity, "perform": perform})


def performs(self: Any, user: int) -> None: ...
def performs_kind(self: Any, user: int, kind: str = "pdf") -> None: ...
def performs_keyword(self: Any, *, user: int) -> None: ...
def performs_nothing(self: Any) -> None: ...
def performs_anything(self: Any, *args: Any, **kwargs: Any) -> None: ...


@pytest.mark.parametrize(
    ("identity", "perform", "parameters"),
    [
        (method, performs, "user"),
        (method, performs_kind, "user, kind=None"),  # two arguments would go in by accident
        (method, performs_keyword, r"\*, user"),
        (method, performs_anything, r"\*args, \*\*kwargs"),
        (lambda self: 1, performs_nothing, ""),
        (staticmethod(lambda: 1), performs, "user"),
        (staticmethod(lambda user, kind, more: 1), performs_kind, "user, kind=None"),
        (staticmethod(lambda *args: 1), performs_keyword, r"\*, user"),
        (staticmethod(lambda user, *, other: 1), performs_kind, "user, kind=None"),
        (staticmethod(lambda account: 1), performs_keyword, r"\*, user"),
    ],
)
def test_an_identity_that_no_job_fits_is_refused(
    identity: Any, perform: Any, parameters: str
) -> None:
    """Where the class is defined: an ordinary method, above all, fails each enqueue."""
    rest = rf"allowed: a @staticmethod over perform's own parameters \({parameters}\)$"
    with pytest.raises(InvalidOption, match=rf"^ShapedJob: identity=<function .*{rest}"):
        identity_of(identity, perform)


@pytest.mark.parametrize(
    ("identity", "perform"),
    [
        (lambda user: user, performs),  # called on the class, so it works without staticmethod
        (staticmethod(lambda account: account), performs),
        (staticmethod(lambda self: self), performs),
        (staticmethod(lambda user, *rest: user), performs),
        (staticmethod(lambda *args, **kwargs: args), performs),
        (staticmethod(lambda user, kind="pdf", *, deep=False: user), performs),
        (staticmethod(lambda user, kind: user), performs_kind),  # if all calls give both
        (staticmethod(lambda user: user), performs_kind),  # if none does
        (staticmethod(lambda *, user: user), performs),  # if all calls give it by name
        (staticmethod(lambda **kwargs: kwargs["user"]), performs_keyword),
        (staticmethod(lambda user: user), performs_keyword),
        (staticmethod(lambda a, b, c: a), performs_anything),
        (classmethod(lambda cls, user: user), performs),
        (functools.partial(lambda kind, user: user, "pdf"), performs),
        (functools.cache(lambda user: user), performs),
    ],
)
def test_an_identity_that_some_job_may_fit_is_accepted(identity: Any, perform: Any) -> None:
    """What cannot be told for sure from the signatures is left to the enqueue."""
    assert identity_of(identity, perform).options["identity"] is not None


def test_an_identity_without_perform_is_left_to_the_subclass() -> None:
    """An abstract base has nothing to compare with; the class that performs has."""

    class Base(Job):
        def identity(self, user: int) -> int:
            return user

    with pytest.raises(InvalidOption, match=r"identity=<function .*@staticmethod"):
        type(Job)("BelowJob", (Base,), {"perform": performs})


def test_unique_without_identity_is_refused_where_it_is_written() -> None:
    """At the class; there is nothing to compare by."""
    with pytest.raises(InvalidOption, match=r"NamelessJob: unique='active'"):

        class NamelessJob(Job):
            unique = "active"

            def perform(self) -> None: ...


def test_a_duplicate_of_what_was_not_accepted_after_all_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another thread was given the first one's handle before that was interrupted."""
    job, others, claim = unique_class("existing"), list[Handle[Any]](), Keys.claim

    def interrupted(keys: Keys, call: Handle[Any]) -> None:
        claim(keys, call)
        monkeypatch.undo()
        others.append(job.perform_async("a"))
        raise KeyboardInterrupt

    monkeypatch.setattr(Keys, "claim", interrupted)
    with pytest.raises(KeyboardInterrupt):
        job.perform_async("a")
    with pytest.raises(Discarded, match="interrupted"):
        others[0].result(WAIT)
    assert job.perform_async("a").exception(WAIT) is None
    counts = job.stats()
    assert (counts.accepted, counts.succeeded) == (1, 1)
