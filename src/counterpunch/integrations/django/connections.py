"""Database connections around jobs, as Django has them around requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asgiref.sync import AsyncToSync, SyncToAsync, ThreadSensitiveContext
from django.db import close_old_connections, connections, reset_queries

from ...core.values.handle import Handle
from ...core.values.hooks import process, safely
from .._worker import on_a_worker

__all__ = ["connections_of_a_job", "install"]


def install() -> None:
    """Once per process, by whatever of this integration is used first."""
    if connections_of_a_job not in process.around_perform:
        process.add("around_perform", connections_of_a_job)
        process.add("around_hooks", connections_of_a_job)
        process.add("around_ticks", connections_of_a_tick)


@contextmanager
def connections_of_a_job(handle: Handle[Any]) -> Iterator[None]:
    """Around an attempt, and around its hooks: as Django does around a request.

    Connections belong to threads, and nobody else closes those of a job's thread. A job that
    runs on its caller's thread (``perform_now``, ``caller_runs``, a test mode) uses the
    caller's connections, and they are left alone.
    """
    if handle.lane.plan.is_async:
        with _thread_of_its_own():
            yield
    elif on_a_worker(handle):
        reset_queries()  # with DEBUG each connection keeps what it was asked
        close_old_connections()
        try:
            yield
        finally:
            # What it raises changes nothing of what the job did.
            safely("closing old connections", handle, close_old_connections)
    else:
        yield


@contextmanager
def connections_of_a_tick(own_thread: bool) -> Iterator[None]:
    """Around the enqueue of a periodic job, which may run middleware and hooks."""
    try:
        yield
    finally:
        if own_thread:
            safely("closing connections", None, connections.close_all)


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
