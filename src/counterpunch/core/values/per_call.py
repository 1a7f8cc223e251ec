"""What ``using(...)`` may change for single calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import commit
from .checks import Check, integer, of_type, one_of, seconds, tags
from .errors import InvalidOption
from .retry import Retry, exception_types
from .times import due_at, due_in

__all__ = ["PER_CALL", "check_calls"]

#: They replace a class's option; ``delay``, ``at`` and ``after_commit`` say when, see below.
PER_CALL: Mapping[str, Check] = {
    "priority": integer,
    "pool": of_type(str, "the name of a pool of configure(pools=...), or None"),
    "retry": of_type(Retry, "a Retry(...), or None for a single run"),
    "expires_in": seconds(0.0, exclusive=True),
    "timeout": seconds(0.0, exclusive=True),
    "tags": tags,
    "discard_on": exception_types,
    "delayed_on_shutdown": one_of("drop", "run", "wait"),
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
            checked[name] = commit.check(f"{owner}.using", value)
        elif name in PER_CALL:
            checked[name] = PER_CALL[name](owner, name, value)
        else:
            allowed = ", ".join(sorted((*PER_CALL, "delay", "at", "after_commit")))
            raise InvalidOption(f"{owner}.using", name, value, f"the options {allowed}")
    if "delay" in checked and "at" in checked:
        raise InvalidOption(f"{owner}.using", "at", checked["at"], "nothing, beside delay")
    return checked
