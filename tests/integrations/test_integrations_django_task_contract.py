"""The task backend where Django's own tests and documents are particular: checks, ids, logs,
errors, and which of the three signals a task that never ran has."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("django.tasks")

# isort: off
from test_integrations_django import LONG, Rollback  # first: it sets Django up
from test_integrations_django_tasks import after_commit_task, echo, ended, needs_two, raises
from test_integrations_django_tasks import signals as signals

# isort: on
import django
from asgiref.sync import async_to_sync
from django.db import connections, transaction
from django.tasks import Task, TaskResultStatus, default_task_backend, task
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist, TaskResultMismatch
from django.test import override_settings
from django.utils import timezone

import counterpunch
from counterpunch import Cancelled, Discarded, Lost
from counterpunch.core.values.hooks import process
from counterpunch.integrations.django import TaskBackend
from counterpunch.integrations.django.connections import connections_of_a_job


@task
def raises_nested() -> None:
    raise ValueError(KeyError("the cause is an argument"))


@task
def connects() -> int:
    connections["default"].ensure_connection()
    used.append(connections["default"])
    return threading.get_ident()


@task
def cancels_itself() -> None:
    handle = counterpunch.current_job()
    assert handle is not None
    assert handle.cancel() is False
    raise Cancelled("noticed")


used: list[Any] = []


def plain(number: int) -> int:
    return number


task_by_another_name = task(plain)


def accepted() -> int:
    return counterpunch.stats().total.accepted


# Checks


def nested() -> Callable[[], None]:
    def inside() -> None: ...

    return inside


@pytest.mark.parametrize("function", [any, nested(), [].append], ids=["builtin", "nested", "bound"])
def test_only_functions_of_a_module_are_tasks(function: Any) -> None:
    with pytest.raises(InvalidTask, match="module level"):
        task(function)


def test_a_task_with_context_has_the_argument_for_it() -> None:
    with pytest.raises(InvalidTask, match="does not have a first argument of 'context'"):
        task(takes_context=True)(plain)


def test_a_task_that_its_path_does_not_lead_to_is_refused_at_the_call() -> None:
    """The worker could not find it: it has nothing but the path."""
    before = accepted()
    message = r"path '.*\.plain' leads to <function plain .*> and not to the task: put @task on"
    with pytest.raises(InvalidTask, match=message):
        task_by_another_name.enqueue(1)
    assert accepted() == before


def test_a_task_whose_function_has_gone_is_refused_at_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(f"{__name__}.plain")
    with pytest.raises(InvalidTask, match=r"leads to ImportError\("):
        task_by_another_name.enqueue(1)


def test_the_queue_is_checked_again_when_the_task_is_enqueued() -> None:
    backend = {"BACKEND": "counterpunch.integrations.django.TaskBackend"}
    with override_settings(TASKS={"default": {**backend, "QUEUES": []}}):
        loose = echo.using(queue_name="elsewhere")
    with pytest.raises(InvalidTask, match="Queue 'elsewhere' is not valid"):
        async_to_sync(loose.aenqueue)()


def test_a_priority_may_be_a_whole_float() -> None:
    result = ended(echo.using(priority=3.0).enqueue())
    assert result.status == TaskResultStatus.SUCCESSFUL
    assert result.task.priority == 3


# Results


def test_an_id_is_a_short_string_and_leads_to_the_result_from_any_thread() -> None:
    result = ended(echo.enqueue())
    assert isinstance(result.id, str)
    assert 0 < len(result.id) < 64
    seen: list[Any] = []
    other = threading.Thread(target=lambda: seen.append(echo.get_result(result.id)))
    other.start()
    other.join(LONG)
    assert seen == [result]


def test_results_that_do_not_exist_or_belong_elsewhere_in_async_code() -> None:
    result = ended(echo.enqueue())

    async def main() -> None:
        assert await default_task_backend.aget_result(result.id) == result
        with pytest.raises(TaskResultDoesNotExist):
            await echo.aget_result("123")
        with pytest.raises(TaskResultDoesNotExist):
            await default_task_backend.aget_result(123)
        with pytest.raises(TaskResultMismatch):
            await needs_two.aget_result(result.id)

    asyncio.run(main())


def test_an_exception_with_an_exception_inside() -> None:
    result = ended(raises_nested.enqueue())
    [error] = result.errors
    assert error.exception_class is ValueError
    assert "raise ValueError(KeyError(" in error.traceback
    assert result._return_value is None


@pytest.mark.parametrize(
    ("which", "states"), [(echo, "SUCCESSFUL"), (raises, "FAILED")], ids=["successful", "failed"]
)
def test_the_log_of_a_task(which: Any, states: str, caplog: pytest.LogCaptureFixture) -> None:
    """Django's own receivers write it, from what the signals carry."""
    caplog.set_level(logging.DEBUG, "django.tasks")
    result = ended(which.enqueue("ValueError"))
    lines = [record for record in caplog.records if record.name == "django.tasks"]
    assert [record.levelno for record in lines[:2]] == [logging.DEBUG, logging.INFO]
    for record, part in zip(
        lines, ("enqueued backend=default", "state=RUNNING", f"state={states}"), strict=True
    ):
        assert part in record.getMessage()
        assert result.id in record.getMessage()
    if django.VERSION < (6, 1):
        return  # it logs "NoneType: None" for a success
    assert "NoneType" not in caplog.text
    assert (lines[-1].exc_info is not None) is (states == "FAILED")


