"""Attributes of a job class that look like options but are none: said where it is defined.

They cannot be refused, for a class may have attributes of its own. But ``worker = 1`` that
leaves two workers is found out late, in the place where jobs were to be serial.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import timedelta

from .options import DEFAULTS

__all__ = ["warn_of_lookalikes"]

#: What people who come from Celery, RQ, Dramatiq, Resque or an executor write.
_ELSEWHERE = {
    "concurrency": "workers",
    "expires": "expires_in",
    "max_attempts": "retry = Retry(max_attempts=...)",
    "max_retries": "retry = Retry(max_attempts=...)",
    "max_workers": "workers",
    "queue": "pool",
    "queue_name": "pool",
    "rate_limit": "rate",
    "retries": "retry = Retry(max_attempts=...)",
    "threads": "workers",
    "time_limit": "timeout",
}
#: A value of another type is no option's either: the attribute is somebody's own.
_PLAIN = (bool, int, float, str, timedelta)
#: As of difflib: "worker" and "max_job" are near enough, "content" and "context" are not.
_NEAR = 0.88


def warn_of_lookalikes(owner: str, namespace: Mapping[str, object], stacklevel: int) -> None:
    """Warn (``UserWarning``) of each attribute in a class body that was meant as an option."""
    for name, value in namespace.items():
        if name in DEFAULTS or name.startswith("_") or not isinstance(value, _PLAIN):
            continue
        meant = _ELSEWHERE.get(name) or _nearest(name)
        if meant is not None:
            warnings.warn(
                f"{owner}: {name}={value!r} is no option and changes nothing; did you mean "
                f"{meant}? (An attribute of your own can have any other name.)",
                stacklevel=stacklevel + 1,
            )


def _nearest(name: str) -> str | None:
    from difflib import get_close_matches  # late: most classes have no plain attribute at all

    near = get_close_matches(name, DEFAULTS, 1, _NEAR)
    return near[0] if near else None
