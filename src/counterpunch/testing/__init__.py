"""Test modes: run jobs at once (``inline``), or record them and run them on demand (``fake``).

Each mode puts a runtime without threads in front of the real one, for the code inside the
``with`` and for every thread that code starts. Everything else is the pipeline of
production: the same checks, middleware, hooks, retries and counters. Nothing is patched,
and ``stats()``, ``find()`` and ``jobs()`` show the mode's own jobs meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from ..core.port import Runtime
from ..core.values.times import due_at
from .modes import InFront, Inline, NothingRuns, Recording
from .recorder import DRAIN_LIMIT, Fake

__all__ = ["DRAIN_LIMIT", "Fake", "NothingRuns", "fake", "inline"]


def inline() -> InFront[None]:
    """Run each job where it is enqueued, on that thread, to its end.

    The enqueue returns the finished handle. Delays are not waited for, retries follow at
    once, up to ``max_attempts``; a job that then has failed raises its own exception to
    the caller of the enqueue. Jobs enqueued by a job run inline too. May be nested. A job that
    waits for a transaction to commit (``after_commit``) runs then; what still waits at the end is
    dropped, with a word in the log.

    Nothing watches ``timeout`` here, nor under ``fake()``: virtual time stands still while a
    job runs. A job that loops until ``self.cancelled`` needs a limit of its own in a test.
    """

    def make() -> tuple[Runtime, None, Callable[[], object]]:
        mode = Inline()
        return mode.runtime, None, mode.close

    return InFront(make)


def fake(now: datetime | float | None = None) -> InFront[Fake]:
    """Record enqueued jobs; they run on this thread when the test says so, in virtual time.

    Args:
        now: What the virtual wall clock shows first: an aware datetime, or epoch seconds.
            Default: the real time.

    Returns:
        A context manager that gives a ``Fake``: ``jobs``, ``drain()``, ``perform_one()``,
        ``advance(seconds)``, ``clear()``, ``assert_enqueued(...)``. What still waits at the end
        is dropped, and ends as ``lost``; ``jobs`` and the assertions show it still. To wait for a
        result of it raises ``NothingRuns``, which is a ``TimeoutError``.
    """

    def make() -> tuple[Runtime, Fake, Callable[[], object]]:
        mode = Recording(None if now is None else due_at("fake", now))
        recorder = Fake(mode)
        return mode.runtime, recorder, recorder.close

    return InFront(make)
