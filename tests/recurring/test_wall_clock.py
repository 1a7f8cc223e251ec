"""A wall clock that is set, is wrong for a while, or goes on while the machine sleeps: in virtual
time, where nobody sets the monotonic clock."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest

from counterpunch import Job, periodic, start
from counterpunch.core.port import current
from counterpunch.core.values.clock import VirtualClock
from counterpunch.observe.metrics import metrics
from counterpunch.testing import fake

NOON = datetime(2025, 1, 1, 12, tzinfo=timezone.utc)
MINUTE, HOUR, DAY, YEAR = 60.0, 3600.0, 86400.0, 365 * 86400.0


def clock() -> VirtualClock:
    found = current().clock
    assert isinstance(found, VirtualClock)
    return found


def set_by(seconds: float) -> None:
    clock()._wall += seconds


class Ages(list[float]):
    """When something ran, in seconds of the clock that nobody sets."""

    def __init__(self) -> None:
        self.start = clock().monotonic()

    def note(self) -> None:
        self.append(clock().monotonic() - self.start)

    def pauses(self) -> list[float]:
        return [later - former for former, later in pairwise(self)]


@pytest.mark.parametrize("wrong_for", [MINUTE, HOUR, 3 * HOUR])
@pytest.mark.parametrize("step", [YEAR, DAY, 12 * HOUR, HOUR, -28 * MINUTE, -12 * HOUR, -YEAR])
@pytest.mark.parametrize(
    "options", [{"cron": "*/5 * * * *"}, {"every": 300}], ids=["cron", "every"]
)
def test_a_clock_that_is_wrong_for_a_while(
    options: dict[str, object], step: float, wrong_for: float
) -> None:
    """What comes every five minutes goes on so, meanwhile and afterwards."""
    with fake(now=NOON) as recorder:
        ages = Ages()

        def perform(self: Job) -> None:
            ages.note()

        made: Any = type(Job)
        made("Often", (Job,), {**options, "perform": perform})
        start()
        recorder.advance(10 * MINUTE)
        set_by(step)
        recorder.advance(wrong_for)
        set_by(-step)
        recorder.advance(2 * HOUR)
        (entry,) = periodic()
        assert timedelta(0) < entry.next_run - recorder.now <= timedelta(minutes=5)
    expected = (10 * MINUTE + wrong_for + 2 * HOUR) / 300
    assert expected - 2 <= len(ages) <= expected + 2
    assert max(ages.pauses()) <= 480  # at most one is left out by a step
    assert not [pause for pause in ages.pauses() if pause < 120]


@pytest.mark.parametrize("step", [YEAR, DAY, 12 * HOUR, -12 * HOUR, -YEAR])
def test_one_wrong_reading_does_not_move_a_nightly_job(step: float) -> None:
    """Neither is it run for nights that never were, nor left out in those that come."""
    with fake(now=NOON) as recorder:
        runs: list[datetime] = []

        class Nightly(Job):
            cron = "0 3 * * *"

            def perform(self) -> None:
                runs.append(recorder.now)

        start()
        recorder.advance(DAY)
        set_by(step)
        recorder.advance(MINUTE)
        set_by(-step)
        recorder.advance(3 * DAY)
    assert runs == [NOON + timedelta(days=n, hours=15) for n in range(4)]


@pytest.mark.parametrize("back", [2.0, MINUTE, HOUR])
def test_a_run_is_not_repeated_by_a_clock_that_is_set_back_after_it(back: float) -> None:
    """NTP or an administrator corrects the clock right after 03:00."""
    with fake(now=NOON) as recorder:
        ages = Ages()

        class Nightly(Job):
            cron = "0 3 * * *"

            def perform(self) -> None:
                ages.note()

        start()
        recorder.advance(15 * HOUR + 1)
        set_by(-back)
        recorder.advance(3 * DAY)
    assert ages == [15 * HOUR + extra for extra in (0, DAY + back, 2 * DAY + back)]


def test_a_clock_that_is_set_back_before_a_run_was_ever_done() -> None:
    """Nothing was done that would come again."""
    with fake(now=NOON) as recorder:
        ages = Ages()

        class Hourly(Job):
            cron = "@hourly"

            def perform(self) -> None:
                ages.note()

        start()
        recorder.advance(MINUTE)
        set_by(-20 * MINUTE)
        recorder.advance(HOUR)
    assert ages == [20 * MINUTE]


@pytest.mark.parametrize(
    ("step", "after"), [(HOUR, 0.0), (26 * HOUR, 120.0), (2 * DAY, 120.0), (30 * DAY, 120.0)]
)
def test_what_a_clock_has_left_out_is_made_up_for(step: float, after: float) -> None:
    """A step forward that stays: an administrator, NTP, a laptop that slept. Once, however many
    nights that were; at once after a small step, and after two minutes when it was a large one."""
    with fake(now=NOON + timedelta(hours=-9 if step > HOUR else 14.5)) as recorder:
        ages = Ages()

        class Nightly(Job):
            cron = "0 3 * * *"

            def perform(self) -> None:
                ages.note()

        start()
        recorder.advance(MINUTE)
        set_by(step)
        recorder.advance(HOUR)
        assert ages == [MINUTE + after]
        recorder.advance(DAY)
        assert len(ages) == 2


def test_a_machine_without_a_clock_of_its_own_is_told_the_time() -> None:
    """It began in 1970; a nightly job is neither silent nor run for each night since."""
    with fake(now=datetime(1970, 1, 1, tzinfo=timezone.utc)) as recorder:
        runs: list[datetime] = []

        class Nightly(Job):
            cron = "0 3 * * *"

            def perform(self) -> None:
                runs.append(recorder.now)

        start()
        recorder.advance(5 * MINUTE)
        set_by(NOON.timestamp())
        recorder.advance(2 * DAY)
    days = [NOON + timedelta(days=n, hours=15) for n in range(2)]
    assert runs == [NOON + timedelta(minutes=7), *days]


def test_a_period_does_not_follow_the_clock_and_says_when_it_comes() -> None:
    """``next_run`` is a time of the clock as it is now."""

    class Often(Job):
        every = 600

        def perform(self) -> None: ...

    with fake(now=NOON) as recorder:
        start()
        recorder.advance(400)
        for step in (YEAR, -2 * YEAR, 2.0):
            set_by(step)
            (entry,) = periodic()
            assert (entry.next_run - recorder.now).total_seconds() == pytest.approx(200)
        recorder.advance(200)
        assert Often.stats().succeeded == 1


def test_the_times_of_a_handle_follow_a_clock_that_is_corrected() -> None:
    """NTP came three days after the start: all of them are by the right clock afterwards."""

    class Work(Job):
        def perform(self) -> None: ...

    with fake(now=NOON) as recorder:
        done, waiting = Work.perform_async(), Work.perform_in(600)
        due = Work.perform_at(NOON + timedelta(days=3, hours=1))
        recorder.drain()
        recorder.advance(60)
        set_by(3 * DAY)
        later = timedelta(days=3)
        assert done.enqueued_at == done.started_at == done.finished_at == NOON + later
        assert waiting.run_at == NOON + later + timedelta(seconds=600)
        assert due.run_at == NOON + timedelta(days=3, hours=1)
        recorder.advance(HOUR)
        assert due.started_at == due.run_at
        assert (done.enqueued_at, done.enqueued_at) == (NOON + later, NOON + later)
        assert f"counterpunch_start_time_seconds {(NOON + later).timestamp():.0f}" in metrics()
