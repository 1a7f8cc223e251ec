"""Who waits for the end of a job: each is told, once, whenever it comes."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

import pytest
from making import call, interrupted, lane

from counterpunch.core.places.watchers import Watchers
from counterpunch.core.values.status import SUCCEEDED


class Ending:
    """A job, its watchers, and whom they have told."""

    def __init__(self) -> None:
        self.call = call(lane())
        self.watchers = Watchers()
        self.heard: list[Any] = []

    def end(self) -> None:
        """As ``Endings`` does it: the state first, then the table."""
        self.call.state = SUCCEEDED
        self.watchers.tell(self.call)

    def watch(self, name: str = "a") -> None:
        self.watchers.watch(self.call, lambda ended: self.heard.append((name, ended)))


def test_all_are_told_in_order_and_once() -> None:
    """The table is empty afterwards."""
    one = Ending()
    one.watch("a")
    one.watch("b")
    one.end()
    one.end()
    assert one.heard == [("a", one.call), ("b", one.call)]
    assert one.watchers.table == {}


def test_who_comes_after_the_end_is_told_at_once() -> None:
    """On its own thread, and nothing is kept."""
    one = Ending()
    one.end()
    one.watch()
    assert one.heard == [("a", one.call)]
    assert one.watchers.table == {}


def test_who_comes_as_the_job_ends_is_told_once() -> None:
    """It ends after the late-comer is in the deque, before it looks again: one of both pops it."""
    one = Ending()
    one.watchers.table = interrupted(dict, "setdefault", lambda: one.end())
    one.watch()
    assert one.heard == [("a", one.call)]


def test_the_late_comer_is_told_of_the_deque_it_holds() -> None:
    """The ending takes the deque out of the table while it is still empty, and a second watcher
    puts a new one there. The first has its own deque in hand: it must be told from that one, not
    from what is in the table now."""
    one = Ending()

    class Queue(deque[Any]):
        def append(self, fn: Any) -> None:
            one.end()  # it finds this deque, and nobody in it
            one.watchers.table[one.call] = deque()  # another late-comer's
            super().append(fn)

    held = Queue()
    one.watchers.table[one.call] = held
    one.watch()
    assert one.heard == [("a", one.call)]
    assert not held


def test_who_watches_during_the_telling_is_told_as_well() -> None:
    """From inside a callback."""
    one = Ending()
    one.watchers.watch(one.call, lambda _: one.watch("inner"))
    one.end()
    assert one.heard == [("inner", one.call)]


def test_one_that_raises_keeps_nobody_else_from_hearing(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged."""
    one = Ending()
    one.watchers.watch(one.call, lambda _: 1 / 0)
    one.watch()
    with caplog.at_level(logging.ERROR, "counterpunch"):
        one.end()
    assert one.heard == [("a", one.call)]
    assert "a done callback" in caplog.text


def test_who_no_longer_watches_is_not_told() -> None:
    """Nor is it an error to stop twice, or never to have begun."""
    one, heard = Ending(), []
    one.watchers.unwatch(one.call, heard.append)
    one.watchers.watch(one.call, heard.append)
    one.watchers.unwatch(one.call, heard.append)
    one.watchers.unwatch(one.call, heard.append)
    one.end()
    assert heard == []


def test_a_wait_for_what_has_ended_is_none() -> None:
    """It returns at once and leaves nothing behind."""
    one = Ending()
    one.end()
    assert one.watchers.wait(one.call, None)
    assert one.watchers.table == {}


def test_a_wait_whose_time_is_up_leaves_no_watcher() -> None:
    """Whoever asks again and again does not fill the table."""
    one = Ending()
    assert not one.watchers.wait(one.call, 0.0)
    assert not any(one.watchers.table.values())


def test_an_end_before_the_second_look_ends_the_wait() -> None:
    """It comes after the watcher is noted and before the thread sleeps."""
    one = Ending()
    one.watchers.table[one.call] = interrupted(deque, "append", lambda: one.end(), late=True)
    assert one.watchers.wait(one.call, None)
