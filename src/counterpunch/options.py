"""What can be set on a job class or on one call, and what each value may be.

One table, ``CHECKS``: an option exists if it has a line there. ``resolve`` reads a class,
``check_calls`` what ``using(...)`` changes for one call. Nothing here knows of threads.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from . import _commit
from ._backend import HERE, check_backend
from .errors import InvalidOption
from .rate import Rate
from .retry import Retry, exception_types

if TYPE_CHECKING:
    from .cron import Cron

__all__ = [
    "CHECKS",
    "DEFAULTS",
    "PER_CALL",
    "Options",
    "check_calls",
    "due_in",
    "hashable",
    "resolve",
    "time_limit",
]

Check = Callable[[str, str, Any], Any]


class Options(SimpleNamespace):
    """The checked options of one class; see the table in the README for what they mean."""

    workers: int
    max_jobs: int | None
    overflow: str
    block_timeout: float | None
    pool: str | None
    priority: int
    retry: Retry | None
    discard_on: tuple[type[BaseException], ...]
    timeout: float | None
    expires_in: float | None
    on_shutdown: str
    delayed_on_shutdown: str
    identity: Callable[..., Any] | None
    unique: str | None
    on_duplicate: str
    rate: Rate | None
    context: str
    every: float | None
    cron: Cron | None
    timezone: str
    jitter: float
    once_per: str
    tags: frozenset[str]
    log_args: bool
    redact: frozenset[str] | Callable[[str, Any], object] | None
    backend: Any


def _fail(owner: str, option: str, value: object, allowed: str) -> InvalidOption:
    return InvalidOption(owner, option, value, allowed)


#: More threads than any system gives, and a list of as many places still fits.
MOST_WORKERS = 1_000_000


def _whole(low: int, none: bool = False, high: int = sys.maxsize) -> Check:
    or_none = ", or None" if none else ""

    def check(owner: str, option: str, value: Any) -> Any:
        if value is None and none:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise _fail(owner, option, value, f"an int of {low} or more{or_none}")
        if value > high:
            raise _fail(owner, option, value, f"an int from {low} to {high}{or_none}")
        return value

    return check


def _integer(owner: str, option: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _fail(owner, option, value, "an int; higher runs sooner")
    return value


def _seconds(low: float, none: bool = True, exclusive: bool = False) -> Check:
    above = "above" if exclusive else "from"
    allowed = f"seconds {above} {low:g}, as a number or a timedelta" + (", or None" if none else "")

    def check(owner: str, option: str, value: Any) -> float | None:
        if value is None and none:
            return None
        seconds = value.total_seconds() if isinstance(value, timedelta) else value
        if (
            not isinstance(seconds, (int, float))
            or isinstance(seconds, bool)
            or not low <= seconds <= sys.float_info.max  # NaN, and ints beyond any float
            or (exclusive and seconds == low)
        ):
            raise _fail(owner, option, value, allowed)
        return float(seconds) + 0.0  # -0.0 is 0.0

    return check


def _one_of(*words: str, none: bool = False) -> Check:
    allowed = ", ".join(repr(word) for word in words) + (" or None" if none else "")

    def check(owner: str, option: str, value: Any) -> Any:
        if (value is None and none) or (isinstance(value, str) and value in words):
            return value
        raise _fail(owner, option, value, allowed)

    return check


def _name(owner: str, option: str, value: Any) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise _fail(owner, option, value, "the name of a pool of configure(pools=...), or None")


def _retry(owner: str, option: str, value: Any) -> Retry | None:
    if value is None or isinstance(value, Retry):
        return value
    raise _fail(owner, option, value, "a Retry(...), or None for a single run")


def _rate(owner: str, option: str, value: Any) -> Rate | None:
    if value is None or isinstance(value, Rate):
        return value
    raise _fail(owner, option, value, "a Rate(limit, per=seconds), or None")


def _identity(owner: str, option: str, value: Any) -> Any:
    if value is None or callable(value):
        return value
    raise _fail(owner, option, value, "a @staticmethod over perform's arguments, or None")


def _cron(owner: str, option: str, value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _fail(owner, option, value, "a five-field crontab string, or None")
    return value  # parsed in resolve(), where the time zone is known


def _timezone(owner: str, option: str, value: Any) -> str:
    allowed = "an IANA time zone name such as 'UTC' or 'Europe/Berlin'"
    if not isinstance(value, str):
        raise _fail(owner, option, value, allowed)
    if value != "UTC":
        from zoneinfo import ZoneInfo

        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise _fail(owner, option, value, allowed) from None
    return value


def _tags(owner: str, option: str, value: Any) -> frozenset[str]:
    if isinstance(value, (tuple, list, set, frozenset)) and all(isinstance(t, str) for t in value):
        return frozenset(value)
    raise _fail(owner, option, value, "a tuple of strings")


def _redact(owner: str, option: str, value: Any) -> Any:
    if value is None or callable(value):
        return value
    # A text is a sequence of texts as well, and would hide parameters of one letter.
    names = isinstance(value, (tuple, list, set, frozenset))
    if names and all(isinstance(name, str) for name in value):
        return frozenset(value)
    allowed = "a tuple of names of perform's parameters, a function of name and value, or None"
    raise _fail(owner, option, value, allowed)


def _flag(owner: str, option: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _fail(owner, option, value, "True or False")


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
    "workers": _whole(1, high=MOST_WORKERS),
    "max_jobs": _whole(1, none=True),
    "overflow": _one_of("raise", "discard", "discard_oldest", "caller_runs", "block"),
    "block_timeout": _seconds(0.0),
    "pool": _name,
    "priority": _integer,
    "retry": _retry,
    "discard_on": exception_types,
    "timeout": _seconds(0.0, exclusive=True),
    "expires_in": _seconds(0.0, exclusive=True),
    "on_shutdown": _one_of("drain", "drop"),
    "delayed_on_shutdown": _one_of("drop", "run", "wait"),
    "identity": _identity,
    "unique": _one_of("queued", "active", none=True),
    "on_duplicate": _one_of("existing", "replace", "discard", "raise"),
    "rate": _rate,
    "context": _one_of("copy", "fresh"),
    "every": _seconds(0.0, exclusive=True),
    "cron": _cron,
    "timezone": _timezone,
    "jitter": _seconds(0.0, none=False),
    "once_per": _one_of("host", "process"),
    "tags": _tags,
    "log_args": _flag,
    "redact": _redact,
    "backend": check_backend,
}


_CHECKED_DEFAULTS = {name: CHECKS[name]("Job", name, value) for name, value in DEFAULTS.items()}


def resolve(cls: type, owner: str) -> Options:
    """Read and check every option of a job class, inherited ones included.

    Raises:
        InvalidOption: For a value that is not allowed, or for two that exclude each other.
    """
    written = set().union(*(base.__dict__ for base in cls.__mro__))
    values = {
        name: CHECKS[name](owner, name, getattr(cls, name)) for name in DEFAULTS if name in written
    }
    options = Options(**{**_CHECKED_DEFAULTS, **values})
    if options.unique is not None and options.identity is None:
        allowed = "None, unless the class has an identity to compare by"
        raise InvalidOption(owner, "unique", options.unique, allowed)
    if options.every is not None and options.cron is not None:
        raise InvalidOption(owner, "cron", options.cron, "None, because the class also has every")
    if options.backend not in (None, HERE):
        for name in ("every", "cron"):
            if getattr(options, name) is not None:
                allowed = (
                    "None on an engine: a period is kept in the process that start() armed it "
                    "in; let a small class with backend='threads' enqueue this one"
                )
                raise InvalidOption(owner, name, getattr(options, name), allowed)
    if isinstance(options.cron, str):
        from .cron import Cron

        try:
            options.cron = Cron(options.cron, options.timezone)
        except ValueError as exc:
            allowed = f"a five-field crontab string ({exc})"
            raise InvalidOption(owner, "cron", options.cron, allowed) from None
    return options


# What using(...) may change. ``delay`` and ``at`` say when; the others replace a class option.
PER_CALL: Mapping[str, Check] = {
    name: CHECKS[name]
    for name in (
        "priority",
        "pool",
        "retry",
        "expires_in",
        "timeout",
        "tags",
        "discard_on",
        "delayed_on_shutdown",
    )
}


def check_calls(owner: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of ``using(...)``, checked.

    Raises:
        InvalidOption: For an unknown option or a bad value.
    """
    checked: dict[str, Any] = {}
    for name, value in given.items():
        if name == "delay":
            checked[name] = due_in(f"{owner}.using", value)
        elif name == "at":
            checked[name] = value
            due_at(f"{owner}.using", value)
        elif name == "after_commit":
            checked[name] = _commit.check(f"{owner}.using", value)
        elif name in PER_CALL:
            checked[name] = PER_CALL[name](owner, name, value)
        else:
            allowed = ", ".join(sorted((*PER_CALL, "delay", "at", "after_commit")))
            raise InvalidOption(f"{owner}.using", name, value, f"the options {allowed}")
    if "delay" in checked and "at" in checked:
        raise InvalidOption(f"{owner}.using", "at", checked["at"], "nothing, beside delay")
    return checked


