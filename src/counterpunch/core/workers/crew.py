"""What the pools of one process share, and what they ask of those above them."""

from __future__ import annotations

from typing import Any, Protocol

from ..places.parking import Parking
from ..places.site import Site
from ..values.stage import Stage
from .ceiling import Ceiling
from .loops import Loops

__all__ = ["Crew", "Watch"]


class Watch(Protocol):
    """Who looks after queues that nobody is left to work at."""

    @property
    def asleep(self) -> object:
        """True if it does not look just now."""
        ...

    def woken_by(self, pool: Any, /) -> None:
        """A worker of the pool gets up."""
        ...

    def wake(self) -> None:
        """Begin to look, unless it does already."""
        ...


class Crew(Protocol):
    """What the pools of one process share, and what they ask of those above them."""

    stage: Stage
    ceiling: Ceiling
    loops: Loops
    resting: Parking  # where those sleep who wait until nothing is on its way

    @property
    def watchdog(self) -> Watch: ...

    site: Site

    def rescue(self, call: Any, exc: BaseException, /) -> None: ...
    def repair(self) -> None: ...
    def no_thread(self, pool: Any, exc: BaseException, /) -> None:
        """No thread could be started for the pool."""
        ...

    def fewer_workers(self) -> None:
        """A worker has left, or could not be had: jobs that wait for jobs look who is left."""
        ...
