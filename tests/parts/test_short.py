"""A short text of a value costs the same whatever the value, and says what its repr would."""

from __future__ import annotations

import signal
import sys
import threading
from collections import Counter, OrderedDict, UserDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from counterpunch.core.values import short as module
from counterpunch.core.values.errors import shorten
from counterpunch.core.values.short import clean, short

Pair = namedtuple("Pair", "a b")


class Color(Enum):
    RED = 1


@dataclass
class Order:
    id: int
    rows: Any = ()
    card: str = field(default="4111", repr=False)


class Own:
    def __repr__(self) -> str:
        return "Own(7)"


class Lazy:
    """As a queryset: whoever looks at it asks the database."""

    def __iter__(self) -> Any:
        raise AssertionError("walked")

    def __repr__(self) -> str:
        raise AssertionError("asked")

    __len__ = __getitem__ = __iter__


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -1.5, "", "it's", b"\x00", bytearray(b"x"), [], [1, [2]], (), (1,), (1, "a"),
        {}, {1: [2]}, set(), {1}, frozenset(), frozenset({1}), OrderedDict(), Counter("aab"),
        defaultdict(list, a=[1]), deque([1], 3), {1: 2}.keys(), SimpleNamespace(a=1), Pair(1, 2),
        Order(1, [2]), Own(), Color.RED, Path("/x"), UUID(int=1), date(2024, 1, 1), Decimal("1.5"),
        range(3), int, len, ValueError("x"), KeyError(), partial(len, 1, a=2), Order(1).__eq__,
    ],
    ids=repr,
)  # fmt: skip
def test_a_small_value_is_written_as_ever(value: Any) -> None:
    """By its repr."""
    assert shorten(value) == repr(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Lazy(), f"<{__name__}.Lazy>"),
        ([Lazy()], f"[<{__name__}.Lazy>]"),
        (UserDict(a=1), "<collections.UserDict>"),
        (MappingProxyType({1: 2}), "<mappingproxy of 1>"),
        (10**5000, "<int of 16,610 bits>"),
    ],
    ids=["lazy", "in a list", "user's dict", "proxy", "int"],
)
def test_what_would_have_to_be_worked_out_is_named(value: Any, text: str) -> None:
    """It is neither walked nor asked."""
    assert shorten(value) == text


class Watched:
    """Counts how many of it are looked at."""

    looked = 0

    def __hash__(self) -> int:
        return id(self)

    def __lt__(self, other: object) -> bool:
        raise AssertionError("sorted")

    def __repr__(self) -> str:
        Watched.looked += 1
        return "W"


MANY = 3_000
LARGE: dict[str, Callable[[], Any]] = {
    "list": lambda: [Watched() for _ in range(MANY)],
    "tuple": lambda: tuple(Watched() for _ in range(MANY)),
    "set": lambda: {Watched() for _ in range(MANY)},
    "frozenset": lambda: frozenset(Watched() for _ in range(MANY)),
    "dict": lambda: {Watched(): Watched() for _ in range(MANY)},
    "ordered": lambda: OrderedDict((Watched(), 1) for _ in range(MANY)),
    "counter": lambda: Counter({Watched(): n for n in range(MANY)}),
    "defaultdict": lambda: defaultdict(list, {Watched(): 1 for _ in range(MANY)}),
    "deque": lambda: deque(Watched() for _ in range(MANY)),
    "keys": lambda: {Watched(): 1 for _ in range(MANY)}.keys(),
    "values": lambda: {n: Watched() for n in range(MANY)}.values(),
    "items": lambda: {Watched(): 1 for _ in range(MANY)}.items(),
    "dataclass": lambda: Order(1, [Watched() for _ in range(MANY)]),
    "namedtuple": lambda: Pair([Watched() for _ in range(MANY)], 1),
    "namespace": lambda: SimpleNamespace(**{f"n{n}": Watched() for n in range(MANY)}),
    "exception": lambda: ValueError([Watched() for _ in range(MANY)]),
    "partial": lambda: partial(len, *[Watched() for _ in range(MANY)]),
    "method": lambda: Order(1, [Watched() for _ in range(MANY)]).__eq__,
    "subclass": lambda: type("Rows", (list,), {})(Watched() for _ in range(MANY)),
    "nested": lambda: [[[[Watched() for _ in range(99)] for _ in range(9)] for _ in range(9)]],
}


@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE)
def test_of_many_no_more_are_looked_at_than_are_shown(make: Callable[[], Any]) -> None:
    """And nothing is sorted."""
    value = make()
    Watched.looked = 0
    text = short(value, 200)
    assert len(text) <= 200
    assert "..." in text or text.endswith("…")
    assert Watched.looked <= 200
    assert shorten(value)[:100] == text[:100]


