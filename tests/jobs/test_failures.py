"""Exceptions belong to those who raise them: what is kept and handed out are copies."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import traceback
import weakref
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from doors import LONG, Boom

import counterpunch
from counterpunch import Discard, Handle, Job, Retry, Status, testing


class Local:
    """In a frame; its end can be seen."""


class Failing(Job):
    """Raises what it is given, or makes it."""

    workers = max_jobs = 1
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


# Exceptions, and classes, that refuse what is usual


@dataclass(frozen=True)
class Frozen(Exception):
    """Refuses each assignment."""

    code: str


@dataclass(frozen=True, slots=True)
class Slotted(Exception):
    """Has no dict for it."""

    code: str


class Refusing(Exception):
    """Refuses them by itself, and cannot be shown."""

    def __init__(self, one: int, *, two: int) -> None:
        super().__init__()
        self.__dict__.update(sum=one + two)

    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError(f"no {name}")

    def __str__(self) -> str:
        raise LookupError

    __repr__ = __str__


def chained(exc: BaseException, link: str) -> BaseException:
    """One that has ``exc`` behind it."""
    try:
        try:
            raise exc
        except BaseException as inner:
            if link == "cause":
                raise Boom from inner
            raise Boom  # noqa: B904
    except Boom as outer:
        return outer


ODD: dict[str, Callable[[], BaseException]] = {
    "frozen": lambda: Frozen("expired"),
    "slotted": lambda: Slotted("expired"),
    "refusing": lambda: Refusing(1, two=2),
    "as a cause": lambda: chained(Frozen("expired"), "cause"),
    "as a context": lambda: chained(Refusing(1, two=2), "context"),
    "in a group": lambda: ExceptionGroup("both", [Frozen("expired"), Refusing(1, two=2)]),
}


def plain() -> dict[str, Any]:
    return {}


def hooked() -> dict[str, Any]:
    return {"before": lambda self: None, "after": lambda self: None}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
@pytest.mark.parametrize("body", [plain, hooked])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_job_that_fails_oddly_fails_as_any_other(
    make: Callable[[], BaseException], body: Callable[[], dict[str, Any]], is_async: bool
) -> None:
    """With its attempts and its hooks; the worker lives, and the exception is its own."""
    told: list[Any] = []

    def perform(self: Any) -> None:
        raise make()

    async def perform_async(self: Any) -> None:
        raise make()

    members = {
        "workers": 1,
        "retry": Retry(max_attempts=3, wait=0.0),
        "on_error": lambda self, exc: told.append((self.attempt, type(exc))),
        "on_failure": lambda self, exc: told.append(type(exc)),
        "perform": perform_async if is_async else perform,
    }
    job: Any = type("Odd", (Job,), {**members, **body()})
    handle = job.perform_async()
    kind = type(make())
    failure = handle.exception(LONG)
    assert type(failure) is kind
    assert handle.status is Status.FAILED
    assert told == [(1, kind), (2, kind), (3, kind), kind]
    assert getattr(failure, "code", "expired") == "expired"
    assert getattr(failure, "sum", 3) == 3
    with pytest.raises(kind):
        job.perform_async().result(LONG)
    assert job.stats().workers.total == 1


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_a_job_that_fails_oddly_here_raises_its_own(make: Callable[[], BaseException]) -> None:
    """By ``perform_now``."""
    kind = type(make())
    with pytest.raises(kind):
        Failing.perform_now(make)
    (handle,) = counterpunch.jobs(Failing)
    assert type(handle.exception()) is kind


@pytest.mark.parametrize("mode", [testing.inline, testing.fake])
def test_one_that_fails_oddly_passes_through_a_test_mode(mode: Any) -> None:
    """Out of its block."""

    def run() -> None:
        with mode() as recorder:
            Failing.perform_async(lambda: Frozen("expired"))
            recorder.drain()

    with pytest.raises(Frozen):
        run()


def test_a_test_mode_is_a_decorator() -> None:
    """With a runtime of its own for each call."""

    @testing.inline()
    def call(depth: int) -> list[Status]:
        class Inner(Job):
            def perform(self) -> None: ...

        handles = [Inner.perform_async()]
        assert len(counterpunch.jobs()) == 1
        return [handle.status for handle in handles] + (call(depth - 1) if depth else [])

    assert call(2) == [Status.SUCCEEDED] * 3


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
@pytest.mark.parametrize("depth", [1, 3])
def test_one_that_fails_oddly_passes_through_middleware(
    make: Callable[[], BaseException], depth: int
) -> None:
    """``contextlib.contextmanager`` assigns to what it passes on."""
    seen: list[type[BaseException]] = []

    @contextlib.contextmanager
    def around(handle: Handle[Any]) -> Iterator[None]:
        try:
            yield
        except BaseException as exc:
            seen.append(type(exc))
            raise

    ends = [counterpunch.around_perform(around) for _ in range(depth)]
    try:
        assert type(Failing.perform_async(make).exception(LONG)) is type(make())
        assert seen[0] is type(make())
    finally:
        for end in ends:
            end()


def test_a_refusal_that_a_job_ran_into_itself_is_its_failure() -> None:
    """It is not what a context manager made of another."""

    @contextlib.contextmanager
    def around(handle: Handle[Any]) -> Iterator[None]:
        yield

    class Assigning(Job):
        def perform(self) -> None:
            try:
                raise Frozen("expired")
            except Frozen as exc:
                exc.code = "paid"  # type: ignore[misc]

    end = counterpunch.around_perform(around)
    try:
        failure = Assigning.perform_async().exception(LONG)
        assert isinstance(failure, AttributeError)
    finally:
        end()


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_one_that_is_discarded_by_its_type(make: Callable[[], BaseException]) -> None:
    """Its reason names it, whatever its text does."""

    class Dropped(Job):
        discard_on = (type(make()),)

        def perform(self) -> None:
            raise make()

    handle = Dropped.perform_async()
    assert isinstance(handle.exception(LONG), counterpunch.Discarded)
    assert type(make()).__name__ in (handle.error or "")


def test_a_refusal_at_the_enqueue_that_cannot_be_shown_is_one() -> None:
    """The job ends as discarded."""

    class Mute(Discard):
        def __str__(self) -> str:
            raise LookupError

    class Refused(Job):
        def on_enqueue(self) -> None:
            raise Mute

        def perform(self) -> None: ...

    handle = Refused.perform_async()
    assert handle.status is Status.DISCARDED
    assert Refused.stats().discarded == 1


def test_one_that_cannot_be_copied_is_kept_without_frames() -> None:
    """Its own way to be copied may fail."""

    class Kept(UnicodeDecodeError):
        pass

    def make() -> BaseException:
        exc = Kept("utf-8", b"x", 0, 1, "bad")
        exc.args = ()
        return exc

    handle = Failing.perform_async(make)
    kept = handle.exception(LONG)
    assert kept is handle.exception()
    assert isinstance(kept, Kept)
    assert kept.__traceback__ is None


def test_a_note_is_added_to_ones_own_copy() -> None:
    """The next one who asks does not see it."""
    handle = Failing.perform_async(lambda: noted(Boom(), "of the job"))
    asked = noted(handle.exception(LONG) or AssertionError(), "of mine")
    assert asked.__notes__ == ["of the job", "of mine"]
    assert (handle.exception() or Boom()).__notes__ == ["of the job"]


def noted(exc: BaseException, note: str) -> BaseException:
    exc.add_note(note)
    return exc


def frozen(job: type[Job]) -> type[Job]:
    return dataclass(frozen=True)(job)


def refusing(job: type[Job]) -> type[Job]:
    def refuse(self: Any, name: str, value: object) -> None:
        raise TypeError(name)

    return type(job.__name__, (job,), {"__setattr__": refuse})


@pytest.fixture(params=[frozen, refusing])
def shut(request: pytest.FixtureRequest) -> Iterator[Callable[[type[Job]], type[Job]]]:
    """Makes a class whose instances take no attribute."""
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("hooks", [False, True])
def test_a_job_class_that_takes_no_attribute_has_its_handle(shut: Any, hooks: bool) -> None:
    """In ``perform`` and in each hook, ``on_enqueue`` included."""
    seen: list[str] = []

    class Shut(Job):
        def perform(self) -> str:
            self.progress(1, 2)
            return self.handle.id

        if hooks:

            def on_enqueue(self) -> None:
                seen.append(self.handle.id)

            def on_success(self, result: str) -> None:
                seen.append(self.handle.id)

    job = shut(Shut)
    handle = job.perform_async()
    assert handle.result(LONG) == handle.id
    assert seen == [handle.id] * (2 if hooks else 0)
    assert isinstance(job.perform_now(), str)


def test_one_whose_instance_cannot_be_made_is_told_all_the_same() -> None:
    """An instance without ``__init__`` hears of the failure."""
    told: list[str] = []

    @dataclass(frozen=True)
    class Wanting(Job):
        needed: int

        def perform(self) -> None: ...

        def on_failure(self, exc: BaseException) -> None:
            told.append(self.handle.id)

    handle = Wanting.perform_async()
    assert isinstance(handle.exception(LONG), TypeError)
    assert counterpunch.wait_idle(LONG)
    assert told == [handle.id]


def test_a_task_groups_failures_are_all_there() -> None:
    """Each member is a copy."""

    async def fail(number: int) -> None:
        raise ValueError(number)

    class Grouping(Job):
        async def perform(self) -> None:
            tasks: list[Coroutine[Any, Any, None]] = [fail(1), fail(2)]
            async with asyncio.TaskGroup() as group:
                for task in tasks:
                    group.create_task(task)

    handle = Grouping.perform_async()
    kept = handle.exception(LONG)
    assert isinstance(kept, ExceptionGroup)
    assert sorted(map(repr, kept.exceptions)) == ["ValueError(1)", "ValueError(2)"]
    assert [one.__traceback__ for one in kept.exceptions] == [None, None]
