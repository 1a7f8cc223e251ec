"""How a stop is told: in the log, and to ``on_lost``; and what the end must not wait for then.

What the log is written to may be full, and a ``repr`` may block. So a record is given to a thread
that is left behind after a moment. Such a thread, or that of a job, keeps the lock of a handler or
of a stream; ``logging`` and the interpreter would wait for it at their end, for ever.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..places.aside import Aside
from ..values.arguments import written
from ..values.config import config
from ..values.errors import interrupts
from ..values.hooks import complain, report
from ..values.stage import ShutdownReport, Stage

__all__ = ["let_go_of_streams", "publish", "say", "tell"]

#: The end waits no longer than this for the log to take a record.
LOG_SECONDS = 2.0
#: Who holds a lock for so long when all is over may hold it for ever.
MOMENT = 0.2
#: The log names this many lost jobs one by one.
LOGGED = 50


def say(act: Callable[..., object], *args: Any, seconds: float | None = None) -> bool:
    """Have it done, and wait no longer than a moment for that; False if it is not over then."""
    scribe = threading.Thread(target=act, args=args, name="counterpunch-report", daemon=True)
    try:
        scribe.start()
    except RuntimeError:  # none can be had any more
        act(*args)
        return True
    scribe.join(LOG_SECONDS if seconds is None else seconds)
    return not scribe.is_alive()


def publish(result: ShutdownReport, log: Aside) -> None:
    """One record in the log for everything that was lost, after those that are on their way."""
    log.join(LOG_SECONDS)
    if result.lost:
        say(_log, result)


def _log(result: ShutdownReport) -> None:
    lines = [f"  {written(call)} {call.id}: {call.error}" for call in result.lost[:LOGGED]]
    if len(result.lost) > LOGGED:
        lines.append(f"  and {len(result.lost) - LOGGED} more")
    message = "the process stopped after %.2f s; jobs lost: %d\n%s"
    report(logging.ERROR, message, result.seconds, len(result.lost), "\n".join(lines))


def tell(stage: Stage) -> None:
    """One call of ``on_lost`` for everything that was lost."""
    lost, fn = stage.report.lost if stage.report else [], config.on_lost
    if not lost or fn is None:
        return
    lost = list(lost)
    try:
        stage.told = True
        fn(lost)
    except BaseException as exc:
        if interrupts(exc):
            raise  # the caller's; it was told all the same
        complain("on_lost", None, exc)


def let_go_of_streams() -> None:
    """The process leaves, and threads stay behind: what they have in use is not closed."""
    handlers: list[Any] = (logging.shutdown.__defaults__ or ([],))[0]  # what it will go through
    for ref in list(handlers):
        lock: Any = getattr(ref(), "lock", None)
        with suppress(AttributeError, TypeError):  # none, or one of the handler's own kind
            if lock.acquire(timeout=MOMENT):
                lock.release()
            else:
                handlers.remove(ref)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not say(_flush, stream, seconds=MOMENT):
            setattr(sys, name, None)


def _flush(stream: Any) -> None:
    with suppress(Exception):  # it is closed, nobody reads any more, it is no stream
        stream.flush()
