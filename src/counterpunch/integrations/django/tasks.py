"""The backend for Django's task framework (Django 6.0): ``@task`` functions run as jobs.

::

    TASKS = {
        "default": {
            "BACKEND": "counterpunch.integrations.django.TaskBackend",
            "QUEUES": ["default", "mail"],
            "OPTIONS": {"workers": {"mail": 4}, "after_commit": True},
        }
    }

Each task is a job class of its own, under its import path: ``app.tasks.add`` in stats, page,
metrics and log, and arguments that do not fit are a ``TypeError`` at the enqueue. Each queue name
has a pool: the one of ``configure(pools=...)`` if it names one, else one of its own, called
``alias:queue``, with ``workers`` threads (an int for all queues, or a dict by name; default 2).
``after_commit`` is as in ``using(...)``; by default tasks are enqueued at once. ``log_args`` and
``redact`` (names of arguments) are as on a job class, for all tasks of the backend.

A result can be had from any thread of the process that enqueued the task, and from no other
process, for as long as ``configure(history, history_ttl)`` remember it. A task that was
cancelled, discarded or lost counts as failed, with counterpunch's error for it. If it had not
begun there is no ``task_finished`` for it, which is the signal of a task that was executed;
``configure(on_lost)``, the log and the result tell of it.

A receiver of ``task_enqueued`` that raises refuses the task, and its exception reaches the caller;
one of ``task_started`` or ``task_finished`` is logged, for it runs on the job's thread. A failure
is logged once, by Django's own receiver in ``django.tasks``.

A task is found by the import path of its function, so a function has the name of its task,
as the decorator gives it.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Any

from django.tasks import Task, TaskResult
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.exceptions import InvalidTask, InvalidTaskBackend, TaskResultDoesNotExist
from django.utils.json import normalize_json
from django.utils.module_loading import import_string

from ...core.port import accepting
from ...core.values.config import config
from ...core.values.errors import InvalidOption, NotKept
from ...core.values.hooks import logger
from ...define.configure import configure
from ...define.job_meta import JobMeta
from ...observe.queries import find
from .. import after_commit
from .connections import install
from .task_job import TASK, DjangoTask, Refused, not_twice, perform_of, result_of, senders, task_of

__all__ = ["TaskBackend"]

#: The job class of each task. Of the process, because Django makes a backend object for each thread
#: and each asyncio task.
_classes: dict[tuple[object, ...], type[DjangoTask]] = {}
#: What ``OPTIONS`` may have.
KNOWN = {"after_commit", "log_args", "redact", "workers"}


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
        logger.addFilter(not_twice)
        unknown = set(self.options) - KNOWN
        if unknown:
            raise InvalidTaskBackend(
                f"TASKS[{alias!r}]: unknown OPTIONS {sorted(unknown)}; known are {sorted(KNOWN)}"
            )
        senders[alias] = type(self)
        try:
            after_commit.check(f"TASKS[{alias!r}]", self.options.get("after_commit"))
            for queue in self.queues:
                self._pool(queue)
        except InvalidOption as exc:
            raise InvalidTaskBackend(str(exc)) from exc

    def _pool(self, queue: str) -> str:
        """The name of a queue's pool."""
        if queue in config.pools:
            return queue
        workers = self.options.get("workers", 2)
        if isinstance(workers, Mapping):
            workers = workers.get(queue, 2)
        name = f"{self.alias}:{queue}"
        if config.pools.get(name) != workers:
            try:
                configure(pools={name: workers})
            except InvalidOption as exc:
                owner = f"TASKS[{self.alias!r}]"
                raise InvalidOption(owner, "workers", workers, exc.allowed) from None
        return name

    def _job(self, task: Task) -> type[DjangoTask]:
        """The job class of a task, made on first use."""
        names = inspect.signature(task.func).parameters
        redact = tuple(name for name in self.options.get("redact", ()) if name in names)
        log_args = self.options.get("log_args", True)
        key = (task.module_path, task.func, task.takes_context, redact, log_args)
        found = _classes.get(key)
        if found is None:
            values = {
                "__module__": __name__,
                "__qualname__": task.module_path,
                "perform": perform_of(task),
                "redact": redact or None,
                "log_args": log_args,
            }
            made: Any = JobMeta(task.name, (DjangoTask,), values)
            found = _classes.setdefault(key, made)
        return found

    def enqueue(  # pyright: ignore[reportIncompatibleMethodOverride]  (the base's is a stub)
        self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> TaskResult:
        """Enqueue a task; returns its result as it is now, to be ``refresh()``-ed.

        Raises:
            TypeError: If an argument is no JSON value, or the arguments do not fit the task's
                function.
            InvalidTask: If the task does not fit this backend, or is not where its function's
                import path leads.
            QueueFull, ShuttingDown: As ``perform_async``.
            Exception: What a receiver of ``task_enqueued`` has raised; the task is then refused.
        """
        self.validate_task(task)
        _check_path(task)
        priority = int(task.priority)  # Django lets a whole float pass
        if (priority, self.alias) != (task.priority, task.backend):
            task = task.using(priority=priority, backend=self.alias)
        options: dict[str, Any] = {"priority": priority, "pool": self._pool(task.queue_name)}
        if task.run_after is not None:
            options["at"] = task.run_after.astimezone()
        if self.options.get("after_commit"):
            options["after_commit"] = self.options["after_commit"]
        job: Any = self._job(task)
        options = {**job.using(**options).options, TASK: task}
        positional: Any = normalize_json(list(args))
        named: Any = normalize_json(dict(kwargs))
        try:
            handle = accepting().enqueue(job, tuple(positional), named, options)
        except Refused as exc:
            raise exc.__cause__ or exc from None
        return result_of(handle)

    def get_result(self, result_id: str) -> TaskResult:
        """The result as it is now.

        Raises:
            TaskResultDoesNotExist: If this process knows no task of that id (any longer), or has
                let go of its large arguments or return value: ``configure(history_bytes=...)``.
        """
        handle = find(str(result_id))
        ours = handle is not None and issubclass(handle.job, DjangoTask)
        if handle is not None and ours and task_of(handle).backend == self.alias:
            try:
                return result_of(handle)
            except NotKept as exc:
                raise TaskResultDoesNotExist(f"{result_id}: {exc}") from exc
        raise TaskResultDoesNotExist(
            f"{result_id}: process {os.getpid()} knows no such task of TASKS[{self.alias!r}]; a "
            f"result stays in the process that enqueued the task, for as long as "
            f"configure(history=..., history_ttl=...) says"
        )


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
