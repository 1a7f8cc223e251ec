"""A lane: its containers and its counters, and one consistent reading of both."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from making import call, job, lane, put, running, site

from counterpunch import Rate
from counterpunch.core.places.backlog import Backlog
from counterpunch.core.places.ledger import Ledger
from counterpunch.core.values.plan import plan_of
from counterpunch.core.values.status import DISCARDED, SUCCEEDED


def shared(at: Any, name: str = "shared") -> Backlog:
    pool = at.pools[name] = Backlog(name, 2, True, False, lambda pool: None)
    return pool


def test_a_lane_counts_what_waits_wherever_that_is() -> None:
    """In the queue, held, or away in another pool: all of it is what ``max_jobs`` bounds."""
    one = lane(of=job(max_jobs=3))
    put(call(one), "hold")
    one.pool.push(call(one), 0)
    assert (one.waiting(), one.full()) == (2, False)
    put(call(one), "away")
    assert (one.waiting(), one.full()) == (3, True)


def test_without_a_bound_it_is_never_full() -> None:
    """``max_jobs = None``."""
    one = lane(of=job(max_jobs=None))
    one.pool.level(0).extend([call(one)] * 1000)
    assert not one.full()


def test_in_a_shared_pool_a_lane_sees_its_own_jobs() -> None:
    """In the order in which they would run."""
    at = site()
    pool = shared(at)
    one, other = lane(at, pool=pool), lane(at, pool=pool)
    mine = [call(one), call(one)]
    for each, priority in ((call(other), 0), (mine[0], 0), (mine[1], 5)):
        pool.push(each, priority)
    assert one.queued_calls() == [mine[1], mine[0]]
    assert sorted(one.heads()) == mine


def test_the_oldest_wait_is_that_of_the_one_due_longest() -> None:
    """Of all queues and of those that are held; none is 0.0."""
    one = lane()
    now = one.monotonic()
    assert one.oldest_wait(now) == 0.0
    for age, priority in ((5.0, 0), (3.0, 9)):
        made = call(one)
        made.due = now - age
        one.pool.push(made, priority)
    assert one.oldest_wait(now) == 5.0
    made = call(one)
    made.due = now - 7.0
    put(made, "hold")
    assert one.oldest_wait(now) == 7.0


def test_a_halt_closes_the_short_path() -> None:
    """Paused and stopped are two things, and either halts."""
    one, other = lane(), lane()
    one.gate.lane, other.gate.lane = one, other
    one.halt(paused=True)
    other.halt(paused=False)
    assert (one.paused, one.stopped, one.gate.lane) == (True, False, None)
    assert (other.paused, other.stopped, other.gate.lane) == (False, True, None)


def test_changed_options_are_adopted() -> None:
    """The log of starts stays as long as there is a rate, whatever it is."""
    of = job(rate=Rate(2))
    one = lane(of=of)
    bucket = one.bucket
    of.max_jobs = 7
    one.adopt(plan_of(of))
    assert (one.max_jobs, one.bucket) == (7, bucket)
    of.rate = Rate(3)
    one.adopt(plan_of(of))
    assert one.bucket is bucket
    assert one.bucket.rate == Rate(3)
    of.rate = None
    one.adopt(plan_of(of))
    assert one.bucket is None


@pytest.mark.parametrize(
    ("starts", "retries", "over"), [(4, 5, False), (8, 2, False), (7, 3, True), (5, 5, True)]
)
def test_a_budget_is_over_once_retries_are_its_share(starts: int, retries: int, over: bool) -> None:
    """Of the last hundred, from the tenth on; the budget here is 0.3. A minute later it is free."""
    one = lane()
    now = one.monotonic()
    one.recent.extend([(now, False)] * starts + [(now, True)] * retries)
    assert one.over_budget(0.3) is over
    one.recent = deque((instant - 60.0, retry) for instant, retry in one.recent)
    assert not one.over_budget(0.3)


def test_every_accepted_job_is_counted_where_it_is() -> None:
    """What is nowhere else is queued."""
    one = lane()
    for name, number in (("deferred", 1), ("scheduled", 2), ("retrying", 3), ("hold", 4)):
        for _ in range(number):
            put(call(one), name)
    for _ in range(5):
        running(one)
    counts = one.counts(one.monotonic())
    assert (counts.deferred, counts.scheduled, counts.retrying) == (1, 2, 3)
    assert (counts.queued, counts.running, counts.accepted) == (4, 5, 15)


def test_a_job_that_moves_during_a_reading_is_counted_once() -> None:
    """It leaves the scheduled ones for those that run after the latter were counted: it would be
    in neither, and so be taken for queued. The reading is taken again."""
    one = lane()
    moving = call(one)

    class Moving(type(one.scheduled)):  # type: ignore[misc]
        """What comes to look finds it gone."""

        def __len__(self) -> int:
            if moving in self:
                self.clear()
                put(moving, "running")
            return 0

    one.scheduled = Moving({moving: None})
    counts = one.counts(one.monotonic())
    assert (counts.running, counts.scheduled, counts.queued, counts.accepted) == (1, 0, 0, 1)


# The ledger alone: where jobs are is what the test says


class Book:
    """A ledger whose jobs are where ``elsewhere`` says: running, retrying, scheduled, deferred."""

    def __init__(self) -> None:
        self.elsewhere = [0, 0, 0, 0]
        self.looks: list[Any] = []
        self.ledger = Ledger(lambda: 0, self.look, 0.0)

    def look(self) -> tuple[int, ...]:
        if self.looks:
            self.looks.pop()()
        return tuple(self.elsewhere)

    def accept(self, count: int) -> None:
        for _ in range(count):
            self.ledger.accepted.add()

    def counts(self, workers: int = 0) -> Any:
        return self.ledger.counts(workers, lambda: 3.5)


def test_the_statuses_add_up_to_what_was_accepted() -> None:
    """By construction: queued is the rest."""
    book = Book()
    book.accept(20)
    book.elsewhere = [1, 2, 3, 4]
    for count in book.ledger.ended.values():
        count.add()
    counts = book.counts()
    assert counts.queued == 20 - (1 + 2 + 3 + 4) - 5
    assert sum(counts[1:11]) == counts.accepted == 20


def test_a_reading_is_taken_again_until_nothing_moves() -> None:
    """A job that ends in the midst of the first one is in the second as ended."""
    book = Book()
    book.accept(2)
    book.elsewhere = [2, 0, 0, 0]

    def ends() -> None:
        book.elsewhere = [1, 0, 0, 0]
        book.ledger.ended[SUCCEEDED].add()

    book.looks.append(ends)
    counts = book.counts()
    assert (counts.succeeded, counts.running, counts.queued) == (1, 1, 0)


def test_where_it_never_rests_a_reading_still_adds_up() -> None:
    """A hundred times is enough; the last sound one is given."""
    book = Book()
    book.looks.extend([lambda: book.accept(1)] * 1000)
    counts = book.counts()
    assert sum(counts[1:11]) == counts.accepted > 0


def test_a_job_seen_twice_is_not_below_zero() -> None:
    """A reading in which more jobs are somewhere than were accepted is not believed as it is."""
    book = Book()
    book.accept(1)
    book.elsewhere = [1, 0, 1, 0]
    counts = book.counts()
    assert counts.queued == 0
    assert sum(counts[1:11]) == counts.accepted == 1


def test_no_more_workers_are_busy_than_there_are() -> None:
    """A caller's own thread may run jobs, too."""
    book = Book()
    book.accept(5)
    book.elsewhere = [5, 0, 0, 0]
    assert book.counts(workers=2).workers == (2, 2, 0)
    book.elsewhere = [1, 0, 0, 0]
    assert book.counts(workers=2).workers == (2, 1, 1)


def test_the_oldest_wait_is_asked_only_if_one_waits() -> None:
    """It is the dear part of a reading."""
    book = Book()
    assert book.counts().oldest_wait == 0.0
    book.accept(1)
    assert book.counts().oldest_wait == 3.5


def test_numbers_of_unique_jobs_are_never_those_of_others() -> None:
    """They are drawn before the job is accepted."""
    book = Book()
    drawn = {book.ledger.drawn.add() for _ in range(100)}
    assert len(drawn) == 100
    assert min(drawn) > 1 << 39


def test_why_jobs_were_discarded_is_in_the_reading() -> None:
    """With the retries and the attempts."""
    book = Book()
    book.accept(1)
    book.ledger.timings.discards["expired"].add()
    book.ledger.ended[DISCARDED].add()
    book.ledger.timings.retries.add()
    book.ledger.attempts.add()
    counts = book.counts()
    assert (counts.discards.expired, counts.discarded) == (1, 1)
    assert (counts.retries, counts.attempts) == (1, 1)
