"""Reading a container whole while others change it: ``places.steps``."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from counterpunch.core.places.steps import entries
from counterpunch.core.values.handle import Call, Handle


def handle() -> Call:
    call: Call = Handle()
    call.enqueued, call.number = 0.0, 0
    return call


class Busy(deque[Any]):
    """What a deque does that others change all the while, in a process without the lock."""

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("deque mutated during iteration")


@pytest.mark.parametrize(
    "kind",
    [handle, object, lambda: (handle(), 1.0), lambda: True, lambda: 1.5, lambda: [].append],
    ids=["handle", "object", "tuple", "bool", "float", "function"],
)
def test_a_deque_that_does_not_hold_still_is_read(kind: Callable[[], Any]) -> None:
    """Everything in it, in its order, once."""
    for number in range(3):
        busy = Busy(kind() for _ in range(number))
        found = entries(busy)
        assert type(found) is list
        assert len(found) == number
        assert all(one is busy[index] for index, one in enumerate(found))


def test_all_kinds_are_read_in_their_order() -> None:
    """And what is given is the reader's own."""
    assert entries(deque([2, 1])) == [2, 1]
    table = {2: "b", 1: "a"}
    assert entries(table) == [2, 1]
    assert entries(table.values()) == ["b", "a"]
    assert entries(table.items()) == [(2, "b"), (1, "a")]
    assert entries({3}) == [3]
    assert entries(()) == []


class Changing:
    """A queue of 100 entries that two threads keep changing, until it is left."""

    def __init__(self) -> None:
        self.queue = deque(handle() for _ in range(100))
        self.table = dict.fromkeys(self.queue)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._change) for _ in range(2)]

    def _change(self) -> None:
        while not self._stop.is_set():
            call = handle()
            self.queue.append(call)
            self.queue.popleft()
            self.table[call] = None
            del self.table[call]

    def __enter__(self) -> Changing:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)


def test_what_others_change_is_read_at_one_instant() -> None:
    """Never an error, and no more and no less than was in it at any time."""
    with Changing() as busy:
        for _ in range(200):
            assert 100 <= len(entries(busy.queue)) <= 102
            assert 100 <= len(entries(busy.table)) <= 102
            assert 100 <= len(entries(busy.table.items())) <= 102
            assert handle() not in busy.queue
