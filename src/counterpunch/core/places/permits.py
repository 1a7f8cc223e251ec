"""Rights that are handed out: a vacancy to fill, a place to leave, the one right to begin."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice, repeat, starmap

__all__ = ["Permits"]


class Permits(deque[None]):
    """So many equal rights; who takes one has it. Each method is one step, so no lock is needed
    and a signal handler may come in anywhere. As a condition: true if any is left.
    """

    __slots__ = ("taker",)

    def __init__(self, count: int = 0) -> None:
        super().__init__([None] * count)
        #: ``for _ in permits.taker: break`` takes one in one breath, see ``record``. IndexError:
        #: there is none.
        self.taker: Iterator[None] = starmap(self.pop, repeat(()))

    def give(self) -> None:
        """One more."""
        self.append(None)

    def take(self) -> bool:
        """Take one; False if there is none."""
        try:
            self.pop()
        except IndexError:
            return False
        return True

    def take_into(self, hand: list[None]) -> bool:
        """Take one, in one call into C, so that no exception out of a signal handler can come in
        between and lose it: it is here or in ``hand``. False if there is none.
        """
        try:
            hand.extend(islice(self.taker, 1))
        except IndexError:
            return False
        return True

    def give_back(self, hand: list[None]) -> None:
        """Undo ``take_into``, unless somebody has taken it out of the hand meanwhile; in one call
        into C as well, and no deeper: what was taken at the end of a stack can be given back there.
        """
        try:
            self.extend(islice(starmap(hand.pop, repeat(())), 1))
        except IndexError:
            pass
