"""The runtime in force: what every enqueue and every look begins with."""

from __future__ import annotations

import os

from ..values.current import current as current_call
from ..values.hooks import apart, process
from ..values.stage import STOPPED
from .installed import NEVER, installed
from .runtime import Runtime

__all__ = ["accepting", "after_fork", "current"]


def current() -> Runtime:
    """The runtime in force, without reviving one that has stopped."""
    runtime: Runtime | None = installed.modes[-1] if installed.modes else installed.runtime
    if runtime is None or (runtime.stage.threads and not runtime.mark[0]):
        runtime = _replace(runtime)
    return runtime


def accepting() -> Runtime:
    """The runtime in force for an enqueue: one that was stopped starts afresh."""
    runtime = current()
    if runtime.stage.phase is STOPPED and not installed.ending and runtime.stage.threads:
        # Not for a job of it that outlived the stop: what it enqueues is refused, and the
        # process does not drain a second time for it.
        own = current_call.get()
        if own is None or own.lane.keeper is not runtime:
            runtime = _replace(runtime)
    return runtime


def _replace(old: Runtime | None) -> Runtime:
    """Install a fresh runtime after ``old``: the same one for all threads that come at once.

    The first to put one under the process's id in ``heirs`` wins. A thread that is late and
    installs a predecessor again does no harm: that one's heir is found at the next look.
    """
    heirs = installed.heirs if old is None else old.heirs
    runtime = installed.runtime = heirs.setdefault(os.getpid(), Runtime())
    if installed.ending:
        runtime.stage.enter(STOPPED)
    if old is not None:
        installed.heirs = {}  # nothing keeps the first runtime of the process alive
        old.registry.close_gates()
    return runtime


def after_fork() -> None:
    """In a forked child: forget the parent's jobs, threads and counters, and that it ends."""
    old: Runtime | None = installed.runtime
    installed.runtime, installed.heirs = None, {}
    apart.clear()  # a thread of the child may get the ident of one that it does not have
    installed.ending, installed.drain = False, NEVER
    if old is not None:
        old.registry.close_gates()
        if old.clockwork is not None:
            old.clockwork.after_fork()


def _handlers_changed() -> None:
    for runtime in installed.all():
        runtime.registry.close_gates()


process.changed = _handlers_changed
installed.accepting = accepting
