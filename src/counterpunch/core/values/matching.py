"""Which exceptions are meant by a class: those of it, and groups of nothing else.

A ``TaskGroup`` wraps what its tasks raise into a group; what a job means by raising it stays the
same.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["leaves", "matches", "touches"]

Kinds = type[BaseException] | tuple[type[BaseException], ...]

_MEMBERS = vars(BaseExceptionGroup)["exceptions"]


def leaves(exc: BaseException) -> Iterator[BaseException]:
    """An exception; of a group, those in it and in the groups in it."""
    pending = [exc]
    while pending:
        one = pending.pop()
        if isinstance(one, BaseExceptionGroup):
            pending += reversed(_MEMBERS.__get__(one))
        else:
            yield one


def matches(exc: BaseException, kinds: Kinds) -> bool:
    """True if it is of one of the classes, or a group all of whose leaves are."""
    return isinstance(exc, kinds) or (
        isinstance(exc, BaseExceptionGroup) and all(isinstance(leaf, kinds) for leaf in leaves(exc))
    )


def touches(exc: BaseException, kinds: Kinds) -> bool:
    """True if it is of one of the classes, or a group with such a leaf."""
    return isinstance(exc, kinds) or any(isinstance(leaf, kinds) for leaf in leaves(exc))
