"""Finding one job: nothing is looked at that need not be, and none that moves is missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from making import Parts, call, job, put, running

from counterpunch.core.places.lane import Lane
from counterpunch.core.values.handle import Call
from counterpunch.core.values.status import SUCCEEDED
from counterpunch.core.workers.whereabouts import Whereabouts

TABLES = ("deferred", "scheduled", "retrying", "running")


class Looking(Parts):
    """With the one question that whereabouts ask of a registry."""

    def __init__(self) -> None:
        super().__init__()
        self.of = self.lane(job())

    def of_prefix(self, prefix: str) -> list[Lane]:
        return [lane for lane in self.lanes.values() if lane.prefix == prefix]

    def find(self, id: str) -> Call | None:
        return self.whereabouts.find(id)


class Table(dict[Call, None]):
    """One that says when it is looked through."""

    def __init__(self, look: Callable[[], object]) -> None:
        self.look = look

    def __iter__(self) -> Iterator[Call]:
        self.look()
        return super().__iter__()


def refused() -> None:
    raise AssertionError("it was looked at")


def refuse(lane: Lane, *names: str) -> None:
    """Nobody is to look at these."""
    for name in names:
        setattr(lane, name, Table(refused))


@pytest.mark.parametrize("place", [*TABLES, "hold", "queue"])
def test_a_job_is_found_wherever_it_is(place: str) -> None:
    """And what is beside it is not taken for it."""
    parts = Looking()
    made = [call(parts.of) for _ in range(3)]
    for one in made:
        put(one, place)
    assert parts.find(made[1].id) is made[1]
    assert list(parts.whereabouts.each(parts.of)).count(made[1]) >= 1


def test_an_id_that_no_job_has_yet_costs_no_look() -> None:
    """The counters of the class say so; of a ``unique`` one there are two."""
    parts = Looking()
    made = call(parts.of)
    refuse(parts.of, *TABLES)
    unique = parts.of.ledger.drawn.numbers
    next(unique)
    first = next(unique) - 1
    for number in (made.number + 1, 10**9, first + 2, first + 10**9):
        assert parts.find(parts.of.id_of(number)) is None
        assert parts.find(f"{parts.of.prefix}{made.number:x}-{'0' * 12}") is None, "a guess"
    for number in (made.number, first, first + 1):  # of these one has to look
        with pytest.raises(AssertionError, match="looked at"):
            parts.find(parts.of.id_of(number))


def test_who_finds_a_job_looks_no_further() -> None:
    """One container after the other."""
    parts = Looking()
    made = call(parts.of)
    put(made, "scheduled")
    refuse(parts.of, "retrying", "running")
    assert parts.find(made.id) is made


def test_nothing_is_put_in_order_to_find_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what waits nor what is remembered."""
    parts = Looking()
    ended, late = running(parts.of), call(parts.of)
    parts.settle(ended, SUCCEEDED)
    put(late, "hold")
    for owner, name in (
        (Whereabouts, "live"),
        (type(parts.site.history), "remembered"),
        (Lane, "held"),
    ):
        monkeypatch.setattr(owner, name, lambda *_: refused())
    assert parts.find(ended.id) is ended
    assert parts.find(late.id) is late


@pytest.mark.parametrize("to", ["running", "retrying", "history"])
def test_a_job_that_moves_while_one_looks_is_found(to: str) -> None:
    """It is nowhere until the running ones are looked at, and by then where the look began or
    where it ends."""
    parts = Looking()
    made = running(parts.of)
    del parts.of.running[made]

    def arrive() -> None:
        if to == "history":
            made.finished = parts.site.clock.monotonic()
            parts.site.history.ended.append(made)
        else:
            getattr(parts.of, to)[made] = None

    monitored: Any = Table(arrive)
    parts.of.running = monitored
    assert parts.find(made.id) is made
