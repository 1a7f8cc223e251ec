"""Which job is running here: a context variable, set inside the job's own context."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Protocol

from .handle import Handle
from .status import RUNNING

__all__ = ["current", "current_batch", "current_job", "open_batches"]


class OpenBatch(Protocol):
    """What an enqueue needs to know of the batch it happens in."""

    @property
    def closed(self) -> bool:
        """Its block has ended, or it is complete."""
        ...

    def add(self, call: Any, /) -> None:
        """A job was enqueued inside the block."""
        ...


current: ContextVar[Handle[Any] | None] = ContextVar("counterpunch_job", default=None)

#: The batch whose ``with`` block this is.
current_batch: ContextVar[OpenBatch | None] = ContextVar("counterpunch_batch", default=None)
#: The batches open anywhere in the process: while there is one, no enqueue takes the short path.
open_batches: set[OpenBatch] = set()


def current_job() -> Handle[Any] | None:
    """The handle of the job that is running in this context, or None.

    Works in ``perform``, in its hooks, and in whatever carries the context on
    (``asyncio.to_thread``, tasks); not in a thread that the job starts by hand.
    """
    handle = current.get()
    return handle if handle is not None and handle.status is RUNNING else None
