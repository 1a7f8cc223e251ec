"""How a job waits, for a time, a rate or room, and how it comes back from there."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from making import Parts, call, job, meanwhile, where

from counterpunch import Rate
from counterpunch.core.values.handle import Call
from counterpunch.core.values.stage import DRAINING, QUIET, STOPPED
from counterpunch.core.values.status import (
    DISCARDED,
    LOST,
    QUEUED,
    RETRYING,
    SCHEDULED,
)


class Wait(Parts):
    """The moves, and one class."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.of = self.lane(job(**options))

    def new(self) -> Call:
        return call(self.of)

    def delayed(self, seconds: float) -> Call:
        """A job that is due in so many seconds."""
        made = self.new()
        self.waiting.schedule(made, self.clock.monotonic() + seconds)
        return made

    def queued(self) -> Call:
        made = self.new()
        self.queueing.push(made)
        return made

    def due(self) -> Call:
        """A job that is due just now."""
        made = self.new()
        made.state = SCHEDULED
        self.waiting.admit(made)
        return made


# For a time


def test_a_delayed_job_is_queued_when_it_is_due() -> None:
    """And not before."""
    one = Wait()
    made = one.delayed(5.0)
    assert (made.state, where(made)) == (SCHEDULED, ["scheduled"])
    one.passes(4.0)
    assert where(made) == ["scheduled"]
    one.passes(1.0)
    assert (made.state, where(made)) == (QUEUED, ["queue"])


def test_a_job_that_waits_for_its_next_attempt_says_so() -> None:
    """It waits in a container of its own, and comes back the same way."""
    one = Wait()
    made = one.new()
    made.state = RETRYING
    one.waiting.schedule(made, one.clock.monotonic() + 1.0)
    assert (made.state, where(made)) == (RETRYING, ["retrying"])
    one.passes(1.0)
    assert where(made) == ["queue"]


def test_a_job_that_is_cancelled_as_it_falls_due_is_not_queued() -> None:
    """Whoever takes it out of its container has it."""
    one = Wait()
    made = one.delayed(1.0)
    meanwhile(one.of, "scheduled", "leaves", lambda: one.steering.cancel(made))
    one.passes(1.0)
    assert where(made) == ["history"]


def test_a_wall_time_is_due_when_it_is_released() -> None:
    """By a clock that may have been set: its wait for a worker counts from then on."""
    one = Wait()
    made = one.new()
    made.extra().when = one.clock.time() + 5.0
    one.waiting.schedule(made, one.clock.monotonic() + 999.0)
    one.passes(5.0)
    assert where(made) == ["queue"]
    assert made.due == one.clock.monotonic()


@pytest.mark.parametrize(
    ("policy", "seconds", "state"),
    [("drop", 1.0, LOST), ("run", 50.0, QUEUED), ("wait", 1.0, SCHEDULED), ("wait", 50.0, LOST)],
)
def test_during_a_drain_the_policy_says_what_becomes_of_a_delay(
    policy: str, seconds: float, state: Any
) -> None:
    """The deadline is in ten seconds."""
    one = Wait(delayed_on_shutdown=policy)
    made = one.delayed(seconds)
    one.site.stage.began = one.clock.monotonic() + 1.0
    one.site.stage.deadline = one.clock.monotonic() + 10.0
    one.site.stage.enter(DRAINING)
    one.waiting.settle(one.of)
    assert made.state is state


@pytest.mark.parametrize(("phase", "state"), [(QUIET, SCHEDULED), (STOPPED, LOST)])
def test_a_quiet_process_waits_and_a_stopped_one_does_not(phase: str, state: Any) -> None:
    """Whatever the policy."""
    one = Wait(delayed_on_shutdown="wait")
    if phase is STOPPED:
        one.site.stage.deadline = one.clock.monotonic() + 10.0
    one.site.stage.enter(phase)
    assert one.delayed(1.0).state is state


# For the rate


