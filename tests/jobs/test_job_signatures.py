"""Arguments against the signature of ``perform``, in every shape it can have."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from held import LONG

from counterpunch import Job, testing

# Signatures


class Shapes:
    """Methods to be used as ``perform``, each with calls that fit and calls that do not."""

    def plain(self, a: int, b: int = 2) -> tuple[Any, ...]:
        return a, b

    def positional_only(self, a: int, /, b: int = 2) -> tuple[Any, ...]:
        return a, b

    def self_only_positional(self, /, a: int) -> tuple[Any, ...]:
        return (a,)

    def keyword_only(self, a: int, *, b: int, c: int = 3) -> tuple[Any, ...]:
        return a, b, c

    def rest(self, a: int, *more: int, b: int = 0, **names: int) -> tuple[Any, ...]:
        return a, more, b, names

    def everything(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
        return args[1:], kwargs


def decorated(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def make(perform: Any) -> Any:
    return type("HelloEmailJob", (Job,), {"perform": perform})


@pytest.mark.parametrize(
    ("perform", "args", "kwargs"),
    [
        (Shapes.plain, (1,), {}),
        (Shapes.plain, (1, 3), {}),
        (Shapes.plain, (), {"b": 3, "a": 1}),
        (Shapes.positional_only, (1,), {"b": 3}),
        (Shapes.self_only_positional, (), {"a": 1}),
        (Shapes.keyword_only, (1,), {"b": 2}),
        (Shapes.keyword_only, (), {"a": 1, "b": 2, "c": 4}),
        (Shapes.rest, (1, 2, 3), {"b": 4, "z": 5}),
        (Shapes.everything, (1, 2), {"x": 3}),
        (decorated(Shapes.plain), (1, 3), {}),
        (decorated(decorated(Shapes.keyword_only)), (1,), {"b": 2}),
        (staticmethod(lambda a, b=2: (a, b)), (1,), {"b": 3}),
        (classmethod(lambda cls, a: (cls.__name__, a)), (1,), {}),
        (staticmethod(decorated(lambda a: a)), (1,), {}),
        (staticmethod(max), (1, 2), {}),
    ],
)
def test_arguments_that_fit(perform: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Every shape of signature is accepted and reaches perform unchanged."""
    cls = make(perform)
    assert cls.perform_async(*args, **kwargs).result(LONG) == cls().perform(*args, **kwargs)


MISFITS: list[tuple[Any, tuple[Any, ...], dict[str, Any], str]] = [
    (Shapes.plain, (), {}, "missing 1 required positional argument: 'a'"),
    (Shapes.plain, (1, 2, 3), {}, "from 1 to 2 positional arguments but 3 were given"),
    (Shapes.plain, (1,), {"a": 2}, "multiple values for argument 'a'"),
    (Shapes.plain, (1,), {"x": 2}, "unexpected keyword argument 'x'"),
    (Shapes.positional_only, (), {"a": 1}, "positional-only arguments passed as keyword"),
    (Shapes.self_only_positional, (), {}, "missing 1 required positional argument: 'a'"),
    (Shapes.keyword_only, (1,), {}, "missing 1 required keyword-only argument: 'b'"),
    (Shapes.keyword_only, (1, 2), {}, "1 positional argument but 2"),
    (Shapes.rest, (), {}, "missing 1 required positional argument: 'a'"),
    (decorated(Shapes.plain), (), {}, "missing 1 required positional argument: 'a'"),
    (staticmethod(lambda a: a), (), {}, "missing 1 required positional argument: 'a'"),
    (staticmethod(lambda a: a), (1, 2), {}, "1 positional argument but 2 were given"),
    (classmethod(lambda cls, a: a), (1, 2), {}, "1 positional argument but 2 were given"),
]
CALLS = ("async", "in", "at", "now", "bulk", "using")


@pytest.mark.parametrize(
    ("perform", "args", "kwargs", "complaint", "call"),
    [
        (*misfit, call)
        for misfit in MISFITS
        for call in CALLS
        if call != "bulk" or not misfit[2]  # rows of a bulk are positional
    ],
)
def test_arguments_that_do_not_fit(
    perform: Any, args: tuple[Any, ...], kwargs: dict[str, Any], complaint: str, call: str
) -> None:
    """A TypeError at the call, naming the class; nothing is accepted and nothing runs."""
    cls = make(perform)
    enqueue = {
        "async": cls.perform_async,
        "in": functools.partial(cls.perform_in, 60),
        "at": functools.partial(cls.perform_at, 0),
        "now": cls.perform_now,
        "bulk": lambda *row: cls.perform_bulk([row]),
        "using": cls.using(priority=1).perform_async,
    }[call]
    with testing.fake() as recorder:
        with pytest.raises(TypeError, match=complaint) as caught:
            enqueue(*args, **kwargs)
        assert "HelloEmailJob.perform()" in str(caught.value)
        assert recorder.jobs == []
        assert cls.stats().accepted == 0
