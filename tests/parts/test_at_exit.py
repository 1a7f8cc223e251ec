"""Who is called first as the interpreter ends: last in, first out, and we come in again."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from counterpunch.core.workers import at_exit
from counterpunch.core.workers.at_exit import First


class Threads:
    """Stands for ``threading``, with its two private names."""

    def __init__(self) -> None:
        self._threading_atexits: list[Callable[[], object]] = []
        self.ending = False

    def _register_atexit(self, fn: Callable[[], object]) -> None:
        if self.ending:
            raise RuntimeError("can't register atexit after shutdown")
        self._threading_atexits.append(fn)


def ours() -> None: ...


def others() -> None: ...


def test_it_is_registered_again_after_somebody_else() -> None:
    """And not otherwise."""
    threads = Threads()
    first = First(threads)
    first.again()
    assert threads._threading_atexits == []
    first.register(ours)
    first.again()
    assert threads._threading_atexits == [ours]
    threads._register_atexit(others)
    first.again()
    first.again()
    assert threads._threading_atexits == [ours, others, ours]


def test_once_the_end_has_begun_it_is_too_late() -> None:
    """Nothing is raised, and nobody asks again."""
    threads = Threads()
    threads._register_atexit(others)
    threads.ending = True
    first = First(threads)
    first.register(ours)
    first.again()
    assert threads._threading_atexits == [others]


def test_where_threading_offers_neither_nothing_happens() -> None:
    """It has no promise to."""
    First(object()).register(ours)


def test_where_nobody_can_be_seen_it_is_registered_once() -> None:
    """The list may have another name."""
    threads = Threads()
    registered = threads._threading_atexits
    del threads._threading_atexits
    threads._register_atexit = registered.append  # type: ignore[method-assign]
    first = First(threads)
    first.register(ours)
    first.again()
    assert registered == [ours]


def test_a_worker_begins_where_there_is_no_ctypes(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a build without the lock as well, where it is imported in time."""
    monkeypatch.setattr(at_exit, "_FREE_THREADED", True)
    monkeypatch.setitem(sys.modules, "ctypes", None)
    at_exit.import_for_the_end()
    assert sys.modules["ctypes"] is None
