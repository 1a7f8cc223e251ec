"""Exceptions belong to those who raise them: what is kept and handed out are copies."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import traceback
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from doors import LONG, Boom

import counterpunch
from counterpunch import Handle, Job, Status, testing


class Local:
    """In a frame; its end can be seen."""


class Failing(Job):
    """Raises what it is given, or makes it."""

    max_jobs = 1
    overflow = "caller_runs"

    def perform(self, make: Callable[[], BaseException]) -> None:
        raise make()


@pytest.fixture(autouse=True)
def no_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log records keep the traceback, and pytest keeps the records."""
    monkeypatch.setattr(counterpunch.core.values.hooks.logger, "disabled", True)


# What the caller is handling


def now() -> None:
    """On this thread, by ``perform_now``."""
    with contextlib.suppress(Boom):
        Failing.perform_now(Boom)


def inline() -> None:
    """The same in a test mode."""
    with testing.inline(), contextlib.suppress(Boom):
        Failing.perform_async(Boom)


def drained() -> None:
    """And in the other."""
    with testing.fake() as recorder:
        Failing.perform_async(Boom)
        with contextlib.suppress(Boom):
            recorder.drain()


def overflowing() -> None:
    """Because the queue is full."""
    gate = threading.Event()
    entered = threading.Semaphore(0)

    def hold() -> BaseException:
        entered.release()
        gate.wait(LONG)
        return Boom()

    for _ in range(Failing.options["workers"]):
        Failing.perform_async(hold)
        assert entered.acquire(timeout=LONG)
    Failing.perform_async(Boom)
    handle = Failing.perform_async(Boom)
    gate.set()
    assert handle.status is Status.FAILED


def awaiting() -> None:
    """On a loop of its own."""

    class Awaiting(Job):
        async def perform(self) -> None:
            await asyncio.sleep(0)
            raise Boom

    with contextlib.suppress(Boom):
        Awaiting.perform_now()


HERE = [now, inline, drained, overflowing, awaiting]


@pytest.mark.parametrize("run", HERE)
def test_what_the_caller_handles_keeps_its_traceback(run: Callable[[], None]) -> None:
    """A failed job on the caller's thread has it as context, and leaves it alone."""

    def charge() -> None:
        raise ValueError("card refused")

    try:
        charge()
    except ValueError as exc:
        before = traceback.format_tb(exc.__traceback__)
        run()
        after = traceback.format_tb(exc.__traceback__)
    assert after == before
    assert "in charge" in before[-1]


@pytest.mark.parametrize("run", HERE)
def test_what_the_caller_handles_is_not_kept(run: Callable[[], None]) -> None:
    """Nor is any frame of the caller's."""

    def handle_one() -> weakref.ref[Local]:
        local = Local()
        try:
            raise ValueError
        except ValueError:
            run()
        return weakref.ref(local)

    gone = handle_one()
    assert counterpunch.wait_idle(LONG)
    gc.collect()
    assert gone() is None


def test_a_job_that_cleans_up_by_another_says_where_it_failed() -> None:
    """The other one's failure is the inner one."""

    class Work(Job):
        def perform(self) -> None:
            try:
                self.charge()
            except ValueError:
                now()
                raise

        def charge(self) -> None:
            raise ValueError("card refused")

    handle = Work.perform_async()
    assert isinstance(handle.exception(LONG), ValueError)
    assert "in charge" in (handle.error or "")


# What somebody else owns


def test_a_futures_exception_keeps_its_traceback() -> None:
    """It was raised on another thread first."""

    def work() -> None:
        raise Boom("in the future")

    with ThreadPoolExecutor(1) as executor:
        future: Future[None] = executor.submit(work)

        class Asking(Job):
            def perform(self) -> None:
                future.result(LONG)

        handle = Asking.perform_async()
        asked = handle.exception(LONG)
        assert str(asked) == "in the future"
        assert asked is not future.exception()
    owned = future.exception()
    assert owned is not None
    assert "in work" in traceback.format_tb(owned.__traceback__)[-1]


def test_a_modules_exception_is_none_of_the_history() -> None:
    """It collects what is raised with it, as it would elsewhere; the handle has its own."""
    single = Boom("one for all")
    first, second = (Failing.perform_async(lambda: single) for _ in range(2))
    kept = first.exception(LONG)
    assert second.exception(LONG) is not kept
    assert kept is not single
    with pytest.raises(Boom):
        raise single from KeyError("elsewhere")
    assert repr(first.exception()) == "Boom('one for all')"
    assert (first.exception() or Boom()).__cause__ is None


