"""How ``perform_async`` and its like get their types from ``perform``: for type checkers only.

Descriptors that read the parameters and the result off the class they are looked up on.
No plugin is needed; the first overload takes the result out of an ``async def``, the last is of a
class of which no ``perform`` is known: ``type[J]``, with ``J`` bound to ``Job``.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import (
    Any,
    Concatenate,
    ParamSpec,
    Protocol,
    TypeVar,
    Unpack,
    overload,
)

from ..core.values.handle import Handle
from .calls import PerCall
from .using import Using

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Performs(Protocol[P, R_co]):
    """Any class with a ``perform``."""

    def perform(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class PerformsAsync(Protocol[P, R_co]):
    """Any class with an ``async def perform``."""

    def perform(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]: ...


class PerformAsync:
    @overload
    def __get__(
        self, instance: object, owner: type[PerformsAsync[P, R]]
    ) -> Callable[P, Handle[R]]: ...
    @overload
    def __get__(self, instance: object, owner: type[Performs[P, R]]) -> Callable[P, Handle[R]]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any]) -> Callable[..., Handle[Any]]: ...
    def __get__(self, instance: object, owner: type) -> Any: ...


class PerformIn:
    @overload
    def __get__(
        self, instance: object, owner: type[PerformsAsync[P, R]]
    ) -> Callable[Concatenate[float | timedelta, P], Handle[R]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[Performs[P, R]]
    ) -> Callable[Concatenate[float | timedelta, P], Handle[R]]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any]) -> Callable[..., Handle[Any]]: ...
    def __get__(self, instance: object, owner: type) -> Any: ...


class PerformAt:
    @overload
    def __get__(
        self, instance: object, owner: type[PerformsAsync[P, R]]
    ) -> Callable[Concatenate[datetime | float, P], Handle[R]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[Performs[P, R]]
    ) -> Callable[Concatenate[datetime | float, P], Handle[R]]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any]) -> Callable[..., Handle[Any]]: ...
    def __get__(self, instance: object, owner: type) -> Any: ...


class PerformNow:
    @overload
    def __get__(self, instance: object, owner: type[PerformsAsync[P, R]]) -> Callable[P, R]: ...
    @overload
    def __get__(self, instance: object, owner: type[Performs[P, R]]) -> Callable[P, R]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any]) -> Callable[..., Any]: ...
    def __get__(self, instance: object, owner: type) -> Any: ...


class TakesOptions(Protocol[P, R]):
    def __call__(self, **options: Unpack[PerCall]) -> Using[P, R]: ...


class UsingOptions:
    @overload
    def __get__(self, instance: object, owner: type[PerformsAsync[P, R]]) -> TakesOptions[P, R]: ...
    @overload
    def __get__(self, instance: object, owner: type[Performs[P, R]]) -> TakesOptions[P, R]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any]) -> TakesOptions[..., Any]: ...
    def __get__(self, instance: object, owner: type) -> Any: ...
