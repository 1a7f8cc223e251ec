"""Whose turn it is after an attempt: each has it, whatever the others do."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from making import job, lane, running, site

from counterpunch.core.values.hooks import process
from counterpunch.core.values.status import FAILED, RETRYING, SUCCEEDED, Status
from counterpunch.core.workers.outcome import Abandon
from counterpunch.core.workers.turns import Turn, turns


class Hooks:
    """A job with every hook, and who has had a turn."""

    def __init__(self, threads: bool = False, **body: Any) -> None:
        self.told: list[Any] = []
        hooks = {
            "on_success": lambda _, value: self.told.append(("on_success", value)),
            "on_error": lambda _, exc: self.told.append(("on_error", exc)),
            "on_failure": lambda _, exc: self.told.append(("on_failure", exc)),
            "after": lambda _: self.told.append("after"),
        }
        self.lane = lane(site(threads), job(**{**hooks, **body}))
        self.call = running(self.lane)
        self.job = self.lane.job()
        self.job.handle = self.call

    def after(self, status: Status, failure: BaseException | None = None) -> list[Any]:
        """Let everybody have a turn after an attempt that went so."""
        told = Turn(status, "value", failure)
        list(turns(self.call, self.lane, self.job, told, False))
        return self.told


def failure() -> BaseException:
    """One that was raised somewhere."""
    try:
        raise LookupError("somewhere")
    except LookupError as exc:
        return exc


def test_after_a_success() -> None:
    """With the value that came of it."""
    assert Hooks().after(SUCCEEDED) == [("on_success", "value"), "after"]


def test_after_a_failure() -> None:
    """The handlers of the process come last, and hear that no attempt follows."""
    hooks, exc = Hooks(), failure()
    assert hooks.after(FAILED, exc) == [("on_error", exc), ("on_failure", exc), "after"]


def test_after_a_failure_that_is_retried(monkeypatch: Any) -> None:
    """It is an error and no failure yet; a handler hears that another attempt follows."""
    hooks, exc = Hooks(), failure()
    monkeypatch.setattr(process, "on_error", (lambda *told: hooks.told.append(told),))
    expected = [("on_error", exc), "after", (exc, hooks.call, True)]
    assert hooks.after(RETRYING, exc) == expected


def test_one_that_raises_is_logged_and_the_next_has_its_turn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever it raises."""

    def on_success(self: Any, value: Any) -> None:
        raise SystemExit

    hooks = Hooks(on_success=on_success)
    with caplog.at_level(logging.ERROR, "counterpunch"):
        assert hooks.after(SUCCEEDED) == ["after"]
    assert "on_success" in caplog.text


def test_one_that_raises_while_it_is_awaited_is_logged_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The driver throws it in where the hook gave its coroutine."""
    hooks = Hooks()
    taking = turns(hooks.call, hooks.lane, hooks.job, Turn(SUCCEEDED, "value", None), False)
    next(taking)
    with caplog.at_level(logging.ERROR, "counterpunch"):
        taking.throw(LookupError())
        assert list(taking) == []
    assert hooks.told == [("on_success", "value"), "after"]
    assert "on_success" in caplog.text


def test_a_job_that_the_leaving_process_gave_up_has_no_turns() -> None:
    """It was reported as lost already."""
    assert Hooks().after(FAILED, Abandon()) == []


@pytest.mark.parametrize(("threads", "handed_over"), [(True, False), (False, True)])
def test_no_frames_are_kept_once_all_have_seen_a_failure(threads: bool, handed_over: bool) -> None:
    """But in a test mode, where it is about to be raised."""
    exc = failure()
    hooks, frames = Hooks(threads, on_error=lambda _, exc: frames.append(exc.__traceback__)), []
    hooks.call.outcome = exc
    hooks.after(FAILED, exc)
    assert frames[0] is not None
    assert exc.__traceback__ is not None  # it was not raised in a job, so it is not ours
    assert (hooks.call.outcome is exc) is handed_over
    assert handed_over or hooks.call.outcome.__traceback__ is None


def test_integrations_are_around_all_turns(monkeypatch: Any) -> None:
    """Around those of the process, too."""
    hooks = Hooks()

    @contextmanager
    def around(made: Any) -> Iterator[None]:
        hooks.told.append("in")
        yield
        hooks.told.append("out")

    monkeypatch.setattr(process, "around_hooks", (around,))
    assert hooks.after(SUCCEEDED) == ["in", ("on_success", "value"), "after", "out"]


def test_an_integration_that_fails_keeps_nobody_from_its_turn(
    monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged."""
    monkeypatch.setattr(process, "around_hooks", (lambda made: 1 / 0,))
    with caplog.at_level(logging.ERROR, "counterpunch"):
        assert Hooks().after(SUCCEEDED) == [("on_success", "value"), "after"]
    assert "around_hooks" in caplog.text
