"""The opt-in SIGTERM handler: turns instant death into a normal exit, which drains."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any, NoReturn

from ..core.port import installed
from ..core.values.clock import monotonic
from ..core.values.config import config
from ..core.values.errors import InvalidOption

__all__ = ["REPEAT_SECONDS"]

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
        #: When, and in which process: a forked child has its own end.
        self.seen: tuple[int, float] | None = None

    def install(self) -> None:
        if self.installed:
            return
        if threading.current_thread() is not threading.main_thread():
            allowed = "False here: Python sets signal handlers in the main thread only"
            raise InvalidOption("configure", "signals", True, allowed)
        try:
            self.previous = signal.signal(signal.SIGTERM, self.handle)
        except (AttributeError, OSError, ValueError) as exc:  # of a subinterpreter, for one
            allowed = f"False here: no signal handler can be set ({exc})"
            raise InvalidOption("configure", "signals", True, allowed) from exc
        self.installed = True

    def remove(self) -> None:
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
        if self.seen is not None and self.seen[0] != os.getpid():
            self.seen = None
        if self.under_way(now):
            return
        first, self.seen = self.seen is None, (os.getpid(), now)
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
        (began, ended), (_, seen) = installed.drain, self.seen
        latest = max(seen, ended) if began >= seen else seen
        return now - latest < REPEAT_SECONDS


_sigterm = _Sigterm()


def _configured(names: frozenset[str]) -> None:
    if "signals" in names:
        _sigterm.install() if config.signals else _sigterm.remove()


config.changed.append(_configured)
