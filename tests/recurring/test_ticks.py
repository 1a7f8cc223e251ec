"""A tick is an enqueue like any other, and what is changed of an armed class counts at once."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import counterpunch
from counterpunch import Duplicate, Handle, Job, Rate, Retry, Status, periodic, start
from counterpunch.core.port import accepting, current
from counterpunch.core.values.clock import VirtualClock
from counterpunch.recurring import classes
from counterpunch.testing import fake

WAIT = 10.0
NOON = datetime(2025, 1, 1, 12, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Lock files go to a folder of the test's own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def ages(recorder: object, runs: list[datetime]) -> list[float]:
    return [(run - NOON).total_seconds() for run in runs]


# An enqueue like any other


def test_middleware_and_hook_run_on_a_thread_of_the_ticks_own() -> None:
    """Not on the scheduler's, which every delayed job waits for, and not on a worker."""
    threads: dict[str, str] = {}
    ran = threading.Event()

    class Hooked(Job):
        every = 0.01
        once_per = "process"

        def on_enqueue(self) -> None:
            threads["hook"] = threading.current_thread().name
            assert self.handle.options["priority"] == 3

        def perform(self) -> None:
            ran.set()

    @contextlib.contextmanager
    def around(handle: Handle[object]) -> Iterator[None]:
        threads["around"] = threading.current_thread().name
        handle.options["priority"] = 3
        yield

    remove = counterpunch.around_enqueue(around)
    try:
        start()
        assert ran.wait(WAIT)
    finally:
        remove()
    assert threads == {"hook": "counterpunch-tick", "around": "counterpunch-tick"}


def test_a_slow_middleware_holds_up_its_own_class_only() -> None:
    """And that no tick comes beside another of the same class."""
    inside, go, ran = threading.Semaphore(0), threading.Event(), threading.Semaphore(0)

    class Slow(Job):
        every = 0.01
        once_per = "process"

        def on_enqueue(self) -> None:
            inside.release()
            assert go.wait(WAIT)

        def perform(self) -> None: ...

    class Beside(Job):
        every = 0.01
        once_per = "process"

        def perform(self) -> None:
            ran.release()

    start()
    assert inside.acquire(timeout=WAIT)
    for _ in range(5):
        assert ran.acquire(timeout=WAIT)
    assert not inside.acquire(blocking=False)
    go.set()
    assert inside.acquire(timeout=WAIT)


@pytest.mark.parametrize(
    ("on_duplicate", "expected"),
    [("existing", (1, 0)), ("raise", (1, 0)), ("discard", (2, 1)), ("replace", (2, 0))],
)
def test_unique_holds_between_ticks_and_what_people_enqueue(
    on_duplicate: Any, expected: tuple[int, int]
) -> None:
    """The button beside the schedule: each finds the other."""

    class Nightly(Job):
        every = 60
        identity = staticmethod(lambda: "only")
        unique = "active"

        def perform(self) -> None: ...

    Nightly.on_duplicate = on_duplicate
    with fake(now=NOON) as recorder:
        start()
        Nightly.pause()
        by_hand = Nightly.perform_async()
        recorder.advance(60)
        counts = Nightly.stats()
        assert (counts.accepted, counts.discarded) == expected
        assert by_hand.cancelled() is (on_duplicate == "replace")
        assert Nightly.in_progress("only")
        latest = Nightly.latest("only")
        assert latest is not None
        Nightly.resume()
        recorder.drain()
        recorder.advance(60)
        assert Nightly.latest("only") is not latest


def test_a_duplicate_of_a_tick_is_refused() -> None:
    """The other way round, where the tick was first."""

    class Nightly(Job):
        every = 60
        identity = staticmethod(lambda: "only")
        unique = "active"
        on_duplicate = "raise"

        def perform(self) -> None:
            with pytest.raises(Duplicate):
                Nightly.perform_async()
            seen.append(Nightly.latest("only") is self.handle)

    seen: list[bool] = []
    with fake(now=NOON) as recorder:
        start()
        recorder.advance(60)
    assert seen == [True]


def test_a_middleware_may_refuse_a_tick() -> None:
    """As an enqueue: the job is discarded, and the next one comes."""

    class Refused(Job):
        every = 60

        def perform(self) -> None: ...

    def around(handle: Handle[object]) -> contextlib.AbstractContextManager[None]:
        raise counterpunch.Discard("not today")

    remove = counterpunch.around_enqueue(around)
    try:
        with fake(now=NOON) as recorder:
            start()
            recorder.advance(120)
            (entry,) = periodic()
            assert entry.latest is not None
            assert (entry.latest.status, entry.latest.error) == (Status.DISCARDED, "not today")
            assert Refused.stats().discarded == 2
    finally:
        remove()


