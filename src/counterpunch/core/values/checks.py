"""What a value may be: one check for each kind of option, and one for every number.

Each check is called with the owner, the name of the option and the value. It returns the value
as it is kept, or raises ``InvalidOption``, which names all three and what is allowed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from .callables import awaits, generates, receives
from .errors import InvalidOption

__all__ = [
    "MOST_WORKERS", "Check", "amount", "flag", "function", "hashable", "integer", "named_by",
    "named_options", "of_type", "one_of", "seconds", "tags", "whole",
]  # fmt: skip

Check = Callable[[str, str, Any], Any]
P = ParamSpec("P")
R = TypeVar("R")

#: More threads than any system gives, and a list of as many places still fits.
MOST_WORKERS = 1_000_000


def amount(
    owner: str,
    option: str,
    value: Any,
    allowed: str,
    low: float = 0.0,
    high: float = sys.float_info.max,
) -> float:
    """A number, or the seconds of a ``timedelta``, from ``low`` to ``high``: no bool, no NaN,
    and no int beyond any float.

    Raises:
        InvalidOption: For anything else.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if (
        not isinstance(number, (int, float))
        or isinstance(number, bool)
        or not low <= number <= high
    ):
        raise InvalidOption(owner, option, value, allowed)
    try:
        return float(number) + 0.0  # -0.0 is 0.0
    except OverflowError:
        return high if number > 0 else low


def named_options(function: Callable[P, R]) -> Callable[P, R]:
    """A function that says which options there are to whoever names another; Python says the name
    alone, and before 3.13 no guess."""
    written: Any = function
    owner, code = written.__qualname__.removesuffix(".__init__"), written.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    known = [name for name in names if name != "self"]

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in known:
                there = ", ".join(known)
                raise TypeError(f"{owner}: there is no option {name!r}; there are {there}")
        return function(*args, **kwargs)

    return checked


def whole(low: int, none: bool = False, high: float = sys.maxsize) -> Check:
    """An int from ``low`` to ``high``; with ``none`` also None."""
    or_none = ", or None" if none else ""

    def check(owner: str, option: str, value: Any) -> Any:
        if value is None and none:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise InvalidOption(owner, option, value, f"an int of {low} or more{or_none}")
        if value > high:
            raise InvalidOption(owner, option, value, f"an int from {low} to {high}{or_none}")
        return value

    return check


def integer(owner: str, option: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidOption(owner, option, value, "an int; higher runs sooner")
    return value


def seconds(low: float, none: bool = True, exclusive: bool = False) -> Check:
    """Finite seconds from ``low``, or above it; with ``none`` also None."""
    above = "above" if exclusive else "from"
    allowed = f"seconds {above} {low:g}, as a number or a timedelta" + (", or None" if none else "")

    def check(owner: str, option: str, value: Any) -> float | None:
        if value is None and none:
            return None
        number = amount(owner, option, value, allowed, low)
        if exclusive and number == low:
            raise InvalidOption(owner, option, value, allowed)
        return number

    return check


def one_of(*words: str, none: bool = False) -> Check:
    allowed = ", ".join(repr(word) for word in words) + (" or None" if none else "")

    def check(owner: str, option: str, value: Any) -> Any:
        if (value is None and none) or (isinstance(value, str) and value in words):
            return value
        raise InvalidOption(owner, option, value, allowed)

    return check


def of_type(kind: type, allowed: str) -> Check:
    """An instance of ``kind`` or None; a text that is one must not be empty."""

    def check(owner: str, option: str, value: Any) -> Any:
        if value is None or (isinstance(value, kind) and value != ""):
            return value
        raise InvalidOption(owner, option, value, allowed)

    return check


def function(allowed: str, count: int | None = None, awaited: bool = False) -> Check:
    """A callable that takes so many positional arguments and runs when it is called, or, if it is
    ``awaited``, afterwards; or None."""

    def check(owner: str, option: str, value: Any) -> Any:
        if value is None:
            return value
        _runs(owner, option, value, awaited)
        if callable(value) and (count is None or receives(value, count)):
            return value
        raise InvalidOption(owner, option, value, allowed)

    return check


def _runs(owner: str, option: str, value: Any, awaited: bool = False) -> None:
    """A call of an ``async def`` or of a generator function runs nothing, and what it gives is
    true: a filter would let all pass."""
    if awaits(value) and not awaited:
        raise InvalidOption(owner, option, value, "a def: nobody awaits it here")
    if generates(value):
        raise InvalidOption(owner, option, value, "a function without yield: nobody iterates it")


def tags(owner: str, option: str, value: Any) -> frozenset[str]:
    found = _texts(value)
    if found is None:
        raise InvalidOption(owner, option, value, "a tuple of strings")
    return found


def named_by(owner: str, option: str, value: Any) -> Any:
    """``redact``: names of parameters, a function of name and value, or None."""
    found = _texts(value)
    _runs(owner, option, value)
    if value is None or (callable(value) and receives(value, 2)):
        return value
    if found is None:
        allowed = "a tuple of names of perform's parameters, a function of name and value, or None"
        raise InvalidOption(owner, option, value, allowed)
    return found


def _texts(value: Any) -> frozenset[str] | None:
    # A text is a sequence of texts as well, and would be taken for names of one letter.
    many = isinstance(value, (tuple, list, set, frozenset))
    return frozenset(value) if many and all(isinstance(one, str) for one in value) else None


def flag(owner: str, option: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise InvalidOption(owner, option, value, "True or False")


def hashable(owner: str, identity: tuple[Any, ...], hidden: bool = False) -> tuple[Any, ...]:
    """An identity, checked; ``hidden``: the error is not to show it.

    Raises:
        InvalidOption: If a part of it cannot be hashed.
    """
    try:
        hash(identity)
    except TypeError:
        value = identity[0] if len(identity) == 1 else identity
        value = type(value) if hidden else value
        allowed = "a hashable value, or a tuple of them"
        raise InvalidOption(owner, "identity", value, allowed) from None
    return identity