def due_in(owner: str, delay: float | timedelta) -> float:
    """A delay in seconds, checked.

    Raises:
        InvalidOption: (a ``ValueError``) if it is negative, NaN, infinite or no number.
    """
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if (
        not isinstance(seconds, (int, float))
        or isinstance(seconds, bool)
        or not 0.0 <= seconds <= sys.float_info.max
    ):
        raise InvalidOption(owner, "delay", delay, "seconds >= 0, as a number or a timedelta")
    return float(seconds) + 0.0  # -0.0 is 0.0


def hashable(owner: str, identity: tuple[Any, ...]) -> tuple[Any, ...]:
    """An identity, checked.

    Raises:
        InvalidOption: If a part of it cannot be hashed.
    """
    try:
        hash(identity)
    except TypeError:
        value = identity[0] if len(identity) == 1 else identity
        allowed = "a hashable value, or a tuple of them"
        raise InvalidOption(owner, "identity", value, allowed) from None
    return identity


def time_limit(owner: str, timeout: float | timedelta | None) -> float | None:
    """How long a caller is ready to wait, in seconds; None has no limit, infinity neither.

    As with ``concurrent.futures`` a limit below 0 is one that has run out.

    Raises:
        InvalidOption: (a ``ValueError``) for NaN and for what is no time.
    """
    if timeout is None:
        return None
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not number or seconds != seconds:
        allowed = "seconds, as a number or a timedelta, or None for no limit"
        raise InvalidOption(owner, "timeout", timeout, allowed)
    return None if seconds > sys.float_info.max else float(max(0, seconds)) + 0.0


def due_at(owner: str, when: datetime | float) -> float:
    """An absolute time as epoch seconds, checked.

    Raises:
        InvalidOption: (a ``ValueError``) for a naive datetime, NaN, infinity or another type.
    """
    if isinstance(when, datetime):
        if when.tzinfo is None or when.utcoffset() is None:
            allowed = "an aware datetime; add a zone, e.g. datetime.now(timezone.utc)"
            raise InvalidOption(owner, "when", when, allowed)
        return when.timestamp()
    number = isinstance(when, (int, float)) and not isinstance(when, bool)
    if number and abs(when) <= sys.float_info.max:  # False for NaN, and an int beyond any float
        return float(when)
    raise InvalidOption(owner, "when", when, "an aware datetime or epoch seconds")
