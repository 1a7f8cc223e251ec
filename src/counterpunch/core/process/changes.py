"""What a runtime in use takes over when ``configure`` is called or a class is changed."""

from __future__ import annotations

from ..values.config import config
from ..values.errors import InvalidOption
from ..values.plan import plan_of
from .installed import installed
from .runtime import Runtime

__all__ = ["reconfigured", "redefined"]


def reconfigured(runtime: Runtime, names: frozenset[str]) -> None:
    """Take over what ``configure`` has changed."""
    runtime.registry.close_gates()
    runtime.history.reconfigured(names)
    if "pools" in names:
        for name, size in config.pools.items():
            pool = runtime.pools.get(name)
            if pool is not None:
                pool.resize(size)
    if "max_threads" in names and runtime.stage.threads:
        runtime.ceiling.changed()


def redefined(job: type) -> None:
    """Take over options of a class that were changed after its first use, wherever it is used.

    Raises:
        InvalidOption: For pool and loop, which cannot be changed once jobs may be there.
    """
    plan = plan_of(job)
    for runtime in installed.all():
        lane = runtime.registry.lanes.get(job)
        if lane is None:
            continue
        if plan.options.pool != lane.options.pool:
            allowed = f"{lane.options.pool!r}: the class is in use; set it before the first enqueue"
            raise InvalidOption(job.__qualname__, "pool", plan.options.pool, allowed)
        if plan.options.loop != lane.options.loop:
            allowed = f"{lane.options.loop!r}: the class is in use; set it before the first enqueue"
            raise InvalidOption(job.__qualname__, "loop", plan.options.loop, allowed)
        lane.gate.lane = None
        expires_in = lane.options.expires_in
        lane.adopt(plan)
        if plan.options.expires_in != expires_in:
            runtime.expiry.look(lane)
        runtime.rating.advance(lane)  # there may be more of everything
        runtime.waiting.made_room(lane)
        if not lane.pool.shared and lane.pool.size != plan.options.workers:
            lane.pool.resize(plan.options.workers)
