"""What is not waited for is done all the same: in order, on one thread, and then it rests."""

from __future__ import annotations

import threading

import pytest

from counterpunch.core.places import aside as module
from counterpunch.core.places.aside import Aside
from counterpunch.core.values.hooks import logger

LONG = 10.0


def test_it_is_done_in_order_by_one_thread_and_who_waits_is_told() -> None:
    """What raises does not keep the next from its turn."""
    opened, rested, seen = threading.Event(), threading.Event(), list[object]()
    aside = Aside("aside", rested.set)
    aside.do(lambda: seen.append(opened.wait(LONG)))
    aside.do(lambda: seen.append(threading.current_thread().name))
    aside.do(seen.clear)
    aside.do(lambda: seen.append(threading.current_thread().name))
    aside.do(lambda: seen.append(aside.resting()))
    assert not aside.resting()
    opened.set()
    assert rested.wait(LONG)
    aside.join(LONG)
    assert seen == ["aside", True]  # what asks does not wait for itself
    assert aside.resting()


def test_a_defect_is_said_and_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    """What comes next is done."""
    rested, seen = threading.Event(), list[int]()
    aside = Aside("aside", rested.set)
    with caplog.at_level("ERROR", logger.name):
        aside.do(lambda: seen.append(1 // 0))
        aside.do(lambda: seen.append(1))
        assert rested.wait(LONG)
        aside.join(LONG)
    assert seen == [1]
    assert [record.message for record in caplog.records] == ["aside: a defect"]


def test_without_a_thread_it_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Better late than never."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("none can be had")

    monkeypatch.setattr(module, "start", refuse)
    seen = list[int]()
    aside = Aside("aside", lambda: None)
    aside.do(lambda: seen.append(1))
    assert seen == [1]
    assert aside.resting()
