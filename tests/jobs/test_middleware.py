"""Middleware that changes options, the options of a class, jobs that run other jobs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import counterpunch
from counterpunch import (
    CounterpunchError,
    Discard,
    Handle,
    InvalidOption,
    Job,
    Retry,
    Status,
    around_enqueue,
    around_perform,
    job,
)
from counterpunch.testing import fake, inline

WAIT = 10.0


@pytest.fixture
def enqueueing() -> Iterator[Callable[[Callable[[Handle[Any]], object]], None]]:
    """Install functions of the handle around each enqueue; removed after the test."""
    removals = []

    def install(fn: Callable[[Handle[Any]], object]) -> None:
        @contextlib.contextmanager
        def around(handle: Handle[Any]) -> Iterator[None]:
            fn(handle)
            yield

        removals.append(around_enqueue(around))

    yield install
    for remove in removals:
        remove()


Install = Callable[[Callable[[Handle[Any]], object]], None]


class MiddleJob(Job):
    retry = Retry(2, wait=60, jitter=0)
    tags = ("mail",)

    def perform(self, name: str = "") -> str:
        if name == "fail":
            raise OSError
        return threading.current_thread().name


def test_a_middleware_changes_options_of_one_job(enqueueing: Install) -> None:
    """Priority, retry, tags, pool: they count for this job, and the class is untouched."""
    counterpunch.configure(pools={"middle": 1})

    def change(handle: Handle[Any]) -> None:
        if handle.args == ("urgent",):
            handle.options["priority"] = 9
            handle.options["tags"] = ["vip"]
        if handle.args == ("fail",):
            handle.options["retry"] = None
        if handle.args == ("pool",):
            handle.options["pool"] = "middle"

    enqueueing(change)
    with fake() as recorder:
        plain, urgent = MiddleJob.perform_async("plain"), MiddleJob.perform_async("urgent")
        assert recorder.jobs == [urgent, plain]
        assert urgent.tags == {"mail", "vip"}
        assert (urgent.options["priority"], plain.options["priority"]) == (9, 0)
        recorder.clear()
        failing = MiddleJob.perform_async("fail")
        with pytest.raises(OSError, match=r"^$"):
            recorder.drain()
        assert (failing.status, failing.attempt) == (Status.FAILED, 1)
    assert MiddleJob.perform_async("pool").result(WAIT) == "counterpunch-middle_0"
    assert MiddleJob.options["priority"] == 0


def test_on_enqueue_may_change_options_too() -> None:
    """The hook of the class runs after the middleware and has the last word."""

    class OwnRulesJob(Job):
        def on_enqueue(self) -> None:
            self.handle.options["priority"] = len(self.handle.args[0])

        def perform(self, name: str) -> None: ...

    with fake() as recorder:
        OwnRulesJob.perform_async("a")
        OwnRulesJob.using(priority=50).perform_async("abc")
        assert [(one.args[0], one.options["priority"]) for one in recorder.jobs] == [
            ("abc", 3),
            ("a", 1),
        ]


def test_options_are_a_mapping_over_using_and_class(enqueueing: Install) -> None:
    """What ``using`` gave shows, ``del`` brings back the class's value."""
    seen = []

    def look(handle: Handle[Any]) -> None:
        seen.append(handle.options["priority"])
        del handle.options["priority"]
        seen.append(handle.options["priority"])
        assert set(handle.options) >= {"priority", "pool", "retry", "expires_in", "timeout"}
        assert len(handle.options) == len(dict(handle.options))
        with pytest.raises(KeyError):
            handle.options["workers"]

    enqueueing(look)
    with fake():
        handle = MiddleJob.using(priority=7).perform_async()
    assert seen == [7, 0]
    assert handle.options["priority"] == 0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("priority", "high", r"MiddleJob\.options: priority='high'"),
        ("workers", 3, r"MiddleJob\.options: workers=3.*the options"),
        ("pool", "nowhere", r"MiddleJob\.options: pool='nowhere'"),
    ],
)
def test_a_bad_option_of_a_middleware_reaches_the_caller(
    name: str, value: object, message: str, enqueueing: Install
) -> None:
    """Refused by name; the job is not enqueued."""
    enqueueing(lambda handle: handle.options.update({name: value}))
    with fake() as recorder:
        with pytest.raises(InvalidOption, match=message):
            MiddleJob.perform_async()
        assert recorder.jobs == []
        assert MiddleJob.stats().discarded == 1


