"""What a user has done on the scheduler's thread: it holds up nobody, and comes in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

import counterpunch
from counterpunch import Job
from counterpunch.core.places import aside
from counterpunch.core.values.hooks import logger

LONG = 10.0  # seconds; a bound that turns a hang into a failure, never reached otherwise


class Tick(Job):
    def perform(self) -> None: ...


class Blocked:
    """A user's code that takes its time on another thread."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, *_: object, **__: object) -> None:
        self.reached.set()
        self.opened.wait(LONG)


class Crowded(Job):
    """Its second job expires behind the first, its third falls due on a full queue."""

    workers, max_jobs, timeout = 1, 1, 0.001

    def perform(self, blocked: Blocked | None = None) -> None:
        if blocked is not None:
            blocked()


def overruns(blocked: Blocked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logger, "log", blocked)
    Crowded.perform_async(busy := Blocked())
    assert blocked.reached.wait(LONG)
    busy.opened.set()


def is_called_back(blocked: Blocked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logger, "disabled", True)
    Crowded.perform_async(busy := Blocked())
    assert busy.reached.wait(LONG)
    Crowded.using(expires_in=0.001).perform_async().add_done_callback(blocked)
    assert blocked.reached.wait(LONG)
    assert not counterpunch.wait_idle(0)
    Crowded.using(expires_in=0.001).perform_async().wait(LONG)
    busy.opened.set()


@pytest.mark.parametrize("harm", [overruns, is_called_back])
def test_what_a_user_has_done_as_a_job_overruns_or_expires_holds_up_no_other(
    harm: Callable[[Blocked, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a log handler nor a done callback that blocks; nor those who wait for another."""
    blocked = Blocked()
    try:
        harm(blocked, monkeypatch)
        Tick.perform_in(0.001).result(LONG)
        assert not blocked.opened.is_set()
    finally:
        blocked.opened.set()
    assert counterpunch.wait_idle(LONG)


def test_a_done_callback_told_aside_may_wait_until_all_is_idle() -> None:
    """It is not waited for, as on a worker."""
    Crowded.perform_async(busy := Blocked())
    assert busy.reached.wait(LONG)
    idle, told = list[bool](), threading.Event()

    def callback(_: object) -> None:
        busy.opened.set()
        idle.append(counterpunch.wait_idle(LONG))
        told.set()

    Crowded.using(expires_in=0.001).perform_async().add_done_callback(callback)
    assert told.wait(LONG)
    assert idle == [True]


def overrun() -> None:
    class Slow(Job):
        timeout = 0.001

        def perform(self) -> None:
            for _ in range(10_000):
                self.check_cancelled()
                time.sleep(0.001)

    Slow.perform_async().wait(LONG)


def fell_due_on_a_full_queue() -> None:
    Crowded.perform_async(busy := Blocked())
    assert busy.reached.wait(LONG)
    Crowded.perform_async()
    Crowded.perform_in(0.001).wait(LONG)
    busy.opened.set()


@pytest.mark.parametrize("ending", [overrun, fell_due_on_a_full_queue])
def test_what_led_to_an_end_is_in_the_log_before_who_waits_for_it_goes_on(
    ending: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though another thread writes it."""
    written = threading.Event()

    def write(*_: object, **__: object) -> None:
        time.sleep(0.005)
        written.set()

    monkeypatch.setattr(aside, "MOMENT", LONG)
    with monkeypatch.context() as patch:
        patch.setattr(logger, "log", write)
        ending()
        assert written.is_set()
