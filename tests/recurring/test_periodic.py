"""``every`` and ``cron``: armed by ``start()``, in virtual time; one process per host."""

from __future__ import annotations

import abc
import contextlib
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import counterpunch
from counterpunch import InvalidOption, Job, Status, periodic, start
from counterpunch.core.port import current
from counterpunch.recurring.schedule import Last, Schedule
from counterpunch.testing import fake

WAIT = 10.0
NOON = datetime(2025, 1, 1, 12, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Lock files go to a folder of the test's own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def test_a_month_of_every() -> None:
    """720 hours, each once, on the grid that began at ``start()``."""
    runs: list[datetime] = []

    class HourlyReportJob(Job):
        every = 3600

        def perform(self) -> None:
            runs.append(recorder.now)

    with fake(now=NOON) as recorder:
        start()
        recorder.advance(timedelta(days=30))
    assert len(runs) == 720
    assert runs[0] == NOON + timedelta(hours=1)
    assert {(run - NOON) % timedelta(hours=1) for run in runs} == {timedelta(0)}


def test_a_class_defined_after_start_is_armed_at_once() -> None:
    """A module that is imported late, with a request for instance."""
    with fake(now=NOON) as recorder:
        start()

        class Late(Job):
            every = 60

            def perform(self) -> None: ...

        (entry,) = periodic()
        assert (entry.job, entry.next_run) == (Late, NOON + timedelta(seconds=60))
        recorder.advance(60)
        assert Late.stats().succeeded == 1


def test_a_pool_that_does_not_exist_is_refused_by_start() -> None:
    """And not by each tick, in the log."""

    class Pooled(Job):
        every = 60
        pool = "nowhere"

        def perform(self) -> None: ...

    with fake(now=NOON):
        with pytest.raises(InvalidOption, match="Pooled: pool='nowhere'"):
            start()
        assert periodic() == []


def test_nothing_runs_before_start() -> None:
    """A class is armed by ``start()``, once, however often it is called."""
    runs: list[int] = []

    class ArmedOnceJob(Job):
        every = timedelta(seconds=10)

        def perform(self) -> None:
            runs.append(1)

    with fake() as recorder:
        recorder.advance(100)
        assert (runs, periodic()) == ([], [])
        start()
        recorder.advance(5)
        start()
        recorder.advance(5)
        assert runs == [1]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        # 30 March 2025: 02:00 becomes 03:00. What was to run in between runs at once, once.
        (29, ["29T02:30+01:00", "30T03:00+02:00", "31T02:30+02:00"]),
        # 26 October 2025: 03:00 becomes 02:00 again. A fixed time runs once, not twice.
        (25, ["25T02:30+02:00", "26T02:30+02:00", "27T02:30+01:00"]),
    ],
    ids=["March", "October"],
)
def test_cron_over_a_change_of_summer_time(day: int, expected: list[str]) -> None:
    """As Vixie cron documents it: nothing is left out and nothing runs twice."""
    zone = ZoneInfo("Europe/Berlin")
    runs: list[str] = []

    class NightlyJob(Job):
        cron = "30 2 * * *"
        timezone = "Europe/Berlin"

        def perform(self) -> None:
            runs.append(recorder.now.astimezone(zone).isoformat(timespec="minutes")[8:])

    with fake(now=datetime(2025, 3 if day == 29 else 10, day, tzinfo=zone)) as recorder:
        start()
        recorder.advance(timedelta(days=3))
    assert runs == expected


def test_every_hour_over_a_change_of_summer_time() -> None:
    """``@hourly`` follows elapsed time: 23 runs on the short day, 25 on the long one."""
    zone = ZoneInfo("Europe/Berlin")

    class HourlyCronJob(Job):
        cron = "@hourly"
        timezone = "Europe/Berlin"

        def perform(self) -> None: ...

    counts = []
    for day in (datetime(2025, 3, 30), datetime(2025, 10, 26)):
        midnight = day.replace(tzinfo=zone)
        length = (midnight + timedelta(days=1)).timestamp() - midnight.timestamp()
        with fake(now=midnight) as recorder:
            start()
            counts.append(recorder.advance(length))
    assert counts == [23, 25]


def test_a_run_never_overlaps_itself_and_missed_ones_collapse() -> None:
    """While one is alive no other is enqueued; afterwards the grid goes on, without a burst."""
    runs: list[datetime] = []

    class LateJob(Job):
        every = 60

        def perform(self) -> None:
            runs.append(recorder.now)

    with fake(now=NOON) as recorder:
        start()
        LateJob.pause()
        recorder.advance(600)  # ten ticks
        (waiting,) = recorder.jobs
        assert LateJob.stats().accepted == 1
        (entry,) = periodic()
        assert (entry.paused, entry.latest) == (True, waiting)
        LateJob.resume()
        recorder.advance(90)
    assert [(run - NOON).total_seconds() for run in runs] == [600, 660]


def test_a_periodic_job_that_still_runs_is_not_started_again() -> None:
    """Under real threads: ticks pass while it runs, and the next one comes when it is over."""
    ticks = threading.Semaphore(0)
    running, go = threading.Event(), threading.Event()

    class LongJob(Job):
        every = 0.01
        once_per = "process"
        workers = 4

        def perform(self) -> None:
            ticks.release()
            running.set()
            assert go.wait(WAIT)

    class BesideJob(Job):
        every = 0.01
        once_per = "process"

        def perform(self) -> None:
            beside.release()

    beside = threading.Semaphore(0)
    start()
    assert running.wait(WAIT)
    for _ in range(5):
        assert beside.acquire(timeout=WAIT)
    assert LongJob.stats().accepted == 1
    go.set()
    assert ticks.acquire(timeout=WAIT)
    assert ticks.acquire(timeout=WAIT)


