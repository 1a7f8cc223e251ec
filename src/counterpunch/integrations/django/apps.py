"""The app: connections around jobs, and periodic jobs where requests are served."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from asgiref.sync import AsyncToSync, SyncToAsync, ThreadSensitiveContext
from django.apps import AppConfig
from django.core import mail
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connections

from ..._hooks import process
from .._serving import serving
from .._worker import on_a_worker

if TYPE_CHECKING:
    from ...handle import Handle

__all__ = ["CounterpunchConfig"]


class CounterpunchConfig(AppConfig):  # type: ignore[misc]  # Any where Django is missing
    """``INSTALLED_APPS += ["counterpunch.integrations.django"]``. Has no models."""

    name = "counterpunch.integrations.django"
    label = "counterpunch"
    verbose_name = "counterpunch"

    def ready(self) -> None:
        """Install the hooks of the process; once, though tests may load apps again."""
        if connections_of_a_job not in process.around_perform:
            process.add("around_perform", connections_of_a_job)
            process.add("around_hooks", connections_of_a_job)
        for signal in (request_started, request_finished):
            signal.connect(_serve, dispatch_uid="counterpunch")


def _serve(**kwargs: object) -> None:
    """With each request, which no command but a server's ever gets.

    At its end too: the first request imports the views, and with them the jobs. Not under
    the test runner, whose client sends the signals as well.
    """
    under_test = "django.test" in sys.modules and hasattr(mail, "outbox")
    if not under_test:
        serving()


@contextmanager
def connections_of_a_job(handle: Handle[Any]) -> Iterator[None]:
    """Around an attempt, and around its hooks: as Django does around a request.

    Connections belong to threads, and nobody else closes those of a job's thread. A job that
    runs on its caller's thread (``perform_now``, ``caller_runs``, a test mode) uses the
    caller's connections, and they are left alone.
    """
    if handle._lane.plan.is_async:
        with _thread_of_its_own():
            yield
    elif on_a_worker(handle):
        close_old_connections()
        try:
            yield
        finally:
            close_old_connections()
    else:
        yield


@contextmanager
def _thread_of_its_own() -> Iterator[None]:
    """For an ``async def perform``: where the ORM's blocking calls of one attempt run.

    The context that the job has from a request would send them to that request's thread,
    into its transaction. Runs on the event loop of the jobs, so nothing is waited for.
    """
    key = ThreadSensitiveContext()
    # Both live in context variables, so this changes the job's own context only.
    SyncToAsync.thread_sensitive_context.set(key)
    AsyncToSync.executors.current = None
    try:
        yield
    finally:
        executor = SyncToAsync.context_to_thread_executor.pop(key, None)
        if executor is not None:
            executor.submit(connections.close_all)
            executor.shutdown(wait=False)
