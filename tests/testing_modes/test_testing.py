"""The test modes: the pipeline of production, run at once or on demand, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
import tomllib
import weakref
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import counterpunch
from counterpunch import (
    CounterpunchError,
    Discarded,
    InvalidOption,
    Job,
    QueueFull,
    Retry,
    Status,
    configure,
    current_job,
    job,
    testing,
)

LONG = 10.0  # seconds; a bound that turns a hang into a failure, never reached otherwise
ROOT = Path(__file__).resolve().parents[2]


class Welcome(Job):
    def perform(self, user_id: int, *, greeting: str = "hi") -> str:
        return f"{greeting} {user_id}"


class Cleanup(Job):
    def perform(self) -> None: ...


class Unlucky(Job):
    retry = Retry(max_attempts=3, wait=10, jitter=0)

    def perform(self) -> None:
        raise OSError(f"attempt {self.attempt}")


# inline


def test_inline_runs_where_it_is_enqueued() -> None:
    """On the caller's thread, before the call returns; the handle is finished."""

    class Where(Job):
        def perform(self) -> str:
            assert current_job() is self.handle
            return threading.current_thread().name

    with testing.inline():
        handle = Where.perform_async()
        assert handle.status is Status.SUCCEEDED
        assert handle.result() == threading.current_thread().name
        assert Where.stats().succeeded == 1
        assert Where.stats().workers.total == 0
    assert Where.perform_async().result(LONG) == "counterpunch-Where_0"


@pytest.mark.parametrize("how", ["in", "at", "using", "bulk", "function"])
def test_inline_waits_for_nothing(how: str) -> None:
    """Delays are skipped, by whatever call."""

    @job
    def hello(user_id: int) -> int:
        return user_id

    with testing.inline():
        handle: Any = {
            "in": lambda: Welcome.perform_in(3600, 1),
            "at": lambda: Welcome.perform_at(time.time() + 3600, 1),
            "using": lambda: Welcome.using(delay=3600, priority=3).perform_async(1),
            "bulk": lambda: Welcome.perform_bulk([(1,)])[0],
            "function": lambda: hello.perform_in(3600, 1),
        }[how]()
        assert handle.result() in ("hi 1", 1)
        assert counterpunch.find(handle.id) is handle


def test_inline_retries_at_once_and_then_raises() -> None:
    """All attempts follow without a wait; the last failure reaches the caller."""
    begin = time.monotonic()
    with testing.inline():
        with pytest.raises(OSError, match="attempt 3") as caught:
            Unlucky.perform_async()
        assert caught.traceback[-1].name == "perform"
        (handle,) = counterpunch.jobs(Unlucky)
        assert (handle.status, handle.attempt) == (Status.FAILED, 3)
        stats = Unlucky.stats()
        assert (stats.accepted, stats.attempts, stats.failed) == (1, 3, 1)
    assert time.monotonic() - begin < 5


def test_inline_runs_the_children_too() -> None:
    """A job that enqueues from inside runs the child inline, to its end."""
    order: list[str] = []

    class Parent(Job):
        def perform(self, depth: int) -> str:
            order.append(f"in {depth}")
            if depth:
                assert Parent.perform_in(60, depth - 1).result() == f"done {depth - 1}"
            order.append(f"out {depth}")
            return f"done {depth}"

    with testing.inline():
        assert Parent.perform_async(2).result() == "done 2"
    assert order == ["in 2", "in 1", "in 0", "out 0", "out 1", "out 2"]


def test_inline_discards_quietly() -> None:
    """A discarded job raises nothing at the enqueue; its result does."""

    class Dropped(Job):
        discard_on = (KeyError,)

        def perform(self) -> None:
            raise KeyError("stale")

    with testing.inline():
        handle = Dropped.perform_async()
        assert handle.status is Status.DISCARDED
        with pytest.raises(Discarded):
            handle.result()


def test_inline_in_threads_started_inside() -> None:
    """A thread started inside the block runs its jobs inline as well."""
    names: list[str] = []

    class Named(Job):
        def perform(self) -> None:
            names.append(threading.current_thread().name)

    with testing.inline():
        thread = threading.Thread(target=Named.perform_async, name="mine")
        thread.start()
        thread.join(LONG)
    assert names == ["mine"]


# fake: jobs, drain, perform_one, clear


