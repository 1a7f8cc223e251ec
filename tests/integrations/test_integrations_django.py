"""Django: jobs after commit, connections around jobs, and where periodic jobs are armed."""

# ruff: noqa: E402  (Django's settings come before what needs them)

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("django")

import django
from django.conf import settings

SHOP = Path(tempfile.mkdtemp(prefix="counterpunch-django-"))

if not settings.configured:
    settings.configure(
        DATABASES={
            alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": str(SHOP / f"{alias}.sqlite3")}
            for alias in ("default", "other")
        },
        INSTALLED_APPS=["counterpunch.integrations.django"],
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        SECRET_KEY="tests",
        TASKS={
            "default": {
                "BACKEND": "counterpunch.integrations.django.TaskBackend",
                "QUEUES": ["default", "mail"],
                "OPTIONS": {"workers": {"mail": 1}},
            },
            "after": {
                "BACKEND": "counterpunch.integrations.django.TaskBackend",
                "OPTIONS": {"after_commit": True},
            },
        },
    )
    django.setup()

from asgiref.sync import async_to_sync, sync_to_async
from django.core import mail
from django.core.signals import request_finished, request_started
from django.db import connection, connections, transaction
from django.http import HttpResponse
from django.test import AsyncClient, Client, TestCase, TransactionTestCase
from django.urls import path

import counterpunch
from counterpunch import InvalidOption, Job, Status, testing
from counterpunch.core.values.hooks import process
from counterpunch.integrations import _serving
from counterpunch.integrations.django.connections import connections_of_a_job

LONG = 10.0


class ThreadNameJob(Job):
    def perform(self) -> str:
        return threading.current_thread().name


class ConnectionJob(Job):
    """Opens a connection and hands it out, so that a test sees what becomes of it."""

    workers = 1

    def perform(self, fail: bool = False) -> Any:
        connection.ensure_connection()
        if fail:
            raise ValueError("after having connected")
        return connections["default"]


class AsyncQueryJob(Job):
    """Blocking calls of the ORM from an async job: in which thread, and on what connection."""

    async def perform(self) -> tuple[str, bool, Any]:
        def query() -> tuple[str, bool, Any]:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            atomic = connection.in_atomic_block
            return threading.current_thread().name, atomic, connections["default"]

        return await sync_to_async(query)()


class AsyncToSyncJob(Job):
    def perform(self) -> tuple[str, str]:
        async def inner() -> str:
            return await sync_to_async(lambda: threading.current_thread().name)()

        return threading.current_thread().name, async_to_sync(inner)()


def atomic_view(request: Any) -> HttpResponse:
    with transaction.atomic():
        handle = ThreadNameJob.using(after_commit=True).perform_async()
        during = handle.status
    return HttpResponse(f"{during} {handle.result(LONG) and handle.status}")


async def async_view(request: Any) -> HttpResponse:
    name, atomic, _ = await AsyncQueryJob.perform_async()
    mine = await sync_to_async(lambda: threading.current_thread().name)()
    return HttpResponse(f"{name != mine} {atomic}")


held: dict[str, Any] = {}


async def leaving_view(request: Any) -> HttpResponse:
    """Enqueues an async job that runs only after the request has ended."""

    class LateJob(AsyncQueryJob):
        async def perform(self) -> tuple[str, bool, Any]:
            await sync_to_async(held["gate"].wait, thread_sensitive=False)(LONG)
            return await AsyncQueryJob.perform(self)

    held["handle"] = LateJob.perform_async()
    return HttpResponse("ok")


urlpatterns = [
    path("atomic", atomic_view),
    path("async", async_view),
    path("leaving", leaving_view),
]


class Rollback(Exception):
    pass


def rolled_back(value: bool | str) -> counterpunch.Handle[str]:
    """The handle of a job enqueued in a block of ``atomic`` that is then rolled back."""
    try:
        with transaction.atomic():
            handle = ThreadNameJob.using(after_commit=value).perform_async()
            assert handle.status is Status.DEFERRED
            raise Rollback
    except Rollback:
        return handle


@pytest.fixture(autouse=True)
def fresh_connections() -> Iterator[None]:
    yield
    connections.close_all()


# After commit


def test_a_job_is_deferred_until_the_commit() -> None:
    with transaction.atomic():
        handle = ThreadNameJob.using(after_commit=True).perform_async()
        assert handle.status is Status.DEFERRED
        assert counterpunch.stats().total.deferred == 1
    assert handle.result(LONG)


#: Django does not say which of the two it was.
DROPPED = "its transaction was rolled back, or an on_commit callback before it raised"