def test_options_are_read_only_once_the_job_has_its_place() -> None:
    """Later changes could not count, so they are refused."""
    with fake():
        handle = MiddleJob.perform_async()
        with pytest.raises(CounterpunchError, match="has its place"):
            handle.options["priority"] = 3
        with pytest.raises(CounterpunchError, match="has its place"):
            del handle.options["priority"]


def test_a_middleware_refuses_delayed_and_bulk_jobs_alike(enqueueing: Install) -> None:
    """``Discard`` at the enqueue ends the handle; the others are untouched."""

    def refuse(handle: Handle[Any]) -> None:
        if handle.args == ("no",):
            raise Discard("not today")

    enqueueing(refuse)
    with fake() as recorder:
        handles = MiddleJob.perform_bulk([("yes",), ("no",)])
        handles.append(MiddleJob.perform_in(60, "no"))
        assert [handle.status.value for handle in handles] == ["queued", "discarded", "discarded"]
        assert handles[1].error == "not today"
        assert recorder.jobs == handles[:1]


@pytest.mark.parametrize("mode", ["now", "inline", "fake", "threads"])
def test_middleware_wraps_every_way_to_run(mode: str) -> None:
    """``around_perform`` is entered for perform_now and in the test modes as in threads."""
    seen = []

    @contextlib.contextmanager
    def around(handle: Handle[Any]) -> Iterator[None]:
        seen.append(f"in {handle.status.value}")
        yield
        seen.append("out")

    remove = around_perform(around)
    try:
        if mode == "now":
            MiddleJob.perform_now()
        elif mode == "inline":
            with inline():
                MiddleJob.perform_async()
        elif mode == "fake":
            with fake() as recorder:
                MiddleJob.perform_async()
                recorder.drain()
        else:
            MiddleJob.perform_async().result(WAIT)
    finally:
        remove()
    assert seen == ["in running", "out"]


def test_a_job_runs_another_one_inline() -> None:
    """``perform_now`` in a job: its own handle inside, the outer one again afterwards."""
    seen = []

    class InsideJob(Job):
        def perform(self) -> str:
            seen.append(counterpunch.current_job() is self.handle)
            return "inside"

    class AroundJob(Job):
        def perform(self) -> str:
            value = InsideJob.perform_now()
            seen.append(counterpunch.current_job() is self.handle)
            return f"around {value}"

    assert AroundJob.perform_async().result(WAIT) == "around inside"
    assert seen == [True, True]
    assert InsideJob.stats().succeeded == 1


def bare(handle: Handle[Any]) -> Iterator[None]:
    yield


async def bare_async(handle: Handle[Any]) -> Any:
    yield


async def coroutine(handle: Handle[Any]) -> None: ...


@pytest.mark.parametrize("register", [around_perform, around_enqueue])
@pytest.mark.parametrize(
    "middleware",
    [
        bare,
        bare_async,
        coroutine,
        contextlib.asynccontextmanager(bare_async),
        contextlib.contextmanager(bare_async),
    ],
)
def test_an_undecorated_middleware_is_refused(register: Any, middleware: Any) -> None:
    """It never could be entered, so it is said where it is registered; nothing is installed."""
    message = rf"{register.__name__}=<function {middleware.__name__}.*contextlib\.contextmanager"
    with pytest.raises(InvalidOption, match=message):
        register(middleware)
    assert MiddleJob.perform_async().result(WAIT)


def plain_middleware(handle: Handle[Any]) -> Any:
    return None


def hidden_generator(handle: Handle[Any]) -> Any:
    return bare(handle)


def hidden_coroutine(handle: Handle[Any]) -> Any:
    return coroutine(handle)  # without a RuntimeWarning that nobody awaited it


class AsyncMiddleJob(Job):
    async def perform(self) -> None: ...


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("cls", [MiddleJob, AsyncMiddleJob])
@pytest.mark.parametrize(
    ("middleware", "given"),
    [
        (plain_middleware, "None"),
        (hidden_generator, "<generator object bare"),
        (hidden_coroutine, "<coroutine object coroutine"),
        (lambda handle: contextlib.asynccontextmanager(bare_async)(handle), "<contextlib._Async"),
    ],
)
def test_what_no_context_manager_is_names_the_middleware(
    middleware: Any, given: str, cls: Any
) -> None:
    """Which one, what it gave, and what to write: for an attempt and for an enqueue."""
    rest = rf".*{middleware.__name__}.* gave {given}.* instead of a context manager; decorate it"
    remove = around_perform(middleware)
    try:
        handle = cls.using(retry=None).perform_async()
        with pytest.raises(TypeError, match=rf"{cls.__name__}: the around_perform{rest}"):
            handle.result(WAIT)
    finally:
        remove()
    remove = around_enqueue(middleware)
    try:
        with pytest.raises(TypeError, match=rf"{cls.__name__}: the around_enqueue{rest}"):
            cls.perform_async()
    finally:
        remove()


