"""Which runtime is installed: the one of this process, and the test modes in front of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from math import inf
from typing import Any

from ..places.lane import Lane
from ..places.site import Site
from ..values.config import config
from ..values.current import open_batches
from ..values.errors import CounterpunchError
from ..values.hooks import process
from ..values.stage import OPEN
from ..workers.crew import Watch
from ..workers.registry import Registry
from ..workers.stacks import Stacks

__all__ = ["NEVER", "Serving", "again", "installed", "open_gate"]

#: When a drain began and ended that there has not been.
NEVER = (-inf, -inf)


class Nobody:
    """Nobody looks after the queues."""

    asleep = False

    def __init__(self, *_: object) -> None: ...
    def woken_by(self, pool: object) -> None: ...
    def wake(self) -> None: ...


class _Installed:
    """The runtime of this process, and the test modes in front of it, innermost last."""

    __slots__ = ("accepting", "drain", "ending", "heirs", "hints", "modes", "runtime", "watch")

    #: The runtime in force for an enqueue; see ``in_force``, which sets it.
    accepting: Callable[[], Any]

    def __init__(self) -> None:
        self.runtime: Any = None
        #: What comes after there was none; see ``in_force``.
        self.heirs: dict[int, Any] = {}
        self.modes: tuple[Any, ...] = ()
        #: Who looks after the queues of a runtime; ``observe`` says who.
        self.watch: Callable[[Site, Registry, Stacks], Watch] = Nobody
        #: Called when a class is used for the first time: True once it was said that nobody will
        #: know when the server stops.
        self.hints: list[Callable[[], bool]] = []
        #: The interpreter has begun to end: what is stopped stays stopped.
        self.ending = False
        #: When the last drain began and ended (monotonic); of one that goes on, its deadline.
        self.drain = NEVER

    def all(self) -> list[Any]:
        """Every runtime there is."""
        return [runtime for runtime in (self.runtime, *self.modes) if runtime is not None]


installed = _Installed()


def open_gate(lane: Lane) -> None:
    """Let the next enqueues of a class take the short path, if nothing is against it."""
    if _may_open(lane):
        lane.gate.lane = lane
        # Once more, now that it is open: what closes gates changes its condition first.
        if not _may_open(lane):
            lane.gate.lane = None


def _may_open(lane: Lane) -> bool:
    return (
        lane.plan.plain
        and lane.stage.phase is OPEN
        and lane.stage.threads
        and (installed.modes[-1] if installed.modes else installed.runtime) is lane.keeper
        and len(lane.pool.levels) == 1
        and not lane.paused
        and not lane.away
        and not process.around_enqueue
        and config.strict_args is None
        and config.backend is None
        and not open_batches
    )


#: The jobs that are just being enqueued anew.
_again: dict[Any, object] = {}


def again(call: Any, options: dict[str, Any] | None) -> Any:
    """Enqueue the arguments of a finished job as a new one, in the runtime in force; once.

    Raises:
        CounterpunchError: If another thread is just doing so.
    """
    mine = object()
    if _again.setdefault(call, mine) is not mine:
        raise CounterpunchError(f"{call!r} is just being retried by somebody else")
    try:
        more = call.extra()
        if more.retried_as is None:
            with nullcontext() if more.kept is None else more.kept():
                enqueue = installed.accepting().enqueue
                more.retried_as = enqueue(call.job, call.args, call.named, options)
        return more.retried_as
    finally:
        del _again[call]


class Serving:
    """Whether somebody will know when the server stops."""

    __slots__ = ("_threads", "known")

    def __init__(self, threads: bool) -> None:
        self._threads = threads
        #: Somebody has called ``start()``, or it was said that nobody has.
        self.known = False

    def look(self, _: object) -> None:
        """A class is used for the first time."""
        if self._threads and not self.known:
            self.known = any(hint() for hint in installed.hints)  # once is enough