def test_a_tick_meets_the_rate_and_a_full_queue(caplog: pytest.LogCaptureFixture) -> None:
    """It waits for its place; one that finds no room is said to be left out."""

    class Rated(Job):
        every = 60
        rate = Rate(1, per=150)

        def perform(self) -> None:
            runs.append(recorder.now)

    class Full(Job):
        every = 60
        max_jobs = 1

        def perform(self) -> None: ...

    runs: list[datetime] = []
    with fake(now=NOON) as recorder:
        start()
        Full.pause()
        Full.perform_async()
        recorder.advance(600)
        assert ages(recorder, runs) == [60, 210, 360, 510]
        assert Full.stats().accepted == 1
    assert "Full could not be enqueued" in caplog.text
    assert "QueueFull" in caplog.text


def test_a_tick_of_a_stopping_process_is_not_lost() -> None:
    """Refused by the stop, it is left to whoever has the lock next."""
    inside, go = threading.Event(), threading.Event()
    refused: list[Handle[object]] = []

    class Stopped(Job):
        every = 0.05

        def perform(self) -> None: ...

    start()
    lock = current().clockwork.locks.of(Stopped)  # type: ignore[union-attr]
    enqueue = current().enqueue

    def late(*args: object) -> object:
        inside.set()
        assert go.wait(WAIT)
        return enqueue(*args)  # type: ignore[arg-type]

    current().enqueue = late  # type: ignore[assignment]
    assert inside.wait(WAIT)
    noted = lock.read().last
    counterpunch.quiet()
    go.set()
    for thread in threading.enumerate():
        if thread.name == "counterpunch-tick":
            thread.join(WAIT)
    before = lock.read().last
    assert before.due < noted.due
    assert not before.ran
    assert not refused


# A run that failed


def test_a_retry_that_waits_does_not_hold_the_ticks_up() -> None:
    """It is tried again at its own time, beside them."""

    class Flaky(Job):
        every = 60
        retry = Retry(2, wait=3600, max_wait=3600, jitter=0)

        def perform(self) -> None:
            runs.append((recorder.now - NOON).total_seconds())
            if len(runs) == 1:
                raise OSError

    runs: list[float] = []
    with fake(now=NOON) as recorder:
        start()
        recorder.advance(3700)
    assert runs == sorted([*range(60, 3700, 60), 3660])


def test_a_unique_class_waits_for_the_retry() -> None:
    """Whoever wants one at a time says so."""

    class Flaky(Job):
        every = 60
        retry = Retry(2, wait=600, max_wait=600, jitter=0)
        identity = staticmethod(lambda: "only")
        unique = "active"

        def perform(self) -> None:
            runs.append((recorder.now - NOON).total_seconds())
            if len(runs) == 1:
                raise OSError

    runs: list[float] = []
    with fake(now=NOON) as recorder:
        start()
        recorder.advance(800)
    assert runs == [60, 660, 720, 780]


# Changing an armed class


def test_a_changed_schedule_counts_at_once() -> None:
    """As any other option does; nothing of the old one is left."""

    class Changing(Job):
        every = 86400.0

        def perform(self) -> None:
            runs.append(recorder.now)

    runs: list[datetime] = []
    with fake(now=NOON) as recorder:
        start()
        recorder.advance(10)
        Changing.every = 2.0
        recorder.advance(5)
        assert ages(recorder, runs) == [12, 14]
        Changing.every = None  # type: ignore[assignment]
        assert periodic() == []
        recorder.advance(60)
        Changing.every = 30.0
        (entry,) = periodic()
        assert entry.next_run == recorder.now + timedelta(seconds=30)
        Changing.every = None  # type: ignore[assignment]
        Changing.cron = "0 3 * * *"
        Changing.timezone = "Europe/Berlin"
        (entry,) = periodic()
        assert entry.next_run == datetime(2025, 1, 2, 2, tzinfo=timezone.utc)
        Changing.timezone = "UTC"
        (entry,) = periodic()
        assert entry.next_run == datetime(2025, 1, 2, 3, tzinfo=timezone.utc)
        recorder.advance(timedelta(days=1))
        assert len(runs) == 3


def test_a_changed_jitter_counts_at_once() -> None:
    """It is drawn anew."""

    class Jittered(Job):
        every = 100

        def perform(self) -> None:
            runs.append(recorder.now)

    runs: list[datetime] = []
    with fake(now=NOON) as recorder:
        current().chance.source = lambda: 0.5
        start()
        Jittered.jitter = 40
        recorder.advance(250)
    assert ages(recorder, runs) == [120, 220]


# Two classes, or one


