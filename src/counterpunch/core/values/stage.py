"""Which part of its life a process is in: the one place that says so, and may change it."""

# No "from __future__ import annotations" here: see ``counts``.

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from .handle import Handle
from .status import Status

__all__ = ["DRAINING", "OPEN", "QUIET", "STOPPED", "ShutdownReport", "Stage", "fate"]

OPEN, QUIET, DRAINING, STOPPED = "open", "quiet", "draining", "stopped"

#: From where each phase can be reached. What has stopped stays so: a new stage comes after it.
FROM: Mapping[str, tuple[str, ...]] = {
    OPEN: (QUIET,),
    QUIET: (OPEN,),
    DRAINING: (OPEN, QUIET, DRAINING),
    STOPPED: (OPEN, QUIET, DRAINING, STOPPED),
}


class ShutdownReport(NamedTuple):
    """What a stop did.

    ``counts``: how many jobs reached each terminal status during the stop. ``lost``: the
    jobs that did not run or did not end. ``seconds``: how long it took. ``clean``: nothing
    was lost.
    """

    counts: Mapping[Status, int]
    lost: list[Handle[Any]]
    seconds: float
    clean: bool


class Drainer:
    """A call of the drain."""

    __slots__ = ("at_it", "ident")

    def __init__(self, ident: int) -> None:
        self.ident = ident  # of its thread
        self.at_it = True


class Stage:
    """The phase of one runtime, the deadline of its drain, and the report of it."""

    __slots__ = (
        "before", "began", "deadline", "drains", "found", "hurried", "phase", "published", "report",
        "threads", "told",
    )  # fmt: skip

    def __init__(self, threads: bool) -> None:
        #: False in a test mode: nothing runs by itself.
        self.threads = threads
        self.phase = OPEN
        #: The instant at which the drain is to be over, once it has begun.
        self.deadline: float | None = None
        self.report: ShutdownReport | None = None
        #: The calls of the drain; the first one carries it out.
        self.drains: deque[Drainer] = deque()
        #: When it began, how many had ended by then, and what it has lost so far.
        self.began = 0.0
        self.before: dict[Status, int] = {}
        self.found: dict[Any, None] = {}
        #: Delayed jobs that run although they are not due: each once, however it waits again.
        self.hurried: dict[Any, None] = {}
        #: The log and ``on_lost`` have the report.
        self.published = self.told = False

    def enter(self, phase: str) -> bool:
        """Go on to ``phase``; False if that is not possible from here."""
        if self.phase not in FROM[phase]:
            return False
        self.phase = phase
        return True

    @property
    def serving(self) -> bool:
        """True before the stop: jobs run, though in a quiet process none comes from outside."""
        return self.phase is OPEN or self.phase is QUIET


def fate(policy: str, due: float, deadline: float) -> str:
    """What a stop does with a delayed job: ``"drop"`` it, ``"run"`` it now, or ``"wait"``."""
    if policy == "wait":
        return "wait" if due < deadline else "drop"
    return policy