def test_an_on_commit_callback_that_raises_drops_what_follows_and_the_reason_says_so() -> None:
    """The transaction has committed, and Django forgets the rest of its callbacks."""

    def broken() -> None:
        raise Rollback

    handles: list[counterpunch.Handle[str]] = []

    def commit() -> None:
        with transaction.atomic():
            transaction.on_commit(broken)
            handles.append(ThreadNameJob.using(after_commit=True).perform_async())

    with pytest.raises(Rollback):
        commit()
    assert (handles[0].status, handles[0].error) == (Status.DISCARDED, DROPPED)


def test_a_rollback_discards_it_and_says_why() -> None:
    handle = rolled_back("default")
    assert handle.status is Status.DISCARDED
    assert handle.error == DROPPED
    totals = counterpunch.stats().total
    assert (totals.accepted, totals.discarded, totals.deferred) == (1, 1, 0)


def test_outside_a_transaction_it_is_enqueued_at_once() -> None:
    handle = ThreadNameJob.using(after_commit=True).perform_async()
    assert handle.status is not Status.DEFERRED
    assert handle.result(LONG)


def test_savepoints_are_respected() -> None:
    """A rolled-back savepoint drops its own jobs; a released one waits for the outermost."""
    using = ThreadNameJob.using(after_commit=True)
    with transaction.atomic():
        outer = using.perform_async()
        dropped = rolled_back(True)
        assert dropped.status is Status.DISCARDED
        with transaction.atomic():
            released = using.perform_async()
        assert (outer.status, released.status) == (Status.DEFERRED, Status.DEFERRED)
    assert outer.result(LONG)
    assert released.result(LONG)


def test_a_unique_job_is_in_the_way_of_those_that_share_its_fate() -> None:
    """Of its own transaction and of savepoints within it; not of what encloses its savepoint,
    of another database's or the next transaction, or of no transaction at all."""

    class OneJob(Job):
        unique = "queued"

        @staticmethod
        def identity(key: str) -> str:
            return key

        def perform(self, key: str) -> None: ...

    using = OneJob.using(after_commit=True).perform_async
    with testing.fake() as recorder:
        with transaction.atomic(using="other"):
            stranger = OneJob.using(after_commit="other").perform_async("k")
            with transaction.atomic():
                outer = using("k")
                with transaction.atomic(savepoint=False):
                    assert using("k") is outer
                    flat = using("flat")
                assert using("flat") is flat
                with transaction.atomic():
                    assert using("k") is outer
                    dropped = using("l")
                    transaction.set_rollback(True)
                kept = using("l")
                assert len({stranger, outer, dropped, kept}) == 4
                plain = OneJob.perform_async("k")
                assert plain.status is Status.QUEUED
            assert dropped.status is Status.DISCARDED
            assert outer.error == f"a duplicate of {plain.id}"
            assert set(recorder.jobs) == {plain, flat, kept}
            assert recorder.drain() == 3
            with transaction.atomic():
                again = using("k")
                transaction.set_rollback(True)
            assert again.status is Status.DISCARDED
            assert stranger.status is Status.DEFERRED
        assert recorder.jobs == [stranger]


def test_each_database_has_its_own_transactions() -> None:
    with transaction.atomic(using="other"):
        waits = ThreadNameJob.using(after_commit="other").perform_async()
        runs = ThreadNameJob.using(after_commit="default").perform_async()
        assert waits.status is Status.DEFERRED
        assert runs.result(LONG)
    assert waits.result(LONG)


def test_delays_count_from_the_enqueue_and_start_after_the_commit() -> None:
    with transaction.atomic():
        soon = ThreadNameJob.using(after_commit=True).perform_in(0.01)
        later = ThreadNameJob.using(after_commit=True).perform_in(60)
        assert (soon.status, later.status) == (Status.DEFERRED, Status.DEFERRED)
    assert soon.result(LONG)
    assert later.status is Status.SCHEDULED


def test_a_deferred_job_can_be_cancelled() -> None:
    with transaction.atomic():
        handle = ThreadNameJob.using(after_commit=True).perform_async()
        assert handle.cancel()
    assert handle.status is Status.CANCELLED


def test_what_is_still_deferred_when_the_process_stops_is_lost_and_said() -> None:
    with transaction.atomic():
        handle = ThreadNameJob.using(after_commit=True).perform_async()
        report = counterpunch.shutdown(timeout=1)
        assert report.lost == [handle]
    assert handle.status is Status.LOST
    assert "transaction had not ended" in str(handle.error)


@pytest.mark.parametrize("value", ["missing", "", 3.5, object()], ids=repr)
def test_an_unknown_value_is_an_error_at_the_call(value: object) -> None:
    with pytest.raises(InvalidOption, match="after_commit"):
        ThreadNameJob.using(after_commit=value).perform_async()
    assert counterpunch.stats().total.accepted == 0


