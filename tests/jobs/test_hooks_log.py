"""The log: one record for a failure, whatever its arguments and handlers are."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from hook_records import LONG, MODES, Broken, Plain, Thrice, run_fake, run_threads
from hook_records import empty_record as empty_record

import counterpunch
from counterpunch import Job

# The log


def failure_records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [r for r in caplog.records if r.name == "counterpunch" and "failed" in r.getMessage()]


@MODES
def test_one_record_for_a_failure(
    run: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """Class, id, arguments, attempt and traceback, as text and as fields."""

    class Logged(Job):
        def perform(self, user_id: int, *, greeting: str) -> None:
            handles.append(self.handle)
            raise Broken("no such user")

    handles: list[Any] = []
    run(_with_kwargs(Logged, greeting="hej"), 42)
    (record,) = failure_records(caplog)
    text = record.getMessage()
    assert record.levelno == logging.ERROR
    assert "Logged(42, greeting='hej')" in text
    assert handles[0].id in text
    assert "attempt 1 failed: Broken: no such user" in text
    assert record.exc_info is not None
    assert record.exc_info[0] is Broken
    fields = vars(record)
    assert fields["job_id"] == handles[0].id
    assert fields["job"] == Logged.__qualname__
    assert fields["attempt"] == 1
    assert "in perform" in caplog.text


class _with_kwargs:
    """Adds keyword arguments to every call of a job class, for the runners above."""

    def __init__(self, cls: Any, **kwargs: Any) -> None:
        self.perform_async = lambda *args: cls.perform_async(*args, **kwargs)
        self.perform_now = lambda *args: cls.perform_now(*args, **kwargs)


def test_a_failure_that_is_retried_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """One record for each attempt: warnings that say when, and one error at the end."""
    run_fake(Thrice, 9)
    records = failure_records(caplog)
    assert [r.levelname for r in records] == ["WARNING", "WARNING", "ERROR"]
    assert "attempt 1 failed, next in " in records[0].getMessage()
    assert [vars(r)["attempt"] for r in records] == [1, 2, 3]


@pytest.mark.parametrize("where", ["process", "class"])
def test_log_args_off(where: str, caplog: pytest.LogCaptureFixture) -> None:
    """Switched off, for the process or for the class, arguments stay out of the log."""

    class Secret(Job):
        log_args = where != "class"

        def perform(self, password: str) -> None:
            raise Broken

    counterpunch.configure(log_args=where != "process")
    run_threads(Secret, "hunter2")
    (record,) = failure_records(caplog)
    assert "Secret() " in record.getMessage()
    assert "hunter2" not in record.getMessage()


def test_a_long_or_broken_argument_does_not_spoil_the_record(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Long values are cut; one whose ``repr`` raises is named by its type."""

    class Unshowable:
        def __repr__(self) -> str:
            raise Broken

    class Wordy(Job):
        def perform(self, *args: Any) -> None:
            raise Broken("100% wrong: %s %d")

    run_threads(Wordy, "x" * 5000, Unshowable())
    (record,) = failure_records(caplog)
    assert len(record.getMessage()) < 1000
    assert "Unshowable: its repr raised Broken>" in record.getMessage()
    assert "100% wrong: %s %d" in record.getMessage()


def test_a_log_handler_that_raises_does_not_harm_the_job() -> None:
    """Whatever state logging is in, the job ends as it does and the worker lives on."""

    class Exploding(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise SystemExit

    logger = logging.getLogger("counterpunch")
    handler = Exploding()
    logger.addHandler(handler)
    try:
        with pytest.raises(OSError, match="attempt 1"):
            Plain.perform_async(1).result(LONG)
        assert Plain.perform_async(0).result(LONG) == "value"
    finally:
        logger.removeHandler(handler)


def test_the_jobs_own_logger(caplog: pytest.LogCaptureFixture) -> None:
    """``self.logger`` is named after the class and carries the job's id and attempt."""

    class Chatty(Job):
        def perform(self) -> None:
            self.logger.warning("hello %s", "there")

    handle = Chatty.perform_async()
    handle.result(LONG)
    (record,) = [r for r in caplog.records if r.getMessage() == "hello there"]
    assert record.name == f"counterpunch.{Chatty.__qualname__}"
    assert (vars(record)["job_id"], vars(record)["attempt"]) == (handle.id, 1)
