"""The line of those that wait for their class's rate: who stands in it, and who is next."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
from test_rate import most_in_a_window

import counterpunch
from counterpunch import Job, Rate, Retry, Status
from counterpunch.testing import fake

WAIT = 10.0


def starts_of(handles: Sequence[counterpunch.Handle[object]]) -> list[float]:
    """Seconds between the first start and each."""
    moments = [handle.started_at for handle in handles]
    first = min(moment for moment in moments if moment is not None)
    return [(moment - first).total_seconds() for moment in moments if moment is not None]


def test_a_place_given_up_goes_to_the_next() -> None:
    """Cancelled and replaced jobs leave no holes, in the queue as little as in the line."""

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
        assert due == pytest.approx([0.0, 10.0, 20.0, 30.0, 40.0])
        for handle in others[:3]:
            assert handle.cancel()
        last = Replaced.perform_async(9, 0)
        recorder.advance(25)
        assert starts_of((newest, others[3], last)) == pytest.approx([0.0, 10.0, 20.0])


def test_a_hundred_of_which_98_are_cancelled_hold_nobody_up() -> None:
    """The last one has nobody before it but the first."""

    class Burst(Job):
        rate = Rate(1, per=10.0)

        def perform(self) -> None: ...

    with fake() as recorder:
        handles = [Burst.perform_async() for _ in range(100)]
        assert all(handle.cancel() for handle in handles[1:99])
        recorder.advance(20)
        assert starts_of((handles[0], handles[99])) == [0.0, 10.0]


def test_a_burst_that_expires_holds_nobody_up() -> None:
    """What comes afterwards, at half the rate, runs at once."""
    ran: list[object] = []

    class Api(Job):
        rate = Rate(1, per=10)
        expires_in = 30

        def perform(self, name: object) -> None:
            ran.append(name)

    with fake() as recorder:
        for number in range(100):
            Api.perform_async(number)
        late = []
        for _ in range(20):
            recorder.advance(20)
            late.append(Api.perform_async("late"))
        recorder.advance(100)
        assert [handle.status for handle in late] == [Status.SUCCEEDED] * 20
    assert ran[:4] == [0, 1, 2, 3]


def test_the_line_moves_up_when_one_is_rescheduled() -> None:
    """It has another time now; those behind it are earlier by one period."""

    class Moved(Job):
        rate = Rate(1, per=10.0)

        def perform(self) -> None: ...

    with fake() as recorder:
        first, second, third = Moved.perform_async(), Moved.perform_async(), Moved.perform_async()
        assert first.reschedule(3600)  # it was in the queue, with a place
        assert second.status is Status.QUEUED
        fourth = Moved.perform_async()
        assert third.reschedule(7200)
        recorder.advance(10_000)
        assert starts_of((second, fourth, first, third)) == [0.0, 10.0, 3600.0, 7200.0]


@pytest.mark.parametrize("new", [None, Rate(1000), Rate(1, per=10)])
def test_another_rate_counts_for_those_that_wait(new: Rate | None) -> None:
    """At once; and one that was removed holds nobody back any more."""

    class Faster(Job):
        rate: Rate | None = Rate(1, per=3600)

        def perform(self) -> None: ...

    with fake() as recorder:
        handles = [Faster.perform_async() for _ in range(3)]
        recorder.advance(20)
        Faster.rate = new
        recorder.advance(10)
        expected = [0.0, 20.0, 30.0] if new == Rate(1, per=10) else [0.0, 20.0, 20.0]
        assert starts_of(handles) == expected


def test_a_slower_rate_counts_what_has_started() -> None:
    """Three have started in the last ten seconds: the next one waits until that is one a minute."""

    class Slower(Job):
        rate = Rate(3, per=10)

        def perform(self) -> None: ...

    with fake() as recorder:
        handles = [Slower.perform_async() for _ in range(5)]
        recorder.drain()
        Slower.rate = Rate(1, per=60)
        recorder.advance(300)
        assert starts_of(handles) == [0.0, 0.0, 0.0, 60.0, 120.0]


def test_run_now_of_one_that_waits_for_the_rate_keeps_its_place() -> None:
    """It is due already; neither does it overtake anybody, nor fall behind."""

    class Hurried(Job):
        rate = Rate(1, per=10.0)

        def perform(self) -> None: ...

    with fake() as recorder:
        handles = [Hurried.perform_async() for _ in range(3)]
        assert handles[1].run_now()
        assert handles[2].run_now()
        assert handles[1].status is Status.SCHEDULED
        recorder.advance(30)
        assert starts_of(handles) == [0.0, 10.0, 20.0]


def test_who_came_first_runs_first_after_a_pause() -> None:
    """Newcomers stand behind the backlog, whatever held it up."""
    done: list[str] = []

    class Paused(Job):
        rate = Rate(1, per=1.0)
        workers = 1

        def perform(self, name: str) -> None:
            done.append(name)

    with fake() as recorder:
        Paused.pause()
        for number in range(10):
            Paused.perform_async(f"old {number}")
        recorder.advance(60)
        Paused.resume()
        for number in range(10):
            Paused.perform_async(f"new {number}")
            recorder.advance(1.0)
        assert done[:10] == [f"old {number}" for number in range(10)]
        recorder.advance(60)
    assert done[10:] == [f"new {number}" for number in range(10)]


class Hesitating(deque[Any]):
    """Held jobs; whoever takes the last of them out is held up, and others go on."""

    others: Callable[[], object] | None = None

    def remove(self, value: Any) -> None:
        others = self.others
        if len(self) == 1 and others is not None:
            self.others = None
            others()
        super().remove(value)


def test_a_slow_resume_lets_nobody_be_overtaken() -> None:
    """The rate has a place free before the last of those that were held is in the queue again."""
    done: list[int] = []

    class Held(Job):
        rate = Rate(2, per=10)

        def perform(self, number: int) -> None:
            done.append(number)

    with fake() as recorder:
        Held.pause()
        for number in range(4):
            Held.perform_async(number)
        lane = recorder._runtime.lane(Held)
        lane.hold = hold = Hesitating(lane.hold)
        hold.others = lambda: recorder.advance(10)
        Held.resume()
        recorder.advance(20)
    assert done == [0, 1, 2, 3]


@pytest.mark.parametrize("how", ["pause", "stuck"])
def test_who_came_first_runs_first_in_real_threads(how: str) -> None:
    """After a pause, and after a worker that was held up."""
    done: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    class HeldUp(Job):
        rate = Rate(2, per=0.02)
        workers = 1

        def perform(self, name: str) -> None:
            if name == "stuck":
                begun.set()
                assert go_on.wait(WAIT)
            done.append(name)

    if how == "pause":
        HeldUp.pause()
    else:
        HeldUp.perform_async("stuck")
        assert begun.wait(WAIT)
    for number in range(6):
        HeldUp.perform_async(f"old {number}")
    if how == "pause":
        HeldUp.resume()
    go_on.set()
    for number in range(6):
        HeldUp.perform_async(f"new {number}")
    assert counterpunch.wait_idle(WAIT, scheduled=True)
    assert [name for name in done if name != "stuck"] == [
        f"{age} {number}" for age in ("old", "new") for number in range(6)
    ]


def test_priority_counts_in_the_line() -> None:
    """Among those that wait for the rate, and against one that no worker has begun yet."""
    ran: list[str] = []

    class Ranked(Job):
        rate = Rate(1, per=10.0)

        def perform(self, name: str) -> None:
            ran.append(name)

    with fake() as recorder:
        Ranked.pause()
        low = [Ranked.perform_async(f"low {number}") for number in range(3)]
        high = Ranked.using(priority=9).perform_async("high")
        Ranked.resume()
        names = [handle.args[0] for handle in recorder.jobs]
        recorder.advance(5)
        highest = Ranked.using(priority=10).perform_async("highest")
        assert [handle.args[0] for handle in recorder.jobs] == ["highest", "low 0", *names[2:]]
        recorder.advance(60)
        assert starts_of((high, highest, *low)) == [0.0, 10.0, 20.0, 30.0, 40.0]
    assert ran == ["high", "highest", "low 0", "low 1", "low 2"]


def test_max_jobs_bounds_what_waits_for_the_rate() -> None:
    """And each policy holds; who leaves the line makes room."""

    class Bounded(Job):
        rate = Rate(1, per=10)
        max_jobs = 5

        def perform(self) -> None: ...

    with fake() as recorder:
        handles = [Bounded.perform_async() for _ in range(5)]
        with pytest.raises(counterpunch.QueueFull):
            Bounded.perform_async()
        assert handles[3].cancel()
        handles.append(Bounded.perform_async())
        Bounded.overflow = "discard"
        assert Bounded.perform_async().status is Status.DISCARDED
        Bounded.overflow = "discard_oldest"
        handles.append(Bounded.perform_async())
        assert handles[0].status is Status.DISCARDED
        recorder.advance(60)
        assert Bounded.stats().succeeded == 5


def test_a_caller_runs_no_job_past_the_rate() -> None:
    """``caller_runs`` is for a full queue; where the rate lets nobody start it refuses by name, and
    what waits for the rate stays bounded."""

    class Bounded(Job):
        workers, max_jobs, overflow = 2, 3, "caller_runs"
        rate = Rate(2, per=10)

        def perform(self) -> None: ...

    with fake() as recorder:
        handles = [Bounded.perform_async() for _ in range(3)]
        with pytest.raises(counterpunch.QueueFull, match=r"Bounded.*max_jobs=3"):
            Bounded.perform_async()
        assert [handle.status for handle in handles].count(Status.QUEUED) == 2
        recorder.advance(10)
        Bounded.pause()
        for _ in range(2):
            Bounded.perform_async()
        recorder.advance(10)
        Bounded.rate = Rate(4, per=10)
        assert Bounded.perform_async().status is Status.QUEUED
        assert Bounded.perform_async().status is Status.SUCCEEDED


def test_what_waits_for_the_rate_is_seen() -> None:
    """``oldest_wait`` counts from when it was due; ``health()`` says when that is too long."""

    class Seen(Job):
        rate = Rate(1, per=1000)
        max_jobs = 10

        def perform(self) -> None: ...

    with fake() as recorder:
        for _ in range(3):
            Seen.perform_async()
        recorder.advance(100)
        assert Seen.stats().oldest_wait == 100.0
        assert any("has waited 100 s" in reason for reason in counterpunch.health().reasons)
        for _ in range(8):
            Seen.perform_async()
        assert any("nearly full: 10 of" in reason for reason in counterpunch.health().reasons)


def test_a_stop_drains_what_waits_for_the_rate() -> None:
    """Within the deadline, as what is queued: it takes as long as the rate makes it."""

    class Mail(Job):
        rate = Rate(5, per=0.05)

        def perform(self) -> None: ...

    for _ in range(20):
        Mail.perform_async()
    report = counterpunch.shutdown(timeout=WAIT)
    assert report.clean
    assert report.seconds < WAIT / 2
    assert report.counts[Status.SUCCEEDED] + 5 >= 20


@pytest.mark.parametrize("again", [Rate(3, per=10.0), None])
@pytest.mark.parametrize("sent_back", [1, 2])
def test_who_was_sent_back_to_the_line_is_not_overtaken(sent_back: int, again: Rate | None) -> None:
    """A slower rate meets jobs that had their places already; then it is lifted again."""
    ran: list[int] = []

    class Steady(Job):
        rate: Rate | None = Rate(3, per=10.0)

        def perform(self, number: int) -> None:
            ran.append(number)

    with fake() as recorder:
        for number in range(3):
            Steady.perform_async(number)
        Steady.rate = Rate(1, per=10.0)
        for _ in range(sent_back):
            assert recorder.perform_one().status == Status.SCHEDULED
        Steady.rate = again
        assert [handle.args[0] for handle in recorder.jobs] == [0, 1, 2]
        recorder.advance(0)
        assert ran == [0, 1, 2]


def test_who_made_way_in_vain_is_not_overtaken() -> None:
    """An urgent job takes the place of the first, and is cancelled; another class of the pool
    keeps its place as well."""
    ran: list[str] = []

    class Other(Job):
        pool = "shared"

        def perform(self, name: str) -> None:
            ran.append(name)

    class Rated(Job):
        pool = "shared"
        rate = Rate(2, per=10.0)

        def perform(self, name: str) -> None:
            ran.append(name)

    counterpunch.configure(pools={"shared": 1})
    with fake() as recorder:
        Rated.perform_async("first")
        Other.perform_async("other")
        Rated.perform_async("second")
        urgent = Rated.using(priority=5).perform_async("urgent")
        assert recorder.perform_one(Rated).status == Status.SCHEDULED  # "first" makes way
        assert urgent.status == Status.QUEUED
        assert urgent.cancel()
        recorder.advance(0)
        assert ran == ["other", "first", "second"]


@pytest.mark.parametrize("policy", ["drain", "drop"])
def test_a_stop_does_not_wait_for_a_rate_past_its_deadline(policy: str) -> None:
    """Whoever could not start before is lost at once, and the reason says so."""

    class Hourly(Job):
        rate = Rate(1, per=3600 if policy == "drain" else 0.5)
        on_shutdown = policy

        def perform(self) -> None: ...

    assert Hourly.perform_async().result(WAIT) is None
    handles = [Hourly.perform_async() for _ in range(20)]
    report = counterpunch.shutdown(timeout=WAIT)
    assert report.seconds < WAIT / 2
    assert set(report.lost) == set(handles)
    says = "Rate(1, per=3600)" if policy == "drain" else "on_shutdown='drop'"
    assert all(says in (handle.error or "") for handle in handles)


def test_inline_does_not_wait_for_a_rate() -> None:
    """As it does not wait for a delay."""

    class Inline(Job):
        rate = Rate(1, per=3600)

        def perform(self) -> str:
            return "ran"

    with counterpunch.testing.inline():
        assert [Inline.perform_async().result() for _ in range(3)] == ["ran"] * 3


@pytest.mark.parametrize("seed", range(6))
def test_never_too_many_and_never_idle(seed: int) -> None:
    """Bursts, delays, cancels, moves, priorities, pauses and retries, over hours or days: no window
    ever has more starts than allowed, and nobody waits while the rate would let him start."""
    random = Random(seed)
    starts: list[float] = []

    class Day(Job):
        rate = Rate(random.randint(1, 4), per=random.choice([0.75, 10.0, 600.0]))
        retry = Retry(3, wait=30, jitter=0)

        def perform(self) -> None:
            starts.append(recorder.now.timestamp())
            if random.random() < 0.2:
                raise OSError

    with fake(now=1_000_000_000) as recorder:
        handles: list[counterpunch.Handle[None]] = []
        paused = False
        limit, per = Day.rate.limit, Day.rate.per
        for _ in range(200):
            for _ in range(random.choice([0, 0, 1, 1, 2, 8])):
                delay = random.choice([0, 0, 0, random.uniform(0, 900)])
                job = Day.using(priority=random.choice([0, 0, 5]), delay=delay)
                handles.append(job.perform_async())
            step = random.random()
            some = random.choice(handles) if handles else None
            if some is not None and step < 0.2:
                some.cancel()
            elif some is not None and step < 0.3:
                some.reschedule(random.choice([0, random.uniform(0, 400)]))
            elif step < 0.33 or paused:
                (Day.resume if paused else Day.pause)()
                paused = not paused
            with contextlib.suppress(OSError):
                recorder.advance(random.choice([0, 1, per, random.uniform(0, 3 * per)]))
            waits = Day.stats().oldest_wait > 0
            within = sum(now > recorder.now.timestamp() - per - 1e-5 for now in starts[-limit:])
            assert paused or not waits or within >= limit, f"idle, seed {seed}"
        assert most_in_a_window(starts, per - 1e-5) <= limit
        assert len(starts) > 50
        Day.cancel_all()
