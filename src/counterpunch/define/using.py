"""A job class with options for single calls, and many calls at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from ..core.values.errors import InvalidOption
from ..core.values.handle import Handle
from ..core.values.hiding import argument_text
from ..core.values.per_call import OF_A_CALL, PER_CALL
from ..core.values.plan import plan_of
from ..core.values.times import due_at, due_in
from ..integrations import after_commit
from .lookalikes import meant
from .shapes import check_redacted
from .ways import enter, perform

if TYPE_CHECKING:
    from typing import Unpack

    from .calls import PerCall
    from .rows import TakesRows
else:
    TakesRows = object

__all__ = ["Using", "bulk"]

P = ParamSpec("P")
R = TypeVar("R")


class Using(Generic[P, R], TakesRows):
    """A job class with options for single calls: what ``using(...)`` returns. Reusable.

    Its enqueue methods take and raise what those of the class do.
    """

    __slots__ = ("job", "options")

    def __init__(self, cls: type[Any], options: Mapping[str, Any]) -> None:
        self.job = cls
        self.options = check_calls(cls.__qualname__, options)
        redact = self.options.get("redact")
        if isinstance(redact, frozenset):
            check_redacted(cls, plan_of(cls).check, redact)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{self.job.__qualname__}.using({shown})"

    def using(self, **options: Unpack[PerCall]) -> Using[P, R]:
        """The same with further options; the later value of an option counts."""
        merged = {**self.options, **options}
        if "at" in options:
            merged.pop("delay", None)
        elif "delay" in options:
            merged.pop("at", None)
        return Using(self.job, merged)

    def perform_async(self, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        handle: Handle[R] = enter(self.job, args, kwargs, self.options)
        return handle

    def perform_in(
        self, delay: float | timedelta, /, *args: P.args, **kwargs: P.kwargs
    ) -> Handle[R]:
        options = {**self.options, "delay": due_in(f"{self.job.__qualname__}.perform_in", delay)}
        options.pop("at", None)
        handle: Handle[R] = enter(self.job, args, kwargs, options)
        return handle

    def perform_at(self, when: datetime | float, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        options = {**self.options, "at": due_at(f"{self.job.__qualname__}.perform_at", when)}
        options.pop("delay", None)
        handle: Handle[R] = enter(self.job, args, kwargs, options)
        return handle

    def perform_now(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = perform(self.job, args, kwargs, self.options)
        return result

    if not TYPE_CHECKING:

        def perform_bulk(self, rows):
            return bulk(self.job, rows, self.options)


def check_calls(owner: str, given: Mapping[str, Any], way: str = ".using") -> dict[str, Any]:
    """The options of ``using(...)`` and ``delay(...)``, checked.

    Raises:
        InvalidOption: For an unknown option or a bad value.
    """
    checked: dict[str, Any] = {}
    for name, value in given.items():
        if name == "delay":
            checked[name] = due_in(owner + way, value)
        elif name == "at":
            checked[name] = value
            due_at(owner + way, value)
        elif name == "after_commit":
            checked[name] = after_commit.check(owner + way, value)
        elif name in PER_CALL:
            checked[name] = PER_CALL[name](owner, name, value)
        else:
            raise InvalidOption(owner + way, name, value, meant(name, (*PER_CALL, *OF_A_CALL)))
    if "delay" in checked and "at" in checked:
        raise InvalidOption(owner + way, "at", checked["at"], "nothing, beside delay")
    return checked


def bulk(
    cls: type[Any], rows: Iterable[tuple[Any, ...]], options: Mapping[str, Any] | None
) -> list[Handle[Any]]:
    enqueue = cls.perform_async if options is None else Using(cls, options).perform_async
    handles: list[Handle[Any]] = []
    try:
        for row in rows:
            if not isinstance(row, (tuple, list)):
                raise TypeError(
                    f"{cls.__qualname__}.perform_bulk: each row is a tuple of perform's "
                    f"arguments, not {argument_text(plan_of(cls).options, row, options)}"
                )
            handles.append(enqueue(*row))
    except BaseException as exc:
        with suppress(Exception):  # a class may refuse attributes
            exc.handles = handles  # type: ignore[attr-defined]
        raise
    return handles
