"""Several apps in one process: each has its classes, pools and hooks, and disturbs no other.

``make_app`` stands for an app factory of any framework: job classes of the same names, made
anew on each call.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import counterpunch
from counterpunch import (
    Handle,
    Job,
    QueueFull,
    Status,
    around_perform,
    configure,
    job,
    on_error,
    testing,
)
from counterpunch.integrations import asgi

WAIT = 10.0


def make_app(name: str, threads: int = 1) -> SimpleNamespace:
    """An app: a pool of its own name, two classes in it, and one class by itself."""
    configure(pools={f"{name}-mail": threads})
    app = SimpleNamespace(name=name, seen=[], gate=threading.Event(), busy=threading.Event())

    class MailJob(Job):
        pool = f"{name}-mail"

        def perform(self, text: str) -> str:
            app.seen.append(text)
            return f"{name}: {text}"

    class HoldJob(Job):
        pool = f"{name}-mail"

        def perform(self) -> None:
            app.busy.set()
            assert app.gate.wait(WAIT)

    class ReportJob(Job):
        workers = 1
        max_jobs = 1
        unique = "active"

        @staticmethod
        def identity(user: int) -> int:
            return user

        def perform(self, user: int) -> str:
            self.set_status(app=name)
            return name

    app.mail, app.hold, app.report = MailJob, HoldJob, ReportJob
    return app


@pytest.fixture
def apps() -> Iterator[tuple[SimpleNamespace, SimpleNamespace]]:
    pair = make_app("first"), make_app("second")
    yield pair
    for app in pair:
        app.gate.set()


Apps = tuple[SimpleNamespace, SimpleNamespace]


def test_a_stuck_pool_is_no_hindrance_to_the_other_app(apps: Apps) -> None:
    """Pools of two names: one is full of work, the other works; both stay configured."""
    first, second = apps
    first.hold.perform_async()
    assert first.busy.wait(WAIT)
    waiting = first.mail.perform_async("later")
    assert second.mail.perform_async("now").result(WAIT) == "second: now"
    assert waiting.status is Status.QUEUED
    first.gate.set()
    assert waiting.result(WAIT) == "first: later"
    assert (first.seen, second.seen) == (["later"], ["now"])


def test_classes_of_the_same_name_are_two_classes(apps: Apps) -> None:
    """Counters, identities, bounds, pauses and queries are each class's own."""
    first, second = apps
    first.report.pause()
    held = first.report.perform_async(7)
    assert first.report.perform_async(7) is held
    with pytest.raises(QueueFull):
        first.report.perform_async(8)
    other = second.report.perform_async(7)
    assert other is not held
    assert other.result(WAIT) == "second"
    assert (first.report.status(7), second.report.status(7)) == (
        Status.QUEUED,
        Status.SUCCEEDED,
    )
    assert (held.data, other.data) == ({}, {"app": "second"})
    assert counterpunch.jobs(first.report) == [held]
    assert counterpunch.jobs(second.report) == [other]
    assert [job.stats().accepted for job in (first.report, second.report)] == [1, 1]
    rows = counterpunch.stats().jobs
    assert sorted(counts.succeeded for counts in rows.values()) == [0, 1]
    assert second.report.cancel_all() == 0
    assert held.status is Status.QUEUED
    first.report.workers = 3
    assert (first.report.options["workers"], second.report.options["workers"]) == (3, 1)
    assert first.report.cancel_all() == 1


def test_options_of_a_common_base_are_each_subclasses_own() -> None:
    """A library's job class, subclassed by two apps: changing one leaves base and other alone."""

    class LibraryJob(Job):
        workers = 2

        def perform(self) -> str:
            return type(self).__name__

    class FirstLibraryJob(LibraryJob):
        pass

    class SecondLibraryJob(LibraryJob):
        pass

    FirstLibraryJob.priority = 5
    FirstLibraryJob.pause()
    held = FirstLibraryJob.perform_async()
    assert SecondLibraryJob.perform_async().result(WAIT) == "SecondLibraryJob"
    assert LibraryJob.perform_async().result(WAIT) == "LibraryJob"
    assert (LibraryJob.options["priority"], SecondLibraryJob.options["priority"]) == (0, 0)
    FirstLibraryJob.resume()
    assert held.result(WAIT) == "FirstLibraryJob"


