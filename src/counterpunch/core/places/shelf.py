"""The jobs that ended one way, as the history keeps them: each itself, or a description of it."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import repeat, starmap

from ..values.config import config
from ..values.described import describe
from ..values.handle import Call
from .steps import entries

__all__ = ["Entry", "Heavy", "Shelf", "ending", "face_of"]


class Heavy:
    """A job in the history that weighs something: itself, or its description."""

    __slots__ = ("_call", "_ref", "_twin", "finished", "weight")

    def __init__(self, call: Call, weight: int) -> None:
        self.finished, self.weight = call.finished, weight
        self._call: Call | None = call
        self._ref: weakref.ref[Call] | None = None
        self._twin: Call | None = None

    @property
    def held(self) -> bool:
        """The history holds the job itself."""
        return self._call is not None

    def let_go(self) -> None:
        """Keep a description of it. Begun again, or by two threads at once, it does no harm."""
        call = self._call
        if call is not None:
            self._twin = describe(call)
            self._ref = weakref.ref(call)
            self._call = None  # last: who looks meanwhile finds one of the three

    def face(self) -> Call:
        """The handle to give: the job's own as long as anybody has it, then the description."""
        call = self._call
        if call is None and self._ref is not None:
            call = self._ref()
        if call is None:
            call = self._twin
        assert call is not None
        return call


Entry = Call | Heavy


class Shelf:
    """The jobs that ended one way: as they come, and in order, so many of each at most."""

    __slots__ = ("fresh", "kept", "taker")

    def __init__(self, fresh: Iterable[Call] = (), kept: Iterable[Entry] = ()) -> None:
        self.fresh: deque[Call] = deque(entries(fresh), config.history)
        self.kept: deque[Entry] = deque(entries(kept), config.history)
        self.taker: Iterator[Call] = starmap(self.fresh.popleft, repeat(()))

    def calls(self) -> list[Call]:
        """The latest, as many as are to be remembered."""
        fresh = entries(self.fresh)  # first: they go from here to there
        calls = dict.fromkeys(map(face_of, entries(self.kept)))
        calls.update(dict.fromkeys(fresh))
        return list(calls)[-config.history or len(calls) :]


def face_of(entry: Entry) -> Call:
    return entry.face() if isinstance(entry, Heavy) else entry


def ending(entry: Entry) -> float:
    return entry.finished or 0.0
