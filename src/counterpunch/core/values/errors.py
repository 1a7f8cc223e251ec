"""Every error that counterpunch raises itself, and who raises it.

``CounterpunchError`` is the base of all. Errors about a value also derive from the
built-in that a caller would expect (``ValueError``, ``CancelledError``), so code that
knows nothing of this package still catches them.
"""

from __future__ import annotations

from concurrent.futures import CancelledError

from .short import interrupts as interrupts
from .short import shorten as shorten

__all__ = [
    "BackendError", "Cancelled", "CounterpunchError", "Discard", "Discarded", "Duplicate",
    "InvalidOption", "Lost", "NotKept", "NotSupported", "QueueFull", "RemoteError", "ShuttingDown",
]  # fmt: skip


class CounterpunchError(Exception):
    """Base of every error of this package."""

    __module__ = "counterpunch"  # as people import it, and a traceback shows it

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__ == __name__:
            cls.__module__ = CounterpunchError.__module__


class InvalidOption(CounterpunchError, ValueError):
    """Raised where an option is written: a class, ``using``, ``configure``, a constructor.

    The message names the owner, the option, the value and what is allowed. It is raised
    before any thread starts.
    """

    def __init__(self, owner: str, option: str, value: object, allowed: str) -> None:
        super().__init__(f"{owner}: {option}={shorten(value)} is not valid; allowed: {allowed}")
        self.owner, self.option, self.value, self.allowed = owner, option, value, allowed

    def __reduce__(self) -> tuple[type[InvalidOption], tuple[str, str, object, str]]:
        # Exception's own would call __init__ with the message alone; and the value may be
        # what no pickle takes.
        return type(self), (self.owner, self.option, shorten(self.value), self.allowed)


class QueueFull(CounterpunchError):
    """Raised by an enqueue when ``max_jobs`` jobs already wait. The job was not accepted."""


class ShuttingDown(CounterpunchError):
    """Raised by an enqueue from outside a job once the process began to stop.

    The job was not accepted. Jobs that are running may still enqueue until the deadline.
    """


class Duplicate(CounterpunchError):
    """Raised by an enqueue of a ``unique`` class with ``on_duplicate="raise"``."""


class Cancelled(CounterpunchError, CancelledError):
    """Raised by ``check_cancelled()`` in a job, and by ``result()`` of a cancelled job."""


class Discarded(CounterpunchError):
    """Raised by ``result()`` of a job that ended as ``discarded``; the message says why."""


class Lost(CounterpunchError):
    """Raised by ``result()`` of a job that the stop of the process cut off; of an engine's job
    whose worker died each time it was started."""


class NotKept(CounterpunchError):
    """Raised by ``args``, ``kwargs``, ``result()`` and ``retry()`` of a finished job of which the
    history holds no more than a description, because what is asked for was large. The handle that
    the enqueue returned has it as long as it is kept, and ``configure(history_bytes=...)`` lets
    the history hold more."""


class BackendError(CounterpunchError):
    """Raised by an enqueue, or by a handle, when an engine failed or did not answer in time.

    The cause is chained. An enqueue that raises it may have reached the broker all the same,
    if that did not answer in time or the connection broke in between.
    """


class NotSupported(CounterpunchError):
    """Raised where a job's engine is asked for what it cannot do; the message says what can."""


class RemoteError(CounterpunchError):
    """Raised by ``result()`` of a job that failed in another process, with an exception that
    cannot be made again here. The message is its text, ``handle.error`` its traceback."""


class Discard(CounterpunchError):
    """Raised *by a job or a middleware* to end the job as ``discarded``, quietly."""
