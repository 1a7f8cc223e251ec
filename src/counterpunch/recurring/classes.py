"""Which classes come again, and where they are armed."""

from __future__ import annotations

import logging
import os
import sys
import weakref
from itertools import count
from typing import Any

from ..core.port import Runtime, installed
from ..core.values.backend import engine_of
from ..core.values.config import config
from ..core.values.hooks import report
from ..core.values.plan import plan_of
from ..core.values.stage import OPEN

__all__ = [
    "armed_by_requests", "check_pool", "comes_again", "defined", "periodic_classes", "unarmed",
]  # fmt: skip

#: Every class with ``every`` or ``cron``; filled as they are defined.
periodic_classes: weakref.WeakSet[Any] = weakref.WeakSet()

#: Where an integration calls ``start()`` with the first request, nobody has forgotten it.
armed_by_requests: set[str] = set()

_said: set[int] = set()  # the processes that it was said in

#: In the order of their definition; and those in whose place another has come.
_numbers: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
_replaced: weakref.WeakSet[Any] = weakref.WeakSet()
_next_number = count()


def defined(job: Any) -> None:
    """A periodic class has been defined or changed: arm it wherever ``start()`` has been called
    already."""
    _numbers.setdefault(job, next(_next_number))
    if job in _replaced:
        return  # a base of it was changed
    for other in list(periodic_classes):
        if _comes_after(job, other) and (_is_made_of(job, other) or _shown_for(job) is other):
            _replaced.add(other)
            periodic_classes.discard(other)
    periodic_classes.add(job)
    for runtime in installed.all():
        here = runtime.pid == os.getpid() and runtime.stage.phase is OPEN
        if here and runtime.clockwork is not None:
            check_pool(runtime, job)
            runtime.clockwork.arm(job)


def comes_again(job: Any) -> bool:
    """False for a class that is not periodic any more, or in whose place another one has come."""
    shown = _shown_for(job)
    replaced = shown in periodic_classes and _comes_after(shown, job)
    return job in periodic_classes and not replaced


def _shown_for(job: Any) -> Any:
    """What its module shows under the name of a class: after a reload, or in a notebook, another
    one than this. None for what was defined in a function."""
    found: Any = sys.modules.get(job.__module__)
    for name in job.__qualname__.split("."):
        found = getattr(found, name, None)
    return found


def _is_made_of(job: Any, other: Any) -> bool:
    """True if a decorator has made ``job`` of ``other``, as ``dataclass(slots=True)`` does. Two
    classes that one function made, as an app factory does that is called twice, are two."""
    own, others = vars(job).get("perform"), vars(other).get("perform")
    return own is not None and own is others and plan_of(job).name == plan_of(other).name


def _comes_after(job: Any, other: Any) -> bool:
    return _numbers.get(job, 0) > _numbers.get(other, 0)


def check_pool(runtime: Runtime, job: Any) -> None:
    """
    Raises:
        InvalidOption: If the class names a pool that does not exist.
    """
    if (pool := plan_of(job).options.pool) is not None:
        runtime.shared_pool(pool, job.__qualname__)


def unarmed(runtime: Runtime) -> str | None:
    """A sentence if there are periodic classes and nothing has armed them; None if all is well."""
    if runtime.clockwork is not None or armed_by_requests or not runtime.stage.threads:
        return None
    lanes = runtime.registry.all()
    if lanes and all(engine_of(lane.options, config.backend) for lane in lanes):
        return None  # an engine's worker: the process that serves is another one
    jobs = sorted(periodic_classes, key=lambda job: plan_of(job).name)
    if not jobs:
        return None
    options = plan_of(jobs[0]).options
    period = f"every={options.every:g}" if options.cron is None else f"cron={str(options.cron)!r}"
    more = f" (and {len(jobs) - 1} more)" if len(jobs) > 1 else ""
    return (
        f"{jobs[0].__qualname__} has {period}{more}, but nothing has armed it in this process: "
        f"call counterpunch.start() where the server begins to serve, or use "
        f"integrations.asgi.lifespan, flask.Counterpunch(app) or Django's INSTALLED_APPS"
    )


def _say_unarmed() -> bool:
    """A class is used for the first time, and nobody has called ``start()`` yet."""
    runtime = installed.runtime
    if runtime is not None and os.getpid() not in _said and (text := unarmed(runtime)) is not None:
        _said.add(os.getpid())
        report(logging.WARNING, text)
    return False  # what the other hints have to say is something else


installed.hints.insert(0, _say_unarmed)