def test_fake_records_and_runs_nothing() -> None:
    """``jobs``: what waits, in the order in which it would run."""
    with testing.fake() as recorder:
        late = Welcome.perform_in(60, 1)
        soon = Welcome.perform_in(5, 2)
        first = Welcome.perform_async(3)
        other = Cleanup.perform_async()
        urgent = Welcome.using(priority=5).perform_async(4)
        assert recorder.jobs == [urgent, first, other, soon, late]
        assert {handle.attempt for handle in recorder.jobs} == {0}
        assert counterpunch.stats().total.accepted == 5


def test_drain_runs_what_is_due_and_what_that_enqueues() -> None:
    """Here, in order; delayed jobs stay. Returns how many ran."""
    order: list[int] = []

    class Chain(Job):
        def perform(self, number: int) -> None:
            order.append(number)
            assert threading.current_thread() is here
            if number < 3:
                Chain.perform_async(number + 1)
                Chain.perform_in(60, 100 + number)

    here = threading.current_thread()
    with testing.fake() as recorder:
        Chain.perform_async(0)
        assert recorder.drain() == 4
        assert order == [0, 1, 2, 3]
        assert [handle.args for handle in recorder.jobs] == [(100,), (101,), (102,)]
        assert recorder.drain() == 0


def test_drain_raises_the_first_failure_and_runs_the_rest() -> None:
    """The job's own exception, after its last attempt; the others still had their turn."""
    ran: list[int] = []

    class Mixed(Job):
        def perform(self, number: int) -> None:
            ran.append(number)
            if number in (1, 2):
                raise OSError(f"job {number}")

    with testing.fake() as recorder:
        for number in range(4):
            Mixed.perform_async(number)
        with pytest.raises(OSError, match="job 1") as caught:
            recorder.drain()
        assert caught.traceback[-1].name == "perform"  # shows where
        assert ran == [0, 1, 2, 3]
        Unlucky.perform_async()
        assert recorder.drain() == 1  # it has attempts left, so it has not failed
        with pytest.raises(OSError, match="attempt 3"):
            recorder.advance(30)


def test_drain_has_a_limit() -> None:
    """A job that enqueues itself for ever ends the test with a message, not the day."""

    class Endless(Job):
        def perform(self, number: int) -> None:
            Endless.perform_async(number + 1)

    with testing.fake() as recorder:
        Endless.perform_async(0)
        with pytest.raises(CounterpunchError, match=r"50 attempts ran .*Endless.*without end"):
            recorder.drain(limit=50)
        assert [handle.args for handle in recorder.jobs] == [(50,)]
        with pytest.raises(CounterpunchError, match=f"{testing.DRAIN_LIMIT} attempts ran"):
            recorder.drain()
        assert Endless.stats().attempts == 50 + testing.DRAIN_LIMIT


def test_advance_has_the_same_limit() -> None:
    """Also over virtual time, for a job that reschedules itself without a delay."""

    class Tight(Job):
        def perform(self) -> None:
            Tight.perform_in(0)

    with testing.fake() as recorder:
        Tight.perform_in(5)
        with pytest.raises(CounterpunchError, match="20 attempts ran"):
            recorder.advance(10, limit=20)


def test_the_limit_that_an_advance_names_is_the_one_given() -> None:
    """Not what was left of it after the instants before."""

    class Spread(Job):
        def perform(self) -> None: ...

    with testing.fake() as recorder:
        for second in range(30):
            Spread.perform_in(second)
        with pytest.raises(CounterpunchError, match=r"^20 attempts ran"):
            recorder.advance(60, limit=20)
        assert Spread.stats().attempts == 20


def test_exactly_the_limit_is_enough() -> None:
    """Jobs that are done within the limit raise nothing."""
    with testing.fake() as recorder:
        Cleanup.perform_bulk(() for _ in range(50))
        assert recorder.drain(limit=50) == 50


def test_perform_one() -> None:
    """One attempt of the next job, or of the next of a class; its handle comes back."""
    with testing.fake() as recorder:
        first, second = Welcome.perform_async(1), Cleanup.perform_async()
        third = Welcome.perform_async(2)
        assert recorder.perform_one(Cleanup) is second
        assert recorder.perform_one() is first
        assert first.result() == "hi 1"
        assert recorder.jobs == [third]
        recorder.clear()
        Welcome.perform_in(60, 1)
        with pytest.raises(CounterpunchError, match=r"no job is queued; waiting: \n  Welcome"):
            recorder.perform_one()
        with pytest.raises(CounterpunchError, match="no Cleanup is queued"):
            recorder.perform_one(Cleanup)
        failing = Unlucky.perform_async()
        assert recorder.perform_one() is failing
        assert failing.status is Status.RETRYING


