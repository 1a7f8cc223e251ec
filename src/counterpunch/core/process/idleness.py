"""Is anything on its way? What ``wait_idle`` and the drain ask, and how they sleep meanwhile."""

from __future__ import annotations

from ..moves.taking import Taking
from ..places.parking import Sleeper
from ..places.site import Site
from ..places.steps import entries
from ..values.stage import DRAINING
from ..workers.registry import Registry
from ..workers.whereabouts import Whereabouts

__all__ = ["Idleness"]

#: A drain listens for signals this often.
SIGNAL_SECONDS = 0.5


class Idleness:
    """Looks whether a process is idle, and waits until it is."""

    def __init__(
        self, site: Site, taking: Taking, registry: Registry, whereabouts: Whereabouts
    ) -> None:
        self._left, self._taking = site.left, taking
        self._stage, self._clock = site.stage, site.clock
        self._scheduler, self._resting = site.scheduler, site.resting
        self._history = site.history
        self._registry, self._whereabouts = registry, whereabouts

    def idle(self, delayed: bool = False) -> bool:
        """True if no job runs or is queued, the calling thread's own aside; with ``delayed``, if
        none waits for a time either."""
        # One look can miss a job that moves from a place not yet looked at to one already
        # seen empty. Two cannot, unless an attempt began in between.
        if self._left:
            self._taking.repair()
        attempts = self._attempts()
        return self._rests(delayed) and self._rests(delayed) and self._attempts() == attempts

    def on_app(self) -> bool:
        """True if something is on its way on the loop of an application."""
        return any(
            lane.on_app and bool(lane.running or lane.waiting()) for lane in self._registry.all()
        )

    def _attempts(self) -> int:
        return sum(lane.ledger.attempts.value for lane in self._registry.all())

    def _rests(self, delayed: bool) -> bool:
        own = self._whereabouts.own_calls()
        lanes = self._registry.all()
        # In the order in which a job moves.
        if delayed and any(lane.scheduled or lane.retrying for lane in lanes):
            return False
        if not self._scheduler.resting():
            return False
        for pool in entries(self._registry.pools.values()):
            if not pool.idle(self._whereabouts.works_for(pool)):
                return False
        for lane in lanes:
            if lane.hold or any(call not in own for call in entries(lane.running)):
                return False
        return True

    def wait(self, timeout: float | None = None, delayed: bool = False) -> bool:
        """Sleep until ``idle(delayed)``; False if ``timeout`` seconds pass before."""
        if not self._stage.threads:
            # What is idle in a test mode stays so: nothing runs by itself there.
            self._scheduler.run_due()  # what is due counts as queued; the rest is not on its way
            return self.idle(delayed)
        start = self._clock.monotonic()
        sleeper = Sleeper()
        while not self.idle(delayed):
            left = None if timeout is None else start + timeout - self._clock.monotonic()
            if left is not None and left <= 0:
                return False
            if self._stage.phase is DRAINING:
                # A signal that the kernel gave to another thread is seen by the main thread
                # only between two waits, and a second Ctrl-C is to be heard.
                left = SIGNAL_SECONDS if left is None else min(left, SIGNAL_SECONDS)
            self._resting.park(sleeper, lambda: self.idle(delayed), left)
        self._history.weigh()  # no worker has got up for it yet
        return True
