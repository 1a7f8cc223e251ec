"""Before and after an attempt: may the job start, and what follows from how it went."""

from __future__ import annotations

from typing import Any

import pytest
from making import Parts, call, job, meanwhile, running, where

from counterpunch import Rate
from counterpunch.core.places.keys import Key
from counterpunch.core.values.handle import Call
from counterpunch.core.values.status import (
    CANCELLED,
    DISCARDED,
    FAILED,
    QUEUED,
    RETRYING,
    SCHEDULED,
)


class Work(Parts):
    """The moves, and one class."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.of = self.lane(job(**options))

    def after(self, seconds: float) -> Call:
        """A job that a worker has taken, so many seconds after it was due."""
        made = call(self.of)
        self.passes(seconds)
        return made


@pytest.mark.parametrize(("seconds", "starts"), [(5.0, True), (5.1, False)])
def test_a_job_that_has_waited_too_long_does_not_start(seconds: float, starts: bool) -> None:
    """Longer than ``expires_in``; but for one that somebody wants run now."""
    one = Work(expires_in=5.0)
    made = one.after(seconds)
    assert one.may_start(made, True)
    assert one.may_start(made, False) is starts
    assert made.state is (QUEUED if starts else DISCARDED)


def test_a_retry_does_not_expire() -> None:
    """It has begun in time."""
    one = Work(expires_in=5.0)
    made = one.after(60.0)
    made.attempt = 1
    assert one.may_start(made, False)


def test_a_start_too_many_for_the_rate_waits() -> None:
    """A busy pool has held back the ones before, so that they all come now."""
    one = Work(rate=Rate(1, per=10.0))
    first, second = call(one.of), call(one.of)
    assert one.may_start(first, False)
    assert not one.may_start(second, False)
    assert (second.state, where(second)) == (SCHEDULED, ["scheduled"])
    assert second.due == one.clock.monotonic()
    assert one.of.expected(second) == one.clock.monotonic() + 10.0


def test_a_class_unique_in_the_queue_has_its_key_while_it_waits() -> None:
    """Free once it starts, taken again as it waits for its next attempt."""
    one = Work(unique="queued", identity=lambda: "a")
    made = running(one.of)
    made.extra().key, made.extra().name = ("a",), Key(made.job, ("a",))
    one.site.keys.claim(made)
    assert one.may_start(made, False)
    assert one.site.keys.table == {}
    made.due += 5.0
    one.settle(made, RETRYING)
    assert list(one.site.keys.table.values()) == [made]


def test_a_time_limit_is_watched_where_there_are_threads() -> None:
    """In a test mode nobody could tell the job."""
    one = Work(timeout=5.0)
    made = call(one.of)
    assert one.may_start(made, False)
    assert one.others.asked == []
    one.site.stage.threads = True
    assert one.may_start(made, False)
    assert one.others.asked == [("watch", made, 5.0, one.clock.monotonic())]


def test_what_ran_is_ended_or_waits_for_its_next_attempt() -> None:
    """By the status of the attempt; an overrun of this one is over."""
    one = Work()
    failed, retried = running(one.of), running(one.of)
    one.site.tokens.overruns.add(retried)
    retried.due += 5.0
    one.settle(failed, FAILED)
    one.settle(retried, RETRYING)
    assert (where(failed), where(retried)) == (["history"], ["retrying"])
    assert not retried.cancel_requested()


def test_what_the_drain_gave_up_is_not_settled_again() -> None:
    """It is in no container any more."""
    one = Work()
    made = running(one.of)
    one.of.running.clear()
    one.settle(made, FAILED)
    assert where(made) == []


@pytest.mark.parametrize("late", [False, True])
def test_one_that_was_cancelled_while_it_ran_has_no_next_attempt(late: bool) -> None:
    """Also if the token comes after the look, and before it waits."""
    one = Work()
    made = running(one.of)
    made.due += 5.0
    if late:
        meanwhile(one.of, "retrying", "enters", lambda: one.site.tokens.cancels.add(made))
    else:
        one.site.tokens.cancels.add(made)
    one.settle(made, RETRYING)
    assert (made.state, where(made)) == (CANCELLED, ["history"])


def test_a_job_whose_worker_broke_down_ends_as_failed() -> None:
    """Running, or just taken out of the queue and nowhere."""
    one = Work()
    for made in (running(one.of), call(one.of)):
        one.rescue(made, LookupError("a defect"))
        assert (made.state, where(made)) == (FAILED, ["history"])
        assert "a defect" in made.error


def test_a_job_that_its_worker_had_put_down_goes_on() -> None:
    """It waits for its next attempt already."""
    one = Work()
    made = running(one.of)
    made.due += 5.0
    one.settle(made, RETRYING)
    one.rescue(made, LookupError("a defect"))
    assert (made.state, where(made)) == (RETRYING, ["retrying"])
