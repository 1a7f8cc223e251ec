"""The arguments of a job as text for a log or a page, without those that are to be hidden."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from .config import config
from .described import Sketch
from .handle import Call
from .hiding import HIDDEN, hides
from .hooks import report
from .plan import POSITIONAL_REST, plan_of
from .short import clean, shorten

__all__ = ["HIDDEN", "hidden", "shown_arguments", "written"]


def shown_arguments(
    call: Call,
    show: Callable[[object], str] = shorten,
    limit: int | None = None,
    joint: str = ", ",
) -> str | None:
    """As they would be written in a call; None if the class or the process shows none.

    Args:
        call: The job.
        show: What makes a text of a value; it must not raise.
        limit: At most so many positional and so many named ones; None is all.
        joint: What stands between two of them.
    """
    if not (config.log_args and call.option("log_args")):
        return None
    args, kwargs, _ = call.shown()
    positional, named = args[:limit], list(kwargs.items())[:limit]
    if call.option("redact") is None:
        parts = [show(value) for value in positional]
        parts += [f"{_short_name(name)}={show(value)}" for name, value in named]
    else:
        parts = []
        names = list(_names(call, len(positional)))
        for name, value in zip(names, positional, strict=True):
            parts.append(_redacted(call, name, value, show))
        for name, value in named:
            parts.append(f"{_short_name(name)}={_redacted(call, name, value, show)}")
    if limit is not None and (len(args) > limit or len(kwargs) > limit):
        parts.append("…")
    return joint.join(parts)


def written(call: Call) -> str:
    """The job as a call, ``Welcome(42)``: for the log."""
    return f"{clean(call.job.__qualname__)}({shown_arguments(call) or ''})"


def hidden(call: Call) -> bool:
    """True if no message may show what the job was given as it is."""
    return hides(call.lane.options, None if call.more is None else call.more.options)


def _short_name(name: str) -> str:
    """The name of an argument; ``**kwargs`` may bring one of any length and with anything in it."""
    return name if len(name) <= 50 and name.isidentifier() else shorten(name, 50)


def _redacted(call: Call, name: str | None, value: Any, show: Callable[[object], str]) -> str:
    redact = call.option("redact")
    if type(value) is Sketch and callable(redact):
        return HIDDEN  # it was to see the value, which is no longer there
    if redact is None or isinstance(redact, frozenset):
        return HIDDEN if redact and (name is None or name in redact) else show(value)
    try:
        shown = redact(name, value)
    except BaseException as exc:  # rather too little than too much
        kind = type(exc).__name__
        report(logging.ERROR, "%s: redact raised %s", clean(call.job.__qualname__), kind)
        return HIDDEN
    return show(shown)


def _names(call: Call, count: int) -> Iterator[str | None]:
    """The parameter that each of ``count`` positional arguments is for; None for one that may be
    for any: it went through a function that does not say what it hands on."""
    code = getattr(plan_of(call.job).check, "__code__", None)  # it has perform's own parameters
    named = () if code is None else code.co_varnames[: code.co_argcount]
    rest: str | None = "args"
    if code is not None and code.co_flags & POSITIONAL_REST:
        rest = code.co_varnames[code.co_argcount + code.co_kwonlyargcount]
    redact = call.option("redact")
    if isinstance(redact, frozenset) and (code is None or not redact <= {*code.co_varnames}):
        rest = None
    for index in range(count):
        yield named[index] if index < len(named) else rest
