"""Wait and run times, discards by reason, retries, and the ring of the last minutes."""

from __future__ import annotations

import threading
import tracemalloc

import pytest

import counterpunch
from counterpunch import Discard, InvalidOption, Job, Retry, testing
from counterpunch.core.places.timings import (
    DAY_NOTES,
    DAY_SECONDS,
    DAY_SLOTS,
    SLOT_SECONDS,
    SLOTS,
    Day,
    Durations,
)
from counterpunch.core.process.in_force import current
from counterpunch.core.values.counts import BOUNDS, NO_TIMES, Times
from counterpunch.observe import chart

SOON = 10.0  # seconds


class Timed(Job):
    retry = Retry(max_attempts=3, on=(OSError,), wait=5.0, jitter=0)

    def perform(self, seconds: float = 0.0, how: str = "") -> None:
        current().clock.move_to(current().clock.monotonic() + seconds)
        if how == "retry" and self.attempt < 3:
            raise OSError
        if how == "discard":
            raise Discard
        if how == "fail":
            raise KeyError


def test_wait_and_run_times_are_exact():
    """Virtual time: waits run from due to started, runs from started to ended."""
    with testing.fake() as fake:
        Timed.perform_async(2.0)
        Timed.perform_in(100, 0.3)
        fake.drain()
        fake.advance(100)
        counts = Timed.stats()
    assert counts.run_times.total == counts.wait_times.total == 2
    assert counts.run_times.sum == pytest.approx(2.3)
    assert counts.run_times.buckets[BOUNDS.index(0.5)] == 1
    assert counts.run_times.buckets[BOUNDS.index(2.5)] == 1
    assert counts.wait_times.sum == pytest.approx(0.0, abs=1e-3)


def test_each_attempt_counts_and_waits_for_a_retry_are_not_waits_for_a_worker():
    """Three attempts, two of them retries; the 5 s between them are no wait time."""
    with testing.fake() as fake:
        Timed.perform_async(1.0, "retry")
        fake.advance(60)
        counts = Timed.stats()
    assert (counts.attempts, counts.retries, counts.succeeded) == (3, 2, 1)
    assert counts.run_times.total == 3
    assert counts.run_times.sum == pytest.approx(3.0)
    assert counts.wait_times.sum < 0.01


def test_discards_are_counted_by_reason():
    """Each way to be discarded has its own counter; together they are counts.discarded."""

    class Picky(Job):
        workers = 1
        max_jobs = 1
        overflow = "discard"
        unique = "queued"
        on_duplicate = "discard"
        identity = staticmethod(lambda key: key)
        expires_in = 10

        def perform(self, key: str) -> None:
            raise Discard

        def on_enqueue(self) -> None:
            if self.handle.args == ("refused",):
                raise Discard

    with testing.fake() as fake:
        Picky.perform_async("refused")
        Picky.perform_async("a")
        Picky.perform_async("a")  # a duplicate
        Picky.perform_async("b")  # the queue is full
        fake.drain()  # raised
        Picky.perform_async("c")
        current().clock.move_to(current().clock.monotonic() + 60)
        fake.drain()  # expired
        counts = Picky.stats()
    assert counts.discards._asdict() == {
        "expired": 1,
        "queue_full": 1,
        "duplicate": 1,
        "refused": 1,
        "rolled_back": 0,
        "raised": 1,
    }
    assert sum(counts.discards) == counts.discarded


def test_the_total_adds_the_classes_up():
    """stats().total holds the distributions of all classes together."""

    class Other(Job):
        def perform(self) -> None: ...

    with testing.fake() as fake:
        Timed.perform_async(1.0)
        Other.perform_async()
        fake.drain()
        total = counterpunch.stats().total
    assert total.run_times.total == total.wait_times.total == 2
    assert total.run_times.sum == pytest.approx(1.0)


