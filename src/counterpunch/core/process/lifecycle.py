"""The process-wide hooks: interpreter exit and fork; and start, quiet, shutdown.

The drain is registered twice. ``threading._register_atexit`` runs at the start of interpreter
shutdown, while threads, executors and ``asyncio.to_thread`` still work; it must be registered
after ``concurrent.futures.thread`` was imported to run before that module refuses all work, and
again after ``concurrent.futures.process``, see ``workers.at_exit``. ``atexit`` comes later and is
the second chance, for hosts that skip the first (eventlet). The second run finds nothing to do.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401  (before our own registration, see above)
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from ..values.app_loop import app_loop
from ..values.blocking import blocking, running_loop
from ..values.checks import seconds
from ..values.config import config
from ..values.hooks import report
from ..values.stage import OPEN, QUIET, STOPPED, ShutdownReport
from ..workers.at_exit import first, spare_the_main_thread
from ..workers.outcome import at_end_of_child
from .changes import reconfigured
from .drain import drain
from .in_force import accepting, after_fork, current
from .installed import installed
from .last_words import let_go_of_streams
from .runtime import Runtime

__all__ = ["on_start", "quiet", "shutdown", "start", "wait_idle"]

#: Called with the runtime by ``start()``; ``recurring`` arms its classes so.
on_start: list[Callable[[Runtime], object]] = []


def start() -> None:
    """Say that this process serves: arm periodic jobs, and end a ``quiet()``.

    The ASGI, Flask and Django helpers call it in each server process. Enqueues do not need
    it. Safe to call again.

    Raises:
        InvalidOption: If a periodic class names a pool that does not exist; none is armed then.
    """
    runtime = accepting()
    runtime.serving.known = True
    runtime.stage.enter(OPEN)
    for armed in on_start:
        armed(runtime)


def quiet() -> None:
    """Refuse new jobs from outside, finish the accepted ones; ``start()`` ends it.

    For a server that is taken out of the load balancer before it stops. Delayed jobs and
    retries still run when they are due. Periodic jobs are left to the other processes of the host.
    """
    runtime = current()
    if runtime.stage.enter(QUIET):
        runtime.registry.close_gates()
        if runtime.clockwork is not None:
            runtime.clockwork.hand_over()


def shutdown(timeout: float | timedelta | None = None) -> ShutdownReport:
    """Stop: refuse new jobs, let the accepted ones end, report what could not.

    Returns at once when nothing is running or waiting. Called again it returns the same
    report. Unless the interpreter is ending, the next enqueue afterwards starts afresh,
    with new threads and counters at zero. A job that calls it is not waited for.

    Args:
        timeout: Seconds at most; None takes ``configure(shutdown_timeout=...)``, 8 by
            default.

    Raises:
        InvalidOption: (a ``ValueError``) for a negative or not finite timeout.

    Warns:
        RuntimeWarning: Once per place, on the thread of the very loop that jobs with ``loop="app"``
            run on: it blocks that, and they cannot end meanwhile.
    """
    limit = config.shutdown_timeout
    if timeout is not None:
        limit = seconds(0.0, none=False)("shutdown", "timeout", timeout)
    if installed.modes and not installed.ending:
        # An app under test that stops must not take the recorded jobs away from the test.
        return ShutdownReport({}, [], 0.0, True)
    runtime = current()
    waits = limit > 0.0 and runtime.stage.threads and not installed.ending
    if waits and running_loop() is app_loop() and runtime.idleness.on_app() and not runtime.idle():
        whose = "shutdown(), while jobs with loop='app' are to end there,"
        blocking("%s", whose, "`await asyncio.to_thread(counterpunch.shutdown)`")
    return drain(runtime, limit, leaving=installed.ending)


def wait_idle(timeout: float | timedelta | None = None, scheduled: bool = False) -> bool:
    """Wait until no job is queued or running in this process.

    Args:
        timeout: Seconds at most; None waits without limit.
        scheduled: Wait for scheduled and retry-waiting jobs as well.

    Returns:
        False if the time ran out before. A job that calls it is not waited for, nor one that
        runs that job inside itself, by ``perform_now`` or so.

    Raises:
        InvalidOption: (a ``ValueError``) for a negative or not finite timeout.

    Warns:
        RuntimeWarning: Once per place, where it blocks the thread of a running event loop.
    """
    limit = seconds(0.0)("wait_idle", "timeout", timeout)
    runtime = current()
    if limit != 0.0 and runtime.stage.threads and not runtime.idle(scheduled):
        instead = "`await asyncio.to_thread(counterpunch.wait_idle)`"
        blocking("%s()", "wait_idle", instead, runtime.idleness.on_app())
    return runtime.wait_idle(limit, delayed=scheduled)


def _at_exit() -> None:
    """The interpreter ends. Nothing may be raised out of here: that would skip the
    callbacks and the joins of every other library."""
    try:
        installed.ending = True
        runtime = installed.runtime
        if runtime is None or runtime.pid != os.getpid():
            return  # one that comes now is made stopped, see ``in_force``
        if runtime.registry.lanes or runtime.stage.phase is not OPEN:
            try:
                drain(runtime, config.shutdown_timeout, leaving=True)
            except BaseException:  # in the midst of its last steps
                drain(runtime, config.shutdown_timeout, leaving=True)
        else:
            runtime.stage.enter(STOPPED)
        told = runtime.stage.report
        rests = runtime.idle() and runtime.scheduler.log.resting()
        if (told and told.lost) or not rests:
            let_go_of_streams()
        spare_the_main_thread()
    except BaseException as exc:
        with suppress(BaseException):
            report(logging.ERROR, "the drain at exit failed", exc_info=exc)


def _register() -> None:
    first.register(_at_exit)
    atexit.register(_at_exit)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=after_fork)


def _configured(names: frozenset[str]) -> None:
    runtime = installed.runtime
    if runtime is not None and runtime.pid == os.getpid():
        reconfigured(runtime, names)


_register()
at_end_of_child.append(_at_exit)
config.changed.append(_configured)
