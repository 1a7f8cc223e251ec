"""The backend for Django's task framework, against what Django documents for backends."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import pickle
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("django.tasks")

# isort: off
from test_integrations_django import LONG, rolled_back  # first: it sets Django up

# isort: on
import django
from django.core.checks import run_checks
from django.db import transaction
from django.tasks import (
    TaskContext,
    TaskResult,
    TaskResultStatus,
    default_task_backend,
    task,
    task_backends,
)
from django.tasks.exceptions import (
    InvalidTask,
    InvalidTaskBackend,
    TaskResultDoesNotExist,
    TaskResultMismatch,
)
from django.tasks.signals import task_enqueued, task_finished, task_started
from django.test import override_settings
from django.utils import timezone

import counterpunch
from counterpunch import Cancelled, Job
from counterpunch.integrations.django import TaskBackend
from counterpunch.testing import fake

SUCCESSFUL, FAILED = TaskResultStatus.SUCCESSFUL, TaskResultStatus.FAILED
READY, RUNNING = TaskResultStatus.READY, TaskResultStatus.RUNNING

gate = threading.Event()
entered = threading.Event()


@task
def echo(*args: Any, **kwargs: Any) -> Any:
    return [list(args), kwargs]


@task
async def echo_async(*args: Any, **kwargs: Any) -> Any:
    return [list(args), kwargs]


@task
def raises(kind: str) -> None:
    raise {
        "ValueError": ValueError,
        "SystemExit": SystemExit,
        "KeyboardInterrupt": KeyboardInterrupt,
    }[kind](f"raised as {kind}")


@task
def returns_no_json() -> Any:
    return object()


@task
def needs_two(a: int, b: int) -> int:
    return a + b


@task(takes_context=True)
def tells_its_context(context: TaskContext, word: str) -> list[Any]:
    result = context.task_result
    return [word, context.attempt, result.id, result.status, len(result.worker_ids)]


@task(takes_context=True)
async def tells_its_context_async(context: TaskContext) -> str:
    result_id: str = context.task_result.id
    return result_id


@task
def waits() -> str:
    entered.set()
    assert gate.wait(LONG)
    return threading.current_thread().name


@task(queue_name="mail")
def mails(number: int) -> int:
    order.append(number)
    return number


@task(backend="after")
def after_commit_task() -> None:
    pass


order: list[int] = []


@pytest.fixture(autouse=True)
def closed_gate() -> Iterator[None]:
    gate.clear()
    entered.clear()
    order.clear()
    yield
    gate.set()


@pytest.fixture
def signals() -> Iterator[list[tuple[str, Any, TaskResultStatus, TaskResult]]]:
    """Every signal of the framework, in order: name, sender, status at that moment, result."""
    seen: list[tuple[str, Any, TaskResultStatus, TaskResult]] = []
    receivers = []
    for name, signal in (
        ("enqueued", task_enqueued),
        ("started", task_started),
        ("finished", task_finished),
    ):

        def receive(
            sender: Any, task_result: TaskResult, name: str = name, **kwargs: object
        ) -> None:
            seen.append((name, sender, task_result.status, task_result))

        signal.connect(receive, weak=False)
        receivers.append((signal, receive))
    yield seen
    for signal, receive in receivers:
        signal.disconnect(receive)


def ended(result: TaskResult) -> TaskResult:
    """The result once the job has ended."""
    handle = counterpunch.find(result.id)
    assert handle is not None
    with contextlib.suppress(Cancelled):
        handle.exception(LONG)
    result.refresh()
    return result


def test_the_backend_is_found_and_can_do_everything() -> None:
    backend = task_backends["default"]
    assert isinstance(backend, TaskBackend)
    assert backend.supports_defer
    assert backend.supports_priority
    assert backend.supports_get_result
    assert backend.supports_async_task
    assert run_checks() == []


@pytest.mark.parametrize("which", [echo, echo_async], ids=["sync", "async"])
def test_a_task_runs_and_its_result_is_recorded(which: Any) -> None:
    result = ended(which.enqueue(1, two=[2, None]))
    assert result.status == SUCCESSFUL
    assert result.is_finished
    assert result.return_value == [[1], {"two": [2, None]}]
    assert (result.args, result.kwargs) == ([1], {"two": [2, None]})
    assert result.task == which
    assert (result.attempts, len(result.worker_ids), result.errors) == (1, 1, [])
    assert result.backend == "default"
    assert result.enqueued_at <= result.started_at <= result.finished_at
    assert result.last_attempted_at == result.started_at


def test_a_result_follows_the_task() -> None:
    result = waits.enqueue()
    assert entered.wait(LONG)
    result.refresh()
    assert (result.status, result.attempts, result.finished_at) == (RUNNING, 1, None)
    with pytest.raises(ValueError, match="Task has not finished yet"):
        _ = result.return_value
    gate.set()
    assert ended(result).return_value.startswith("counterpunch")


def test_a_waiting_task_is_ready() -> None:
    with fake():
        result = echo.enqueue()
        assert (result.status, result.attempts, result.started_at) == (READY, 0, None)
        before = dataclasses.asdict(result)
        result.refresh()
        assert dataclasses.asdict(result) == before
        assert echo.get_result(result.id) == result


def test_the_async_methods() -> None:
    from asgiref.sync import async_to_sync

    async def main() -> tuple[TaskResult, TaskResult]:
        result = await echo.aenqueue(7)
        handle = counterpunch.find(result.id)
        assert handle is not None
        await handle
        await result.arefresh()
        return result, await echo.aget_result(result.id)

    result, again = async_to_sync(main)()
    assert result.return_value == [[7], {}]
    assert again == result


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt])
def test_an_exception_is_recorded(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    result = ended(raises.enqueue(kind.__name__))
    assert result.status == FAILED
    with pytest.raises(ValueError, match="Task failed"):
        _ = result.return_value
    [error] = result.errors
    assert error.exception_class is kind
    assert error.traceback.endswith(f"{kind.__name__}: raised as {kind.__name__}\n")
    assert result.finished_at >= result.started_at
    records = [r for r in caplog.records if r.name == "django.tasks"]
    record = records[-1]
    assert [r.levelno for r in records[:-1]].count(logging.ERROR) == 0
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[0] is kind


def test_a_return_value_that_is_no_json_fails_the_task() -> None:
    result = ended(returns_no_json.enqueue())
    assert result.status == FAILED
    assert result.errors[0].exception_class is TypeError
    assert "Unsupported type" in result.errors[0].traceback


def test_arguments_that_are_no_json_are_an_error_at_the_call() -> None:
    before = counterpunch.stats().total.accepted
    with pytest.raises(TypeError, match="Unsupported type"):
        echo.enqueue(datetime.now())
    with pytest.raises(TypeError, match="Unsupported type"):
        echo.enqueue(key=object())
    assert counterpunch.stats().total.accepted == before


def test_arguments_that_do_not_fit_are_an_error_at_the_call() -> None:
    """By the parameters of the task's function, of which the context is none."""
    before = counterpunch.stats().total.accepted
    for enqueue in (
        lambda: needs_two.enqueue(1),
        lambda: needs_two.enqueue(1, 2, 3),
        lambda: needs_two.enqueue(1, b=2, c=3),
        lambda: tells_its_context.enqueue(),
        lambda: tells_its_context.enqueue("context", "word"),
    ):
        with pytest.raises(TypeError, match=r"test_integrations_django_tasks\.\w+"):
            enqueue()
    assert counterpunch.stats().total.accepted == before


