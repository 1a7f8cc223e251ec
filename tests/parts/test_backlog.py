"""Where the jobs of a pool wait: by priority, first come first served, and who is told of them."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from making import Bed, call, lane

from counterpunch.core.places.backlog import Backlog, Worker
from counterpunch.core.values.handle import Call


class Hiring(Backlog):
    """A backlog that counts how often a worker was to be started."""

    def __init__(self, size: int = 1, threads: bool = True) -> None:
        self.started = 0
        self.spreads: list[int] = []
        super().__init__("hiring", size, False, threads, self.spread)

    def spread(self, _: object) -> None:
        self.spreads.append(len(self.levels))

    def start_worker(self) -> bool:
        self.started += 1
        return self.vacancies.take()


def taken(backlog: Backlog) -> Call | None:
    """What a worker takes out next."""
    return backlog.take(Worker())


def jobs(count: int) -> list[Call]:
    of = lane()
    return [call(of) for _ in range(count)]


def test_the_highest_priority_goes_first_and_in_it_the_first_come() -> None:
    """Whatever the order in which they came."""
    backlog, (a, b, c, d) = Hiring(), jobs(4)
    for each, priority in ((a, 0), (b, 5), (c, 0), (d, 5)):
        backlog.push(each, priority)
    assert backlog.calls() == [b, d, a, c]
    assert [taken(backlog) for _ in range(5)] == [b, d, a, c, None]


def test_a_second_priority_is_said() -> None:
    """The short path of an enqueue counts one queue only."""
    backlog, (a,) = Hiring(), jobs(1)
    backlog.push(a, 0)
    backlog.level(0)
    assert backlog.spreads == []
    backlog.level(1)
    assert backlog.spreads == [2]


def test_two_who_add_a_priority_at_once_leave_no_queue_out() -> None:
    """The second adds its own while the first sorts what it has seen: who writes last has not seen
    the other's, and looks again."""
    backlog, (a,) = Hiring(), jobs(1)
    others = [lambda: backlog.push(a, 9)]

    class Slow(int):
        """A priority that takes its time to be compared."""

        def __lt__(self, other: int) -> bool:
            if others:
                others.pop()()
            return int.__lt__(self, other)

        def __gt__(self, other: int) -> bool:
            return not self < other

    backlog.level(0)
    backlog.level(Slow(1))
    assert others == []
    assert len(backlog.levels) == 3
    assert backlog.calls() == [a]
    assert taken(backlog) is a


def test_two_who_publish_a_priority_at_once_leave_no_way_out() -> None:
    """The queues, and the ways to take from them, are published one after the other. Here somebody
    with one way less comes in between: then there are queues enough, and who publishes them looks
    whether there are as many ways."""
    late: list[Any] = []

    class Meeting(Hiring):
        """Whoever publishes its ways is overtaken by what comes late, once."""

        @property
        def ways(self) -> Any:
            return self.published

        @ways.setter
        def ways(self, ways: Any) -> None:
            self.published = ways
            if late:
                self.published = late.pop()

    backlog, (a,) = Meeting(), jobs(1)
    backlog.level(0)
    late.append(backlog.ways)
    backlog.push(a, 1)
    assert taken(backlog) is a


def test_a_queue_that_another_worker_has_emptied_is_passed_over() -> None:
    """It takes the last one between the look and the step: then the next queue's turn comes."""
    backlog, (last, next_one) = Hiring(), jobs(2)
    backlog.push(next_one, 0)
    backlog.push(last, 1)

    class Emptied(deque[Any]):
        """It seems to hold a job, and does not."""

        def __bool__(self) -> bool:
            return True

    (_, taker), *others = backlog.ways
    backlog.ways = ((Emptied(), taker), *others)
    assert taken(backlog) is last
    assert taken(backlog) is next_one
    assert taken(backlog) is None


def test_who_sleeps_is_woken_and_nobody_is_hired() -> None:
    """One sleeper for one job."""
    backlog, beds = Hiring(size=3), [Bed(), Bed()]
    for bed in beds:
        backlog.parking.parked.give()
        backlog.parking.sleepers.append(bed.wake)
    backlog.push(*jobs(1), 0)
    assert [bed.woken for bed in beds] == [0, 1]
    assert backlog.started == 0


def test_if_nobody_sleeps_one_is_hired_while_there_is_a_vacancy() -> None:
    """And no more than ``size``."""
    backlog = Hiring(size=2)
    for each in jobs(4):
        backlog.push(each, 0)
    assert backlog.started == 2
    assert (backlog.hired(), backlog.threads()) == (2, 2)


def test_in_a_test_mode_nobody_is_ever_hired() -> None:
    """Nothing runs by itself there."""
    backlog = Hiring(size=2, threads=False)
    backlog.push(*jobs(1), 0)
    assert (backlog.started, backlog.hired(), backlog.queued()) == (0, 0, 1)


@pytest.mark.parametrize(
    ("hired", "sleeping", "queued", "own", "idle"),
    [
        (0, 0, 0, False, True),
        (2, 2, 0, False, True),
        (2, 1, 0, False, False),
        (2, 1, 0, True, True),
        (2, 2, 1, False, False),
    ],
)
def test_it_is_idle_if_nothing_waits_and_all_sleep(
    hired: int, sleeping: int, queued: int, own: bool, idle: bool
) -> None:
    """But for the worker that asks."""
    backlog = Hiring(size=2)
    for _ in range(hired):
        backlog.start_worker()
    backlog.parking.sleepers.extend(Bed().wake for _ in range(sleeping))
    backlog.level(0).extend(jobs(queued))
    assert backlog.idle(own) is idle
