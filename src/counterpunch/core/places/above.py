"""What whoever has a lane in hand asks of the moves, which stand above."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..values.status import Status

__all__ = ["Moves"]


class Moves(Protocol):
    """What is asked of the moves by whoever has a lane in hand: workers, and the short path."""

    def taken(self, call: Any, /) -> None:
        """A worker took the job out of the queue: there is room for another."""
        ...

    def may_start(self, call: Any, forced: bool, /) -> bool:
        """The look that some jobs need before they start; False if it was put elsewhere."""
        ...

    def withdraw(self, call: Any, follow: Callable[[Any], object], /) -> bool:
        """Take a queued job out again, for ``follow``; False if a worker was faster."""
        ...

    def turned_away(self, call: Any, taken: bool = False, /) -> bool:
        """The job was queued, or taken, while its class was stopped or paused."""
        ...

    def finish(self, call: Any, value: Any, /) -> Any:
        """What an awaitable comes to that the code of a plain job gave."""
        ...

    def settle(self, call: Any, status: Status, /) -> None:
        """Its attempt is over."""
        ...

    def settle_delayed(self, call: Any, /) -> None:
        """It got a due time while the process stops."""
        ...

    def advance(self, lane: Any, /) -> None:
        """A rated class may have a start to give."""
        ...

    def expect(self, call: Any, /) -> None:
        """It begins to wait for its start, and may expire."""
        ...

    def expire(self, lane: Any, /) -> None:
        """There is no room: some of those that wait may have expired."""
        ...

    def interrupted(self, call: Any, /) -> None:
        """Its enqueue was broken off."""
        ...

    def rescue(self, call: Any, exc: BaseException, /) -> None:
        """Whoever ran it was broken off."""
        ...

    def repair(self) -> None:
        """Carry out what an interruption has left."""
        ...
