"""The backend for Django's task framework (Django 6.0): ``@task`` functions run as jobs.

::

    TASKS = {
        "default": {
            "BACKEND": "counterpunch.integrations.django.TaskBackend",
            "QUEUES": ["default", "mail"],
            "OPTIONS": {"workers": {"mail": 4}, "after_commit": True},
        }
    }

Each queue name has a pool: the one of ``configure(pools=...)`` if it names one, else one of
its own with ``workers`` threads (an int for all queues, or a dict by name; default 2).
``after_commit`` is as in ``using(...)``; by default tasks are enqueued at once.

A result can be had from any thread of the process that enqueued the task, and from no other
process, for as long as ``configure(history, history_ttl)`` remember it. A task that was
cancelled, discarded or lost counts as failed, with counterpunch's error for it. If it had not
begun there is no ``task_finished`` for it, which is the signal of a task that was executed;
``configure(on_lost)``, the log and the result tell of it.

A task is found by the import path of its function, so a function has the name of its task,
as the decorator gives it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.tasks import Task, TaskContext, TaskResult, TaskResultStatus
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.base import TaskError
from django.tasks.exceptions import InvalidTask, InvalidTaskBackend, TaskResultDoesNotExist
from django.tasks.signals import task_enqueued, task_finished, task_started
from django.utils import timezone
from django.utils.json import normalize_json
from django.utils.module_loading import import_string

from ...core.values.config import config
from ...core.values.errors import InvalidOption, NotKept
from ...core.values.handle import Handle
from ...core.values.status import RUNNING, SUCCEEDED, TERMINAL
from ...define.job_class import Job
from ...define.job_meta import JobMeta
from ...observe.queries import find
from .. import after_commit
from .connections import install

__all__ = ["TaskBackend"]

#: The job class of each backend alias, queue, pool and number of workers. Of the process,
#: because Django makes a backend object for each thread and each asyncio task.
_classes: dict[tuple[object, ...], type[DjangoTask]] = {}


class DjangoTask(Job):
    """One task. Its arguments are plain JSON values, so ``strict_args`` holds for it."""

    #: Django asks this process for results; an engine has a Django backend of its own kind.
    backend = "threads"
    alias: str
    sender: type[BaseTaskBackend]

    def on_enqueue(self) -> None:
        """On the caller's thread and before the job can start, so this signal is the first."""
        result = _result(self.handle, TaskResultStatus.READY)
        task_enqueued.send(self.sender, task_result=result)

    def perform(
        self, path: str, options: dict[str, Any], args: list[Any], kwargs: dict[str, Any]
    ) -> Any:
        """Run the task of the import path ``path``; what it returns must be a JSON value."""
        result = _result(self.handle, TaskResultStatus.RUNNING)
        task = result.task
        task_started.send_robust(self.sender, task_result=result)
        try:
            first = (TaskContext(task_result=result),) if task.takes_context else ()
            value = normalize_json(task.call(*first, *args, **kwargs))
        except BaseException as exc:
            _finish(result, TaskResultStatus.FAILED)
            result.errors.append(_error(exc))
            # Within the handler: Django's own receiver logs the exception.
            task_finished.send_robust(self.sender, task_result=result)
            raise
        _finish(result, TaskResultStatus.SUCCESSFUL, value)
        task_finished.send_robust(self.sender, task_result=result)
        return value


