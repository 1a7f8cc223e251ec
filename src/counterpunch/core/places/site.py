"""The places of one process, made together: what its lanes, workers and moves share."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Any

from ..values.clock import Clock
from ..values.handle import Call
from ..values.retry import Chance
from ..values.stage import Stage
from .fork_mark import fork_mark
from .history import History
from .keys import Keys
from .scheduler import Scheduler
from .timings import Day
from .tokens import Tokens
from .watchers import Watchers

__all__ = ["Site"]


class Site:
    """Nothing in it acts by itself, save the scheduler's thread once something is due later.

    Args:
        clock: Where times come from.
        threads: False starts none: a test mode runs what is due on its own thread.
        release: Called with each job that is due, on the scheduler's thread.
    """

    def __init__(self, clock: Clock, threads: bool, release: Callable[[Call], None]) -> None:
        self.clock = clock
        self.stage = Stage(threads)
        self.mark = fork_mark()
        #: What the ids of its jobs begin with.
        self.token = os.urandom(4).hex()
        #: Goes into what they end with: who knows one id cannot guess the next.
        self.secret = os.urandom(16)
        self.chance = Chance()
        self.watchers = Watchers()
        self.keys = Keys()
        self.tokens = Tokens()
        self.scheduler = Scheduler(clock, release, threads)
        self.day = Day()
        self.history = History(clock, self.scheduler, self.stage)
        #: Where those sleep who wait until nothing is on its way; a worker wakes them as it
        #: falls asleep, and so does the scheduler.
        self.resting = self.scheduler.resters
        #: What an interruption has left to be carried out, see ``moves.taking``: each a function
        #: that may be called again, its arguments, and how often it was called.
        self.left: deque[tuple[Callable[..., object], tuple[Any, ...], int]] = deque()
        #: By class, and the shared ones by name.
        self.pools: dict[object, Any] = {}
