"""The scheduler without its thread: what is due when, by two clocks that the test moves."""

from __future__ import annotations

import gc
import logging
import weakref
from typing import Any

import pytest
from making import call, job, lane, put, site

from counterpunch.core.places.scheduler import SMALL, Scheduler, Timer
from counterpunch.core.values.clock import VirtualClock
from counterpunch.core.values.handle import Call
from counterpunch.core.values.status import SCHEDULED


class Hands(VirtualClock):
    """A clock whose wall can be set."""

    wall = 0.0

    def time(self) -> float:
        return super().time() + self.wall


class Bench:
    """A scheduler without a thread, and the jobs that it has released."""

    def __init__(self) -> None:
        self.clock = Hands(1_700_000_000.0)
        self.released: list[Call] = []
        self.scheduler = Scheduler(self.clock, self.release, False)
        self.lane = lane(site())

    def release(self, made: Call) -> None:
        made.state = None  # type: ignore[assignment]  # it no longer waits
        self.released.append(made)

    def add(self, seconds: float, wall: bool = False) -> Call:
        """A job that is due in so many seconds."""
        made = call(self.lane)
        made.state = SCHEDULED
        made.due = self.clock.monotonic() + seconds
        if wall:
            made.extra().when = self.clock.time() + seconds
        self.scheduler.add(made, made.more.when if made.more else made.due, wall)
        return made

    def passes(self, seconds: float) -> float | None:
        self.clock.move_to(self.clock.monotonic() + seconds)
        return self.scheduler.run_due()


def test_what_is_due_is_released_in_the_order_of_its_time() -> None:
    """Whatever the order in which it came; the answer is when to come back."""
    bench = Bench()
    late, early, later = bench.add(5.0), bench.add(2.0), bench.add(60.0)
    assert bench.scheduler.run_due() == 2.0
    assert bench.passes(5.0) == 55.0
    assert bench.released == [early, late]
    assert bench.passes(55.0) is None
    assert bench.released[2:] == [later]


def test_nothing_is_released_early() -> None:
    """Not by the least; at its instant it is due."""
    bench = Bench()
    made = bench.add(1.0)
    bench.passes(0.999)
    assert bench.released == []
    bench.clock.move_to(made.due)
    bench.scheduler.run_due()
    assert bench.released == [made]


def test_of_the_same_instant_the_first_accepted_goes_first() -> None:
    """However the heap has turned them."""
    bench = Bench()
    made = [bench.add(1.0) for _ in range(20)]
    bench.passes(1.0)
    assert bench.released == made


def test_what_becomes_due_by_a_release_is_seen() -> None:
    """The answer is 0.0 then: look again at once."""
    bench = Bench()
    bench.add(1.0)
    bench.scheduler._release = lambda made: bench.add(0.0)
    assert bench.passes(1.0) == 0.0


def test_a_job_that_was_cancelled_is_not_released() -> None:
    """Its state says so; the entry is left behind."""
    bench = Bench()
    gone, made = bench.add(1.0), bench.add(1.0)
    bench.release(gone)
    bench.released.clear()
    bench.scheduler.forget()
    bench.passes(1.0)
    assert bench.released == [made]


def test_a_job_that_was_moved_is_released_once_at_its_new_time() -> None:
    """It is in the heap twice; the old entry finds that it is due at another time."""
    bench = Bench()
    made = bench.add(5.0)
    bench.scheduler.run_due()
    bench.scheduler.forget()
    made.due = bench.clock.monotonic() + 2.0
    bench.scheduler.add(made, made.due)
    bench.passes(2.0)
    assert bench.released == [made]
    bench.passes(60.0)
    assert bench.released == [made]


def test_setting_the_clock_forward_makes_a_wall_time_due() -> None:
    """And no delay."""
    bench = Bench()
    at, delayed = bench.add(3600.0, wall=True), bench.add(3600.0)
    bench.clock.wall += 3600.0
    bench.scheduler.run_due()
    assert bench.released == [at]
    bench.passes(3600.0)
    assert bench.released == [at, delayed]


def test_setting_the_clock_back_neither_loses_nor_repeats_one() -> None:
    """It is due when the clock says so again."""
    bench = Bench()
    made = bench.add(60.0, wall=True)
    bench.clock.wall -= 3600.0
    assert bench.passes(60.0) == pytest.approx(3600.0)
    assert bench.released == []
    bench.passes(3600.0)
    bench.clock.wall -= 3600.0
    bench.passes(3600.0)
    assert bench.released == [made]


def test_a_timer_fires_once() -> None:
    """In its turn among the jobs."""
    bench, seen = Bench(), []
    first = bench.add(1.0)
    bench.scheduler.add(
        Timer(lambda: seen.append(list(bench.released))), bench.clock.monotonic() + 2
    )
    bench.passes(1.0)
    bench.passes(1.0)
    bench.passes(60.0)
    assert seen == [[first]]


def test_a_cancelled_timer_does_nothing_and_holds_nothing() -> None:
    """What its action held may go at once, though its entry stays until its time."""

    class Held:
        def look(self) -> None:
            raise AssertionError("cancelled")

    bench, held = Bench(), Held()
    timer, seen = Timer(held.look), weakref.ref(held)
    bench.scheduler.add(timer, bench.clock.monotonic() + 1.0)
    del held
    timer.cancel()
    assert seen() is None
    bench.passes(1.0)


def test_one_that_fails_keeps_no_other_from_its_time(caplog: pytest.LogCaptureFixture) -> None:
    """A defect is said, and the scheduler goes on."""
    bench = Bench()
    bench.scheduler.add(Timer(lambda: 1 / 0), bench.clock.monotonic() + 1.0)  # type: ignore[arg-type, return-value]
    made = bench.add(1.0)
    with caplog.at_level(logging.ERROR, "counterpunch"):
        bench.passes(1.0)
    assert bench.released == [made]
    assert "the scheduler failed" in caplog.text


@pytest.mark.parametrize(
    ("waiting", "dead", "let_go"),
    [(0, 1, True), (SMALL // 2, 1, True), (3 * SMALL, SMALL, False), (3 * SMALL, 4 * SMALL, True)],
)
def test_the_dead_are_let_go_once_they_weigh_too_much(
    waiting: int, dead: int, let_go: bool
) -> None:
    """In a small heap at the next look; in a large one when they are more than half of it."""
    bench = Bench()
    for _ in range(waiting):
        bench.add(3600.0)
    gone = [bench.add(3600.0) for _ in range(dead)]
    bench.scheduler.run_due()
    held = weakref.ref(gone[0])
    for made in gone:
        bench.release(made)
        bench.scheduler.forget()
    bench.released.clear()
    del gone, made
    bench.scheduler.run_due()
    gc.collect(0)
    assert (held() is None) is let_go
    bench.passes(3600.0)
    assert len(bench.released) == waiting


def test_a_scheduler_without_a_thread_rests_with_an_empty_inbox() -> None:
    """What waits in the heap is not on its way."""
    bench = Bench()
    assert bench.scheduler.resting()
    bench.add(1.0)
    assert not bench.scheduler.resting()
    bench.scheduler.run_due()
    assert bench.scheduler.resting()
    assert bench.scheduler.next_monotonic() is not None
    assert bench.scheduler.next_wall() is None


def test_a_handle_of_a_lane_shows_its_time() -> None:
    """A job's due time is what the scheduler goes by, and what its handle says."""
    of: Any = job()
    made = call(lane(site(), of))
    put(made, "scheduled")
    made.due += 5.0
    assert (made.run_at - made.enqueued_at).total_seconds() == pytest.approx(5.0)
