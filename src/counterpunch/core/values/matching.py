"""Which exceptions are meant by a class: those of it, and groups of nothing else.

A ``TaskGroup`` wraps what its tasks raise into a group; what a job means by raising it stays the
same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeGuard, TypeVar

__all__ = ["is_a", "leaves", "matches", "members", "name_of", "touches"]

T = TypeVar("T")

Kinds = type[BaseException] | tuple[type[BaseException], ...]

_MEMBERS = vars(BaseExceptionGroup)["exceptions"]
_NAME = vars(type)["__name__"]


def is_a(value: object, kind: type[T] | tuple[type[T], ...]) -> TypeGuard[T]:
    """``isinstance``, without asking the value: what it says of its own class is its own code."""
    return issubclass(type(value), kind)


def name_of(kind: type) -> str:
    """The name of a class, without asking its metaclass, which may have an answer of its own."""
    name: str = _NAME.__get__(kind)
    return name


def members(exc: BaseException) -> tuple[BaseException, ...]:
    """Those of a group, as it was made; of any other exception, none."""
    return _MEMBERS.__get__(exc) if is_a(exc, BaseExceptionGroup) else ()


def leaves(exc: BaseException) -> Iterator[BaseException]:
    """An exception; of a group, those in it and in the groups in it."""
    pending = [exc]
    while pending:
        one = pending.pop()
        if is_a(one, BaseExceptionGroup):
            pending += reversed(members(one))
        else:
            yield one


def matches(exc: BaseException, kinds: Kinds) -> bool:
    """True if it is of one of the classes, or a group all of whose leaves are."""
    return is_a(exc, kinds) or (
        is_a(exc, BaseExceptionGroup) and all(is_a(leaf, kinds) for leaf in leaves(exc))
    )


def touches(exc: BaseException, kinds: Kinds) -> bool:
    """True if it is of one of the classes, or a group with such a leaf."""
    return is_a(exc, kinds) or any(is_a(leaf, kinds) for leaf in leaves(exc))
