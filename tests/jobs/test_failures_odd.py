"""Exceptions, and job classes, that refuse what is usual: a failure like any other."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from doors import LONG, Boom

import counterpunch
from counterpunch import Discard, Handle, Job, Retry, Status, testing


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


class Unclassed(Exception):
    """Does not say of what class it is."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise RuntimeError("no class")


class UnclassedGroup(ExceptionGroup):
    """Nor does a group."""

    __class__ = Unclassed.__class__  # type: ignore[assignment]


class Hiding(ExceptionGroup):
    """Has an answer of its own, and none, to what is in it."""

    @property
    def exceptions(self) -> Any:
        raise RuntimeError("not told")

    message = exceptions  # type: ignore[assignment]


class Unequal(type):
    """Its classes cannot be hashed; they do not tell their names."""

    def __eq__(cls, other: object) -> bool:
        return NotImplemented

    @property
    def __name__(cls) -> str:
        raise RuntimeError("not told")


class Unhashed(Exception, metaclass=Unequal):
    """As such a class has it."""


class Value(metaclass=Unequal):
    """The same, and no exception."""


def oddly_noted(notes: object) -> BaseException:
    exc = Boom()
    exc.__dict__["__notes__"] = notes
    return exc


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
    "unclassed": lambda: Unclassed("expired"),
    "a group that is unclassed": lambda: UnclassedGroup("both", [Unclassed(), Frozen("expired")]),
    "an unclassed cause": lambda: chained(Unclassed("expired"), "cause"),
    "as a cause": lambda: chained(Frozen("expired"), "cause"),
    "as a context": lambda: chained(Refusing(1, two=2), "context"),
    "a group that hides": lambda: Hiding("both", [Boom(), Frozen("expired")]),
    "unhashed": lambda: Unhashed("expired"),
    "notes that are none": lambda: oddly_noted(7),
    "in a group": lambda: ExceptionGroup("both", [Frozen("expired"), Refusing(1, two=2)]),
}


def plain() -> dict[str, Any]:
    return {}


def hooked() -> dict[str, Any]:
    return {"before": lambda self: None, "after": lambda self: None}


def timed() -> dict[str, Any]:
    return {"timeout": LONG, **hooked()}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
@pytest.mark.parametrize("body", [plain, hooked, timed])
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
    assert vars(type)["__name__"].__get__(type(make())) in (handle.error or "")


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


def test_groups_in_groups_without_end() -> None:
    """More of them than there may be calls within calls."""

    def perform(self: Any) -> None:
        exc: Exception = Boom()
        for _ in range(sys.getrecursionlimit() + 100):
            exc = ExceptionGroup("one", [exc])
        raise exc

    job: Any = type("Deep", (Job,), {"perform": perform})
    assert type(job.perform_async().exception(LONG)) is ExceptionGroup


@pytest.mark.parametrize("is_async", [False, True])
def test_values_of_a_class_that_cannot_be_hashed(is_async: bool) -> None:
    """As argument and result; and nobody else's job hears of it."""

    async def perform_async(self: Any, value: Any) -> Any:
        return value

    body = {"perform": perform_async if is_async else lambda self, value: value, "workers": 1}
    job: Any = type("Echo", (Job,), body)
    value = Value()
    for given in (value, [value], {"key": value}, Value):
        handle = job.perform_async(given)
        assert handle.result(LONG) is given
        assert job.perform_now(given) is given
    assert job.perform_now(7) == 7  # what ended before is weighed then
    assert job.stats().workers.total == 1


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
        needed: int = field(default_factory=lambda: int("none"))

        def perform(self) -> None: ...

        def on_failure(self, exc: BaseException) -> None:
            told.append(self.handle.id)

    handle = Wanting.perform_async()
    assert isinstance(handle.exception(LONG), ValueError)
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
