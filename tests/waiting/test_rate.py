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


def test_fifty_per_second_over_five_minutes() -> None:
    """15,000 jobs at once: no window of a second has more than 50 starts, and none has less
    than it could."""
    starts: list[float] = []

    class FiftyJob(Job):
        rate = Rate(50, per=1.0)

        def perform(self) -> None:
            starts.append(recorder.now.timestamp())

    with fake(now=1_000_000_000) as recorder:
        for _ in range(15_000):
            FiftyJob.perform_async()
        assert recorder.advance(300, limit=20_000) == 15_000
    assert most_in_a_window(starts, 1.0) == 50
    assert max(starts) - min(starts) == pytest.approx(299.0)


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
    """Eight workers, three enqueuing threads: the starts that were granted never exceed it."""
    granted: list[float] = []
    ask = TokenBucket.start

    def start(bucket: TokenBucket, now: float) -> float | None:
        with bucket._lock:  # what is on record, in the order of the record
            answer = ask(bucket, now)
            if answer is None:
                granted.append(bucket._started[-1])
        return answer

    monkeypatch.setattr(TokenBucket, "start", start)

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
    assert len(granted) == ThreadedRateJob.stats().succeeded == 24
    assert granted[-1] - granted[0] >= 0.5 - 1e-6  # up to the rounding of sums
    assert most_in_a_window(granted, 0.1 - 1e-6) == 4


def test_the_bucket_is_exact_under_contention() -> None:
    """Eight threads that ask for starts at one instant get exactly ``limit`` of them."""
    bucket, granted = TokenBucket(Rate(100, per=1.0)), []
    begin = threading.Barrier(8)

    def ask() -> None:
        begin.wait(WAIT)
        granted.extend(bucket.start(5.0) for _ in range(100))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert granted.count(None) == 100
    assert bucket.start(5.999) is not None
    assert bucket.start(6.0) is None


def test_those_turned_away_come_back_in_portions() -> None:
    """A thousand refused starts are spread over the periods to come, ``limit`` in each."""
    bucket = TokenBucket(Rate(10, per=1.0))
    assert [bucket.start(0.0) for _ in range(10)] == [None] * 10
    later = [bucket.start(0.5) for _ in range(30)]
    assert later == [1.0] * 10 + [2.0] * 10 + [3.0] * 10


def test_a_place_given_up_goes_to_the_next() -> None:
    """Cancelled and replaced jobs leave no holes; what is past is not handed out again."""

    class Replaced(Job):
        rate = Rate(1, per=10.0)
        unique = "queued"
        on_duplicate = "replace"

        @staticmethod
        def identity(key: int, version: int) -> int:
            return key

        def perform(self, key: int, version: int) -> None: ...

    with fake(now=1_000_000_000) as recorder:
        start = recorder.now.timestamp()
        for version in range(100):
            newest = Replaced.perform_async(0, version)
        others = [Replaced.perform_async(key, 0) for key in range(1, 5)]
        due = [handle.run_at.timestamp() - start for handle in (newest, *others)]
        assert due == pytest.approx([10.0, 20.0, 30.0, 40.0, 50.0])  # the first was due at once
        for handle in others[:3]:
            assert handle.cancel()
        recorder.advance(25)
        last = Replaced.perform_async(9, 0)
        assert last.run_at.timestamp() - start == pytest.approx(30.0)


def test_a_place_of_a_rescheduled_job_goes_to_the_next() -> None:
    """It has another time now; nobody inherits that one."""

    class Moved(Job):
        rate = Rate(1, per=10.0)

        def perform(self) -> None: ...

    with fake(now=1_000_000_000) as recorder:
        start = recorder.now.timestamp()
        _, second, third = Moved.perform_async(), Moved.perform_async(), Moved.perform_async()
        assert second.reschedule(3600)
        inherits = Moved.perform_async()
        assert second.cancel()
        last = Moved.perform_async()
        due = [handle.run_at.timestamp() - start for handle in (inherits, third, last)]
        assert due == pytest.approx([10.0, 20.0, 30.0])


def test_a_place_by_an_earlier_rate_is_not_waited_for() -> None:
    """The class has become faster: what was planned before is later than it need be."""

    class Faster(Job):
        rate = Rate(1, per=3600)

        def perform(self) -> None: ...

    with fake() as recorder:
        waiting = [Faster.perform_async() for _ in range(3)]
        Faster.rate = Rate(100, per=1)
        assert waiting[2].cancel()
        assert Faster.perform_async().status is Status.QUEUED
        assert recorder.drain() == 2


def test_run_now_asks_for_a_start_only() -> None:
    """The place in the plan goes to another; whether it may start now, the worker asks."""

    class Hurried(Job):
        rate = Rate(1, per=10.0)

        def perform(self) -> None: ...

    with fake(now=1_000_000_000) as recorder:
        start = recorder.now.timestamp()
        _, hurried = Hurried.perform_async(), Hurried.perform_async()
        assert hurried.run_now()
        assert hurried.status is Status.QUEUED
        assert Hurried.perform_async().run_at.timestamp() - start == pytest.approx(10.0)
        recorder.drain()
        assert hurried.status is Status.SCHEDULED
        recorder.advance(20)
        assert hurried.status is Status.SUCCEEDED


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
