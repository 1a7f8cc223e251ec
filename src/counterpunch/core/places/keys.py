"""Who has which identity: one job for each key of a ``unique`` class.

Every key is taken by ``setdefault`` and given back by the one who owns the job, so no lock is
needed and nobody takes away another job's. Jobs that are deferred to a transaction have keys of
that transaction only, and claim the class's when it has been committed.

The user's ``__hash__`` and ``__eq__`` are asked where a job is enqueued, or while it is where it
waits or runs; never by who has taken it out. So what raises, blocks or cannot be hashed any more,
once its job has deleted it, gives its key back all the same.
"""

from __future__ import annotations

import logging
from typing import Any

from ..values.errors import interrupts
from ..values.handle import Call
from ..values.hooks import report

__all__ = ["Key", "Keys"]


class Key:
    """A class and an identity, hashed once."""

    __slots__ = ("_hash", "_parts")

    def __init__(self, job: Any, identity: tuple[Any, ...]) -> None:
        self._parts = job, identity
        self._hash = hash(self._parts)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(other) is _Itself:
            return other.key is self
        return isinstance(other, Key) and self._hash == other._hash and self._parts == other._parts


class _Itself:
    """Finds one key and none that equals it: another identity of the same hash is not asked."""

    __slots__ = ("key",)

    def __init__(self, key: Key) -> None:
        self.key = key

    def __hash__(self) -> int:
        return hash(self.key)


class Keys:
    """The keys in use, by class and identity, and by transaction for what is deferred to one."""

    __slots__ = ("table",)

    def __init__(self) -> None:
        self.table: dict[tuple[Any, ...], Call] = {}

    def holder(self, key: Key, *scope: Any) -> Call | None:
        return self.table.get((key, *scope))

    def claim(self, call: Call) -> Call:
        """Put a job under its key, unless another one is there; the one that is now. A job that is
        deferred stands in nobody's way outside of its transaction: if that is rolled back, whoever
        got its handle would go away empty."""
        more = call.extra()
        name = (more.name,) if more.scope is None else (more.name, more.scope)
        return self.table.setdefault(name, call)

    def free(self, call: Call) -> None:
        """The job no longer stands in the way of another of its identity."""
        more = call.more
        if more is not None and more.name is not None:
            mine = _Itself(more.name)
            self.table.pop((mine,) if more.scope is None else (mine, more.scope), None)

    def retake(self, call: Call) -> None:
        """The job is about to wait again, and stands in the way again, unless another one already
        does."""
        more = call.more
        if more is not None and more.name is not None:
            try:
                self.claim(call)
            except BaseException as exc:  # the user's: it must not cost the job its next attempt
                if interrupts(exc):
                    raise
                report(logging.ERROR, "%r: its identity cannot be compared", call, exc_info=exc)
