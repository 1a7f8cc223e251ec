"""The soft time limit: a job past its ``timeout`` is told to stop, and reported.

Nothing is injected into the thread: an exception out of nowhere could come between any
two lines of a transaction. The job's cancel token is set; the report shows where it is.
"""

from __future__ import annotations

import logging

from ..places.scheduler import Timer
from ..places.site import Site
from ..values.handle import Call
from ..values.hooks import report
from ..values.short import clean
from ..values.status import RUNNING, TERMINAL
from ..workers.stacks import Stacks

__all__ = ["Overrun"]


class Overrun:
    """Looks at running jobs once their time is over."""

    def __init__(self, site: Site, stacks: Stacks) -> None:
        self._clock, self._scheduler, self._tokens = site.clock, site.scheduler, site.tokens
        self._stacks = stacks

    def watch(self, call: Call, timeout: float, now: float) -> Timer:
        """Look at a job that is about to start again in ``timeout`` seconds."""
        attempt = call.attempt + 1

        def look() -> None:
            def runs() -> bool:
                return call.state is RUNNING and call.attempt == attempt

            if call.attempt < attempt and call.state not in TERMINAL:
                # Its thread was held up before it could begin: the time begins anew.
                self._scheduler.add(timer, self._clock.monotonic() + timeout)
                return
            if not runs():
                return
            stack = self._stacks.whole_of(call)
            message = "%s %s attempt %d has been running for more than timeout=%g s\n%s"
            name = clean(call.job.__qualname__)
            extra = {"job_id": call.id, "job": name, "attempt": attempt}
            report(logging.WARNING, message, name, call.id, attempt, timeout, stack, extra=extra)
            if runs():
                self._tokens.overruns.add(call)  # last: a job that sees its token moves on
            if not runs():  # over since the look
                self._tokens.overruns.discard(call)

        timer = Timer(look)
        self._scheduler.add(timer, now + timeout)
        return timer
