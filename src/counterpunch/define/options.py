"""What can be set on a job class, and what each value may be.

One table, ``CHECKS``: an option exists if it has a line there. ``resolve`` reads a class.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MemberDescriptorType
from typing import Any

from ..core.values.backend import HERE, check_backend
from ..core.values.checks import (
    MOST_WORKERS,
    Check,
    flag,
    function,
    named_by,
    of_type,
    one_of,
    seconds,
    whole,
)
from ..core.values.errors import InvalidOption
from ..core.values.options import Options
from ..core.values.per_call import PER_CALL
from ..core.values.rate import Rate

__all__ = ["CHECKS", "DEFAULTS", "resolve"]


def _timezone(owner: str, option: str, value: Any) -> str:
    allowed = "an IANA time zone name such as 'UTC' or 'Europe/Berlin'"
    if not isinstance(value, str):
        raise InvalidOption(owner, option, value, allowed)
    if value != "UTC":
        from zoneinfo import ZoneInfo, available_timezones

        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            if not available_timezones() - {"UTC"}:  # a slim image
                allowed = "'UTC', for this system has no time zone data: install the package tzdata"
            raise InvalidOption(owner, option, value, allowed) from None
    return value


DEFAULTS: Mapping[str, Any] = {
    "workers": 2,
    "max_jobs": 100_000,
    "overflow": "raise",
    "block_timeout": 5.0,
    "pool": None,
    "priority": 0,
    "retry": None,
    "discard_on": (),
    "timeout": None,
    "expires_in": None,
    "on_shutdown": "drain",
    "delayed_on_shutdown": "drop",
    "identity": None,
    "unique": None,
    "on_duplicate": "existing",
    "rate": None,
    "context": "copy",
    "loop": "own",
    "every": None,
    "cron": None,
    "timezone": "UTC",
    "jitter": 0.0,
    "once_per": "host",
    "tags": (),
    "log_args": True,
    "redact": None,
    "backend": None,
}

CHECKS: Mapping[str, Check] = {
    **PER_CALL,
    "workers": whole(1, high=MOST_WORKERS),
    "max_jobs": whole(1, none=True),
    "overflow": one_of("raise", "discard", "discard_oldest", "caller_runs", "block"),
    "block_timeout": seconds(0.0),
    "on_shutdown": one_of("drain", "drop"),
    "identity": function("a @staticmethod over perform's arguments, or None"),
    "unique": one_of("queued", "active", none=True),
    "on_duplicate": one_of("existing", "replace", "discard", "raise"),
    "rate": of_type(Rate, "a Rate(limit, per=seconds), or None"),
    "context": one_of("copy", "fresh"),
    "loop": one_of("own", "app"),
    "every": seconds(0.0, exclusive=True),
    "cron": of_type(str, "a five-field crontab string, or None"),
    "timezone": _timezone,
    "jitter": seconds(0.0, none=False),
    "once_per": one_of("host", "process"),
    "log_args": flag,
    "redact": named_by,
    "backend": check_backend,
}


_CHECKED_DEFAULTS = {name: CHECKS[name]("Job", name, value) for name, value in DEFAULTS.items()}


def resolve(cls: type, owner: str) -> Options:
    """Read and check every option of a job class, inherited ones included.

    Raises:
        InvalidOption: For a value that is not allowed, or for two that exclude each other.
    """
    written = set().union(*(base.__dict__ for base in cls.__mro__))
    values = {}
    for name in DEFAULTS:
        if name in written:
            value = getattr(cls, name)
            if type(value) is MemberDescriptorType:
                allowed = (
                    "the class's own, not a slot of its instances: write it without an annotation"
                )
                raise InvalidOption(owner, name, value, allowed)
            values[name] = CHECKS[name](owner, name, value)
    options = Options(**{**_CHECKED_DEFAULTS, **values})
    if options.unique is not None and options.identity is None:
        allowed = "None, unless the class has an identity to compare by"
        raise InvalidOption(owner, "unique", options.unique, allowed)
    if options.workers == 1 and options.pool is not None:
        allowed = (
            f"left out with pool={options.pool!r}, whose threads run jobs side by side: a strictly "
            f"serial class has a pool of its own, or one with a single thread"
        )
        raise InvalidOption(owner, "workers", 1, allowed)
    if options.workers == 1 and options.overflow == "caller_runs":
        allowed = "another policy with workers=1: a caller would run a job beside the serial ones"
        raise InvalidOption(owner, "overflow", options.overflow, allowed)
    if options.every is not None and options.cron is not None:
        raise InvalidOption(owner, "cron", options.cron, "None, because the class also has every")
    if options.loop == "app" and options.overflow == "caller_runs":
        allowed = "another policy with loop='app': the caller's thread may be the loop's own"
        raise InvalidOption(owner, "overflow", options.overflow, allowed)
    if options.backend not in (None, HERE):
        for name in ("every", "cron"):
            if getattr(options, name) is not None:
                allowed = (
                    "None on an engine: a period is kept in the process that start() armed it "
                    "in; let a small class with backend='threads' enqueue this one"
                )
                raise InvalidOption(owner, name, getattr(options, name), allowed)
    return options
