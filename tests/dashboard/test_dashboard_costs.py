"""A page costs the same whatever its jobs carry: counted, for a clock depends on the machine."""

from __future__ import annotations

import sys
import tracemalloc
from collections import Counter, OrderedDict
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from dashboard_client import Client

from counterpunch import Job


@dataclass
class Rows:
    rows: list[int]


class Queryset:
    """Whoever looks at it asks the database."""

    def __iter__(self) -> Any:
        raise AssertionError

    __repr__ = __len__ = __iter__  # type: ignore[assignment]


class Raises:
    def __repr__(self) -> str:
        raise ValueError


class Carrying(Job):
    def perform(self, value: Any) -> None: ...


MANY = 50_000
CARRIED = {
    "bytes": lambda: b"\xff" * 10_000_000,
    "str": lambda: "\xff" * 10_000_000,
    "list": lambda: list(range(MANY)),
    "dict": lambda: dict.fromkeys(range(MANY)),
    "set": lambda: set(range(MANY)),
    "ordered": lambda: OrderedDict.fromkeys(range(MANY)),
    "counter": lambda: Counter(range(MANY)),
    "dataclass": lambda: Rows(list(range(MANY))),
    "exception": lambda: ValueError(b"\0" * 10_000_000),
    "queryset": Queryset,
    "raises": Raises,
}


def cost(value: Any) -> tuple[int, int]:
    """Calls, and bytes at most, of a list of fifty jobs with this argument."""
    client, calls = Client(), 0
    for _ in range(50):
        Carrying.perform_async(value)

    def count(frame: Any, event: str, what: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    assert client.get("/waiting").status == 200  # what is made once is made
    tracemalloc.start()
    sys.setprofile(count)
    try:
        assert client.get("/waiting").status == 200
    finally:
        sys.setprofile(None)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    Carrying.cancel_all()
    return calls, peak


@cache
def cost_of_small() -> tuple[int, int]:
    return cost(7)


@pytest.mark.parametrize("make", CARRIED.values(), ids=CARRIED)
def test_a_list_costs_at_most_twice_what_one_of_small_jobs_does(make: Any) -> None:
    """In calls and in memory."""
    Carrying.pause()
    try:
        calls, peak = cost_of_small()
        more_calls, more_peak = cost(make())
    finally:
        Carrying.resume()
    assert more_calls < 2 * calls
    assert more_peak < 2 * peak
