"""What is remembered of jobs that have ended: so many, and for so long."""

from __future__ import annotations

from typing import Any

import pytest
from making import call, lane, meanwhile, site

from counterpunch.core.places.history import History
from counterpunch.core.values.config import config
from counterpunch.core.values.handle import Call
from counterpunch.core.values.status import FAILED, SUCCEEDED, Status


class Past:
    """A history, and jobs that end as the test says."""

    def __init__(self) -> None:
        self.site = site()
        self.lane = lane(self.site)
        self.clock: Any = self.site.clock
        self.history = History(self.clock)

    def ends(self, status: Status = SUCCEEDED, after: float = 1.0) -> Call:
        """One more has ended, so many seconds after the one before."""
        self.clock.move_to(self.clock.monotonic() + after)
        made = call(self.lane)
        made.state, made.finished = status, self.clock.monotonic()
        self.history.store(status).append(made)
        self.history.forget_old(made.finished)
        return made


def test_the_last_ones_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as ``history``, oldest first."""
    monkeypatch.setattr(config, "history", 3)
    past = Past()
    ended = [past.ends() for _ in range(5)]
    assert past.history.remembered() == ended[2:]


def test_failed_ones_stay_however_many_succeed(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have a store of their own; both together are in the order in which they ended."""
    monkeypatch.setattr(config, "history", 2)
    past = Past()
    failed = past.ends(FAILED)
    ended = [past.ends() for _ in range(5)]
    last = past.ends(FAILED)
    assert past.history.remembered() == [failed, *ended[3:], last]


def test_old_ones_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the instant on at which they are older than ``history_ttl``, though none ended since."""
    monkeypatch.setattr(config, "history_ttl", 60.0)
    past = Past()
    made = past.ends()
    past.clock.move_to(made.finished + 60.0)
    assert past.history.remembered() == [made]
    past.clock.move_to(made.finished + 60.5)
    assert past.history.remembered() == []


def test_old_ones_are_let_go_as_others_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """From both stores; the next look back is when the oldest left becomes too old."""
    monkeypatch.setattr(config, "history_ttl", 60.0)
    past = Past()
    past.ends()
    past.ends(FAILED)
    kept = past.ends(after=50.0)
    last = past.ends(after=30.0)
    assert (list(past.history.ended), list(past.history.failed)) == ([kept, last], [])
    assert past.history.look_back == kept.finished + 60.0


def test_without_an_age_nobody_looks_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """``history_ttl=None`` keeps by number alone."""
    monkeypatch.setattr(config, "history_ttl", None)
    past = Past()
    made = past.ends()
    past.clock.move_to(made.finished + 1e9)
    assert past.history.remembered() == [made]
    assert past.history.look_back == float("inf")


def test_one_that_others_take_away_meanwhile_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads look back at once: the other one has removed the oldest."""
    monkeypatch.setattr(config, "history_ttl", 60.0)
    past = Past()
    meanwhile(past.history, "ended", "leaves", lambda: past.history.ended.clear())
    past.ends()
    past.ends(after=100.0)
    assert past.history.remembered() == []


def test_one_is_forgotten_wherever_it_is() -> None:
    """Of both stores; the others stay."""
    past = Past()
    good, bad, other = past.ends(), past.ends(FAILED), past.ends()
    past.history.forget(good)
    past.history.forget(bad)
    past.history.forget(bad)
    assert past.history.remembered() == [other]


def test_one_is_forgotten_although_others_end_during_the_search() -> None:
    """A deque that changes while it is searched says so: then it is searched again."""

    def another_ended() -> None:
        raise IndexError("deque mutated during remove().")

    past = Past()
    meanwhile(past.history, "ended", "leaves", another_ended)
    made = past.ends()
    past.history.forget(made)
    assert past.history.remembered() == []


def test_a_smaller_history_keeps_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    """And grows again without them."""
    past = Past()
    ended = [past.ends() for _ in range(4)]
    monkeypatch.setattr(config, "history", 2)
    past.history.resize()
    assert past.history.remembered() == ended[2:]
    monkeypatch.setattr(config, "history", 3)
    past.history.resize()
    assert past.history.remembered() == ended[2:]