def test_removing_one_apps_handlers_leaves_the_others(apps: Apps) -> None:
    """The same function added by both is there twice, and is removed once."""
    first, second = apps
    entered: list[str] = []
    errors: list[str] = []

    def traced(mark: str) -> Callable[[Handle[Any]], Any]:
        @contextlib.contextmanager
        def around(handle: Handle[Any]) -> Iterator[None]:
            entered.append(mark)
            yield

        return around

    def shared(exc: BaseException, handle: Handle[Any], will_retry: bool) -> None:
        errors.append(str(exc))

    @job
    def failing() -> None:
        raise ValueError("failed")

    removers = [
        around_perform(traced("first")),
        around_perform(traced("second")),
        on_error(shared),
        on_error(shared),
    ]
    try:
        second.mail.perform_async("a").result(WAIT)
        assert entered == ["first", "second"]
        removers[0]()
        removers[2]()
        removers[0]()  # again: nothing is left to remove, and no other goes
        removers[2]()
        first.mail.perform_async("b").result(WAIT)
        assert entered == ["first", "second", "second"]
        assert isinstance(failing.perform_async().exception(WAIT), ValueError)
        assert counterpunch.wait_idle(WAIT)
        assert errors == ["failed"]
    finally:
        for remove in removers:
            remove()


def test_an_app_under_test_does_not_take_the_jobs_of_a_running_one(apps: Apps) -> None:
    """A test mode records what is enqueued meanwhile; what was accepted before runs on."""
    first, second = apps
    first.hold.perform_async()
    assert first.busy.wait(WAIT)
    before = first.mail.perform_async("before")
    with testing.fake() as recorder:
        recorded = second.mail.perform_async("recorded")
        assert recorder.jobs == [recorded]
        first.gate.set()
        assert before.result(WAIT) == "first: before"
        assert counterpunch.shutdown().clean  # the app under test stops
        assert recorder.drain() == 1
    assert (first.seen, second.seen) == (["before"], ["recorded"])


def test_periodic_classes_of_the_same_name_both_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One process of a host runs them, and in it both apps' classes are at home."""
    ran = {"first": threading.Event(), "second": threading.Event()}

    def factory(name: str) -> type[Job]:
        class TickOfAppJob(Job):
            every = 0.01

            def perform(self) -> None:
                ran[name].set()

        return TickOfAppJob

    ticks = [factory("first"), factory("second")]
    assert ticks[0]._plan.name == ticks[1]._plan.name
    counterpunch.start()
    for event in ran.values():
        assert event.wait(WAIT)


def test_of_two_lifespans_the_last_one_drains(apps: Apps) -> None:
    """The app that goes on keeps its delayed jobs, its counters and its threads."""
    first, second = apps

    async def serve() -> tuple[Handle[str], Status]:
        async with asgi.lifespan():
            async with asgi.lifespan():
                await second.mail.perform_async("second")
            delayed = first.mail.perform_in(3600, "delayed")
            await first.mail.perform_async("first")
            assert second.mail.stats().succeeded == 1
            return delayed, delayed.status

    delayed, while_open = asyncio.run(serve())
    assert while_open is Status.SCHEDULED
    assert delayed.status is Status.LOST  # the process has stopped serving


def test_each_class_of_a_name_has_its_row() -> None:
    """However often a factory ran, nothing is missing in the total."""
    everyone = [make_app("again") for _ in range(4)]
    for number, app in enumerate(everyone, 1):
        app.mail.perform_bulk([("text",)] * number)
    assert counterpunch.wait_idle(WAIT)
    stats = counterpunch.stats()
    assert [counts.accepted for counts in stats.jobs.values()] == [1, 2, 3, 4]
    assert stats.total.accepted == 10
    assert [name.rpartition(".")[2] for name in stats.jobs] == [
        "MailJob",
        "MailJob#2",
        "MailJob#3",
        "MailJob#4",
    ]


def test_many_apps_at_once() -> None:
    """Eight apps enqueue from threads of their own: every job runs in its own app, once."""
    everyone = [make_app(f"app{number}", threads=2) for number in range(8)]
    start = threading.Barrier(8)

    def serve(app: SimpleNamespace) -> None:
        start.wait(WAIT)
        for number in range(200):
            app.mail.perform_async(f"{app.name}-{number}")

    threads = [threading.Thread(target=serve, args=(app,)) for app in everyone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert counterpunch.wait_idle(WAIT)
    for app in everyone:
        assert sorted(app.seen) == sorted(f"{app.name}-{number}" for number in range(200))
        counts = app.mail.stats()
        assert (counts.accepted, counts.succeeded) == (200, 200)