def test_a_paused_class_is_left_out() -> None:
    """By ``drain`` and by ``perform_one``; the other classes run, and it does afterwards."""

    class PausedModeJob(Job):
        def perform(self) -> None: ...

    with testing.fake() as recorder:
        PausedModeJob.pause()
        held = PausedModeJob.perform_async()
        other = Welcome.perform_async(1)
        assert recorder.perform_one() is other
        with pytest.raises(CounterpunchError, match="no job is queued"):
            recorder.perform_one()
        assert recorder.drain() == 0
        assert recorder.jobs == [held]
        PausedModeJob.resume()
        assert recorder.perform_one() is held


def test_perform_one_raises_the_last_failure() -> None:
    """The job's own exception reaches the test."""

    class Single(Job):
        def perform(self) -> None:
            raise OSError("only one")

    with testing.fake() as recorder:
        Single.perform_async()
        with pytest.raises(OSError, match="only one"):
            recorder.perform_one()


def test_clear() -> None:
    """What waits is cancelled: queued, scheduled and retrying jobs."""
    with testing.fake() as recorder:
        handles = [Welcome.perform_async(1), Welcome.perform_in(5, 1), Unlucky.perform_async()]
        recorder.perform_one(Unlucky)
        recorder.clear()
        assert recorder.jobs == []
        assert {handle.status for handle in handles} == {Status.CANCELLED}
        assert recorder.advance(3600) == 0


def test_waiting_for_a_result_in_fake_says_what_to_do() -> None:
    """Nothing runs by itself there, so waiting would never end: an error, not a hang."""
    with testing.fake() as recorder:
        handle = Welcome.perform_async(1)
        for wait in (handle.result, handle.exception):
            with pytest.raises(CounterpunchError, match=r"fake\(\).*call drain\(\)"):
                wait(LONG)

        async def main() -> str:
            return await handle

        with pytest.raises(CounterpunchError, match=r"call drain\(\)"):
            asyncio.run(asyncio.wait_for(main(), LONG))
        recorder.drain()
        assert handle.result() == "hi 1"
        assert asyncio.run(main()) == "hi 1"


def test_the_bound_holds_in_fake() -> None:
    """The real pipeline: options such as ``max_jobs`` are in force, in a shared pool as well."""
    counterpunch.configure(pools={"imaginary": 1})

    class Bounded(Job):
        max_jobs = 2

        def perform(self) -> None: ...

    class Pooled(Bounded):
        pool = "imaginary"

    for cls in (Bounded, Pooled):
        with testing.fake() as recorder:
            for _ in range(3):
                cls.perform_async()
                cls.perform_async()
                with pytest.raises(QueueFull):
                    cls.perform_async()
                recorder.perform_one()
                cls.perform_async()
                with pytest.raises(QueueFull):
                    cls.perform_async()
                assert recorder.drain() == 2


# fake: virtual time


def test_advance_runs_at_the_due_time_in_due_order() -> None:
    """Each job sees the virtual clock at its own due time, and so do its children."""
    with testing.fake() as recorder:
        start = recorder.now
        seen: list[tuple[str, float]] = []

        class Timed(Job):
            def perform(self, name: str, child: float | None = None) -> None:
                seen.append((name, (recorder.now - start).total_seconds()))
                if child is not None:
                    Timed.perform_in(child, f"child of {name}")

        Timed.perform_in(30, "c")
        Timed.perform_in(10, "a", child=5)
        Timed.perform_at(start + timedelta(seconds=20), "b")
        Timed.perform_in(100, "later")
        Timed.perform_async("now")
        assert recorder.advance(60) == 5
        assert seen == [("now", 0), ("a", 10), ("child of a", 15), ("b", 20), ("c", 30)]
        assert (recorder.now - start).total_seconds() == 60
        assert recorder.advance(timedelta(seconds=40)) == 1
        assert seen[-1] == ("later", 100)


@pytest.mark.parametrize("steps", [1, 7, 60, 600])
def test_small_steps_reach_as_far_as_one_big_one(steps: int) -> None:
    """Sixty times a second is a minute: no job is missed by a rounding error."""
    with testing.fake() as recorder:
        Welcome.perform_in(60, 1)
        Welcome.perform_at(recorder.now + timedelta(seconds=60), 2)
        assert sum(recorder.advance(60 / steps) for _ in range(steps)) == 2