def test_a_rate_lets_one_start_and_lines_up_the_next() -> None:
    """One is queued as the one before has started a period ago."""
    one = Wait(rate=Rate(1, per=10.0))
    first, second, third = one.due(), one.due(), one.due()
    start = one.clock.monotonic()
    assert [where(each) for each in (first, second, third)] == [
        ["queue"], ["scheduled"], ["scheduled"],
    ]  # fmt: skip
    assert one.of.forecast() == {second: start + 10.0, third: start + 20.0}
    assert one.waiting.withdraw(first, lambda call: None)
    assert one.may_start(first, False)
    one.passes(10.0)
    assert (where(second), where(third)) == (["queue"], ["scheduled"])


@pytest.mark.parametrize("taken", [False, True], ids=["queued", "lined up"])
def test_the_place_of_one_that_is_cancelled_goes_to_the_next(taken: bool) -> None:
    """At once if it was on its way to a worker; and nobody waits for one in the line."""
    one = Wait(rate=Rate(1, per=10.0))
    calls = [one.due(), one.due(), one.due()]
    assert one.steering.cancel(calls.pop(1 if taken else 0))
    assert [where(each) for each in calls] == [["queue"], ["scheduled"]]
    assert one.of.expected(calls[1]) == one.clock.monotonic() + 10.0


def test_a_job_has_one_place_in_the_rate() -> None:
    """Asked again before it has started, it keeps the one that it has."""
    one = Wait(rate=Rate(2, per=10.0))
    made = one.due()
    assert one.waiting.withdraw(made, one.rating.enter)
    assert [where(each) for each in (made, one.due(), one.due())] == [
        ["queue"], ["queue"], ["scheduled"],
    ]  # fmt: skip


def test_who_comes_too_late_for_the_last_place_stands_in_line_again() -> None:
    """Another thread has taken it between the look and the step."""
    one = Wait(rate=Rate(1, per=10.0))
    first, second, other = one.due(), one.due(), one.new()
    bucket = one.of.bucket
    assert bucket is not None
    meanwhile(one.of, "scheduled", "leaves", lambda: bucket.take(other, one.clock.monotonic()))
    assert one.steering.cancel(first)
    assert where(second) == ["scheduled"]
    assert second in one.of.lineup.table


# For room


