"""Hooks and handlers: their order, once each, and none in another's way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hook_records import (
    LONG,
    MODES,
    RETRYING_MODES,
    Broken,
    Plain,
    Recorded,
    Thrice,
    recorded,
    run_now,
    run_threads,
)
from hook_records import empty_record as empty_record
from hook_records import installed as installed

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
    on_error,
    testing,
)

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


def test_handlers_do_not_hear_of_what_was_discarded() -> None:
    """An attempt that ends as discarded has not failed."""
    told: list[BaseException] = []

    class Drops(Job):
        discard_on = (LookupError,)

        def perform(self, exc: BaseException) -> None:
            raise exc

        def on_error(self, exc: BaseException) -> None:
            told.append(exc)

    remove = on_error(lambda exc, handle, again: told.append(exc))
    try:
        for exc in (KeyError(), Discard()):
            Drops.perform_async(exc).exception(10)
    finally:
        remove()
    assert told == []