def test_no_real_time_passes() -> None:
    """A year of retries takes no time."""

    class Patient(Job):
        retry = Retry(max_attempts=100, wait=86_400 * 4, factor=1, max_wait=1e9, jitter=0)

        def perform(self) -> int:
            if self.attempt < 90:
                raise OSError
            return self.attempt

    begin = time.monotonic()
    with testing.fake() as recorder:
        handle = Patient.perform_async()
        recorder.advance(86_400 * 365)
        assert handle.result() == 90
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("seconds", [-1, float("nan"), "60"])
def test_advance_refuses_what_is_no_span_of_time(seconds: Any) -> None:
    """As every delay."""
    with testing.fake() as recorder, pytest.raises(ValueError, match=r"fake\.advance: delay="):
        recorder.advance(seconds)


# fake: assertions


def test_assert_enqueued() -> None:
    """Returns the handle that matches; every condition may be left out."""

    @job
    def hello(user_id: int) -> None: ...

    with testing.fake() as recorder:
        first = Welcome.perform_async(1, greeting="hej")
        second = Welcome.perform_in(60, 2)
        third = hello.perform_async(3)
        assert recorder.assert_enqueued(Welcome) is first
        assert recorder.assert_enqueued(Welcome, args=(2,)) is second
        assert recorder.assert_enqueued(Welcome, kwargs={"greeting": "hej"}) is first
        assert recorder.assert_enqueued(Welcome, args=(2,), kwargs={}, within=60) is second
        assert recorder.assert_enqueued(hello) is third
        recorder.assert_not_enqueued(Cleanup)


@pytest.mark.parametrize(
    "conditions",
    [
        {"args": (1,)},
        {"kwargs": {"greeting": "ho"}},
        {"args": (42,), "kwargs": {}},
        {"within": 59},
        {"within": timedelta(seconds=59.9)},
    ],
)
def test_assert_enqueued_says_what_was_enqueued_instead(conditions: dict[str, Any]) -> None:
    """The message has what was wanted and every job that waits, with its arguments."""
    with testing.fake() as recorder:
        Welcome.perform_in(60, 42, greeting="hej")
        Cleanup.perform_async()
        with pytest.raises(AssertionError) as caught:
            recorder.assert_enqueued(Welcome, **conditions)
        wanted, _, listed = str(caught.value).partition("\nenqueued: ")
        assert wanted.startswith("not enqueued: Welcome ")
        assert all(f"{name}=" in wanted for name in conditions)
        assert listed == (
            "\n  Cleanup args=() kwargs={}\n  Welcome args=(42,) kwargs={'greeting': 'hej'} in 60 s"
        )


def test_arguments_that_are_no_tuple_are_refused() -> None:
    """``args=(42)`` is the number: the message shows how the tuple is written."""
    with testing.fake() as recorder:
        Welcome.perform_async(42)
        with pytest.raises(InvalidOption, match=r"args=42 is not valid; .* such as \(42,\)"):
            recorder.assert_enqueued(Welcome, args=(42))  # type: ignore[arg-type]


def test_assertion_messages_with_nothing_and_with_too_much() -> None:
    """Nothing is called nothing, and an unwanted job is shown."""
    with testing.fake() as recorder:
        with pytest.raises(AssertionError, match="not enqueued: Cleanup\nenqueued: nothing"):
            recorder.assert_enqueued(Cleanup)
        Cleanup.perform_async()
        recorder.drain()
        recorder.assert_not_enqueued(Cleanup)  # it ran; it waits no more
        with pytest.raises(AssertionError, match=r"\n  no longer: <Handle Cleanup .* succeeded>"):
            recorder.assert_enqueued(Cleanup)
        Welcome.perform_async(1)
        with pytest.raises(AssertionError, match=r"should not be: Welcome\n.*\n  Welcome args=\(1"):
            recorder.assert_not_enqueued(Welcome)
        with pytest.raises(TypeError, match="neither a Job class nor a function"):
            recorder.assert_enqueued(len)


# Modes as such


def test_waiting_for_idleness_in_a_mode() -> None:
    """It answers at once: false while a job is due, true when all that wait have another time."""

    class Late(Job):
        retry = Retry(max_attempts=2, wait=60)

        def perform(self) -> None:
            if self.attempt == 1:
                raise OSError

    with testing.inline():
        Late.perform_in(10)
        assert counterpunch.wait_idle()
        assert counterpunch.wait_idle(scheduled=True)
    with testing.fake() as recorder:
        Late.perform_in(10)
        assert counterpunch.wait_idle()
        assert not counterpunch.wait_idle(scheduled=True)
        recorder.advance(10)
        Late.perform_async()
        assert not counterpunch.wait_idle()
        recorder.advance(60)
        assert counterpunch.wait_idle(scheduled=True)


