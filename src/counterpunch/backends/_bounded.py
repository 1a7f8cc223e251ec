"""Calls into an engine's client that return in time, whatever the network does.

Each client has timeouts and retries of its own, by default of minutes or of none at all. A
call is therefore made on a helper thread, and waited for so long and no longer. Helpers are
kept: some clients have a connection per thread.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, TypeVar
from weakref import ref

from ..core.values.errors import BackendError
from ..core.values.interpreter import start

__all__ = ["Bounded"]

T = TypeVar("T")

#: Helpers kept for the next call.
KEPT = 16
#: Calls at a time, those included that nobody waits for any more: a broker that hangs must not
#: cost the process a thread for each request.
AT_A_TIME = 100


class Bounded:
    """Makes calls on helper threads; no more than ``seconds`` each."""

    def __init__(self, name: str, seconds: float) -> None:
        self.name = name
        self.seconds = seconds
        self._pid = os.getpid()
        self._idle: deque[Any] = deque()
        self._going: deque[None] = deque()

    def call(self, what: str, fn: Callable[[], T], overdue: str | None = None) -> T:
        """What ``fn()`` returns, in the caller's context variables.

        Args:
            what: What the errors begin with.
            fn: Runs on a helper thread.
            overdue: What the error begins with if there is no answer in time. Default
                ``what``.

        Raises:
            BackendError: If it raised, or has not returned in time; it may still go on. At once
                if too many such calls go on.
        """
        if self._pid != os.getpid():  # a forked child has none of its parent's threads
            self._idle, self._going, self._pid = deque(), deque(), os.getpid()
        if len(self._going) >= AT_A_TIME:
            raise BackendError(f"{what}: {len(self._going)} calls to {self.name} go on already")
        # Looked up late and through the module: gevent may have patched it meanwhile.
        answer: Any = queue.SimpleQueue()
        task = (copy_context(), fn, answer, self._going)
        self._going.append(None)
        try:
            self._idle.pop().put(task)
        except IndexError:
            inbox: Any = queue.SimpleQueue()
            inbox.put(task)
            # Its frame holds no more of this object than that: a backend that nobody has any
            # longer leaves no thread behind, and no connection of a thread.
            owner = ref(self, lambda _: inbox.put(None))
            args, name = (inbox, self._idle, owner), f"{self.name}-call"
            helper = threading.Thread(target=_serve, args=args, name=name, daemon=True)
            try:
                start(helper)
            except RuntimeError as exc:
                # Once the interpreter is ending there is no thread any more, and no bound.
                if not (sys.is_finalizing() or "interpreter shutdown" in str(exc)):
                    self._going.pop()
                    raise BackendError(f"{what}: {exc}") from exc
                _run(None, *task)
        try:
            failure, value = answer.get(timeout=self.seconds)
        except queue.Empty:
            raise BackendError(
                f"{overdue or what}: no answer from {self.name} within {self.seconds:g} s"
            ) from None
        if failure is not None:
            kind = type(failure).__name__
            raise BackendError(f"{what}: {self.name} failed: {kind}: {failure}") from failure
        result: T = value
        return result


def _serve(inbox: Any, idle: deque[Any], owner: ref[Bounded]) -> None:
    while (task := inbox.get()) is not None:
        kept = len(idle) < KEPT
        _run((lambda: idle.append(inbox)) if kept else None, *task)
        if not kept:
            return
        task = None  # the job's arguments are not kept while it is idle


def _run(
    before: Callable[[], None] | None,
    context: Context,
    fn: Callable[[], Any],
    answer: Any,
    going: deque[None],
) -> None:
    outcome: tuple[BaseException | None, Any]
    try:
        outcome = (None, context.run(fn))
    except BaseException as exc:
        outcome = (exc, None)
    going.pop()
    if before is not None:
        before()  # first, so that the caller's next call finds this helper idle
    answer.put(outcome)
