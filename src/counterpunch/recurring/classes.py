"""Which classes come again, and where they are armed."""

from __future__ import annotations

import os
import weakref
from typing import Any

from ..core.port import Runtime, installed
from ..core.values.plan import plan_of
from ..core.values.stage import OPEN

__all__ = ["check_pool", "defined", "periodic_classes"]

#: Every class with ``every`` or ``cron``; filled as they are defined.
periodic_classes: weakref.WeakSet[Any] = weakref.WeakSet()


def defined(job: Any) -> None:
    """A periodic class has been defined: arm it wherever ``start()`` has been called already."""
    periodic_classes.add(job)
    for runtime in installed.all():
        here = runtime.pid == os.getpid() and runtime.stage.phase is OPEN
        if here and runtime.clockwork is not None:
            check_pool(runtime, job)
            runtime.clockwork.arm(job)


def check_pool(runtime: Runtime, job: Any) -> None:
    """
    Raises:
        InvalidOption: If the class names a pool that does not exist.
    """
    if (pool := plan_of(job).options.pool) is not None:
        runtime.shared_pool(pool, job.__qualname__)
