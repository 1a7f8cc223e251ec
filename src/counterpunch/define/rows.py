"""Rows of ``perform_bulk`` as ``perform`` takes them: for type checkers only.

No type says "a tuple of the parameters of that function": shapes are written out, of up to three
positional parameters, each with those of them that may be left out. Rows for more are tuples of
anything.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol, TypeVar, overload

from ..core.values.handle import Handle

__all__ = ["PerformBulk"]

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
F_co = TypeVar("F_co", covariant=True)
A = TypeVar("A")
A_in = TypeVar("A_in", contravariant=True)
B = TypeVar("B")
B_in = TypeVar("B_in", contravariant=True)
C = TypeVar("C")
C_in = TypeVar("C_in", contravariant=True)

Row = Iterable[tuple[Any, ...]]


class _More(Protocol[R_co]):
    def __call__(self, a: Any, b: Any, c: Any, d: Any, /) -> R_co: ...


class _ThreeFrom0(Protocol[A_in, B_in, C_in, R_co]):
    @overload
    def __call__(self) -> R_co: ...
    @overload
    def __call__(self, a: A_in, /) -> R_co: ...
    @overload
    def __call__(self, a: A_in, b: B_in, /) -> R_co: ...
    @overload
    def __call__(self, a: A_in, b: B_in, c: C_in, /) -> R_co: ...


class _ThreeFrom1(Protocol[A_in, B_in, C_in, R_co]):
    @overload
    def __call__(self, a: A_in, /) -> R_co: ...
    @overload
    def __call__(self, a: A_in, b: B_in, /) -> R_co: ...
    @overload
    def __call__(self, a: A_in, b: B_in, c: C_in, /) -> R_co: ...


class _ThreeFrom2(Protocol[A_in, B_in, C_in, R_co]):
    @overload
    def __call__(self, a: A_in, b: B_in, /) -> R_co: ...
    @overload
    def __call__(self, a: A_in, b: B_in, c: C_in, /) -> R_co: ...


class _Three(Protocol[A_in, B_in, C_in, R_co]):
    def __call__(self, a: A_in, b: B_in, c: C_in, /) -> R_co: ...


class _TwoFrom0(Protocol[A_in, B_in, R_co]):
    @overload
    def __call__(self) -> R_co: ...
    @overload
    def __call__(self, a: A_in, /) -> R_co: ...
    @overload
    def __call__(self, a: A_in, b: B_in, /) -> R_co: ...


class _TwoFrom1(Protocol[A_in, B_in, R_co]):
    @overload
    def __call__(self, a: A_in, /) -> R_co: ...
    @overload
    def __call__(self, a: A_in, b: B_in, /) -> R_co: ...


class _Two(Protocol[A_in, B_in, R_co]):
    def __call__(self, a: A_in, b: B_in, /) -> R_co: ...


class _OneFrom0(Protocol[A_in, R_co]):
    @overload
    def __call__(self) -> R_co: ...
    @overload
    def __call__(self, a: A_in, /) -> R_co: ...


class _One(Protocol[A_in, R_co]):
    def __call__(self, a: A_in, /) -> R_co: ...


class _None(Protocol[R_co]):
    def __call__(self) -> R_co: ...


class _Does(Protocol[F_co]):
    @property
    def perform(self) -> F_co: ...


class _DoesNow(Protocol[F_co]):
    @property
    def perform_now(self) -> F_co: ...


class PerformBulk:
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_More[Coroutine[Any, Any, R]]]]
    ) -> Callable[[Row], list[Handle[R]]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_More[R]]]
    ) -> Callable[[Row], list[Handle[R]]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_ThreeFrom0[A, B, C, Coroutine[Any, Any, R]]]]
    ) -> Callable[
        [Iterable[tuple[()] | tuple[A] | tuple[A, B] | tuple[A, B, C]]], list[Handle[R]]
    ]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_ThreeFrom0[A, B, C, R]]]
    ) -> Callable[
        [Iterable[tuple[()] | tuple[A] | tuple[A, B] | tuple[A, B, C]]], list[Handle[R]]
    ]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_ThreeFrom1[A, B, C, Coroutine[Any, Any, R]]]]
    ) -> Callable[[Iterable[tuple[A] | tuple[A, B] | tuple[A, B, C]]], list[Handle[R]]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_ThreeFrom1[A, B, C, R]]]
    ) -> Callable[[Iterable[tuple[A] | tuple[A, B] | tuple[A, B, C]]], list[Handle[R]]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_ThreeFrom2[A, B, C, Coroutine[Any, Any, R]]]]
    ) -> Callable[[Iterable[tuple[A, B] | tuple[A, B, C]]], list[Handle[R]]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_ThreeFrom2[A, B, C, R]]]
    ) -> Callable[[Iterable[tuple[A, B] | tuple[A, B, C]]], list[Handle[R]]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_Three[A, B, C, Coroutine[Any, Any, R]]]]
    ) -> Callable[[Iterable[tuple[A, B, C]]], list[Handle[R]]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_Three[A, B, C, R]]]
    ) -> Callable[[Iterable[tuple[A, B, C]]], list[Handle[R]]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_TwoFrom0[A, B, Coroutine[Any, Any, R]]]]
    ) -> Callable[[Iterable[tuple[()] | tuple[A] | tuple[A, B]]], list[Handle[R]]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_TwoFrom0[A, B, R]]]
    ) -> Callable[[Iterable[tuple[()] | tuple[A] | tuple[A, B]]], list[Handle[R]]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_TwoFrom1[A, B, Coroutine[Any, Any, R]]]]
    ) -> Callable[[Iterable[tuple[A] | tuple[A, B]]], list[Handle[R]]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_TwoFrom1[A, B, R]]]
    ) -> Callable[[Iterable[tuple[A] | tuple[A, B]]], list[Handle[R]]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_Two[A, B, Coroutine[Any, Any, R]]]]
    ) -> Callable[[Iterable[tuple[A, B]]], list[Handle[R]]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_Two[A, B, R]]]
    ) -> Callable[[Iterable[tuple[A, B]]], list[Handle[R]]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_OneFrom0[A, Coroutine[Any, Any, R]]]]
    ) -> Callable[[Iterable[tuple[()] | tuple[A]]], list[Handle[R]]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_OneFrom0[A, R]]]
    ) -> Callable[[Iterable[tuple[()] | tuple[A]]], list[Handle[R]]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_One[A, Coroutine[Any, Any, R]]]]
    ) -> Callable[[Iterable[tuple[A]]], list[Handle[R]]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_One[A, R]]]
    ) -> Callable[[Iterable[tuple[A]]], list[Handle[R]]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_None[Coroutine[Any, Any, R]]]]
    ) -> Callable[[Iterable[tuple[()]]], list[Handle[R]]]: ...
    @overload
    def __get__(
        self, instance: object, owner: type[_Does[_None[R]]]
    ) -> Callable[[Iterable[tuple[()]]], list[Handle[R]]]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any]) -> Callable[[Row], list[Handle[Any]]]: ...
    def __get__(self, instance: object, owner: type) -> Any: ...


class TakesRows:
    @overload
    def perform_bulk(self: _DoesNow[_More[R]], rows: Row) -> list[Handle[R]]: ...
    @overload
    def perform_bulk(
        self: _DoesNow[_ThreeFrom0[A, B, C, R]],
        rows: Iterable[tuple[()] | tuple[A] | tuple[A, B] | tuple[A, B, C]],
    ) -> list[Handle[R]]: ...
    @overload
    def perform_bulk(
        self: _DoesNow[_ThreeFrom1[A, B, C, R]],
        rows: Iterable[tuple[A] | tuple[A, B] | tuple[A, B, C]],
    ) -> list[Handle[R]]: ...
    @overload
    def perform_bulk(
        self: _DoesNow[_ThreeFrom2[A, B, C, R]], rows: Iterable[tuple[A, B] | tuple[A, B, C]]
    ) -> list[Handle[R]]: ...
    @overload
    def perform_bulk(
        self: _DoesNow[_Three[A, B, C, R]], rows: Iterable[tuple[A, B, C]]
    ) -> list[Handle[R]]: ...
    @overload
    def perform_bulk(
        self: _DoesNow[_TwoFrom0[A, B, R]], rows: Iterable[tuple[()] | tuple[A] | tuple[A, B]]
    ) -> list[Handle[R]]: ...
    @overload
    def perform_bulk(
        self: _DoesNow[_TwoFrom1[A, B, R]], rows: Iterable[tuple[A] | tuple[A, B]]
    ) -> list[Handle[R]]: ...
    @overload
    def perform_bulk(
        self: _DoesNow[_Two[A, B, R]], rows: Iterable[tuple[A, B]]
    ) -> list[Handle[R]]: ...
    @overload
    def perform_bulk(
        self: _DoesNow[_OneFrom0[A, R]], rows: Iterable[tuple[()] | tuple[A]]
    ) -> list[Handle[R]]: ...
    @overload
    def perform_bulk(self: _DoesNow[_One[A, R]], rows: Iterable[tuple[A]]) -> list[Handle[R]]: ...
    @overload
    def perform_bulk(self: _DoesNow[_None[R]], rows: Iterable[tuple[()]]) -> list[Handle[R]]: ...
    def perform_bulk(self, rows: Any) -> Any: ...