def test_jitter_comes_from_the_injected_source_and_leaves_the_grid_alone() -> None:
    """Each run is late by a share of ``jitter`` seconds; the next is counted from the grid."""
    runs: list[float] = []

    class JitteredJob(Job):
        every = 100
        jitter = 40

        def perform(self) -> None:
            runs.append((recorder.now - NOON).total_seconds())

    with fake(now=NOON) as recorder:
        draws = iter((0.5, 0.25, 0.0, 0.75, 0.0))
        current().chance.source = lambda: next(draws)
        start()
        recorder.advance(400)
    assert runs == [120, 210, 300]


def test_periodic_lists_the_next_runs() -> None:
    """Soonest first, with the runs to come; a class that is no longer periodic leaves."""

    class DailyJob(Job):
        cron = "0 6 * * *"

        def perform(self) -> None: ...

    class MinutelyJob(Job):
        every = 60

        def perform(self) -> None: ...

    with fake(now=NOON) as recorder:
        start()
        first, second = periodic()
        assert (first.job, second.job) == (MinutelyJob, DailyJob)
        assert first.next_run == NOON + timedelta(minutes=1)
        assert first.upcoming(2) == [NOON + timedelta(minutes=n) for n in (1, 2)]
        six = datetime(2025, 1, 2, 6, tzinfo=timezone.utc)
        assert second.upcoming(3) == [six + timedelta(days=n) for n in range(3)]
        MinutelyJob.every = None  # type: ignore[assignment]
        recorder.advance(120)
        assert [entry.job for entry in periodic()] == [DailyJob]
        assert MinutelyJob.stats().accepted == 0


def test_a_base_class_that_cannot_run_is_not_armed() -> None:
    """It only hands its period down."""

    class Nightly(Job):
        cron = "@midnight"

    class Abstract(Nightly):
        @abc.abstractmethod
        def perform(self) -> None: ...

    class Sweep(Abstract):
        def perform(self) -> None: ...

    with fake(NOON):
        start()
        assert [entry.job for entry in periodic()] == [Sweep]


def test_a_period_beyond_the_calendar() -> None:
    """It is listed as the calendar's end, and does not hide the others."""

    class Never(Job):
        every = timedelta.max

        def perform(self) -> None: ...

    with fake(NOON):
        start()
        (entry,) = periodic()
        assert entry.next_run.year == 9999
        assert [moment.year for moment in entry.upcoming(2)] == [9999, 9999]


def test_a_stop_ends_the_ticks_and_quiet_suspends_them() -> None:
    """After ``quiet()`` no tick enqueues; ``start()`` arms the class again."""
    runs: list[int] = []

    class QuietJob(Job):
        every = 10

        def perform(self) -> None:
            runs.append(1)

    with fake() as recorder:
        start()
        counterpunch.quiet()
        recorder.advance(30)
        assert runs == []
        start()
        recorder.advance(10)
        assert runs == [1]


def test_a_tick_that_fails_is_logged_and_the_next_one_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever goes wrong at one tick, the class is not lost, and that run is not made up for."""
    runs: list[int] = []
    failing = iter([True, False, False])

    class BumpyJob(Job):
        every = 10

        def perform(self) -> None:
            runs.append(1)

    def refuse(handle: object) -> contextlib.AbstractContextManager[None]:
        if next(failing):
            raise ZeroDivisionError
        return contextlib.nullcontext()

    remove = counterpunch.around_enqueue(refuse)
    try:
        with fake() as recorder:
            start()
            recorder.advance(30)
    finally:
        remove()
    assert runs == [1, 1]
    assert "BumpyJob could not be enqueued" in caplog.text


def test_when_a_run_is_due_is_a_plain_function() -> None:
    """The grid survives a timer that is early by rounding, and a clock that is set back."""
    schedule = Schedule(10, None, 0.0)
    assert schedule.due(Last(100, ran=False), 100) == 110
    assert schedule.done(110, 110) == schedule.done(110, 109.9999) == (110, True)
    assert schedule.due(Last(110, ran=True), 110) == 120
    assert schedule.done(110, 147) == (140, True)
    assert schedule.due(Last(110, ran=True), 50) == 60
    assert schedule.due(Last(110, ran=True), 108) == 120
    assert schedule.due(Last(110, ran=False), 108) == 118


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("cron", "61 * * * *", "minute"),
        ("cron", "* * * *", "five"),
        ("timezone", "Mars/Olympus", "IANA"),
        ("every", -1, "seconds above 0"),
        ("once_per", "cluster", "'host', 'process'"),
    ],
)
def test_bad_options_are_refused_at_the_class(name: str, value: object, message: str) -> None:
    """By the names of class and option, with what is allowed."""
    with pytest.raises(InvalidOption, match=rf"^BadPeriodicJob: {name}=.*{message}"):
        type(Job)("BadPeriodicJob", (Job,), {name: value, "perform": lambda self: None})


def test_a_periodic_job_takes_no_arguments() -> None:
    """Nobody is there to pass any."""
    with pytest.raises(TypeError, match=r"NeedyJob.*user.*periodic.*default"):

        class NeedyJob(Job):
            every = 60

            def perform(self, user: int) -> None: ...


def test_pausing_before_the_first_use_counts() -> None:
    """``pause()`` right after a stop belongs to what starts afresh."""
    counterpunch.shutdown(0)

    class PausedFirstJob(Job):
        def perform(self) -> None: ...

    PausedFirstJob.pause()
    handle = PausedFirstJob.perform_async()
    assert handle.status is Status.QUEUED
    PausedFirstJob.resume()
    handle.result(WAIT)