# The options of a class


def test_job_options_lists_what_was_checked() -> None:
    """Defaults included, normalised, read-only, and per class; functions have it as well."""

    class IntrospectedJob(Job):
        workers = 4
        expires_in = 60

        def perform(self) -> None: ...

    class ChildJob(IntrospectedJob):
        workers = 1

    @job(priority=3)
    def function() -> None: ...

    assert IntrospectedJob.options["workers"] == 4
    assert IntrospectedJob.options["expires_in"] == 60.0
    assert IntrospectedJob.options["max_jobs"] == 100_000
    assert (ChildJob.options["workers"], ChildJob.options["expires_in"]) == (1, 60.0)
    assert function.options["priority"] == 3
    with pytest.raises(TypeError):
        IntrospectedJob.options["workers"] = 9  # type: ignore[index]
    assert IntrospectedJob.options["workers"] == 4


def test_job_options_follow_a_change_of_the_class() -> None:
    """Setting an attribute is checked and shows; a refused value leaves all as it was."""

    class ChangedJob(Job):
        def perform(self) -> None: ...

    ChangedJob.priority = 5
    assert ChangedJob.options["priority"] == 5
    with pytest.raises(InvalidOption, match="priority"):
        ChangedJob.priority = "high"
    assert ChangedJob.options["priority"] == 5
    with pytest.raises(AttributeError):
        ChangedJob.options = {}  # type: ignore[misc]
    assert ChangedJob.options["priority"] == 5


# Arguments sent through an encoding and back


@pytest.mark.parametrize(
    ("mode", "value", "seen"),
    [("json", (1, [2]), [1, [2]]), ("pickle", (1, [2]), (1, [2])), ("copy", (1, [2]), (1, [2]))],
)
def test_strict_args_round_trip(mode: str, value: Any, seen: Any) -> None:
    """The job gets what comes back: another object, in the shape the encoding leaves."""
    got = []

    class StrictJob(Job):
        def perform(self, first: Any, *, second: Any) -> None:
            got.extend([first, second])

    counterpunch.configure(strict_args=mode)
    with fake() as recorder:
        handle = StrictJob.perform_async(value, second=value)
        value[1].append("changed after the enqueue")
        recorder.drain()
        assert handle.args == (seen,)
    value[1].pop()
    assert got == [seen, seen]


@pytest.mark.parametrize(
    ("mode", "value"),
    [("json", object()), ("json", float("nan")), ("json", {1, 2}), ("pickle", lambda: None)],
)
def test_strict_args_refuse_at_the_enqueue(mode: str, value: object) -> None:
    """A TypeError that names the class and the mode; nothing is accepted."""

    class StrictRefusedJob(Job):
        def perform(self, value: object) -> None: ...

    StrictRefusedJob.perform_async(value).result(WAIT)  # by reference everything goes
    counterpunch.configure(strict_args=mode)
    with pytest.raises(TypeError, match=rf"StrictRefusedJob.*strict_args='{mode}'"):
        StrictRefusedJob.perform_async(value)
    assert StrictRefusedJob.stats().accepted == 1


@pytest.mark.parametrize(
    ("raises", "leaves", "ended", "attempts"),
    [(True, None, "succeeded", 1), (False, OSError, "failed", 2), (False, Discard, "discarded", 1)],
)
def test_a_middleware_decides_what_comes_of_the_attempt(
    raises: bool, leaves: type[Exception] | None, ended: str, attempts: int
) -> None:
    """One that swallows the exception lets it succeed; what one raises on leaving counts."""

    @contextlib.contextmanager
    def around(handle: Handle[Any]) -> Iterator[None]:
        with contextlib.suppress(ValueError):
            yield
        if leaves is not None:
            raise leaves

    class Work(Job):
        retry = Retry(2, wait=0)

        def perform(self) -> int:
            if raises:
                raise ValueError
            return 1

    remove = counterpunch.around_perform(around)
    try:
        with fake() as recorder, contextlib.suppress(OSError):
            handle = Work.perform_async()
            recorder.advance(1)
    finally:
        remove()
    assert (handle.status, handle.attempt) == (ended, attempts)
