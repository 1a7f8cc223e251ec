"""Hooks, handlers and middleware: their order, once each, and none in another's way."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import counterpunch
from counterpunch import (
    Discard,
    Discarded,
    Handle,
    InvalidOption,
    Job,
    Retry,
    Status,
    around_enqueue,
    around_perform,
    current_job,
    on_error,
    testing,
)

LONG = 10.0  # seconds; a bound that turns a hang into a failure, never reached otherwise


class Broken(Exception):
    pass


@pytest.fixture
def installed() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Registers what removes a handler; it is called at the end of the test."""
    removers: list[Callable[[], None]] = []
    yield removers.append
    for remove in removers:
        remove()


def run_threads(cls: Any, *args: Any) -> None:
    cls.perform_async(*args).exception(LONG)
    assert counterpunch.wait_idle(LONG, scheduled=True)


def run_inline(cls: Any, *args: Any) -> None:
    with testing.inline(), contextlib.suppress(BaseException):
        cls.perform_async(*args)


def run_fake(cls: Any, *args: Any) -> None:
    with testing.fake() as recorder, contextlib.suppress(BaseException):
        cls.perform_async(*args)
        recorder.advance(3600)


def run_now(cls: Any, *args: Any) -> None:
    with contextlib.suppress(BaseException):
        cls.perform_now(*args)


MODES = pytest.mark.parametrize(
    "run",
    [run_threads, run_inline, run_fake, run_now],
    ids=["threads", "inline", "fake", "perform_now"],
)
RETRYING_MODES = pytest.mark.parametrize(
    "run", [run_threads, run_inline, run_fake], ids=["threads", "inline", "fake"]
)


class Recorded(Job):
    """Writes down every hook; ``breaking`` names those that raise."""

    calls: list[str] = []  # noqa: RUF012
    breaking: frozenset[str] = frozenset()

    def note(self, name: str) -> None:
        Recorded.calls.append(name)
        if name.split()[0] in type(self).breaking:
            raise Broken(name)

    def on_enqueue(self) -> None:
        self.note("on_enqueue")

    def before(self) -> None:
        self.note("before")

    def perform(self, failures: int = 0) -> str:
        self.note("perform")
        if self.attempt <= failures:
            raise OSError(f"attempt {self.attempt}")
        return "value"

    def on_success(self, result: str) -> None:
        self.note(f"on_success {result}")

    def on_error(self, exc: BaseException) -> None:
        self.note(f"on_error {exc}")

    def on_failure(self, exc: BaseException) -> None:
        self.note(f"on_failure {exc}")

    def after(self) -> None:
        self.note("after")


class Plain(Recorded):
    pass


class Thrice(Recorded):
    retry = Retry(max_attempts=3, wait=0.001)


@pytest.fixture(autouse=True)
def empty_record() -> None:
    Recorded.calls = []


def recorded() -> list[str]:
    return [call for call in Recorded.calls if call != "on_enqueue"]


# Order


@MODES
def test_order_after_success(run: Callable[..., None]) -> None:
    """before, perform, on_success with the result, after."""
    run(Plain)
    assert recorded() == ["before", "perform", "on_success value", "after"]
    enqueued = 0 if run is run_now else 1
    assert Recorded.calls.count("on_enqueue") == enqueued
    assert Recorded.calls[:enqueued] == ["on_enqueue"] * enqueued


@MODES
def test_order_after_failure(run: Callable[..., None]) -> None:
    """before, perform, on_error, on_failure, after."""
    run(Plain, 1)
    assert recorded() == [
        *("before", "perform", "on_error attempt 1", "on_failure attempt 1", "after")
    ]


@RETRYING_MODES
def test_on_failure_exactly_once(run: Callable[..., None]) -> None:
    """on_error for each failed attempt; on_failure for the last one only; after always."""
    run(Thrice, 9)
    assert recorded() == [
        *("before", "perform", "on_error attempt 1", "after"),
        *("before", "perform", "on_error attempt 2", "after"),
        *("before", "perform", "on_error attempt 3", "on_failure attempt 3", "after"),
    ]


