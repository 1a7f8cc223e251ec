"""Who may start a thread: ``max_threads``, the ceiling over all pools of a process."""

from __future__ import annotations

import logging
from typing import Any

from ..places.site import Site
from ..places.steps import entries
from ..values.config import config
from ..values.hooks import report
from ..values.stage import STOPPED

__all__ = ["Ceiling"]


class Ceiling:
    """Counts the threads of all pools, and says who is to leave or may come.

    Nothing starts once the process has stopped.
    """

    def __init__(self, site: Site) -> None:
        self._stage, self._pools = site.stage, site.pools
        self._warned = False

    def _threads(self) -> int:
        return sum(pool.threads() for pool in entries(self._pools.values()))

    def may_start(self, pool: Any) -> bool:
        """False while the process may have no more threads, or the ceiling is exceeded.

        Asked by a pool that has counted the new thread already. One without a worker always
        gets one: under a ceiling, too, each class with work goes on, and a job that waits
        for another class's job cannot block it.
        """
        if self._stage.phase is STOPPED:
            return False
        ceiling = config.max_threads
        if ceiling is None or self._threads() <= ceiling:
            return True
        self._make_room(pool)
        if pool.hired() > 1:
            return False
        if not self._warned:
            self._warned = True
            message = "max_threads=%d is reached, and %s has work and no thread: it gets one"
            report(logging.WARNING, message, ceiling, pool.name)
        return True

    def _make_room(self, pool: Any) -> None:
        """Ask another pool for a thread: an idle one, else one of the pool with the most."""
        others = [other for other in entries(self._pools.values()) if other is not pool]
        for other in others:
            if other.threads() and other.parking.sleepers and not other.queued():
                other.yield_worker(pool)
                return
        largest = max(others, key=lambda other: other.threads(), default=None)
        if largest is not None and largest.threads() - pool.threads() >= 1:
            largest.yield_worker(pool)  # after the job it is at

    def reached(self) -> bool:
        """True if no further thread may start."""
        ceiling = config.max_threads
        return ceiling is not None and self._threads() >= ceiling

    def surplus(self) -> int:
        """By how many threads the pools exceed it."""
        ceiling = config.max_threads  # read once: another thread may set it to None
        return 0 if ceiling is None else max(0, self._threads() - ceiling)

    def in_need(self, lender: Any) -> Any:
        """A pool with work and a thread less than it may have; None if there is none."""
        for other in entries(self._pools.values()):
            if other is not lender and other.threads() and other.queued() and other.vacancies:
                return other
        return None

    def fill(self) -> None:
        """Some more threads may be had: start those that were denied so far."""
        for pool in entries(self._pools.values()):
            for _ in range(min(len(pool.vacancies), pool.queued())):
                pool.offer()

    def changed(self) -> None:
        """``configure(max_threads=...)``: let surplus threads leave, or start what was missing."""
        surplus = self.surplus()
        if not surplus:
            self.fill()
            return
        pools = [pool for pool in entries(self._pools.values()) if pool.threads()]
        leaving = dict.fromkeys(pools, 0)
        for pool in pools:
            if not pool.queued():
                leaving[pool] = min(surplus, len(pool.parking.sleepers))
                surplus -= leaving[pool]
        while surplus and pools:
            pool = max(pools, key=lambda pool: pool.threads() - leaving[pool])
            if pool.threads() - leaving[pool] < 2:
                break  # each pool with work keeps one
            leaving[pool] += 1
            surplus -= 1
        for pool, count in leaving.items():
            if count:
                pool.dismiss(count)
