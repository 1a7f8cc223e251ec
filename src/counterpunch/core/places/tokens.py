"""The cancel tokens of running jobs."""

from __future__ import annotations

from ..values.handle import Call

__all__ = ["Tokens"]


class Tokens:
    """Running jobs that are to stop: for good (``cancels``), and by ``timeout`` for this
    attempt (``overruns``)."""

    __slots__ = ("cancels", "overruns")

    def __init__(self) -> None:
        self.cancels: set[Call] = set()
        self.overruns: set[Call] = set()

    def requested(self, call: Call) -> bool:
        return call in self.cancels or call in self.overruns

    def drop(self, call: Call) -> None:
        """The job has ended."""
        if self.cancels:
            self.cancels.discard(call)
        if self.overruns:
            self.overruns.discard(call)
