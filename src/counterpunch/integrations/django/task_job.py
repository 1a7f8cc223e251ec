"""The job that a task of Django's is, and the ``TaskResult`` that is worked out from it."""

from __future__ import annotations

import inspect
import logging
import os
import socket
from collections.abc import Callable
from datetime import datetime
from threading import local
from typing import Any

from django.conf import settings
from django.tasks import Task, TaskContext, TaskResult, TaskResultStatus
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.base import TaskError
from django.tasks.signals import task_enqueued, task_finished, task_started
from django.utils import timezone
from django.utils.json import normalize_json

from ...core.values.handle import Handle
from ...core.values.status import RUNNING, SUCCEEDED, TERMINAL
from ...define.job_class import Job

__all__ = [
    "TASK",
    "DjangoTask",
    "Refused",
    "not_twice",
    "perform_of",
    "result_of",
    "senders",
    "task_of",
]

#: Who sends the signals of each alias.
senders: dict[str, type[BaseTaskBackend]] = {}
#: Among the options of a job: the task as it was enqueued, with all its fields.
TASK = "task"


class Refused(BaseException):
    """A receiver of ``task_enqueued`` has raised; what, is its cause. An ``Exception`` of a hook
    would not reach the caller."""


class DjangoTask(Job):
    """One task. Its arguments are plain JSON values, so ``strict_args`` holds for it."""

    #: Django asks this process for results; an engine has a Django backend of its own kind.
    backend = "threads"

    def on_enqueue(self) -> None:
        """On the caller's thread and before the job can start, so this signal is the first."""
        result = result_of(self.handle, TaskResultStatus.READY)
        try:
            task_enqueued.send(senders[result.backend], task_result=result)
        except Exception as exc:
            raise Refused from exc


def perform(self: DjangoTask, *args: Any, **kwargs: Any) -> Any:
    """Run the task; what it returns must be a JSON value."""
    result = result_of(self.handle, TaskResultStatus.RUNNING)
    task, sender = result.task, senders[result.backend]
    task_started.send_robust(sender, task_result=result)
    try:
        first = (TaskContext(task_result=result),) if task.takes_context else ()
        value = normalize_json(task.call(*first, *args, **kwargs))
    except BaseException as exc:
        _finish(result, TaskResultStatus.FAILED)
        result.errors.append(_error(exc))
        # Within the handler: Django's own receiver logs the exception.
        task_finished.send_robust(sender, task_result=result)
        _told.exc = exc
        raise
    _finish(result, TaskResultStatus.SUCCESSFUL, value)
    task_finished.send_robust(sender, task_result=result)
    return value


def perform_of(task: Task) -> Callable[..., Any]:
    """With the parameters of the task's function, so that wrong arguments are refused."""

    def run(self: DjangoTask, *args: Any, **kwargs: Any) -> Any:
        return perform(self, *args, **kwargs)

    signature = inspect.signature(task.func)
    parameters = list(signature.parameters.values())[1 if task.takes_context else 0 :]
    name = "job" if "self" in signature.parameters else "self"
    first = inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY)
    kinds = {one.kind for one in parameters}
    if not kinds & {first.kind}:
        first = first.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = signature.replace(parameters=[first, *parameters])  # type: ignore[attr-defined]
    return run


#: The failure of which Django has told on this thread.
_told = local()


def not_twice(record: logging.LogRecord) -> bool:
    """Keeps a failure of a task out of our log that Django's receiver has just written."""
    exc = getattr(_told, "exc", None)
    if exc is None or not record.exc_info or record.exc_info[1] is not exc:
        return True
    _told.exc = None
    return not logging.getLogger("django.tasks").isEnabledFor(logging.ERROR)


def result_of(handle: Handle[Any], status: TaskResultStatus | None = None) -> TaskResult:
    """A ``TaskResult`` worked out from the handle, which is the only record there is."""
    task = task_of(handle)
    state = handle.status  # read once, and first: the rest is there when it is terminal
    if status is None:
        status = TaskResultStatus.READY
        if state is RUNNING:
            status = TaskResultStatus.RUNNING
        elif state in TERMINAL:
            ok = state is SUCCEEDED
            status = TaskResultStatus.SUCCESSFUL if ok else TaskResultStatus.FAILED
    started = _moment(handle.started_at) if status != TaskResultStatus.READY else None
    result = TaskResult(
        task=task,
        id=handle.id,
        status=status,
        enqueued_at=_moment(handle.enqueued_at),
        started_at=started,
        last_attempted_at=started,
        finished_at=None,
        args=list(handle.args),
        kwargs=dict(handle.kwargs),
        backend=task.backend,
        errors=[],
        worker_ids=[] if started is None else [f"{socket.gethostname()}:{os.getpid()}"],
    )
    if state in TERMINAL:
        _set(result, finished_at=_moment(handle.finished_at))
        if state is SUCCEEDED:
            _set(result, _return_value=handle.result(0))
        else:
            result.errors.append(_error(handle.failure(), handle.error))
    return result


def task_of(handle: Handle[Any]) -> Task:
    return (handle.extra().options or {})[TASK]


def _finish(result: TaskResult, status: TaskResultStatus, value: Any = None) -> None:
    _set(result, status=status, finished_at=timezone.now(), _return_value=value)


def _set(result: TaskResult, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(result, name, value)  # frozen, as Django's own backends do it


def _error(exc: BaseException, text: str | None = None) -> TaskError:
    from traceback import format_exception

    kind = type(exc)
    path = f"{kind.__module__}.{kind.__qualname__}"
    traceback = text if text is not None else "".join(format_exception(exc))
    return TaskError(exception_class_path=path, traceback=traceback)


def _moment(moment: datetime | None) -> datetime | None:
    """As ``timezone.now()`` gives it: aware, or naive local time without ``USE_TZ``."""
    if moment is None or settings.USE_TZ:
        return moment
    return moment.astimezone().replace(tzinfo=None)
