"""What ``using(...)`` may change for single calls."""

from __future__ import annotations

from collections.abc import Mapping

from .checks import Check, flag, integer, named_by, of_type, one_of, seconds, tags
from .retry import Retry, exception_types

__all__ = ["OF_A_CALL", "PER_CALL", "misfit"]

#: Each replaces an option of the class.
PER_CALL: Mapping[str, Check] = {
    "priority": integer,
    "pool": of_type(str, "the name of a pool of configure(pools=...), or None"),
    "retry": of_type(Retry, "a Retry(...), or None for a single run"),
    "expires_in": seconds(0.0, exclusive=True),
    "timeout": seconds(0.0, exclusive=True),
    "tags": tags,
    "discard_on": exception_types,
    "delayed_on_shutdown": one_of("drop", "run", "wait"),
    "log_args": flag,
    "redact": named_by,
}
#: What a call has besides.
OF_A_CALL = ("delay", "at", "after_commit")


def misfit(exc: TypeError, owner: str) -> TypeError:
    """What a call raises that does not fit ``perform``: of an option, with its place."""
    name = str(exc).partition("unexpected keyword argument '")[2].partition("'")[0]
    if name not in PER_CALL and name not in OF_A_CALL:
        return exc
    return TypeError(f"{exc}; an option of one call goes into {owner}.using({name}=...)")
