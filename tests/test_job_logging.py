"""What the log says of a job, and the filter that stamps records made inside one."""

from __future__ import annotations

import logging
import threading

import pytest

import counterpunch
from counterpunch import Job, JobLogFilter, Retry

SOON = 10.0  # seconds


class Logged(Job):
    retry = Retry(max_attempts=2, on=(OSError,), wait=0, jitter=0)

    def perform(self, secret: str, how: str = "") -> None:
        logging.getLogger("app").warning("inside")
        if how == "once" and self.attempt == 1:
            raise OSError("busy")
        if how == "fail":
            raise KeyError("gone")


def lines(caplog, handle):
    return [
        (record.levelname, record.attempt, record.getMessage().split("\n")[0])
        for record in caplog.records
        if record.name == "counterpunch" and getattr(record, "job_id", "") == handle.id
    ]


def test_start_is_debug_end_is_info_failure_is_error(caplog):
    """One line each; every record carries the job's id, class and attempt."""
    caplog.set_level(logging.DEBUG, "counterpunch")
    handle = Logged.perform_async("x", "once")
    handle.result(SOON)
    found = lines(caplog, handle)
    assert [(level, attempt) for level, attempt, _ in found] == [
        ("DEBUG", 1),
        ("WARNING", 1),
        ("DEBUG", 2),
        ("INFO", 2),
    ]
    assert found[0][2] == f"Logged('x', 'once') {handle.id} attempt 1 started"
    assert f"{handle.id} attempt 2 succeeded in " in found[-1][2]
    assert {r.job for r in caplog.records if r.name == "counterpunch"} == {"Logged"}

    failing = Logged.perform_async("x", "fail")
    failing.exception(SOON)
    assert [level for level, _, _ in lines(caplog, failing)] == ["DEBUG", "ERROR"]


def test_without_info_nothing_is_said_of_a_success(caplog):
    """The usual level: start and end are silent."""
    caplog.set_level(logging.WARNING, "counterpunch")
    handle = Logged.perform_async("x")
    handle.result(SOON)
    assert lines(caplog, handle) == []


def test_arguments_are_left_out_for_a_class_that_says_so(caplog):
    """log_args = False, and configure(log_args=False) for all."""

    class Secret(Logged):
        log_args = False

    caplog.set_level(logging.DEBUG, "counterpunch")
    Secret.perform_async("hunter2", "fail").exception(SOON)
    counterpunch.configure(log_args=False)
    Logged.perform_async("hunter2", "fail").exception(SOON)
    assert "hunter2" not in caplog.text


class Keep(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def app_log():
    handler, logger = Keep(), logging.getLogger("app")
    handler.addFilter(JobLogFilter())
    logger.addHandler(handler)
    yield handler.records
    logger.removeHandler(handler)


def test_the_filter_stamps_what_is_logged_inside_a_job(app_log):
    """Any logger's record made in the job, on its thread, has the job's id."""
    handle = Logged.perform_async("x")
    handle.result(SOON)
    (record,) = app_log
    assert (record.job_id, record.job, record.attempt) == (handle.id, "Logged", 1)


def test_outside_of_jobs_a_format_with_the_id_still_works(app_log):
    """The attributes are always there, and what a record has is not overwritten."""
    logging.getLogger("app").warning("outside")
    logging.getLogger("app").warning("own", extra={"job_id": "mine"})
    assert logging.Formatter("%(job_id)s %(job)s %(attempt)s").format(app_log[0]) == "- - 0"
    assert app_log[1].job_id == "mine"


def test_records_of_two_jobs_at_once_are_not_mixed_up(app_log):
    """Two jobs log while both run: each record has its own job's id."""
    meet = threading.Barrier(2)

    class Twin(Job):
        workers = 2

        def perform(self) -> None:
            meet.wait(SOON)
            logging.getLogger("app").warning(self.handle.id)
            meet.wait(SOON)

    for handle in Twin.perform_bulk([(), ()]):
        handle.result(SOON)
    assert len(app_log) == 2
    assert all(record.job_id == record.getMessage() for record in app_log)