def test_the_ring_shows_what_ended_in_each_slot():
    """Slots without an end are zero; the current one is last; old ones leave."""
    with testing.fake() as fake:
        clock = current().clock
        lane = current().lane(Timed)
        start = (clock.monotonic() // SLOT_SECONDS + 1) * SLOT_SECONDS + 1

        def at(seconds, how=""):
            clock.move_to(start + seconds)
            Timed.perform_async(0.0, how)
            try:
                fake.drain()
            except KeyError:
                assert how == "fail"

        at(0)
        at(1)
        at(25, "fail")
        at(25)
        slots, recent = chart.recent(lane.timings, start + 40)
        assert len(slots) == SLOTS
        assert [tuple(slot) for slot in slots[-5:]] == [(2, 0), (0, 0), (1, 1), (0, 0), (0, 0)]
        assert sum(map(sum, slots)) == 4
        assert (recent.succeeded, recent.failed, recent.runs.total) == (3, 1, 4)

        slots, recent = chart.recent(lane.timings, start + SLOTS * SLOT_SECONDS)
        assert [tuple(slot) for slot in slots[:3]] == [(0, 0), (1, 1), (0, 0)]
        assert (recent.succeeded, recent.failed, recent.runs.total) == (1, 1, 2)

        slots, recent = chart.recent(lane.timings, start + 5 * SLOTS * SLOT_SECONDS)
        assert not any(map(sum, slots))
        assert recent.runs == NO_TIMES._replace(sum=pytest.approx(0.0))


def test_a_bound_belongs_to_its_own_bucket():
    """As Prometheus has it: le means less or equal; above all bounds is the last bucket."""
    durations = Durations()
    for value in (0.001, 0.0010001, 300.0, 301.0, 0.0):
        durations.note((value, 7.0))
    waits, runs = durations.read()
    assert (runs.buckets[BOUNDS.index(10.0)], runs.sum) == (5, 35.0)
    buckets = waits.buckets
    assert buckets[BOUNDS.index(0.0001)] == 1
    assert buckets[BOUNDS.index(0.001)] == 1
    assert buckets[BOUNDS.index(0.005)] == 1
    assert buckets[BOUNDS.index(300.0)] == 1
    assert buckets[-1] == 1


def test_percentiles_interpolate_within_a_bucket():
    """Half of ten values between 1 and 2.5 s lie below the middle of that bucket."""
    buckets = [0] * (len(BOUNDS) + 1)
    assert Times(tuple(buckets), 0.0).percentile(0.5) is None
    buckets[BOUNDS.index(2.5)] = 10
    assert Times(tuple(buckets), 17.0).percentile(0.5) == pytest.approx(1.75)
    assert Times(tuple(buckets), 17.0).mean == pytest.approx(1.7)
    assert Times((0,) * len(BOUNDS) + (3,), 999.0).percentile(0.9) == BOUNDS[-1]
    for percent in (95, -0.1, float("nan")):
        with pytest.raises(InvalidOption, match=r"percentile: fraction=.*0 to 1"):
            Times(tuple(buckets), 17.0).percentile(percent)


def test_nothing_is_lost_while_threads_add_and_others_read():
    """Four writers and a reader: in the end every value is there, and counts never fell."""
    durations, each = Durations(), 20_000
    start = threading.Barrier(5)

    def write():
        start.wait(SOON)
        for _ in range(each):
            durations.note((1.0, 2.0))

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    start.wait(SOON)
    seen = [0]
    while any(writer.is_alive() for writer in writers):
        waits, runs = durations.read()
        assert waits.total == runs.total
        seen.append(waits.total)
    for writer in writers:
        writer.join(SOON)
    assert seen == sorted(seen)
    assert durations.read()[0] == Times(NO_TIMES.buckets, 0.0).plus(
        NO_TIMES._replace(
            buckets=tuple(4 * each if bound == 1.0 else 0 for bound in (*BOUNDS, None)),
            sum=4.0 * each,
        )
    )


def test_a_reader_inside_a_fold_gets_the_last_reading_and_does_not_hang():
    """A signal handler may read while its own thread folds: it waits a moment, no longer."""
    durations = Durations()
    durations.note((1.0, 1.0))
    assert durations.read()[0].total == 1
    durations.note((1.0, 1.0))
    with durations._lock:
        assert durations.read()[0].total == 1
    assert durations.read()[0].total == 2


def test_the_day_shows_what_ended_in_each_half_hour():
    """Oldest first; what lies further back than 24 hours is gone."""
    with testing.fake() as fake:
        clock = current().clock
        start = (clock.monotonic() // DAY_SECONDS + 1) * DAY_SECONDS + 1
        for hours, how in ((0, ""), (1, "fail"), (1.25, ""), (23, "")):
            clock.move_to(start + hours * 3600)
            Timed.perform_async(how=how)
            Timed.perform_async()
            try:
                fake.drain()
            except KeyError:
                fake.drain()
        lane = current().registry.lane(Timed)
        day = chart.day(current(), lane, clock.monotonic())
        assert len(day) == DAY_SLOTS
        shown = {index: slot for index, slot in enumerate(day) if any(slot)}
        assert shown == {1: (2, 0), 3: (3, 1), 47: (2, 0)}
        day = chart.day(current(), lane, clock.monotonic() + 3600)
        assert {index: slot for index, slot in enumerate(day) if any(slot)} == {
            1: (3, 1),
            45: (2, 0),
        }


def test_the_day_of_a_hundred_busy_classes_is_bounded():
    """The memory is; the day is shorter then."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        day = Day()
        for slot in range(3 * DAY_SLOTS):
            for lane in range(100):
                day.note(lane, 10_000_000 + slot, 10**9 + slot, 10**6 + slot)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken < 200_000
    notes = day.of(99)
    assert len(notes) == DAY_NOTES // 100
    assert notes[-1] == (10_000_000 + 3 * DAY_SLOTS - 1, 10**9 + 143, 10**6 + 143)
