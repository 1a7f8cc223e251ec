"""The checked options of a job class; ``define`` reads and checks them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from .rate import Rate
from .retry import Retry

__all__ = ["Options"]


class Options(SimpleNamespace):
    """The checked options of one class.

    Options, as class attributes of a job:
        workers: Threads of the class's pool; of an async class, jobs at once. 1 is strictly serial,
            first come first served. Default 2.
        max_jobs: Jobs waiting in the queue, those that wait for the rate included; running,
            scheduled and retry-waiting ones are not counted. None is unlimited. Default 100_000.
        overflow: When the queue is full: ``"raise"`` ``QueueFull``; ``"discard"`` the new job;
            ``"discard_oldest"``; ``"caller_runs"``: on the caller's thread, or ``QueueFull`` where
            the rate lets nobody start; ``"block"`` the caller. Default ``"raise"``.
        block_timeout: Seconds for which ``"block"`` waits before it raises ``QueueFull``. None has
            no limit, and jobs that then enqueue their own class can block all its workers.
            Default 5.0.
        pool: Name of a shared pool of ``configure(pools=...)``. Default None, the class's own.
        priority: Higher runs sooner within a pool, first come first served among equals. Default 0.
        retry: A ``Retry``. Default None, runs once.
        discard_on: Exceptions that end the job as discarded, without ``on_failure``. Default none.
        timeout: Seconds, soft: past it the attempt's cancel token is set, and the overrun is
            reported with the thread's stack; nothing is raised into the thread. Default None.
        expires_in: Seconds a job may wait past its due time; one that waited longer is discarded,
            and is in nobody's way from then on. Default None.
        on_shutdown: Queued jobs when the process stops: ``"drain"`` within the deadline, or
            ``"drop"``. Default ``"drain"``.
        delayed_on_shutdown: Scheduled and retry-waiting jobs then: ``"drop"``, ``"run"`` (now, once
            more) or ``"wait"`` (if due before the deadline). Default ``"drop"``.
        identity: A ``@staticmethod`` over perform's arguments that gives a hashable key: what
            ``in_progress``, ``status`` and ``latest`` are asked by. Default None.
        unique: ``"queued"``: one waiting per identity; the key is free once the job starts, and its
            again while it waits for a retry, unless another job has it by then. ``"active"``: one
            waiting or running, so that a job which enqueues its own next run is given itself.
            Default None.
        on_duplicate: ``"existing"`` returns the first one's handle; ``"replace"`` cancels a waiting
            one (a running one stays, and its handle is returned); ``"discard"`` the new one;
            ``"raise"`` ``Duplicate``. Default ``"existing"``.
        rate: ``Rate(limit, per=seconds)``: starts in any such period, per class and process.
            Default None.
        context: ``"copy"``: each attempt sees the caller's context variables as they were at the
            enqueue; ``"fresh"``: none. Default ``"copy"``.
        loop: Of an ``async def`` job. ``"own"``: the library's loop thread; ``"app"``: the loop
            that entered the ASGI lifespan. Default ``"own"``.
        every: Seconds between two runs of a periodic job. Default None.
        cron: A five-field crontab string, in place of ``every``. Default None.
        timezone: IANA name of the zone that ``cron`` is in. Default ``"UTC"``.
        jitter: Seconds by which each periodic run is late at most, drawn at random. Default 0.0.
        once_per: ``"host"``: a periodic run is done by one process of the host; ``"process"``: by
            each. Default ``"host"``.
        tags: Labels for queries and the page. Default none.
        log_args: False keeps arguments out of logs, reports and pages. Default True.
        redact: Names of arguments that are hidden there, or a function of name and value that is
            true for those. Default None.
        backend: An engine of ``counterpunch.backends``, or ``"threads"``. Default None: what
            ``configure(backend=...)`` says.
    """

    workers: int
    max_jobs: int | None
    overflow: str
    block_timeout: float | None
    pool: str | None
    priority: int
    retry: Retry | None
    discard_on: tuple[type[BaseException], ...]
    timeout: float | None
    expires_in: float | None
    on_shutdown: str
    delayed_on_shutdown: str
    identity: Callable[..., Any] | None
    unique: str | None
    on_duplicate: str
    rate: Rate | None
    context: str
    loop: str
    every: float | None
    cron: Any  # text until ``define`` has made it a ``Cron``
    timezone: str
    jitter: float
    once_per: str
    tags: frozenset[str]
    log_args: bool
    redact: frozenset[str] | Callable[[str, Any], object] | None
    backend: Any
