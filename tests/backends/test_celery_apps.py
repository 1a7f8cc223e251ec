"""An existing Celery app with settings of its own: a worker in a thread, and no broker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from engine_processes import Ledger, require

import counterpunch
from counterpunch import InvalidOption, NotSupported, RemoteError, Retry, Status

LONG = 20.0


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A worker in this process sets the level of the root logger, and handlers of its own."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = [one for one in root.handlers if one in handlers]


@pytest.fixture(autouse=True)
def threads_again(ledger: Ledger) -> Iterator[None]:
    require("celery")
    yield
    counterpunch.configure(backend=None)


def backend_of(app: Any, **options: Any) -> Any:
    from counterpunch.backends.celery import CeleryBackend

    backend = CeleryBackend(app, **options)
    counterpunch.configure(backend=backend)
    return backend


def app_of(results: bool = True, **conf: Any) -> Any:
    from celery import Celery

    task_cls = conf.pop("task_cls", None)
    kept = {"backend": "cache+memory://"} if results else {}
    app = Celery("apps", broker="memory://", task_cls=task_cls, set_as_current=False, **kept)
    app.conf.update(broker_transport_options={"polling_interval": 0.01}, **conf)
    return app


@contextmanager
def worker(app: Any) -> Iterator[None]:
    from celery.contrib.testing.worker import start_worker

    with start_worker(app, perform_ping_check=False, pool="solo", concurrency=1):
        yield


# A base class of the app's tasks


def test_a_base_class_that_retries_does_not_repeat_a_job(ledger: Ledger) -> None:
    """Nor does it with no result store, where no record tells a second delivery."""
    from celery import Task
    from engine_jobs import Hooked

    class Base(Task):  # type: ignore[misc,unused-ignore]
        autoretry_for = (Exception,)
        max_retries = 5

    backend_of(app_of(results=False, task_cls=Base, task_always_eager=True))
    Hooked.using(retry=Retry(2, wait=0.0, jitter=0)).perform_async("autoretry", 9)
    performs = [word for word in ledger.words("autoretry") if word.startswith("perform-")]
    assert len(performs) == 2
    assert ledger.words("autoretry").count("on_failure") == 1


def test_what_a_base_class_limits_counts_for_the_apps_own_tasks() -> None:
    from celery import Task
    from engine_jobs import Add

    class Base(Task):  # type: ignore[misc,unused-ignore]
        acks_late = False
        reject_on_worker_lost = False
        ignore_result = False
        expires = 1
        rate_limit = "1/h"
        time_limit = soft_time_limit = 1
        max_retries = 7

    app = app_of(task_cls=Base)
    backend_of(app)
    task = app.tasks["counterpunch.perform"]
    assert isinstance(task, Base)
    limits = (task.expires, task.rate_limit, task.time_limit, task.soft_time_limit)
    assert limits == (None, None, None, None)
    assert (task.acks_late, task.reject_on_worker_lost, task.ignore_result) == (True, True, True)
    with worker(app):
        assert Add.perform_async(1, 2).result(LONG) == 3


def test_what_a_base_class_does_around_its_tasks_is_done_around_a_job() -> None:
    """As the one that pushes an app context, which Flask's own documentation gives."""
    from celery import Task
    from engine_jobs import Add

    seen: list[str] = []

    class Base(Task):  # type: ignore[misc,unused-ignore]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            seen.append("entered")
            try:
                return self.run(*args, **kwargs)
            finally:
                seen.append("left")

    app = app_of(task_cls=Base)
    backend_of(app)
    with worker(app):
        assert Add.perform_async(1, 2).result(LONG) == 3
    assert seen == ["entered", "left"]


@pytest.mark.parametrize("where", ["before_start", "__call__"])
def test_a_base_class_that_raises_before_the_job_fails_it(where: str) -> None:
    """Nothing of ours has run then, and the record would say ``queued`` for ever."""
    from celery import Task
    from engine_jobs import Add

    def raises(self: Any, *args: Any, **kwargs: Any) -> None:
        raise ConnectionError("no database")

    app = app_of(task_cls=type("Base", (Task,), {where: raises}))
    backend_of(app)
    with worker(app):
        handle = Add.perform_async(1)
        with pytest.raises(ConnectionError, match="no database"):
            handle.result(LONG)
    assert handle.status is Status.FAILED


@pytest.mark.parametrize("name", ["acks_late", "reject_on_worker_lost"])
def test_an_annotation_that_loses_jobs_is_refused_at_the_enqueue(name: str) -> None:
    """By its name; one for another task is none of ours."""
    from engine_jobs import Add

    backend_of(app_of(task_annotations={"*": {name: False}}))
    with pytest.raises(InvalidOption, match=rf"Add: backend=.*leaves {name}=True to the task"):
        Add.perform_async(1)
    backend_of(app_of(task_annotations={"shop.other": {name: False}}))
    assert Add.perform_async(1).status is Status.QUEUED


# What ends a message without us


def test_a_job_that_is_revoked_with_celerys_tools_is_cancelled(ledger: Ledger) -> None:
    from celery.worker import state
    from engine_jobs import Noted

    app = app_of()
    backend_of(app)
    handle = Noted.perform_async("revoked")
    state.revoked.add(handle.id)
    try:
        with worker(app), pytest.raises(counterpunch.Cancelled, match="revoked on celery"):
            handle.result(LONG)
    finally:
        state.revoked.discard(handle.id)
    assert ledger.words("revoked") == []