def test_modes_nest() -> None:
    """The innermost counts; leaving it restores the one around it, and in the end the real."""

    class Here(Job):
        def perform(self) -> str:
            return threading.current_thread().name

    with testing.fake() as outer:
        first = Here.perform_async()
        with testing.inline():
            assert Here.perform_async().done()
            with testing.fake() as inner:
                second = Here.perform_async()
                assert inner.jobs == [second]
            assert Here.perform_async().done()
        assert second.status is Status.LOST  # it waited when its mode ended
        third = Here.perform_async()
        assert outer.jobs == [first, third]
        assert outer.drain() == 2
    assert Here.perform_async().result(LONG) == "counterpunch-Here_0"


def test_a_mode_ends_with_an_exception_too() -> None:
    """What the test raises passes through, and the real runtime is back."""

    def failing_test() -> None:
        with testing.fake():
            Welcome.perform_async(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing_test()
    assert Welcome.perform_async(1).result(LONG) == "hi 1"


def test_fake_in_threads_started_inside() -> None:
    """What a thread started inside enqueues is recorded as well."""
    with testing.fake() as recorder:
        threads = [threading.Thread(target=Welcome.perform_async, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
        assert sorted(handle.args for handle in recorder.jobs) == [(n,) for n in range(8)]
        assert recorder.drain() == 8


def test_a_mode_does_not_touch_the_jobs_outside() -> None:
    """Jobs of the real runtime go on meanwhile, and its counters are back afterwards."""
    go, started = threading.Event(), threading.Event()

    class Outside(Job):
        def perform(self) -> str:
            started.set()
            assert go.wait(LONG)
            return "done"

    handle = Outside.perform_async()
    assert started.wait(LONG)
    with testing.fake():
        assert counterpunch.stats().total.accepted == 0
        assert counterpunch.find(handle.id) is None
        go.set()
        assert handle.result(LONG) == "done"
    assert Outside.stats().succeeded == 1
    assert counterpunch.find(handle.id) is handle


def test_what_has_ended_and_is_forgotten_is_let_go() -> None:
    """A long test with ``fake()`` keeps the jobs of the history, and no others."""
    configure(history=1)
    with testing.fake() as recorder:

        class PassingJob(Job):
            def perform(self) -> None: ...

        seen = [weakref.ref(PassingJob.perform_async()) for _ in range(3)]
        assert recorder.drain() == 3
        gc.collect()
        assert [ref() is None for ref in seen] == [True, True, False]


def test_no_thread_is_started() -> None:
    """Neither mode needs one, not even for delays."""
    before = set(threading.enumerate())
    with testing.fake() as recorder:
        Welcome.perform_async(1)
        Welcome.perform_in(5, 1)
        recorder.advance(5)
        with testing.inline():
            Welcome.perform_in(5, 1)
        assert set(threading.enumerate()) <= before


# The pytest plugin

USER_TEST = """
from counterpunch import Job

class Mail(Job):
    sent = []

    def perform(self, to):
        self.sent.append(to)

def sign_up(name):
    Mail.perform_in(60, name)

def test_recorded(counterpunch_fake):
    sign_up("ada")
    counterpunch_fake.assert_enqueued(Mail, args=("ada",), within=60)
    assert Mail.sent == []
    assert counterpunch_fake.advance(60) == 1
    assert Mail.sent == ["ada"]

def test_at_once(counterpunch_inline):
    sign_up("grace")
    assert Mail.sent == ["ada", "grace"]

def test_message(counterpunch_fake):
    sign_up("ada")
    counterpunch_fake.assert_enqueued(Mail, args=("grace",))
"""


def test_the_fixtures_in_a_real_pytest_run(tmp_path: Path) -> None:
    """Both fixtures work in a user's suite, and a failed assertion says what was enqueued."""
    (tmp_path / "test_user.py").write_text(USER_TEST)
    package = Path(counterpunch.__file__).parent.parent
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "counterpunch._pytest"),
            *("-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)),
        ],
        env={
            **os.environ,
            "PYTHONPATH": str(package),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # installed, it would be loaded twice
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    assert "1 failed, 2 passed" in run.stdout
    assert "not enqueued: Mail args=('grace',)" in run.stdout
    assert "Mail args=('ada',) kwargs={} in 60 s" in run.stdout


def test_the_entry_point() -> None:
    """Once installed, pytest finds the fixtures by itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    points = project["project"]["entry-points"]["pytest11"]
    assert points == {"counterpunch": "counterpunch._pytest"}
