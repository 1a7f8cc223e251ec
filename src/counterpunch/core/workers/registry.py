"""The lane and the pool of each class, made on first use."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, Protocol

from ..places.lane import Lane, Moves
from ..places.site import Site
from ..places.steps import entries
from ..values.backend import engine_of
from ..values.config import config
from ..values.errors import InvalidOption, NotSupported
from ..values.keeper import Keeper
from ..values.plan import Plan, plan_of
from ..values.stage import STOPPED
from .at_exit import first
from .crew import Crew
from .pool import Pool

__all__ = ["Registry"]


class Above(Moves, Keeper, Crew, Protocol):
    """All three at once."""


class Registry:
    """All lanes and pools of one process.

    Args:
        site: What all lanes share.
        above: What lanes, pools and handles ask of those above them.
        used: Called with each new lane.
    """

    def __init__(self, site: Site, above: Above, used: Callable[[Lane], object]) -> None:
        self._site, self._above, self._used = site, above, used
        self.lanes: dict[type, Lane] = {}
        self.pools: dict[object, Pool] = site.pools
        self._indexes = count()

    def lane(self, job: type) -> Lane:
        """The lane of a class, made on first use."""
        lane = self.lanes.get(job)
        if lane is None:
            plan = plan_of(job)
            pool = self._pool(job, plan)
            index, above = next(self._indexes), self._above
            made = Lane(self._site, job, plan, pool, index, above, above)
            lane = self.lanes.setdefault(job, made)
            while lane.plan is not (plan := plan_of(job)):  # an option was set since the look
                lane.adopt(plan)
                if not lane.pool.shared:
                    lane.pool.resize(plan.options.workers)
            if self._site.stage.phase is STOPPED:
                lane.halt(paused=False)  # too late for the sweep to have seen it
            first.again()
            self._used(lane)
        return lane

    def all(self) -> list[Lane]:
        """A copy."""
        return entries(self.lanes.values())

    def of_prefix(self, prefix: str) -> list[Lane]:
        """The lanes whose jobs' ids begin so."""
        return [lane for lane in self.all() if lane.prefix == prefix]

    def _pool(self, job: type, plan: Plan) -> Pool:
        name = plan.options.pool
        if name is not None:
            return self.shared_pool(name, job.__qualname__)
        pool = self.pools.get(job)
        if pool is None:
            kind: type[Pool] = Pool
            if plan.is_async and self._above.stage.threads:
                from .loop_pool import LoopPool

                kind = LoopPool
            pool = kind(self._above, job.__name__, plan.options.workers, False, self.close_gates)
            pool.on_app = plan.options.loop == "app"
        return self.pools.setdefault(job, pool)

    def shared_pool(self, name: str, owner: str, workers: int = 0) -> Pool:
        """A pool of ``configure(pools=...)``; for single jobs of a class, with its ``workers``.

        Raises:
            InvalidOption: If there is none of that name, or the class is strictly serial.
        """
        if workers == 1:
            allowed = "None: workers=1 is strictly serial, and that pool would run a job beside it"
            raise InvalidOption(owner, "pool", name, allowed)
        pool = self.pools.get(name)
        if pool is None:
            if name not in config.pools:
                known = ", ".join(map(repr, sorted(config.pools))) or "none is configured"
                allowed = f"a pool of configure(pools=...): {known}"
                raise InvalidOption(owner, "pool", name, allowed)
            made = Pool(self._above, name, config.pools[name], True, self.close_gates)
            pool = self.pools.setdefault(name, made)
        return pool

    def must_be_here(self, job: type, what: str) -> None:
        """
        Raises:
            NotSupported: If the jobs of the class run on an engine, where this process can
                neither see nor hold all of them.
        """
        engine = (
            engine_of(plan_of(job).options, config.backend) if self._above.stage.threads else None
        )
        if engine is not None:
            raise NotSupported(
                f"{job.__qualname__} runs on {engine.name}, so {what} in this process; keep the "
                f"class here with backend='threads', or use the engine's own tools"
            )

    def close_gates(self, pool: Any = None) -> None:
        """Send enqueues the long way; the next one opens the gate again if it may."""
        for lane in self.all():
            if pool is None or lane.pool is pool:
                lane.gate.lane = None

    def thread_count(self) -> int:
        """Threads of workers, scheduler and event loop that are alive or being started."""
        thread = self._site.scheduler.thread
        scheduling = thread is not None and thread.is_alive()
        workers = sum(pool.threads() for pool in entries(self.pools.values()))
        return workers + scheduling + len(self._above.loops.threads())