@pytest.mark.parametrize("inherited", [False, True])
def test_a_slotted_dataclass_is_one_class(inherited: bool) -> None:
    """The decorator makes a second class, and throws the first one away."""
    source = """
import dataclasses
from counterpunch import Job

class Base(Job):
    def perform(self): ...

@dataclasses.dataclass(slots=True)
class Tick(<base>):
    every = 60.0
    <perform>
"""
    text = source.replace("<base>", "Base" if inherited else "Job")
    text = text.replace("<perform>", "" if inherited else "def perform(self): ...")
    module = sys.modules["slotted"] = ModuleType("slotted")
    try:
        exec(text, module.__dict__)
        with fake(now=NOON) as recorder:
            start()
            assert [entry.job for entry in periodic()] == [module.Tick]
            assert recorder.advance(60) == 1
            exec(text, module.__dict__)  # armed already, and a reload as well
            assert [entry.job for entry in periodic()] == [module.Tick]
            assert recorder.advance(120) == 2
    finally:
        del sys.modules["slotted"]


def test_a_slotted_dataclass_in_a_function_is_one_class() -> None:
    """Nothing has its name there."""

    @dataclasses.dataclass(slots=True)
    class Tick(Job):
        every = 60.0

        def perform(self) -> None: ...

    with fake(now=NOON) as recorder:
        start()
        assert [entry.job for entry in periodic()] == [Tick]
        assert recorder.advance(60) == 1


def test_two_classes_of_one_factory_are_two() -> None:
    """An app factory that is called twice makes two apps."""

    def make() -> type[Job]:
        class Tick(Job):
            every = 60.0

            def perform(self) -> None: ...

        return Tick

    first, second = make(), make()
    with fake(now=NOON) as recorder:
        start()
        assert {entry.job for entry in periodic()} == {first, second}
        assert recorder.advance(60) == 2


# Nobody has armed them


@pytest.fixture
def by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process whose author forgot the lifespan."""
    monkeypatch.setattr(classes, "armed_by_requests", set())
    monkeypatch.setattr(classes, "_said", set())


@pytest.mark.usefixtures("by_nobody")
def test_a_class_that_nothing_arms_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """In the log with the first enqueue, and in ``health()`` for as long as it is so."""

    class Forgotten(Job):
        cron = "0 3 * * *"

        def perform(self) -> None: ...

    class Another(Job):
        def perform(self) -> None: ...

    class OneMore(Job):
        def perform(self) -> None: ...

    said = "Forgotten has cron='0 3 * * *', but nothing has armed it in this process"
    (reason,) = (text for text in counterpunch.health().reasons if said in text)
    assert "counterpunch.start()" in reason
    Another.perform_async().result(WAIT)
    OneMore.perform_async().result(WAIT)
    assert [record.levelno for record in caplog.records if said in record.message] == [
        logging.WARNING
    ]
    start()
    assert counterpunch.health().ok


@pytest.mark.usefixtures("by_nobody")
def test_nothing_is_said_where_requests_arm_them(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A management command of such an app is no server."""
    monkeypatch.setattr(classes, "armed_by_requests", {"flask"})

    class Later(Job):
        every = 60

        def perform(self) -> None: ...

    class Another(Job):
        def perform(self) -> None: ...

    Another.perform_async().result(WAIT)
    assert counterpunch.health().ok
    assert caplog.records == []
    with fake():
        assert counterpunch.health().ok


@pytest.mark.usefixtures("by_nobody")
def test_nothing_is_said_in_an_engines_worker() -> None:
    """It has the classes, and jobs of an engine, but serves nobody."""

    class Engine:
        name = capabilities = enqueue = find = knows = "an engine's"

    class Nightly(Job):
        cron = "0 3 * * *"

        def perform(self) -> None: ...

    class Sent(Job):
        backend = Engine()

        def perform(self) -> None: ...

    class Here(Job):
        def perform(self) -> None: ...

    accepting().registry.lane(Sent)
    assert counterpunch.health().ok
    accepting().registry.lane(Here)
    assert not counterpunch.health().ok


def test_health_says_that_no_lock_can_be_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The job runs all the same."""
    ran = threading.Event()
    (tmp_path / "counterpunch").write_text("in the way")

    class Everywhere(Job):
        every = 0.01

        def perform(self) -> None:
            ran.set()

    start()
    assert ran.wait(WAIT)
    (reason,) = counterpunch.health().reasons
    assert reason.startswith(
        f"{Everywhere.__qualname__}: no lock of this host can be kept, so it runs in every"
    )
    assert reason.endswith(f"{tmp_path}/counterpunch is no directory")


def test_health_says_that_a_run_is_late() -> None:
    """Whatever holds it up: a middleware that never ends, a process that was stopped."""

    class Late(Job):
        every = 60
        jitter = 30

        def perform(self) -> None: ...

    with fake(now=NOON) as recorder:
        start()
        clock = current().clock
        assert isinstance(clock, VirtualClock)
        clock.move_to(clock.monotonic() + 60 + 30 + 180)
        assert counterpunch.health().ok
        clock.move_to(clock.monotonic() + 20)
        (reason,) = counterpunch.health().reasons
        assert reason == f"{Late.__qualname__}: its run is 200 s late"
        recorder.advance(0)
        assert counterpunch.health().ok