# What never ran


def lost() -> Any:
    result = echo.using(run_after=timezone.now() + timedelta(hours=1)).enqueue()
    counterpunch.shutdown(timeout=1)
    return result


def cancelled() -> Any:
    result = echo.using(run_after=timezone.now() + timedelta(hours=1)).enqueue()
    handle = counterpunch.find(result.id)
    assert handle is not None
    assert handle.cancel()
    return result


def rolled_back() -> Any:
    try:
        with transaction.atomic():
            result = after_commit_task.enqueue()
            raise Rollback
    except Rollback:
        return result


@pytest.mark.parametrize(
    ("end", "kind"),
    [(lost, Lost), (cancelled, Cancelled), (rolled_back, Discarded)],
    ids=lambda value: value.__name__,
)
def test_a_task_that_never_ran_has_failed_without_being_finished(
    end: Callable[[], Any], kind: type[Exception], signals: list[Any]
) -> None:
    """``task_finished`` is for tasks that were executed, so its receivers may rely on that."""
    result = end()
    result.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert [error.exception_class for error in result.errors] == [kind]
    assert (result.started_at, result.attempts) == (None, 0)
    assert result.finished_at is not None
    assert [name for name, *_ in signals] == ["enqueued"]


def test_a_task_that_ends_itself_as_cancelled_is_finished(signals: list[Any]) -> None:
    result = ended(cancels_itself.enqueue())
    assert (result.status, result.attempts) == (TaskResultStatus.FAILED, 1)
    assert result.errors[0].exception_class is Cancelled
    assert [name for name, *_ in signals] == ["enqueued", "started", "finished"]


def test_connections_are_closed_without_the_app_in_installed_apps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever uses the backend uses databases: it installs the hooks if the app has not."""
    for name in ("around_perform", "around_hooks"):
        kept = tuple(hook for hook in getattr(process, name) if hook is not connections_of_a_job)
        monkeypatch.setattr(process, name, kept)
    backend = {"BACKEND": "counterpunch.integrations.django.TaskBackend"}
    with override_settings(TASKS={"default": backend}):
        result = ended(connects.enqueue())
    assert result.return_value != threading.get_ident()
    assert used.pop().connection is None
    assert process.around_perform.count(connections_of_a_job) == 1


# A Task class of one's own (Django 6.1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrackedTask(Task):
    tracked_as: str = "nobody"


class TrackedBackend(TaskBackend):
    task_class = TrackedTask


def tracked(context: Any) -> list[str]:
    handle = counterpunch.current_job()
    assert handle is not None
    return [context.task_result.task.tracked_as, handle.job.__qualname__]


def test_the_fields_of_a_task_class_arrive_as_they_were_enqueued() -> None:
    """Those that were replaced, too; and they are in the result, and in that of a retry."""
    if django.VERSION < (6, 1):
        pytest.skip("Django 6.0 has no task_class")
    backend = {"BACKEND": f"{TrackedBackend.__module__}.TrackedBackend"}
    with override_settings(TASKS={"default": backend}):
        module = sys.modules[__name__]
        function = tracked
        try:
            module.tracked = made = task(takes_context=True, tracked_as="all")(function)  # type: ignore[attr-defined]
            special = dataclasses.replace(made, tracked_as="anna")
            results = [ended(made.enqueue()), ended(special.enqueue())]
            assert [result.return_value[0] for result in results] == ["all", "anna"]
            assert results[1].task.tracked_as == "anna"
            assert default_task_backend.get_result(results[1].id).task == special
            handle = counterpunch.find(results[1].id)
            assert handle is not None
            assert handle.retry().result(LONG)[0] == "anna"
            assert {result.return_value[1] for result in results} == {made.module_path}
        finally:
            module.tracked = function  # type: ignore[attr-defined]


def test_a_result_of_another_process_says_so() -> None:
    with pytest.raises(TaskResultDoesNotExist, match=r"deadbeef-0-0: process \d+ knows no such"):
        default_task_backend.get_result("deadbeef-0-0")
