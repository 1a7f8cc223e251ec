"""Times as callers give them: delays, limits and absolute times, each checked."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

from .checks import amount
from .errors import InvalidOption

__all__ = ["due_at", "due_in", "time_limit"]


def due_in(owner: str, delay: float | timedelta) -> float:
    """A delay in seconds, checked.

    Raises:
        InvalidOption: (a ``ValueError``) if it is negative, NaN, infinite or no number.
    """
    return amount(owner, "delay", delay, "seconds >= 0, as a number or a timedelta")


def time_limit(owner: str, timeout: float | timedelta | None) -> float | None:
    """How long a caller is ready to wait, in seconds; None has no limit, infinity neither.

    As with ``concurrent.futures`` a limit below 0 is one that has run out.

    Raises:
        InvalidOption: (a ``ValueError``) for NaN and for what is no time.
    """
    if timeout is None:
        return None
    allowed = "seconds, as a number or a timedelta, or None for no limit"
    seconds = amount(owner, "timeout", timeout, allowed, -INFINITE, INFINITE)
    return None if seconds > sys.float_info.max else max(0.0, seconds)


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
    if isinstance(when, timedelta):
        raise InvalidOption(owner, "when", when, EPOCH)
    return amount(owner, "when", when, EPOCH, -sys.float_info.max)


EPOCH = "an aware datetime or epoch seconds"
INFINITE = float("inf")
