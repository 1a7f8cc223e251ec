"""How a job waits for a transaction, and what follows when that has ended: a second admission."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..places.lane import Lane
from ..places.site import Site
from ..values.commit import Deferral
from ..values.handle import Handle
from ..values.mode import Mode
from ..values.status import DEFERRED, DISCARDED, TERMINAL, checked_move
from .duplicates import Duplicates
from .endings import Endings
from .taking import Follow, Taking
from .waiting import Waiting

__all__ = ["Deferring"]


class Deferring:
    """Jobs that ``using(after_commit=...)`` holds back."""

    def __init__(
        self,
        site: Site,
        mode: Mode,
        taking: Taking,
        endings: Endings,
        waiting: Waiting,
        duplicates: Duplicates,
    ) -> None:
        self._clock, self._keys, self._mode = site.clock, site.keys, mode
        self._taking, self._endings = taking, endings
        self._waiting, self._duplicates = waiting, duplicates

    def defer(self, call: Handle[Any], due: float | None, deferral: Deferral) -> None:
        lane: Lane = call.lane
        state = checked_move(call.state, DEFERRED)
        call.state = state
        lane.deferred[call] = None
        deferral.hold(call, due)
        if lane.stopped:  # the drain ended in between and may not have seen it
            late = partial(self._endings.lose, reason="it arrived as the process stopped")
            self._taking.out_of(call, lane.deferred, follow=late)

    def follow(self, call: Handle[Any], due: float | None, dropped: str | None) -> None:
        """The transaction of a deferred job has ended: queue it, schedule it, or, if there is
        a reason to, drop it. Not one that was cancelled, or lost in the drain."""
        self._taking.surely(partial(self._follow, call, due, dropped))

    def _follow(self, call: Handle[Any], due: float | None, dropped: str | None) -> None:
        if call.state is not DEFERRED:
            return
        drop = partial(self._endings.end, status=DISCARDED, reason=dropped, cause="rolled_back")
        follow: Follow = drop
        if dropped is None:
            follow = self._duplicates.committed(call, due) or partial(self._admit, due=due)
        if not self._taking.out_of(call, call.lane.deferred, follow=follow):
            if call.state is DEFERRED or call.state in TERMINAL:
                self._keys.free(call)  # somebody else has it, who may have freed it before
        elif dropped is None:
            self._mode.placed(call)

    def _admit(self, call: Handle[Any], due: float | None) -> None:
        if due is not None and due > self._clock.monotonic():
            self._waiting.schedule(call, due)
        else:
            self._waiting.admit(call)