def test_the_context() -> None:
    result = ended(tells_its_context.enqueue("hi"))
    assert result.return_value == ["hi", 1, result.id, "RUNNING", 1]
    result = ended(tells_its_context_async.enqueue())
    assert result.return_value == result.id


def test_the_three_signals_in_order(signals: list[Any]) -> None:
    result = ended(echo.enqueue(1))
    assert [signal[:3] for signal in signals] == [
        ("enqueued", TaskBackend, READY),
        ("started", TaskBackend, RUNNING),
        ("finished", TaskBackend, SUCCESSFUL),
    ]
    assert {signal[3].id for signal in signals} == {result.id}
    assert signals[-1][3].return_value == [[1], {}]
    assert signals[-1][3].finished_at is not None


def test_the_signals_of_a_failure(signals: list[Any]) -> None:
    active: list[Any] = []

    def receive(sender: Any, **kwargs: object) -> None:
        active.append(sys.exc_info()[0])

    task_finished.connect(receive)
    try:
        ended(raises.enqueue("ValueError"))
    finally:
        task_finished.disconnect(receive)
    assert [signal[0] for signal in signals] == ["enqueued", "started", "finished"]
    assert signals[-1][2] == FAILED
    assert signals[-1][3].errors[0].exception_class is ValueError
    assert active == [ValueError], "sent within the handler, as Django's own backends do"