def test_an_error_names_the_alias_and_the_known_ones() -> None:
    with pytest.raises(InvalidOption, match=r"after_commit='missing'.*'default', 'other'"):
        ThreadNameJob.using(after_commit="missing").perform_async()


def test_arguments_are_checked_at_the_call_and_leave_nothing_behind() -> None:
    with transaction.atomic(), pytest.raises(TypeError):
        ThreadNameJob.using(after_commit=True).perform_async("too many")
    assert counterpunch.stats().total.accepted == 0


def test_manual_transaction_management_is_refused() -> None:
    """Django itself cannot tell when such a transaction ends."""
    transaction.set_autocommit(False)
    try:
        with pytest.raises(transaction.TransactionManagementError, match="on_commit"):
            ThreadNameJob.using(after_commit=True).perform_async()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


def test_a_full_queue_at_the_commit_has_the_classes_own_answer() -> None:
    class NarrowJob(Job):
        workers, max_jobs, overflow = 1, 1, "discard"

        def perform(self, gate: threading.Event | None = None) -> None:
            assert gate is None or gate.wait(LONG)

    gate, started = threading.Event(), threading.Event()
    blocker = NarrowJob.perform_async(gate)
    blocker.add_done_callback(lambda _: started.set())
    while blocker.status is Status.QUEUED:
        started.wait(0.005)
    with transaction.atomic():
        deferred = [NarrowJob.using(after_commit=True).perform_async() for _ in range(2)]
        assert {handle.status for handle in deferred} == {Status.DEFERRED}
    assert [handle.status for handle in deferred] == [Status.QUEUED, Status.DISCARDED]
    gate.set()
    deferred[0].result(LONG)


def test_in_a_view() -> None:
    assert Client().get("/atomic").content == b"deferred succeeded"


def test_atomic_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The view's own ``atomic`` is then a savepoint; the job waits for the request's."""
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    seen: list[Any] = []

    def view(request: Any) -> HttpResponse:
        with transaction.atomic():
            seen.append(ThreadNameJob.using(after_commit=True).perform_async())
        seen.append(seen[0].status)
        return HttpResponse("ok")

    monkeypatch.setattr(sys.modules[__name__], "urlpatterns", [path("one", view)])
    from django.urls import clear_url_caches

    clear_url_caches()
    try:
        assert Client().get("/one").status_code == 200
    finally:
        clear_url_caches()
    assert seen[1] is Status.DEFERRED
    assert seen[0].result(LONG)


class AfterCommitTestCase(TestCase):
    """Under Django's own ``TestCase``, whose transaction never commits."""

    def test_capture_on_commit_callbacks_runs_the_jobs(self) -> None:
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            handle = ThreadNameJob.using(after_commit=True).perform_async()
            assert handle.status is Status.DEFERRED
        assert len(callbacks) == 1
        assert handle.result(LONG)

    def test_inline_runs_them_on_this_thread_and_connection(self) -> None:
        with testing.inline(), self.captureOnCommitCallbacks(execute=True):
            handle = ThreadNameJob.using(after_commit=True).perform_async()
            assert handle.status is Status.DEFERRED
        assert handle.result(0) == threading.current_thread().name
        assert connection.in_atomic_block, "the test's own connection was left alone"

    def test_fake_shows_them_once_committed(self) -> None:
        with testing.fake() as recorder:
            with self.captureOnCommitCallbacks(execute=True):
                ThreadNameJob.using(after_commit=True).perform_async()
                assert recorder.jobs == []
            assert recorder.drain() == 1

    def test_a_mode_says_what_a_job_waits_for(self) -> None:
        """Not "nothing is enqueued", and no wait without end."""
        with testing.fake() as recorder:
            handle = ThreadNameJob.using(after_commit=True).perform_async()
            with pytest.raises(AssertionError, match=r"deferred> .*captureOnCommitCallbacks"):
                recorder.assert_enqueued(ThreadNameJob)
            with pytest.raises(counterpunch.CounterpunchError, match="captureOnCommitCallbacks"):
                handle.result()
        with testing.inline():
            handle = ThreadNameJob.using(after_commit=True).perform_async()
            with pytest.raises(counterpunch.CounterpunchError, match="captureOnCommitCallbacks"):
                handle.result()

    def test_without_capturing_nothing_runs(self) -> None:
        handle = ThreadNameJob.using(after_commit=True).perform_async()
        assert handle.status is Status.DEFERRED
        self.addClassCleanup(lambda: self._check(handle))

    @staticmethod
    def _check(handle: counterpunch.Handle[str]) -> None:
        assert handle.status in (Status.DISCARDED, Status.LOST)


class AfterCommitTransactionTestCase(TransactionTestCase):
    """Under ``TransactionTestCase`` commits are real."""

    available_apps: list[str] = []  # noqa: RUF012  (Django's name for "none to flush")

    def test_a_real_commit(self) -> None:
        with transaction.atomic():
            handle = ThreadNameJob.using(after_commit=True).perform_async()
        assert handle.result(LONG)


