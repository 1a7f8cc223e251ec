"""An option's value, as a type checker is to see it on a job class: None may take its place below.

mypy takes the type of a class attribute from the nearest assignment. Below ``retry = Retry()`` it
would refuse ``retry = None``, but for an attribute that reads as either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self, overload

__all__ = ["Replaceable"]


class _JobClass(Protocol):
    def check_cancelled(self) -> None: ...


if TYPE_CHECKING:

    class Replaceable:
        @overload
        def __get__(self, instance: object, owner: type[_JobClass]) -> Self | None: ...
        @overload
        def __get__(self, instance: object, owner: Any) -> Self: ...
        def __get__(self, instance: object, owner: Any) -> Any: ...
else:
    Replaceable = object