def test_a_receiver_that_raises_on_the_jobs_thread_does_not_harm_the_task() -> None:
    def receive(sender: Any, **kwargs: object) -> None:
        raise RuntimeError("a broken receiver")

    for signal in (task_started, task_finished):
        signal.connect(receive)
    try:
        assert ended(echo.enqueue()).status == SUCCESSFUL
    finally:
        for signal in (task_started, task_finished):
            signal.disconnect(receive)


def test_a_receiver_that_raises_at_the_enqueue_refuses_the_task() -> None:
    """As with Django's own backends its exception reaches the caller; nothing runs."""

    def receive(sender: Any, **kwargs: object) -> None:
        raise RuntimeError("a broken receiver")

    task_enqueued.connect(receive)
    try:
        with pytest.raises(RuntimeError, match="a broken receiver"):
            mails.enqueue(1)
    finally:
        task_enqueued.disconnect(receive)
    assert counterpunch.wait_idle(LONG)
    assert (order, counterpunch.stats().total.discarded) == ([], 1)


def test_a_task_has_its_own_name_everywhere(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever queue it is in: one row, one label, and Django's arguments in a lost report."""
    path = f"{__name__}.needs_two"
    for queue in ("default", "mail"):
        ended(needs_two.using(queue_name=queue).enqueue(1, b=2))
    ended(echo.enqueue())
    assert counterpunch.stats().jobs[path].succeeded == 2
    assert set(counterpunch.stats().jobs) == {path, f"{__name__}.echo"}
    assert f'job_class="{path}"' in counterpunch.metrics()
    waiting = needs_two.using(run_after=timezone.now() + timedelta(hours=1)).enqueue(1, b=2)
    counterpunch.shutdown(timeout=1)
    assert f"  {path}(1, b=2) {waiting.id}: " in caplog.text


def test_a_failure_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """By Django's own receiver; where that is silenced, by us."""
    ended(raises.enqueue("ValueError"))
    errors = [record for record in caplog.records if record.exc_info]
    assert [record.name for record in errors] == ["django.tasks"]
    caplog.clear()
    logger = logging.getLogger("django.tasks")
    logger.disabled = True
    try:
        ended(raises.enqueue("ValueError"))
    finally:
        logger.disabled = False
    errors = [record for record in caplog.records if record.exc_info]
    assert [record.name for record in errors] == ["counterpunch"]


def test_arguments_can_be_hidden(caplog: pytest.LogCaptureFixture) -> None:
    for options, shown in (
        ({"log_args": False}, "needs_two() "),
        ({"redact": ["b", "elsewhere"]}, "needs_two(1, b=[hidden]) "),
    ):
        backend = {"BACKEND": "counterpunch.integrations.django.TaskBackend", "OPTIONS": options}
        caplog.clear()
        with override_settings(TASKS={"default": backend}):
            needs_two.using(run_after=timezone.now() + timedelta(hours=1)).enqueue(1, b=2)
            counterpunch.shutdown(timeout=1)
        assert shown in caplog.text


def test_run_after_waits_in_virtual_time() -> None:
    with fake() as recorder:
        moment = timezone.now() + timedelta(hours=1)
        result = echo.using(run_after=moment).enqueue()
        assert recorder.drain() == 0
        assert recorder.advance(3590) == 0
        assert recorder.advance(20) == 1
        result.refresh()
        assert result.status == SUCCESSFUL
        assert result.task.run_after == moment


def test_a_naive_run_after() -> None:
    """An error with ``USE_TZ``; local time without."""
    with pytest.raises(InvalidTask, match="must be an aware datetime"):
        echo.using(run_after=datetime.now())
    with override_settings(USE_TZ=False), fake() as recorder:
        result = echo.using(run_after=datetime.now() + timedelta(hours=1)).enqueue()
        assert recorder.advance(3500) == 0
        assert recorder.advance(200) == 1
        result.refresh()
        assert result.finished_at.tzinfo is None
        assert abs(datetime.now() - result.enqueued_at) < timedelta(minutes=5)


def test_priorities_and_queues() -> None:
    with fake() as recorder:
        for number, priority in enumerate((0, 100, -100, 50)):
            mails.using(priority=priority).enqueue(number)
        assert recorder.drain() == 4
    assert order == [1, 3, 0, 2]
    for priority in (-101, 101, 3.1):
        with pytest.raises(InvalidTask, match="whole number between -100 and 100"):
            mails.using(priority=priority)


def test_queue_names_map_to_pools() -> None:
    """``OPTIONS["workers"]`` gives the mail queue one thread; the default has two."""
    results = [waits.using(queue_name="mail").enqueue() for _ in range(3)]
    others = [waits.enqueue() for _ in range(4)]
    gate.set()
    assert len({ended(result).return_value for result in results}) == 1
    assert {ended(result).status for result in others} == {SUCCESSFUL}


def test_a_queue_may_be_a_shared_pool() -> None:
    counterpunch.configure(pools={"shared-queue": 1})
    params = {
        "default": {
            "BACKEND": "counterpunch.integrations.django.TaskBackend",
            "QUEUES": ["default", "shared-queue"],
        }
    }

    class NeighbourJob(Job):
        pool = "shared-queue"

        def perform(self) -> str:
            return threading.current_thread().name

    with override_settings(TASKS=params):
        gate.set()
        result = ended(waits.using(queue_name="shared-queue").enqueue())
    assert result.return_value == NeighbourJob.perform_async().result(LONG)


def test_an_unknown_queue_is_refused() -> None:
    with pytest.raises(InvalidTask, match="Queue 'unknown' is not valid"):
        echo.using(queue_name="unknown")
    with override_settings(
        TASKS={"default": {"BACKEND": "counterpunch.integrations.django.TaskBackend", "QUEUES": []}}
    ):
        loose = echo.using(queue_name="unknown")
        assert ended(loose.enqueue()).status == SUCCESSFUL
    with pytest.raises(InvalidTask, match="Queue 'unknown' is not valid"):
        loose.enqueue()


def test_results_that_do_not_exist_or_belong_elsewhere() -> None:
    with pytest.raises(TaskResultDoesNotExist):
        default_task_backend.get_result("123")
    with pytest.raises(TaskResultDoesNotExist):
        default_task_backend.get_result(123)

    class OtherJob(Job):
        def perform(self) -> None:
            pass

    with pytest.raises(TaskResultDoesNotExist):
        default_task_backend.get_result(OtherJob.perform_async().id)
    result = ended(echo.enqueue())
    with pytest.raises(TaskResultMismatch):
        needs_two.get_result(result.id)
    with pytest.raises(TaskResultDoesNotExist):
        task_backends["after"].get_result(result.id)


def test_results_can_be_pickled_and_strict_arguments_hold() -> None:
    counterpunch.configure(strict_args="json")
    result = ended(echo.using(run_after=timezone.now()).enqueue(1))
    assert result.return_value == [[1], {}]
    if django.VERSION >= (6, 1):  # a task of 6.0 cannot be pickled
        assert pickle.loads(pickle.dumps(result)) == result


def test_enqueued_at_once_inside_a_transaction_by_default() -> None:
    with transaction.atomic():
        assert ended(echo.enqueue()).status == SUCCESSFUL


def test_the_after_commit_option() -> None:
    with transaction.atomic():
        result = after_commit_task.enqueue()
        assert counterpunch.stats().total.deferred == 1
        assert result.status == READY
    assert ended(result).status == SUCCESSFUL
    assert rolled_back(True).status == "discarded"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"worker": 3}, r"unknown OPTIONS \['worker'\]"),
        ({"workers": 0}, "workers=0 is not valid"),
        ({"after_commit": 3.5}, "after_commit=3.5 is not valid"),
    ],
    ids=["unknown", "workers", "after_commit"],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidTaskBackend, match=message):
        TaskBackend("bad", {"OPTIONS": options})