def test_members_of_a_group_keep_their_tracebacks() -> None:
    """Those that were raised before the job, by its caller."""

    def part(number: int) -> Exception:
        try:
            raise ValueError(number)
        except ValueError as exc:
            return exc

    members = [part(number) for number in range(2)]
    handle = Failing.perform_async(lambda: ExceptionGroup("both", members))
    kept = handle.exception(LONG)
    assert isinstance(kept, ExceptionGroup)
    assert repr(kept.exceptions) == "(ValueError(0), ValueError(1))"
    assert [one.__traceback__ for one in kept.exceptions] == [None, None]
    for one in members:
        assert "in part" in traceback.format_tb(one.__traceback__)[-1]


@pytest.mark.parametrize("kind", ["own", "chained", "as an argument", "as an attribute"])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_circle_of_exception_and_frame_is_cut(kind: str, is_async: bool) -> None:
    """What a job has raised and holds on to goes with it, without a collection."""
    gone: list[weakref.ref[Local]] = []

    def fail() -> None:
        local = Local()
        gone.append(weakref.ref(local))
        circle: list[BaseException] = []
        try:
            raise KeyError
        except KeyError as inner:
            circle.append(inner)
            if kind == "chained":
                raise Boom from inner
            outer = Boom(inner) if kind == "as an argument" else Boom()
            if kind == "as an attribute":
                outer.inner = inner  # type: ignore[attr-defined]
            circle.append(outer)
            raise outer from None

    class Circling(Job):
        def perform(self) -> None:
            fail()

    class CirclingAsync(Job):
        async def perform(self) -> None:
            await asyncio.sleep(0)
            fail()

    gc.collect()
    gc.disable()
    try:
        job: Any = CirclingAsync if is_async else Circling
        handle = job.perform_async()
        assert isinstance(handle.exception(LONG), Boom)
        assert counterpunch.wait_idle(LONG)
        assert [ref() for ref in gone] == [None]
    finally:
        gc.enable()


# What is handed out


def by_result(handle: Handle[Any]) -> None:
    handle.result(LONG)


def by_raising_it(handle: Handle[Any]) -> None:
    raise handle.exception(LONG) or AssertionError


def by_await(handle: Handle[Any]) -> None:
    async def ask() -> None:
        await handle

    asyncio.run(ask())


def by_future(handle: Handle[Any]) -> None:
    handle.future().result(LONG)


def by_wrapped_future(handle: Handle[Any]) -> None:
    async def ask() -> None:
        await asyncio.wrap_future(handle.future())

    asyncio.run(ask())


ASKING = [by_result, by_raising_it, by_await, by_future, by_wrapped_future]


@pytest.mark.parametrize("ask", ASKING)
def test_who_asks_while_handling_something_is_not_kept(ask: Callable[[Handle[Any]], None]) -> None:
    """Neither what he was handling nor a frame of his."""

    def request() -> weakref.ref[Local]:
        local = Local()
        try:
            raise KeyError("not in the table")
        except KeyError:
            with contextlib.suppress(Boom):
                ask(handle)
        return weakref.ref(local)

    handle = Failing.perform_async(Boom)
    gone = request()
    kept = handle.exception(LONG)
    assert kept is not None
    assert (kept.__context__, kept.__traceback__) == (None, None)
    assert counterpunch.wait_idle(LONG)  # the worker has done with telling who waits
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("ask", ASKING)
def test_two_who_ask_at_once_have_a_traceback_each(ask: Callable[[Handle[Any]], None]) -> None:
    """The second does not take the first one's."""
    handle = Failing.perform_async(Boom)

    def first() -> BaseException:
        with pytest.raises(Boom) as raised:
            ask(handle)
        return raised.value

    def second() -> BaseException:
        return first()

    one, other = first(), second()
    assert one is not other
    assert "in first" in traceback.format_tb(one.__traceback__)[0]
    assert "in second" not in "".join(traceback.format_tb(one.__traceback__))


def test_the_first_failure_of_a_drain_is_raised_and_none_is_kept() -> None:
    """Each handle of the fake has a copy without frames."""
    with testing.fake() as recorder:
        handles = [Failing.perform_async(Boom) for _ in range(1)]
        handles += [Failing.perform_in(number, Boom) for number in (1, 2)]
        with pytest.raises(Boom) as raised:
            recorder.advance(5)
        assert "in perform" in traceback.format_tb(raised.value.__traceback__)[-1]
        for handle in handles:
            assert handle.outcome is not raised.value
            assert handle.outcome.__traceback__ is None
