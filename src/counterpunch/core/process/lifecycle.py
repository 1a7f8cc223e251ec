"""The process-wide hooks: interpreter exit, fork, SIGTERM; and start, quiet, shutdown.

The drain is registered twice. ``threading._register_atexit`` (private; looked up with
``getattr``) runs at the start of interpreter shutdown, while threads, executors and
``asyncio.to_thread`` still work; it must be registered after ``concurrent.futures.thread``
was imported to run before that module refuses all work. ``atexit`` comes later and is the
second chance, for hosts that skip the first (eventlet). The second run finds nothing to do.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401  (before our own registration, see above)
import logging
import os
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from types import FrameType
from typing import Any, NoReturn

from ..values.checks import seconds
from ..values.clock import monotonic
from ..values.config import config
from ..values.errors import InvalidOption
from ..values.hooks import report
from ..values.stage import OPEN, QUIET, STOPPED, ShutdownReport
from ..workers.outcome import at_end_of_child
from .changes import reconfigured
from .drain import drain
from .in_force import accepting, after_fork, current
from .installed import installed
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
    retries still run when they are due.
    """
    runtime = current()
    if runtime.stage.enter(QUIET):
        runtime.registry.close_gates()


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
    """
    limit = config.shutdown_timeout
    if timeout is not None:
        limit = seconds(0.0, none=False)("shutdown", "timeout", timeout)
    if installed.modes and not installed.ending:
        # An app under test that stops must not take the recorded jobs away from the test.
        return ShutdownReport({}, [], 0.0, True)
    return drain(current(), limit, leaving=installed.ending)


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
    """
    limit = seconds(0.0)("wait_idle", "timeout", timeout)
    return current().wait_idle(limit, delayed=scheduled)


def _at_exit() -> None:
    """The interpreter ends. Nothing may be raised out of here: that would skip the
    callbacks and the joins of every other library."""
    try:
        installed.ending = True
        runtime = installed.runtime
        if runtime is None or runtime.pid != os.getpid():
            runtime = installed.runtime = Runtime()
        if runtime.registry.lanes or runtime.stage.phase is not OPEN:
            drain(runtime, config.shutdown_timeout, leaving=True)
        else:
            runtime.stage.enter(STOPPED)
    except BaseException as exc:
        report(logging.ERROR, "the drain at exit failed", exc_info=exc)


def _register() -> None:
    early = getattr(threading, "_register_atexit", None)
    if early is not None:
        try:
            early(_at_exit)
        except RuntimeError:
            pass  # imported while the interpreter already ends
    atexit.register(_at_exit)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=after_fork)


#: A SIGTERM this soon after another, or after the drain that the other led to, is the same
#: one. A later one counts: a host may have swallowed the SystemExit of the first, as wsgiref
#: does while it handles a request.
REPEAT_SECONDS = 1.0


def _running_loop() -> Any:
    """The event loop that runs on this thread; None without one."""
    running = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    return None if running is None else running()


def _leave(status: int) -> NoReturn:
    raise SystemExit(status)


class _Sigterm:
    """The opt-in SIGTERM handler: turns instant death into a normal exit, which drains."""

    def __init__(self) -> None:
        self.installed = False
        self.previous: Any = None
        self.seen: float | None = None

    def install(self) -> None:
        import signal

        if self.installed:
            return
        if threading.current_thread() is not threading.main_thread():
            allowed = "False here: Python sets signal handlers in the main thread only"
            raise InvalidOption("configure", "signals", True, allowed)
        self.previous = signal.signal(signal.SIGTERM, self.handle)
        self.installed = True

    def remove(self) -> None:
        import signal

        if self.installed:
            if signal.getsignal(signal.SIGTERM) == self.handle:
                signal.signal(signal.SIGTERM, self.previous)
            self.installed = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """On the main thread, between two bytecodes of whatever runs there."""
        if callable(self.previous):
            self.previous(number, frame)
            return
        now = monotonic()
        if self.under_way(now):
            return
        first, self.seen = self.seen is None, now
        loop = _running_loop() if first else None
        if loop is None:
            raise SystemExit(128 + number)
        # Not in the task that it happens to interrupt: that one would keep it, and a TaskGroup
        # above raise it again while the loop cancels what is left, which ends there and then.
        # A loop that does not come round to it is interrupted by the next signal.
        loop.call_soon_threadsafe(_leave, 128 + number)

    def under_way(self, now: float) -> bool:
        """Whether the exit has begun: Heroku and systemd repeat the signal.

        So does hypercorn, whose worker drains within the lifespan: a second SystemExit would
        break that off, and a loop that ends half-way leaves threads that are waited for.
        """
        if installed.ending:
            return True
        if self.seen is None:
            return False
        began, ended = installed.drain
        latest = max(self.seen, ended) if began >= self.seen else self.seen
        return now - latest < REPEAT_SECONDS


_sigterm = _Sigterm()


def _configured(names: frozenset[str]) -> None:
    if "signals" in names:
        _sigterm.install() if config.signals else _sigterm.remove()
    runtime = installed.runtime
    if runtime is not None and runtime.pid == os.getpid():
        reconfigured(runtime, names)


_register()
at_end_of_child.append(_at_exit)
config.changed.append(_configured)