class TaskBackend(BaseTaskBackend):  # type: ignore[misc]  # Any where Django is missing
    """See the module.

    Raises:
        InvalidTaskBackend: For an option that is unknown or has a bad value.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        super().__init__(alias, params)
        install()
        unknown = set(self.options) - {"workers", "after_commit"}
        if unknown:
            raise InvalidTaskBackend(
                f"TASKS[{alias!r}]: unknown OPTIONS {sorted(unknown)}; "
                f"known are 'workers' and 'after_commit'"
            )
        try:
            after_commit.check(f"TASKS[{alias!r}]", self.options.get("after_commit"))
            for queue in self.queues:
                self._job(queue)
        except InvalidOption as exc:
            raise InvalidTaskBackend(str(exc)) from exc

    def _job(self, queue: str) -> type[DjangoTask]:
        """The job class of a queue, made on first use."""
        workers = self.options.get("workers", 2)
        if isinstance(workers, Mapping):
            workers = workers.get(queue, 2)
        values = {
            "__module__": __name__,
            "__qualname__": f"DjangoTask[{self.alias}:{queue}]",
            "alias": self.alias,
            "sender": type(self),
            "workers": workers,
            "pool": queue if queue in config.pools else None,
        }
        key = (*values.values(), queue)
        found = _classes.get(key)
        if found is None:
            made: Any = JobMeta(f"DjangoTask_{queue}", (DjangoTask,), values)
            found = _classes.setdefault(key, made)
        return found

    def enqueue(  # pyright: ignore[reportIncompatibleMethodOverride]  (the base's is a stub)
        self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> TaskResult:
        """Enqueue a task; returns its result as it is now, to be ``refresh()``-ed.

        Raises:
            TypeError: If an argument is no JSON value.
            InvalidTask: If the task does not fit this backend, or is not where its function's
                import path leads.
            QueueFull, ShuttingDown: As ``perform_async``.
        """
        self.validate_task(task)
        _check_path(task)
        priority = int(task.priority)  # Django lets a whole float pass
        options: dict[str, Any] = {"priority": priority}
        if task.run_after is not None:
            options["at"] = task.run_after.astimezone()
        if self.options.get("after_commit"):
            options["after_commit"] = self.options["after_commit"]
        changed = {
            "priority": priority,
            "queue_name": task.queue_name,
            "run_after": None if task.run_after is None else task.run_after.isoformat(),
            "backend": self.alias,
        }
        job: Any = self._job(task.queue_name)
        handle = job.using(**options).perform_async(
            task.module_path, changed, normalize_json(list(args)), normalize_json(dict(kwargs))
        )
        return _result(handle)

    def get_result(self, result_id: str) -> TaskResult:
        """The result as it is now.

        Raises:
            TaskResultDoesNotExist: If this process knows no task of that id (any longer), or has
                let go of its large arguments or return value: ``configure(history_bytes=...)``.
        """
        handle = find(str(result_id))
        if handle is None or not issubclass(handle.job, DjangoTask):
            raise TaskResultDoesNotExist(result_id)
        if handle.job.alias != self.alias:
            raise TaskResultDoesNotExist(result_id)
        try:
            return _result(handle)
        except NotKept as exc:
            raise TaskResultDoesNotExist(result_id) from exc


def _result(handle: Handle[Any], status: TaskResultStatus | None = None) -> TaskResult:
    """A ``TaskResult`` worked out from the handle, which is the only record there is."""
    path, options, args, kwargs = handle.args
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
        task=_task(path, options),
        id=handle.id,
        status=status,
        enqueued_at=_moment(handle.enqueued_at),
        started_at=started,
        last_attempted_at=started,
        finished_at=None,
        args=args,
        kwargs=kwargs,
        backend=options["backend"],
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


def _check_path(task: Task) -> None:
    """At the call, where the mistake is: the worker could only lose the job."""
    try:
        found = import_string(task.module_path)
    except ImportError as exc:
        found = exc
    if getattr(found, "func", None) is not task.func:
        raise InvalidTask(
            f"the import path {task.module_path!r} leads to {found!r} and not to the task: "
            f"put @task on the function, and let the module keep it under the function's name"
        )


def _task(path: str, options: Mapping[str, Any]) -> Task:
    run_after = options["run_after"]
    moment = None if run_after is None else datetime.fromisoformat(run_after)
    return import_string(path).using(**{**options, "run_after": moment})


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
