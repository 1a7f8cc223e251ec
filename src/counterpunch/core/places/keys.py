"""Who has which identity: one job for each key of a ``unique`` class.

Every key is taken by ``setdefault`` and given back by the one who owns the job, so no lock is
needed and nobody takes away another job's. Jobs that are deferred to a transaction have keys of
that transaction only, and claim the class's when it has been committed.
"""

from __future__ import annotations

from typing import Any

from ..values.handle import Call

__all__ = ["Keys"]


class Keys:
    """The keys in use, by class and identity, and by transaction for what is deferred to one."""

    __slots__ = ("table",)

    def __init__(self) -> None:
        self.table: dict[tuple[Any, ...], Call] = {}

    def holder(self, name: tuple[Any, ...]) -> Call | None:
        return self.table.get(name)

    def claim(self, call: Call) -> Call:
        """Put a job under its key, unless another one is there; the one that is now."""
        return self.table.setdefault(self.name(call), call)

    def free(self, call: Call) -> None:
        """The job no longer stands in the way of another of its identity."""
        more = call.more
        if more is not None and more.key is not None:
            name = self.name(call)
            if self.table.get(name) is call:  # nobody else ever puts anything in its place
                self.table.pop(name, None)

    def retake(self, call: Call) -> None:
        """The job waits again, and stands in the way again, unless another one already does."""
        more = call.more
        if more is not None and more.key is not None:
            self.claim(call)

    @staticmethod
    def name(call: Call) -> tuple[Any, ...]:
        """Where the job stands. One that is deferred stands in nobody's way outside of its
        transaction: if that is rolled back, whoever got its handle would go away empty."""
        more = call.extra()
        name = (call.lane.job, more.key)
        return name if more.scope is None else (*name, more.scope)