@pytest.mark.parametrize(("overflow", "level"), [("raise", "ERROR"), ("discard", "INFO")])
def test_who_falls_due_on_a_full_queue_may_be_discarded(
    overflow: str, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said, and counted by its cause."""
    one = Wait(max_jobs=1, overflow=overflow)
    one.queued()
    with caplog.at_level(logging.INFO, "counterpunch"):
        made = one.due()
    assert (made.state, where(made)) == (DISCARDED, ["history"])
    assert [record.levelname for record in caplog.records] == [level]
    assert one.of.counts(0.0).discards.queue_full == 1


def test_who_falls_due_may_take_the_place_of_the_oldest() -> None:
    """Of the one that has been due longest."""
    one = Wait(max_jobs=2, overflow="discard_oldest")
    young, old = one.queued(), one.queued()
    old.due -= 5.0
    one.of.pool.levels[0].rotate(1)
    made = one.due()
    assert old.state is DISCARDED
    assert one.of.pool.calls() == [young, made]


def test_the_oldest_that_a_worker_takes_makes_the_room_itself() -> None:
    """It is not discarded; the look is taken anew and finds the next one."""
    one = Wait(max_jobs=1, overflow="discard_oldest")
    first = one.queued()
    queue = one.of.pool.levels[0]

    class Taken(type(one.of)):  # type: ignore[misc]
        """A lane whose first head is gone by the time it is looked at."""

        __slots__ = ()

        def heads(self) -> list[Call]:
            found = super().heads()
            queue.clear()
            return found

    one.of.__class__ = Taken
    one.waiting.drop_oldest(one.of)
    assert first.state is QUEUED


def test_who_falls_due_may_wait_for_room() -> None:
    """In the order in which they fell due, and they are scheduled meanwhile."""
    one = Wait(max_jobs=1, overflow="block")
    first = one.queued()
    waiting = [one.due(), one.due()]
    assert [where(each) for each in waiting] == [["scheduled"], ["scheduled"]]
    one.steering.cancel(first)
    assert [where(each) for each in waiting] == [["queue"], ["scheduled"]]
    one.steering.cancel(waiting[0])
    assert where(waiting[1]) == ["queue"]


def test_room_that_is_made_as_one_begins_to_wait_is_taken() -> None:
    """After it found the queue full, before it was among those that wait: it looks again."""
    one = Wait(max_jobs=1, overflow="block")
    first = one.queued()
    meanwhile(one.of, "overdue", "enters", lambda: one.steering.cancel(first))
    assert where(one.due()) == ["queue"]


def test_who_waits_for_room_too_long_is_discarded() -> None:
    """After ``block_timeout``, at its very instant."""
    one = Wait(max_jobs=1, overflow="block", block_timeout=5.0)
    one.queued()
    made = one.due()
    one.passes(4.9)
    assert made.state is SCHEDULED
    one.passes(0.1)
    assert made.state is DISCARDED
    assert "stayed full for 5 s" in made.error


def test_who_got_room_has_no_timer_left() -> None:
    """Its time for room is over, and nothing happens to it then."""
    one = Wait(max_jobs=1, overflow="block", block_timeout=5.0)
    first = one.queued()
    made = one.due()
    timer = made.more.timer
    one.steering.cancel(first)
    assert (timer.cancelled, made.more.timer) == (True, None)
    one.passes(60.0)
    assert where(made) == ["queue"]


def test_who_is_moved_while_it_waits_for_room_waits_for_its_new_time() -> None:
    """Room that is made meanwhile is not for it."""
    one = Wait(max_jobs=1, overflow="block")
    first = one.queued()
    made = one.due()
    assert one.steering.reschedule(made, 60.0)
    one.steering.cancel(first)
    assert where(made) == ["scheduled"]
    one.passes(60.0)
    assert where(made) == ["queue"]


def test_who_is_moved_as_it_begins_to_wait_for_room_waits_for_its_new_time() -> None:
    """Its entry among those that wait comes after the move, and nobody takes it out: whoever has
    room finds that the job is due at another time."""
    one = Wait(max_jobs=1, overflow="block")
    first, made = one.queued(), one.new()
    made.state = SCHEDULED
    meanwhile(one.of, "overdue", "enters", lambda: one.steering.reschedule(made, 60.0))
    one.waiting.admit(made)
    one.steering.cancel(first)
    assert where(made) == ["scheduled"]
    one.passes(60.0)
    assert where(made) == ["queue"]


def test_who_is_moved_as_room_is_given_to_it_waits_for_its_new_time() -> None:
    """Between the look at its due time and its being taken out, where it is again by then."""
    one = Wait(max_jobs=1, overflow="block")
    first, made = one.queued(), one.due()
    meanwhile(one.of, "scheduled", "leaves", lambda: one.steering.reschedule(made, 60.0))
    one.steering.cancel(first)
    assert where(made) == ["scheduled"]
    one.passes(60.0)
    assert where(made) == ["queue"]


def test_room_goes_to_due_jobs_first_and_then_to_a_producer() -> None:
    """One producer for one place; one that has given up is no error."""
    one, woken = Wait(max_jobs=1, overflow="block"), []
    first = one.queued()
    due = one.due()
    one.of.blocked.append(lambda: woken.append("a"))
    one.of.blocked.append(lambda: woken.append("b"))
    one.steering.cancel(first)
    assert (where(due), woken) == (["queue"], [])
    one.steering.cancel(due)
    assert woken == ["a"]
    one.of.blocked.clear()
    one.waiting.wake_blocked(one.of)