@pytest.mark.parametrize(
    "value",
    ["x" * 50_000_000, b"\0" * 20_000_000, bytearray(20_000_000)],
    ids=["str", "bytes", "bytearray"],
)
def test_of_a_long_text_no_more_is_copied_than_is_shown(value: Any) -> None:
    """Its repr would be a hundred megabytes."""
    import tracemalloc

    tracemalloc.start()
    try:
        text = shorten([value])
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()
    assert len(text) == 200


def test_a_structure_without_end_has_one() -> None:
    """And a very deep one no recursion."""
    loop: list[Any] = []
    loop.append(loop)
    assert shorten(loop) == "[[[[[[[...]]]]]]]"
    deep: Any = {}
    for _ in range(100_000):
        deep = {1: deep}
    assert "{...}" in shorten(deep)


def test_what_masks_itself_stays_masked() -> None:
    """A repr of the user's own counts, on whatever it is."""

    class Secret(str):
        __slots__ = ()

        def __repr__(self) -> str:
            return "***"

    @dataclass
    class Card:
        number: str

        def __repr__(self) -> str:
            return "Card(***)"

    assert "hunter2" not in shorten([Secret("hunter2")])
    assert shorten(Card("4111")) == "Card(***)"
    assert "4111" not in shorten(Order(1))


def test_a_type_whose_repr_is_slow_is_named_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """After three times in a row; one that is quick in between begins anew."""
    now = [0.0]
    monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    took = [1.0, 1.0, 0.0, 1.0, 1.0, 1.0]
    calls = []

    class Slow:
        def __repr__(self) -> str:
            calls.append(None)
            now[0] += took.pop(0)
            return "slow"

    texts = [shorten(Slow()) for _ in range(50)]
    assert texts[:6] == ["slow"] * 6
    assert len(calls) == 6
    assert set(texts[6:]) == {f"<{__name__}.{Slow.__qualname__}>"}


def test_a_repr_that_raises_is_said() -> None:
    """By the name of what it raised, SystemExit by a statement of its own included."""

    class Broken:
        def __init__(self, exc: type[BaseException]) -> None:
            self.exc = exc

        def __repr__(self) -> str:
            raise self.exc

    for exc in (ValueError, RecursionError, SystemExit, KeyboardInterrupt, GeneratorExit):
        assert shorten([1, Broken(exc)]) == f"[1, <Broken: its repr raised {exc.__name__}>]"


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("handler", ["default", "exit", "raise"])
def test_a_stop_that_comes_during_a_repr_is_not_lost(handler: str) -> None:
    """What a signal handler raises goes on to the caller."""

    def leave(*_: Any) -> None:
        sys.exit(1)

    def fail(*_: Any) -> None:
        raise SystemExit(1)

    class Interrupted:
        def __repr__(self) -> str:
            signal.raise_signal(signal.SIGINT)
            return "".join(str(n) for n in range(10))

    handlers: dict[str, Any] = {"default": signal.default_int_handler, "exit": leave, "raise": fail}
    before = signal.signal(signal.SIGINT, handlers[handler])
    try:
        with pytest.raises(KeyboardInterrupt if handler == "default" else SystemExit):
            shorten([Interrupted()])
    finally:
        signal.signal(signal.SIGINT, before)


def test_on_another_thread_no_signal_can_have_raised_it() -> None:
    """There it is the repr's own."""

    class Leaves:
        def __repr__(self) -> str:
            sys.exit(1)

    texts: list[str] = []
    thread = threading.Thread(target=lambda: texts.append(shorten(Leaves())))
    thread.start()
    thread.join(10)
    assert texts == ["<Leaves: its repr raised SystemExit>"]


def test_a_text_has_one_line() -> None:
    """No control character of a repr gets into the log or onto a terminal."""

    class Forging:
        def __repr__(self) -> str:
            return "x\nERROR root forged\r\x1b[2J\x00\u2028\ud800é"

    text = shorten(Forging())
    assert text == r"x\nERROR root forged\r\x1b[2J\x00\u2028\ud800é"
    assert clean("plain é") == "plain é"


def test_a_dict_that_grows_meanwhile_breaks_nothing() -> None:
    """Another thread changes it."""

    class Grows:
        def __repr__(self) -> str:
            grown[object()] = 1
            return "grows"

    grown: dict[Any, Any] = {Grows(): 1, 2: 3}
    assert "RuntimeError" in shorten(grown)