def test_a_message_that_expires_ends_its_job(ledger: Ledger) -> None:
    """Whoever has given it a time: celery throws it away without a call of ours."""
    from engine_jobs import Noted

    app = app_of()
    backend = backend_of(app)

    def publish(message: Any, delay: float) -> None:
        task = app.tasks["counterpunch.perform"]
        task.apply_async((message.dumps(),), task_id=message.id, expires=-60)

    backend.publish = publish
    with worker(app):
        handle = Noted.perform_async("expired")
        with pytest.raises(counterpunch.Cancelled, match="expired on celery"):
            handle.result(LONG)
    assert ledger.words("expired") == []


def test_a_limit_or_no_memory_is_a_failure_like_any_other() -> None:
    """A soft time limit comes as an exception in the midst of the job; and a MemoryError is
    Celery's sign for the end of its own process."""
    from celery.exceptions import SoftTimeLimitExceeded
    from engine_jobs import Add, Limited

    app = app_of()
    backend_of(app)
    with worker(app):
        limited, big = Limited.perform_async(), Limited.perform_async(memory=True)
        with pytest.raises(SoftTimeLimitExceeded):
            limited.result(LONG)
        with pytest.raises(MemoryError, match="of the job"):
            big.result(LONG)
        assert Add.perform_async(1, 1).result(LONG) == 2


# What an app may choose for its messages


@pytest.mark.parametrize(
    "conf",
    [
        {
            "task_serializer": "pickle",
            "accept_content": ["pickle", "json"],
            "task_compression": "gzip",
            "task_routes": {"counterpunch.perform": {"queue": "celery", "priority": 3}},
            "task_default_rate_limit": "100/s",
            "task_ignore_result": True,
            "result_expires": 60,
        },
        {
            "task_serializer": "msgpack",
            "accept_content": ["msgpack", "json"],
            "task_protocol": 1,
            "task_track_started": True,
            "task_send_sent_event": True,
            "task_annotations": {"*": {"rate_limit": "100/s", "time_limit": 60}},
            "task_store_errors_even_if_ignored": True,
            "result_extended": True,
        },
    ],
    ids=["pickle", "msgpack"],
)
def test_settings_of_the_app_are_kept(conf: dict[str, Any]) -> None:
    """A job runs, is retried, and fails with its own exception."""
    from engine_jobs import Add, Hooked, Raises

    if "msgpack" in conf.values():
        require("msgpack")
    app = app_of(**conf)
    backend_of(app)
    with worker(app):
        assert Add.perform_async(1, two=2).result(LONG) == 3
        assert Add.perform_in(0.05, 1).result(LONG) == 1
        hooked = Hooked.using(retry=Retry(2, wait=0.01, jitter=0))
        assert hooked.perform_async("kept", 1).result(LONG) == 2
        with pytest.raises(ArithmeticError):
            Raises.perform_async("boom").result(LONG)


def test_without_a_result_backend_jobs_run_and_questions_are_refused(ledger: Ledger) -> None:
    from engine_jobs import Noted

    app = app_of(results=False)
    backend_of(app)
    with worker(app):
        handle = Noted.perform_async("no-results")
        ran = threading.Event()
        while not ledger.words("no-results"):
            assert not ran.wait(0.02)
    with pytest.raises(NotSupported, match="no result store"):
        handle.result(0)


# Eager mode


@pytest.fixture
def eager() -> Any:
    app = app_of(task_always_eager=True)
    backend_of(app)
    return app


def test_an_eager_app_runs_a_job_within_its_enqueue(eager: Any) -> None:
    from engine_jobs import Add

    handle = Add.perform_async(1, 2)
    assert (handle.status, handle.result(0), handle.attempt) == (Status.SUCCEEDED, 3, 1)
    assert counterpunch.find(handle.id).result(0) == 3  # type: ignore[union-attr]


def test_an_eager_app_leaves_delays_out(eager: Any, ledger: Ledger) -> None:
    """And retry waits, however many."""
    from engine_jobs import Add, Hooked

    assert Add.perform_in(3600, 1, 2).result(0) == 3
    many = Hooked.using(retry=Retry(50, wait=600, factor=1, jitter=0))
    assert many.perform_async("eager", 49).result(0) == 50


def test_an_eager_job_takes_as_long_as_it_takes(ledger: Ledger) -> None:
    """The backend's timeout is for the broker, and there is none."""
    from engine_jobs import Sleeps

    backend_of(app_of(task_always_eager=True), timeout=0.05)
    handle = Sleeps.perform_async(0.2)
    counterpunch.configure(backend=None)
    assert handle.state is Status.SUCCEEDED or handle.result(LONG) == "slept"


def test_an_eager_job_that_fails_raises_where_celery_is_told_to(eager: Any) -> None:
    from engine_jobs import Raises

    handle = Raises.perform_async("boom")
    assert handle.status is Status.FAILED
    with pytest.raises(ArithmeticError):
        handle.result(0)
    eager.conf.task_eager_propagates = True
    with pytest.raises(ArithmeticError):
        Raises.perform_async("boom")
    with pytest.raises(RemoteError, match="SystemExit"):
        Raises.perform_async("exit")


def test_an_eager_job_may_wait_for_one_that_it_enqueues(eager: Any) -> None:
    from engine_jobs import Asks

    assert Asks.perform_async(2).result(0) == 3