# Connections


@pytest.mark.parametrize("fail", [False, True])
def test_the_connection_of_a_job_is_closed_after_it(fail: bool) -> None:
    seen: list[Any] = []

    class WatchedJob(ConnectionJob):
        def after(self) -> None:  # hooks use the database too, on a connection of their own
            connection.ensure_connection()
            seen.append(connections["default"])

    handle = WatchedJob.perform_async(fail)
    handle.exception(LONG)
    assert seen[0].connection is None
    assert seen[0] is not connections["default"]


def test_a_job_on_the_callers_thread_leaves_its_connection_open() -> None:
    connection.ensure_connection()
    raw = connection.connection
    assert ConnectionJob.perform_now() is connections["default"]
    with testing.inline():
        assert ConnectionJob.perform_async().result(0) is connections["default"]
    assert connection.connection is raw


def test_an_async_job_queries_in_a_thread_and_on_a_connection_of_its_own() -> None:
    name, atomic, used = AsyncQueryJob.perform_async().result(LONG)
    assert (name != threading.current_thread().name, atomic) == (True, False)
    closed = threading.Event()
    for _ in range(200):
        if used.connection is None:
            break
        closed.wait(0.02)
    assert used.connection is None, "closed when the job had ended"


@pytest.mark.parametrize("client", [Client, AsyncClient], ids=["wsgi", "asgi"])
def test_an_async_job_stays_out_of_the_requests_thread(client: type[Any]) -> None:
    """Under both kinds of server, during the request and after it."""
    made = client()

    def get(url: str) -> bytes:
        answer = made.get(url)
        content: bytes = (asyncio.run(answer) if asyncio.iscoroutine(answer) else answer).content
        return content

    assert get("/async") == b"True False"
    held["gate"] = threading.Event()
    assert get("/leaving") == b"ok"
    held["gate"].set()
    assert held["handle"].result(LONG)[1] is False


def test_async_to_sync_in_a_job_stays_on_the_jobs_thread() -> None:
    here, inside = AsyncToSyncJob.perform_async().result(LONG)
    assert here == inside


# The app


def test_periodic_jobs_are_armed_by_the_first_request_of_a_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not by ``django.setup()``, which every command does, and not under the test runner."""
    started: list[int] = []
    monkeypatch.setattr(_serving, "start", lambda: started.append(os.getpid()))
    monkeypatch.setattr(_serving, "_seen", (0, 0))
    monkeypatch.setattr(mail, "outbox", [], raising=False)
    request_started.send(sender=None)
    assert started == []
    monkeypatch.delattr(mail, "outbox")
    request_started.send(sender=None)
    request_finished.send(sender=None)
    assert started == [os.getpid()]
    monkeypatch.setattr(os, "getpid", lambda: -1)
    request_started.send(sender=None)
    assert started[1:] == [-1]


def test_the_connection_of_a_tick_is_closed_with_its_thread() -> None:
    """A hook of a periodic job asks the database, on a thread that nobody else will look after."""
    used: list[Any] = []
    ran = threading.Event()

    class TickJob(Job):
        every = 0.01
        once_per = "process"

        def on_enqueue(self) -> None:
            connection.ensure_connection()
            used.append(connections["default"])

        def perform(self) -> None:
            ran.set()

    counterpunch.start()
    assert ran.wait(LONG)
    counterpunch.shutdown(LONG)
    for thread in threading.enumerate():
        if thread.name == "counterpunch-tick":
            thread.join(LONG)
    assert [one.connection for one in used] == [None] * len(used)


def test_the_hooks_are_installed_once() -> None:
    from django.apps import apps as registry

    config = registry.get_app_config("counterpunch")
    config.ready()
    assert process.around_perform.count(connections_of_a_job) == 1
    assert process.around_hooks.count(connections_of_a_job) == 1


# The example


@pytest.mark.parametrize(
    "command",
    [["test", "signups"], ["makemigrations", "--check", "--dry-run"], ["check"]],
    ids=lambda command: command[0],
)
def test_the_example_app(command: list[str], tmp_path: Path) -> None:
    """Its own tests pass, and its migration is the one of its models."""
    pytest.importorskip("django.tasks")  # it has a @task
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, str(root / "examples" / "django_app" / "manage.py"), *command],
        env={
            **os.environ,
            "DATABASE": str(tmp_path / "db.sqlite3"),
            "PYTHONPATH": str(Path(counterpunch.__file__).parents[1]),
            "DJANGO_SETTINGS_MODULE": "project.settings",
        },
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if command[0] == "test":
        assert "Ran 4 tests" in done.stderr
