"""What the log says of a job, and the filter that stamps records made inside one."""

from __future__ import annotations

import logging
import threading

import pytest

import counterpunch
from counterpunch import InvalidOption, Job, JobLogFilter, Retry, job

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


@pytest.mark.parametrize(
    "redact",
    [
        ("password", "tokens", "pin"),
        lambda name, value: value if name == "user" else "[hidden]",
    ],
)
def test_arguments_are_hidden_by_name(caplog, redact):
    """Positional or named, surplus ones too; the rest is shown, and perform gets them all."""
    got = []

    class Login(Job):
        def perform(self, user: str, password: str, *tokens: str, pin: int = 0) -> None:
            got.append((user, password, tokens, pin))
            raise KeyError("gone")

    Login.redact = redact
    caplog.set_level(logging.DEBUG, "counterpunch")
    Login.perform_async("ada", "hunter2", "t0ken", "t1ken", pin=1234).exception(SOON)
    Login.perform_async("ada", password="hunter2").exception(SOON)
    Login.perform_in(3600, "bob", "hunter2")
    counterpunch.shutdown(timeout=SOON)  # the report of what was lost
    assert got == [("ada", "hunter2", ("t0ken", "t1ken"), 1234), ("ada", "hunter2", (), 0)]
    texts = [record.getMessage() for record in caplog.records]
    for secret in ("hunter2", "t0ken", "t1ken", "1234"):
        assert not [text for text in texts if secret in text]
    hidden = "[hidden]" if isinstance(redact, tuple) else "'[hidden]'"
    assert f"Login('ada', {hidden}, {hidden}, {hidden}, pin={hidden}) " in texts[0]
    assert any(f"Login('ada', password={hidden}) " in text for text in texts)
    assert f"Login('bob', {hidden}) " in texts[-1]


def test_a_redact_that_raises_hides(caplog):
    """Rather too little is shown than too much; the log says that it raised."""

    class Broken(Logged):
        def redact(name, value):
            raise SystemExit

    caplog.set_level(logging.DEBUG, "counterpunch")
    Broken.perform_async("hunter2").result(SOON)
    assert "hunter2" not in caplog.text
    assert "Broken: redact raised SystemExit" in caplog.text
    assert "Broken([hidden]) " in caplog.text


def test_a_misspelt_name_to_hide_is_refused():
    """It would hide nothing. A base class may name more than each of its jobs has."""
    with pytest.raises(InvalidOption, match=r"Typo: redact='passwort' .*: password"):

        class Typo(Job):
            redact = ("passwort",)

            def perform(self, password: str) -> None: ...

    class Base(Job):
        redact = ("password", "token")

    class Mail(Base):
        def perform(self, user: str, token: str) -> None: ...

    class Open(Job):
        redact = ("password",)

        def perform(self, **fields: str) -> None: ...

    assert Mail.options["redact"] == {"password", "token"}
    assert Open.options["redact"] == {"password"}


def test_a_function_and_an_async_job_hide_too(caplog):
    """The decorator takes the option; so does async def."""

    @job(redact=("password",))
    def login(user: str, password: str) -> None: ...

    class Later(Job):
        redact = ("password",)

        async def perform(self, user: str, password: str) -> None: ...

    caplog.set_level(logging.DEBUG, "counterpunch")
    login.perform_async("ada", "hunter2").result(SOON)
    Later.perform_async("ada", "hunter2").result(SOON)
    assert "hunter2" not in caplog.text
    assert caplog.text.count("('ada', [hidden])") == 4


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


def test_the_callers_extra_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    """Beside what the logger adds; of two of one name the caller's counts."""

    class Pays(Job):
        def perform(self) -> None:
            self.logger.warning("paid", extra={"order": 5})
            self.logger.warning("told", extra={"job": "mine"})
            self.logger.warning("alone")

    handle = Pays.perform_async()
    handle.result(10)
    paid, told, alone = (vars(record) for record in caplog.records[-3:])
    assert (paid["order"], paid["job_id"], paid["attempt"]) == (5, handle.id, 1)
    assert (told["job"], told["job_id"]) == ("mine", handle.id)
    assert alone["job"] == Pays.__qualname__