@RETRYING_MODES
def test_no_on_failure_when_a_retry_succeeds(run: Callable[..., None]) -> None:
    """A job that recovers has not failed."""
    run(Thrice, 2)
    assert [call.split()[0] for call in recorded() if call.startswith("on_")] == [
        *("on_error", "on_error", "on_success")
    ]


def test_perform_now_gives_up_after_one_attempt() -> None:
    """A failure is final there, so on_failure follows at once, though the class retries."""
    with pytest.raises(OSError, match="attempt 1"):
        Thrice.perform_now(9)
    assert recorded() == [
        *("before", "perform", "on_error attempt 1", "on_failure attempt 1", "after")
    ]


@MODES
@pytest.mark.parametrize("how", ["Discard", "discard_on"])
def test_discarding_is_no_failure(run: Callable[..., None], how: str) -> None:
    """Neither on_error nor on_failure; after is called."""

    class Unneeded(Recorded):
        discard_on = (KeyError,)

        def perform(self, failures: int = 0) -> str:
            raise Discard("not needed") if how == "Discard" else KeyError("stale")

    run(Unneeded)
    assert recorded() == ["before", "after"]


# Hooks that raise


@MODES
@pytest.mark.parametrize("hook", ["on_success", "after"])
def test_a_hook_that_raises_after_success(
    run: Callable[..., None], hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Logged with its name and the job; the others have their turn, the job has succeeded."""

    class Fragile(Recorded):
        breaking = frozenset({hook})

    handles: list[Any] = []

    class Watched(Fragile):
        def before(self) -> None:
            handles.append(self.handle)
            super().before()

    run(Watched)
    assert recorded() == ["before", "perform", "on_success value", "after"]
    assert handles[0].status is Status.SUCCEEDED
    assert handles[0].result(0) == "value"
    records = [r for r in caplog.records if r.getMessage().startswith(f"{hook} of ")]
    assert len(records) == 1
    assert handles[0].id in records[0].getMessage()
    assert records[0].exc_info


@MODES
@pytest.mark.parametrize("raising", [Broken, SystemExit, KeyboardInterrupt])
def test_hooks_that_raise_after_a_failure(
    run: Callable[..., None], raising: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """All of them raise, whatever they raise: each still had its turn, once."""

    class Hopeless(Recorded):
        breaking = frozenset({"on_error", "on_failure", "after"})

        def note(self, name: str) -> None:
            try:
                super().note(name)
            except Broken:
                raise raising from None

    run(Hopeless, 1)
    assert recorded() == [
        *("before", "perform", "on_error attempt 1", "on_failure attempt 1", "after")
    ]
    logged = [r.getMessage().split(" of ")[0] for r in caplog.records if " of " in r.getMessage()]
    assert logged == ["on_error", "on_failure", "after"]


@MODES
def test_before_that_raises_is_a_failed_attempt(run: Callable[..., None]) -> None:
    """perform is not reached; on_error, on_failure and after are."""

    class Unready(Recorded):
        breaking = frozenset({"before"})

    run(Unready)
    assert recorded() == ["before", "on_error before", "on_failure before", "after"]


def test_before_that_raises_is_retried() -> None:
    """It counts as the attempt failing, so the policy is asked."""

    class Warming(Job):
        retry = Retry(max_attempts=2, wait=0)

        def before(self) -> None:
            if self.attempt == 1:
                raise OSError

        def perform(self) -> int:
            return self.attempt

    assert Warming.perform_async().result(LONG) == 2


def test_discard_out_of_before() -> None:
    """``Discard`` in before ends the job quietly."""

    class Stale(Job):
        def before(self) -> None:
            raise Discard("superseded")

        def perform(self) -> None: ...

    with pytest.raises(Discarded, match="superseded"):
        Stale.perform_async().result(LONG)


def test_on_enqueue_runs_on_the_callers_thread(caplog: pytest.LogCaptureFixture) -> None:
    """With the handle at hand; one that raises is logged and the job is enqueued all the same."""
    seen: list[Any] = []

    class Announced(Job):
        def on_enqueue(self) -> None:
            seen.append((threading.current_thread(), self.handle, self.handle.args))
            raise Broken

        def perform(self, number: int) -> int:
            return number

    handle = Announced.perform_async(7)
    assert seen == [(threading.current_thread(), handle, (7,))]
    assert handle.result(LONG) == 7
    assert "on_enqueue of" in caplog.text


def test_on_enqueue_may_discard() -> None:
    """``Discard`` there ends the job before it is anywhere."""

    class Refused(Job):
        def on_enqueue(self) -> None:
            raise Discard("not today")

        def perform(self) -> None: ...

    with testing.fake() as recorder:
        handle = Refused.perform_async()
        assert handle.status is Status.DISCARDED
        assert "not today" in (handle.error or "")
        assert recorder.jobs == []
        assert Refused.stats().accepted == Refused.stats().discarded == 1


def test_the_class_cannot_be_instantiated() -> None:
    """Its failure hooks hear of it even so."""
    heard: list[str] = []

    class Impossible(Job):
        def __init__(self) -> None:
            raise Broken("init")

        def perform(self) -> None: ...

        def on_failure(self, exc: BaseException) -> None:
            heard.append(f"{exc} {self.attempt}")

    with pytest.raises(Broken, match="init"):
        Impossible.perform_async().result(LONG)
    assert heard == ["init 1"]


# on_error handlers


@MODES
def test_on_error_handlers(
    run: Callable[..., None],
    installed: Callable[[Callable[[], None]], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In their order, after the job's own hooks; a broken one is logged, the next runs."""
    calls: list[Any] = []

    def broken(exc: BaseException, handle: Handle[Any], will_retry: bool) -> None:
        calls.append("broken")
        raise SystemExit

    def last(exc: BaseException, handle: Handle[Any], will_retry: bool) -> None:
        calls.append((str(exc), handle.args, will_retry, Recorded.calls[-1]))

    installed(on_error(broken))
    installed(on_error(last))
    run(Plain, 1)
    assert calls == ["broken", ("attempt 1", (1,), False, "after")]
    assert "an on_error handler of" in caplog.text


def test_on_error_is_told_of_a_retry(installed: Callable[[Callable[[], None]], None]) -> None:
    """``will_retry`` is True but for the last attempt; success and discard are no errors."""
    told: list[bool] = []

    @on_error
    def remove(exc: BaseException, handle: Handle[Any], will_retry: bool) -> None:
        told.append(will_retry)

    installed(remove)  # type: ignore[arg-type]
    run_threads(Thrice, 9)
    assert told == [True, True, False]
    run_threads(Plain, 0)
    assert len(told) == 3


def test_a_removed_handler_is_not_called() -> None:
    """What registering returns removes it, once; the same function may be there twice."""
    calls: list[int] = []

    def handler(exc: BaseException, handle: Handle[Any], will_retry: bool) -> None:
        calls.append(1)

    first, second = on_error(handler), on_error(handler)
    run_threads(Plain, 1)
    assert len(calls) == 2
    first()
    first()
    run_threads(Plain, 1)
    second()
    assert len(calls) == 3
    run_threads(Plain, 1)
    assert len(calls) == 3


@pytest.mark.parametrize("register", [on_error, around_perform, around_enqueue])
def test_handlers_must_be_callable(register: Any) -> None:
    """Refused where it is registered."""
    with pytest.raises(InvalidOption, match=rf"{register.__name__}=3 is not valid.*a callable"):
        register(3)


# Middleware


def trace(name: str, calls: list[str]) -> Callable[[Handle[Any]], Any]:
    @contextlib.contextmanager
    def around(handle: Handle[Any]) -> Iterator[None]:
        calls.append(f"{name} in {handle.status.value}")
        try:
            yield
        except BaseException as exc:
            calls.append(f"{name} saw {type(exc).__name__}")
            raise
        finally:
            calls.append(f"{name} out")

    return around


@MODES
def test_around_perform_order(
    run: Callable[..., None], installed: Callable[[Callable[[], None]], None]
) -> None:
    """First added is outermost; before and perform inside, the other hooks after it."""
    installed(around_perform(trace("outer", Recorded.calls)))
    installed(around_perform(trace("inner", Recorded.calls)))
    run(Plain, 1)
    assert recorded() == [
        *("outer in running", "inner in running", "before", "perform"),
        *("inner saw OSError", "inner out", "outer saw OSError", "outer out"),
        *("on_error attempt 1", "on_failure attempt 1", "after"),
    ]


def test_around_perform_around_each_attempt(
    installed: Callable[[Callable[[], None]], None],
) -> None:
    """Entered anew for a retry, in the job's context and on its thread."""
    seen: list[Any] = []

    @contextlib.contextmanager
    def around(handle: Handle[Any]) -> Iterator[None]:
        on_worker = threading.current_thread().name.startswith("counterpunch-Thrice_")
        seen.append((handle.attempt, current_job() is handle, on_worker))
        yield

    installed(around_perform(around))
    run_threads(Thrice, 1)
    assert seen == [(1, True, True), (2, True, True)]


@MODES
@pytest.mark.parametrize(
    ("raised", "hooks"),
    [
        (OSError("no database"), ["on_error no database", "on_failure no database", "after"]),
        (Discard("not on this host"), ["after"]),
    ],
)
def test_around_perform_that_raises_on_entry(
    run: Callable[..., None],
    raised: Exception,
    hooks: list[str],
    installed: Callable[[Callable[[], None]], None],
) -> None:
    """The attempt has failed, or the job is discarded; the outer one is left in order."""

    @contextlib.contextmanager
    def closed(handle: Handle[Any]) -> Iterator[None]:
        raise raised
        yield

    installed(around_perform(trace("outer", Recorded.calls)))
    installed(around_perform(closed))
    run(Plain)
    kind = type(raised).__name__
    assert recorded() == ["outer in running", f"outer saw {kind}", "outer out", *hooks]


def test_a_removed_middleware_is_not_entered() -> None:
    """Neither kind stays behind, also for a class that was in use before."""
    calls: list[str] = []
    run_threads(Plain)
    removers = [around_perform(trace("p", calls)), around_enqueue(trace("e", calls))]
    run_threads(Plain)
    assert calls == ["e in queued", "e out", "p in running", "p out"]
    for remove in removers:
        remove()
    run_threads(Plain)
    assert len(calls) == 4


def test_around_enqueue_order(installed: Callable[[Callable[[], None]], None]) -> None:
    """On the caller's thread, first added outermost, on_enqueue inside; not for perform_now."""
    installed(around_enqueue(trace("outer", Recorded.calls)))
    installed(around_enqueue(trace("inner", Recorded.calls)))
    with testing.fake():
        Plain.perform_async()
        assert Recorded.calls == [
            *("outer in queued", "inner in queued", "on_enqueue", "inner out", "outer out")
        ]
        for call in (
            lambda: Plain.perform_in(60),
            lambda: Plain.perform_at(0),
            lambda: Plain.using(priority=2).perform_async(),
            lambda: Plain.perform_bulk([()]),
        ):
            Recorded.calls.clear()
            call()
            assert len(Recorded.calls) == 5
    Recorded.calls.clear()
    Plain.perform_now()
    assert not any("in" in call.split() for call in Recorded.calls)


def test_around_enqueue_may_discard(installed: Callable[[Callable[[], None]], None]) -> None:
    """``Discard`` on entry: the handle says so, and nothing is queued."""

    @contextlib.contextmanager
    def limiter(handle: Handle[Any]) -> Iterator[None]:
        if handle.args == (1,):
            raise Discard("over the limit")
        yield

    installed(around_enqueue(limiter))
    with testing.fake() as recorder:
        refused, accepted = Plain.perform_async(1), Plain.perform_async()
        assert recorder.jobs == [accepted]
        assert refused.status is Status.DISCARDED
        with pytest.raises(Discarded, match="over the limit"):
            refused.result()


def test_around_enqueue_that_raises(installed: Callable[[Callable[[], None]], None]) -> None:
    """The caller gets the exception, nothing runs, and the counters still add up."""

    @contextlib.contextmanager
    def down(handle: Handle[Any]) -> Iterator[None]:
        raise Broken("no tracing")
        yield

    installed(around_enqueue(down))
    with testing.fake() as recorder:
        with pytest.raises(Broken, match="no tracing"):
            Plain.perform_async()
        with pytest.raises(Broken):
            Plain.perform_in(5)
        assert recorder.jobs == []
        stats = Plain.stats()
        assert stats.accepted == stats.discarded == 2


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
    assert "<Unshowable: its repr raised Broken>" in record.getMessage()
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
