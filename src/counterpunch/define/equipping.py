"""The enqueue methods that each class has its own of, made for speed.

Each enqueues the class that it was made for, whoever asks; so none may ever be inherited. A class
that goes another way, because it or a base or a mixin of it has written such a method or asks
``super()`` for one, takes them from all of its bases, which then have the slower ones of ``Job``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType
from typing import Any

from ..core.port import express_async, express_in
from ..core.values.plan import plan_of
from .ways import WAYS

__all__ = ["early", "equip", "fronted"]

_EXPRESS: Mapping[str, Any] = {"perform_async": express_async, "perform_in": express_in}
#: What is in the way of each if a class has written it.
_IN_THE_WAY = {"perform_async": ("perform_async",), "perform_in": ("perform_in", "perform_async")}


class _Early:
    """Stands for one of them until the class is ready."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, cls: Any) -> Any:
        plan_of(cls)  # which makes it ready
        return getattr(cls, self._name)


def early(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """What a class has while it is being defined, so that it does not inherit those of a base."""
    return {name: _Early(name) for name in _EXPRESS if _ours(namespace.get(name, _Early(name)))}


def equip(cls: Any) -> None:
    """Give a class its own, unless that would be in the way of one that somebody wrote."""
    for name, names in _IN_THE_WAY.items():
        own = cls.__dict__.get(name)
        if (own is not None and not _ours(own)) or _goes_another_way(cls.__mro__, names):
            for base in cls.__mro__:
                if _ours(base.__dict__.get(name)):
                    type.__delattr__(base, name)
        elif not any(_goes_another_way(each.__mro__, names) for each in _below(cls)):
            function = staticmethod(_EXPRESS[name](cls, cls._gate, plan_of(cls)))
            type.__setattr__(cls, name, function)  # in place of the old: never without
        elif own is not None:
            type.__delattr__(cls, name)


def fronted(cls: type) -> frozenset[str]:
    """The enqueue methods that a class, or a base or a mixin of it, has written."""
    return frozenset(name for name in WAYS if _goes_another_way(cls.__mro__, (name,), False))


def _ours(method: Any) -> bool:
    express = hasattr(getattr(method, "__func__", None), "counterpunch_express")
    return express or type(method) is _Early


def _goes_another_way(
    classes: Iterable[type], names: tuple[str, ...], by_super: bool = True
) -> bool:
    """True if one of the classes has a method of such a name that is not from this package, or,
    in another method, asks ``super()`` for one."""
    for each in classes:
        if each.__module__.partition(".")[0] == __name__.partition(".")[0]:
            continue
        own = vars(each)
        if any(own.get(name) is not None and not _ours(own[name]) for name in names):
            return True
        if by_super and any(_asks_super(method, names) for method in own.values()):
            return True
    return False


def _asks_super(method: Any, names: tuple[str, ...]) -> bool:
    function = getattr(method, "__func__", method)
    code = function.__code__ if type(function) is FunctionType else None
    return (
        code is not None
        and "__class__" in code.co_freevars
        and any(name in code.co_names for name in names)
    )


def _below(cls: type) -> Iterator[type]:
    below: list[type] = type.__subclasses__(cls)
    for subclass in below:
        yield subclass
        yield from _below(subclass)
