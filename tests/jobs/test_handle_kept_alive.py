"""A job that has ended keeps nothing alive: no frames, no arguments, no callbacks."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import logging
import weakref
from typing import Any

import pytest
from doors import LONG, Boom, Door
from doors import door as door

import counterpunch
from counterpunch import Discard, Job, Retry

# Nothing is kept alive


class Payload:
    """An argument, or a local of perform, whose end can be seen."""


@pytest.fixture
def no_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log records keep the traceback, and pytest keeps the records."""
    monkeypatch.setattr(logging.getLogger("counterpunch"), "disabled", True)


VARIABLE: contextvars.ContextVar[Any] = contextvars.ContextVar("variable")


@pytest.mark.usefixtures("no_logs")
@pytest.mark.parametrize("ending", ["success", "failure", "chained", "retry", "discard", "cancel"])
def test_a_finished_job_keeps_no_frames_and_no_context(ending: str) -> None:
    """The handle remains; what perform had in its locals and the caller's context are gone."""
    kept: list[weakref.ref[Any]] = []

    class Frames(Job):
        retry = Retry(max_attempts=3, wait=0.001, on=(OSError,))

        def perform(self) -> None:
            local = Payload()
            kept.append(weakref.ref(local))
            if ending == "failure":
                raise Boom
            if ending == "retry":
                raise OSError
            if ending == "discard":
                raise Discard
            if ending == "chained":
                try:
                    raise KeyError
                except KeyError as exc:
                    raise Boom from exc

    marker = Payload()
    token = VARIABLE.set(marker)
    handle = Frames.perform_in(60) if ending == "cancel" else Frames.perform_async()
    VARIABLE.reset(token)
    if ending == "cancel":
        assert handle.cancel()
    kept.append(weakref.ref(marker))
    del marker, token
    assert counterpunch.wait_idle(LONG, scheduled=True)
    assert handle.done()
    gc.collect()
    assert [ref() for ref in kept] == [None] * len(kept)
    assert len(kept) == {"cancel": 1, "retry": 4}.get(ending, 2)
    if ending in ("failure", "chained"):
        failure = handle.exception(0)
        assert failure is not None
        assert failure.__traceback__ is None
        assert "in perform" in (handle.error or "")


@pytest.mark.usefixtures("no_logs")
@pytest.mark.parametrize("fail", [False, True])
def test_perform_now_keeps_no_frames_in_the_history(fail: bool) -> None:
    """The caller got the whole traceback; the remembered job does not hold on to it."""

    class Direct(Job):
        def perform(self, payload: Any) -> None:
            local = Payload()
            kept.append(weakref.ref(local))
            if fail:
                raise Boom

    kept: list[weakref.ref[Any]] = []

    def call() -> None:
        mine = Payload()
        kept.append(weakref.ref(mine))
        with contextlib.suppress(Boom):
            Direct.perform_now(None)

    call()
    gc.collect()
    assert len(counterpunch.jobs(Direct)) == 1
    assert [ref() for ref in kept] == [None, None]


@pytest.mark.usefixtures("no_logs")
@pytest.mark.parametrize("way", ["result", "future", "await", "perform_now"])
def test_a_failure_goes_with_the_one_who_was_told(way: str) -> None:
    """Exception, frames and handle hold no circle: no garbage collection is needed."""

    class Failing(Job):
        def perform(self) -> None:
            raise Boom

    async def ask() -> None:
        mine = Payload()
        kept.append(weakref.ref(mine))
        with contextlib.suppress(Boom):
            if way == "result":
                Failing.perform_async().result(LONG)
            elif way == "future":
                Failing.perform_async().future().result(LONG)
            elif way == "perform_now":
                Failing.perform_now()
            else:
                await Failing.perform_async()

    kept: list[weakref.ref[Any]] = []
    counterpunch.configure(history=0)
    with asyncio.Runner() as runner:
        gc.collect()
        gc.disable()
        try:
            runner.run(ask())
            assert counterpunch.wait_idle(LONG)
            assert kept[0]() is None
        finally:
            gc.enable()


@pytest.mark.usefixtures("no_logs")
def test_the_event_loop_keeps_nothing_of_who_started_it() -> None:
    """The workers of async classes live on, without the first caller's context variables."""
    request: contextvars.ContextVar[object] = contextvars.ContextVar("request")

    class Awaiting(Job):
        async def perform(self) -> None: ...

    def enqueue() -> weakref.ref[Any]:
        mine = Payload()
        request.set(mine)
        Awaiting.perform_async()
        return weakref.ref(mine)

    kept = [contextvars.copy_context().run(enqueue) for _ in range(3)]
    assert counterpunch.wait_idle(LONG)
    gc.collect()
    assert [ref() for ref in kept] == [None] * 3


class NoUser(Exception):
    """Its constructor does not take what it keeps."""

    def __init__(self, user_id: int) -> None:
        super().__init__(f"no user {user_id}")
        self.user_id = user_id


class TwoArguments(Exception):
    def __init__(self, user_id: int, why: str) -> None:
        super().__init__(f"{user_id}: {why}")
        self.why = why


@pytest.mark.usefixtures("no_logs")
@pytest.mark.parametrize(
    "failure",
    [NoUser(5), TwoArguments(5, "gone"), OSError(2, "no such file", "x"), KeyError("x"), Boom()],
    ids=lambda failure: type(failure).__name__,
)
def test_what_is_remembered_of_a_perform_now_says_what_was_raised(failure: Exception) -> None:
    """Type, text, attributes and cause are those of the exception that the caller got."""

    class Direct(Job):
        def perform(self) -> None:
            raise failure from ValueError("the cause")

    with pytest.raises(type(failure)) as raised:
        Direct.perform_now()
    assert raised.value is failure
    (handle,) = counterpunch.jobs(Direct)
    remembered = handle.exception()
    assert type(remembered) is type(failure)
    assert (str(remembered), remembered.args) == (str(failure), failure.args)
    assert vars(remembered) == vars(failure)
    assert repr(remembered.__cause__) == "ValueError('the cause')"
    assert remembered is not failure


@pytest.mark.usefixtures("no_logs")
@pytest.mark.parametrize("fail", [False, True])
def test_nothing_holds_the_arguments_of_a_forgotten_job(fail: bool) -> None:
    """With no history the idle worker, the runtime and the pool let go of them as well."""
    counterpunch.configure(history=0)

    class Forgotten(Job):
        workers = 1

        def perform(self, payload: Any) -> None:
            if fail:
                raise Boom

    payload = Payload()
    gone = weakref.ref(payload)
    Forgotten.perform_async(payload).exception(LONG)
    assert counterpunch.wait_idle(LONG)
    assert Forgotten.stats().workers == (1, 0, 1)
    del payload
    gc.collect()
    assert gone() is None


@pytest.mark.usefixtures("no_logs")
def test_a_finished_jobs_callbacks_are_let_go() -> None:
    """Neither callbacks nor those who waited in vain stay in the runtime."""
    door = Door()
    handle = door.enter()
    payload = Payload()
    handle.add_done_callback(lambda _, payload=payload: None)  # type: ignore[misc]
    runtime: Any = handle.lane.keeper
    (callbacks,) = runtime.watchers.table.values()

    async def give_up() -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(handle, 0.01)

    with pytest.raises(TimeoutError):
        handle.result(0)
    with pytest.raises(TimeoutError):
        handle.result(0.001)
    asyncio.run(give_up())
    assert len(callbacks) == 1
    gone = weakref.ref(payload)
    del payload
    door.open.set()
    handle.result(LONG)
    assert counterpunch.wait_idle(LONG)
    gc.collect()
    assert gone() is None
