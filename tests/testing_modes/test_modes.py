"""The test modes as such: idle, nested, ended, in threads, and beside the jobs outside."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
from sample_jobs import LONG, Welcome

import counterpunch
from counterpunch import Job, Retry, Status, configure, testing

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
