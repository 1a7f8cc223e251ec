"""Rate: never exceeded in any window, whoever enqueues; waiting costs no worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

import counterpunch
from counterpunch import InvalidOption, Job, Rate, Retry, Status
from counterpunch.core.values.rate import TokenBucket
from counterpunch.testing import fake

WAIT = 10.0


def most_in_a_window(starts: Sequence[float], per: float) -> int:
    """The largest number of starts in any half-open window of ``per`` seconds."""
    ordered, low, most = sorted(starts), 0, 0
    for high, instant in enumerate(ordered):
        while instant - ordered[low] >= per:
            low += 1
        most = max(most, high - low + 1)
    return most


def test_fifty_per_second_over_a_minute() -> None:
    """3,000 jobs at once: no window of a second has more than 50 starts, and none has less
    than it could."""
    starts: list[float] = []

    class FiftyJob(Job):
        rate = Rate(50, per=1.0)

        def perform(self) -> None:
            starts.append(recorder.now.timestamp())

    with fake(now=1_000_000_000) as recorder:
        for _ in range(3_000):
            FiftyJob.perform_async()
        assert recorder.advance(60) == 3_000
    assert most_in_a_window(starts, 1.0) == 50
    assert max(starts) - min(starts) == pytest.approx(59.0)


def test_uneven_arrivals_never_exceed_the_rate() -> None:
    """Bursts, trickles, delays and retries share one budget of starts."""
    starts: list[float] = []

    class UnevenJob(Job):
        rate = Rate(5, per=2.0)
        retry = Retry(2, wait=0.3, jitter=0)

        def perform(self, number: int) -> None:
            starts.append(recorder.now.timestamp())
            if number % 3 == 0 and self.attempt == 1:
                raise OSError

    with fake(now=1_000_000_000) as recorder:
        for number in range(60):
            if number % 7 == 0:
                recorder.advance(0.37 * (number % 5))
            if number % 4:
                UnevenJob.perform_async(number)
            else:
                UnevenJob.perform_in(0.1 * number, number)
        recorder.advance(120)
        assert UnevenJob.stats().succeeded == 60
    assert len(starts) == 80
    assert most_in_a_window(starts, 2.0) == 5


def test_many_workers_in_real_threads_keep_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight workers, three enqueuing threads: the starts that are on record never exceed it."""
    started: list[float] = []
    start = TokenBucket.start

    def note(bucket: TokenBucket, call: object, now: float) -> None:
        with bucket._lock:  # in the order of the record
            start(bucket, call, now)
            started.append(bucket._starts[-1])

    monkeypatch.setattr(TokenBucket, "start", note)

    class ThreadedRateJob(Job):
        workers = 8
        rate = Rate(4, per=0.1)

        def perform(self) -> None: ...

    threads = [
        threading.Thread(target=ThreadedRateJob.perform_bulk, args=([()] * 8,)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert counterpunch.wait_idle(WAIT, scheduled=True)
    assert len(started) == ThreadedRateJob.stats().succeeded == 24
    assert started[-1] - started[0] >= 0.5 - 1e-6  # up to the rounding of sums
    assert most_in_a_window(started, 0.1 - 1e-6) == 4


def test_the_bucket_is_exact_under_contention() -> None:
    """Eight threads that ask for places at one instant get exactly ``limit`` of them."""
    bucket, given = TokenBucket(Rate(100, per=1.0)), []
    begin = threading.Barrier(8)

    def ask() -> None:
        begin.wait(WAIT)
        jobs = [object() for _ in range(100)]
        given.extend(job for job in jobs if bucket.take(job, 5.0))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert len(given) == len(bucket.places) == 100
    for job in given:
        bucket.start(job, 5.0)
    assert not bucket.take(object(), 5.999)
    assert bucket.take(object(), 6.0)


def test_a_forecast_is_what_comes_about() -> None:
    """If those who have a place start at once: two a second, after one that has just started."""
    bucket = TokenBucket(Rate(2, per=1.0))
    assert bucket.take("first", 0.5)
    bucket.start("first", 0.5)
    assert bucket.take("second", 0.5)
    assert bucket.forecast(0.75, 4) == [1.5, 1.75, 2.5, 2.75]
    assert bucket.next(0.75) == 1.5
    bucket.rate = Rate(1, per=1.0)
    assert bucket.next(0.75) == float("inf")


def test_a_rescheduled_job_expires_by_its_new_time() -> None:
    """What it has waited for the rate before no longer counts."""

    class Perishable(Job):
        rate = Rate(1, per=10.0)
        expires_in = 60

        def perform(self) -> None: ...

    with fake() as recorder:
        Perishable.perform_async()
        moved = Perishable.perform_async()
        recorder.drain()
        assert moved.reschedule(3600)
        recorder.advance(3600)
        assert moved.status is Status.SUCCEEDED


def test_waiting_for_the_rate_costs_no_worker() -> None:
    """Jobs that wait are scheduled; other work of the same thread goes on."""
    counterpunch.configure(pools={"slowlane": 1})

    class SlowRateJob(Job):
        pool = "slowlane"
        rate = Rate(1, per=3600)

        def perform(self) -> str:
            return "ran"

    class NeighbourJob(Job):
        pool = "slowlane"

        def perform(self) -> str:
            return "ran"

    handles = [SlowRateJob.perform_async() for _ in range(20)]
    assert handles[0].result(WAIT) == "ran"
    assert NeighbourJob.perform_async().result(WAIT) == "ran"
    counts = SlowRateJob.stats()
    assert (counts.scheduled, counts.running, counts.queued) == (19, 0, 0)
    assert SlowRateJob.cancel_all() == 19


def test_a_job_may_expire_while_the_rate_holds_it_back() -> None:
    """``expires_in`` counts from the instant it was due, not from when the rate allowed it."""

    class PerishableJob(Job):
        rate = Rate(1, per=10)
        expires_in = 15

        def perform(self) -> None: ...

    with fake() as recorder:
        handles = [PerishableJob.perform_async() for _ in range(4)]
        recorder.advance(60)
        statuses = [handle.status for handle in handles]
    assert statuses == [Status.SUCCEEDED] * 2 + [Status.DISCARDED] * 2


def test_paused_jobs_do_not_break_the_rate() -> None:
    """What piles up during a pause starts at the class's rate afterwards."""
    starts: list[float] = []

    class PausedRateJob(Job):
        rate = Rate(3, per=1)

        def perform(self) -> None:
            starts.append(recorder.now.timestamp())

    with fake(now=1_000_000_000) as recorder:
        PausedRateJob.pause()
        PausedRateJob.perform_bulk([()] * 12)
        recorder.advance(60)
        assert starts == []
        PausedRateJob.resume()
        recorder.advance(60)
    assert len(starts) == 12
    assert most_in_a_window(starts, 1.0) == 3


@pytest.mark.parametrize(
    ("limit", "per"), [(0, 1), (-5, 1), (1.5, 1), (True, 1), (1, 0), (1, -1), (1, float("nan"))]
)
def test_a_bad_rate_is_refused_where_it_is_written(limit: float, per: float) -> None:
    """By name, before any class exists."""
    with pytest.raises(InvalidOption, match=r"^Rate: (limit|per)="):
        Rate(limit, per=per)  # type: ignore[arg-type]


def test_enqueueing_a_rated_class_returns_at_once() -> None:
    """A thousand enqueues of a class that may start one job per hour take no time to wait."""

    class HourlyJob(Job):
        rate = Rate(1, per=3600)

        def perform(self) -> None: ...

    begin = time.monotonic()
    HourlyJob.perform_bulk([()] * 1000)
    assert time.monotonic() - begin < 5.0
    HourlyJob.cancel_all()
