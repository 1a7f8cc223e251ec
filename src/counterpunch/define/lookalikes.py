"""What looks like an option or a hook but is none: said where it is written.

In a class body it cannot be refused, for a class may have attributes of its own. But ``worker = 1``
that leaves two workers is found out late, in the place where jobs were to be serial, and a hook
that nobody calls later still.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import FunctionType

from .options import DEFAULTS
from .shapes import HOOKS

__all__ = ["meant", "warn_of_lookalikes"]

_RETRY = "retry = Retry(max_attempts=...)"
#: What people who come from Celery, RQ, Dramatiq, Resque or an executor write.
_OPTIONS = {
    "concurrency": "workers",
    "expires": "expires_in",
    "max_attempts": _RETRY,
    "max_retries": _RETRY,
    "max_workers": "workers",
    "queue": "pool",
    "queue_as": "pool",
    "queue_name": "pool",
    "rate_limit": "rate",
    "retries": _RETRY,
    "soft_time_limit": "timeout",
    "threads": "workers",
    "time_limit": "timeout",
    "ttl": "expires_in",
}
#: And of a single call.
_CALLS = {"countdown": "delay", "in_": "delay", "wait": "delay", "eta": "at", "run_at": "at"}
_HOOKS = {
    "after_enqueue": "on_enqueue", "after_perform": "after", "after_return": "after",
    "before_enqueue": "on_enqueue", "before_perform": "before", "before_start": "before",
    "on_complete": "after", "on_done": "after", "on_exception": "on_error", "on_fail": "on_failure",
    "on_failed": "on_failure", "on_finish": "after", "on_finished": "after", "on_retry": "on_error",
    "on_start": "before", "retries_exhausted": "on_failure",
    "sidekiq_retries_exhausted": "on_failure",
}  # fmt: skip
_LIKE_A_HOOK = ("on_", "befor", "after")
#: A value of another type is no option's either: the attribute is somebody's own.
_PLAIN = (bool, int, float, str, timedelta)
#: As of difflib: "worker" and "max_job" are near enough, "content" and "context" are not.
_NEAR = 0.88


def warn_of_lookalikes(owner: str, namespace: Mapping[str, object], stacklevel: int) -> None:
    """Warn (``UserWarning``) of each attribute in a class body that was meant as something else."""
    for name, value in namespace.items():
        if name.startswith("_"):
            continue
        text = None
        if isinstance(value, _PLAIN) and name not in DEFAULTS:
            ours = _OPTIONS.get(name) or _nearest(name, DEFAULTS)
            said = f"{name}={value!r} is no option and changes nothing"
            text = ours and f"{said}; did you mean {ours}?"
        elif isinstance(value, FunctionType) and name not in HOOKS:
            near = _nearest(name, HOOKS) if name.startswith(_LIKE_A_HOOK) else None
            ours = _HOOKS.get(name) or near
            text = ours and f"{name}() is no hook, and nobody calls it; did you mean {ours}()?"
        if text:
            own = "(An attribute of your own can have any other name.)"
            warnings.warn(f"{owner}: {text} {own}", stacklevel=stacklevel + 1)


def meant(name: str, known: Iterable[str]) -> str:
    """What is said of a keyword that is none of those known: the nearest, and all of them."""
    ours = _OPTIONS.get(name) or _CALLS.get(name)
    if ours is None or ours.partition(" ")[0] not in known:
        ours = _nearest(name, known)
    guess = f"; did you mean {ours}?" if ours else ""
    return f"the options {', '.join(sorted(known))}{guess}"


def _nearest(name: str, known: Iterable[str]) -> str | None:
    from difflib import get_close_matches  # late: most classes have no plain attribute at all

    near = get_close_matches(name, known, 1, _NEAR)
    return near[0] if near else None
