"""Every shape of callable, by every way in, plain and async, to each of its ends.

A shape is handed a body, plain or ``async def``, and makes a ``perform`` of it that looks different
from outside. The body says what becomes of it: it succeeds, fails, or fails once and succeeds with
the retry that the class has. Each cell knows its value, its status, the number of attempts and the
hooks that were called.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from held import LONG

import counterpunch
from counterpunch import Handle, Job, Retry, Status, current_job, job, testing

Body = Callable[..., Any]
ENDINGS = ("success", "failure", "retry")


class Failed(Exception):
    pass


def outcome(ending: str, number: int) -> str:
    """What the body does in the attempt that runs just now."""
    handle = current_job()
    assert handle is not None
    if ending == "failure" or (ending == "retry" and handle.attempt == 1):
        raise Failed(ending)
    return f"{ending} {number}"


def body_of(ending: str, is_async: bool) -> Body:
    def plain(number: int = 7) -> str:
        return outcome(ending, number)

    async def later(number: int = 7) -> str:
        await asyncio.sleep(0)
        return outcome(ending, number)

    return later if is_async else plain


# Shapes


def method(body: Body) -> Any:
    if asyncio.iscoroutinefunction(body):

        async def perform(self: Any, number: int = 7) -> Any:
            return await body(number)

        return perform

    def perform_plain(self: Any, number: int = 7) -> Any:
        return body(number)

    return perform_plain


def handing_on(function: Any) -> Any:
    @functools.wraps(function)
    def around(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return around


def silent(function: Any) -> Any:
    def around(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return around


def awaiting(function: Any) -> Any:
    """An ``async def`` around either kind."""

    @functools.wraps(function)
    async def around(*args: Any, **kwargs: Any) -> Any:
        given = function(*args, **kwargs)
        return await given if asyncio.iscoroutine(given) else given

    return around


def running(function: Any) -> Any:
    """A plain function that runs a coroutine to its end itself; on a thread where a loop runs."""

    @functools.wraps(function)
    def around(*args: Any, **kwargs: Any) -> Any:
        given = function(*args, **kwargs)
        return asyncio.run(given) if asyncio.iscoroutine(given) else given

    return around


def injecting(function: Any) -> Any:
    @functools.wraps(function)
    def around(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, "SESSION", *args, **kwargs)

    return around


class Called:
    def __init__(self, body: Body) -> None:
        self.body = body

    def __call__(self, number: int = 7) -> Any:
        return self.body(number)

    def send(self, number: int = 7) -> Any:
        return self.body(number)


class Descriptor:
    """Binds as a function does, and is none."""

    def __init__(self, function: Any) -> None:
        self.function = function
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __get__(self, instance: object, owner: type) -> Any:
        return self if instance is None else functools.partial(self.function, instance)


class Lazy:
    def __init__(self, body: Body) -> None:
        self.body = body

    def __get__(self, instance: object, owner: type) -> Any:
        return functools.partial(self.body)


def with_session(body: Body) -> Any:
    inner = method(body)

    def perform(self: Any, session: str, number: int = 7) -> Any:
        assert session == "SESSION"
        return inner(self, number)

    return injecting(perform)


def of_two(kind: str, number: int = 7, *, body: Body) -> Any:
    assert kind == "mail"
    return body(number)


SHAPES: dict[str, Callable[[Body], Any]] = {
    "method": method,
    "staticmethod": staticmethod,
    "classmethod": lambda body: classmethod(method(body)),
    "wraps": lambda body: handing_on(method(body)),
    "wraps twice": lambda body: handing_on(handing_on(method(body))),
    "no wraps": lambda body: silent(method(body)),
    "async decorator": lambda body: awaiting(method(body)),
    "own loop": lambda body: running(method(body)),
    "injected": with_session,
    "partial": lambda body: staticmethod(functools.partial(of_two, "mail", body=body)),
    "partialmethod": lambda body: functools.partialmethod(method(body)),
    "lambda": lambda body: staticmethod(lambda number=7: body(number)),
    "callable object": Called,
    "bound method": lambda body: Called(body).send,
    "descriptor": lambda body: Descriptor(method(body)),
    "lazy descriptor": Lazy,
}


# Ways in: each gives the handle of a job that has ended, or its value


def ended(handle: Handle[Any]) -> Handle[Any]:
    handle.exception(LONG)
    return handle


def now(cls: Any) -> Any:
    """A failure is final there: one attempt."""
    failure = None
    try:
        cls.perform_now(7)
    except Failed as exc:
        failure = exc
    (handle,) = counterpunch.jobs(cls)
    assert handle.exception(0) is None or str(handle.exception(0)) == str(failure)
    return handle


def inline(cls: Any) -> Any:
    with testing.inline():
        try:
            return cls.perform_async(7)
        except Failed:
            (handle,) = counterpunch.jobs(cls)
            return handle


def fake(cls: Any) -> Any:
    with testing.fake() as recorder:
        handle = cls.perform_async(7)
        with suppress(Failed):
            recorder.advance(1)
        return handle


def periodic(cls: Any) -> Any:
    cls.every, cls.once_per = 60, "process"
    with testing.fake() as recorder:
        counterpunch.start()
        with suppress(Failed):
            recorder.advance(61)
        (entry,) = [each for each in counterpunch.periodic() if each.job is cls]
        handle = entry.latest
    del cls.every
    return handle


WAYS: dict[str, Callable[[Any], Any]] = {
    "async": lambda cls: ended(cls.perform_async(7)),
    "keyword": lambda cls: ended(cls.perform_async(number=7)),
    "in": lambda cls: ended(cls.perform_in(0.001, 7)),
    "at": lambda cls: ended(cls.perform_at(0, 7)),
    "now": now,
    "bulk": lambda cls: ended(cls.perform_bulk([(7,)])[0]),
    "using": lambda cls: ended(cls.using(priority=1).perform_async(7)),
    "periodic": periodic,
    "inline": inline,
    "fake": fake,
}


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", logger="counterpunch")


def expected(ending: str, way: str) -> tuple[Status, int]:
    if ending == "success":
        return Status.SUCCEEDED, 1
    attempts = 1 if way == "now" else 2
    fails = ending == "failure" or way == "now"
    return (Status.FAILED if fails else Status.SUCCEEDED), attempts


def check(cls: Any, ending: str, way: str, told: list[str]) -> None:
    status, attempts = expected(ending, way)
    handle = WAYS[way](cls)
    assert (handle.status, handle.attempt) == (status, attempts)
    fails = status is Status.FAILED
    if fails:
        assert type(handle.exception(0)) is Failed
        assert (handle.error or "").startswith(f"Failed: {ending}")
    else:
        assert handle.result(0) == f"{ending} 7"
    once = ["before", "error", *(["failure"] if fails and attempts == 1 else []), "after"]
    each = ["before", "success", "after"] if ending == "success" else once
    last = ["before", "error", "failure", "after"] if fails else ["before", "success", "after"]
    assert told == (each if attempts == 1 else [*once, *last])


def made(shape: str, ending: str, is_async: bool, told: list[str]) -> Any:
    body = {
        "perform": SHAPES[shape](body_of(ending, is_async)),
        "retry": Retry(2, wait=0),
        "before": lambda self: told.append("before"),
        "on_success": lambda self, result: told.append("success"),
        "on_error": lambda self, exc: told.append("error"),
        "on_failure": lambda self, exc: told.append("failure"),
        "after": lambda self: told.append("after"),
    }
    return type(f"Grid{shape.title().replace(' ', '')}", (Job,), body)


CELLS = list(itertools.product(SHAPES, WAYS, (False, True), ENDINGS))


def test_the_grid_is_as_large_as_it_says() -> None:
    assert len(CELLS) >= 500


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_each_cell_ends_as_it_is_to(shape: str, way: str, is_async: bool) -> None:
    """Status, value or exception, attempts, and whose turn it was."""
    for ending in ENDINGS:
        told: list[str] = []
        check(made(shape, ending, is_async, told), ending, way, told)


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("way", [way for way in WAYS if way != "periodic"])
def test_a_bare_class_ends_alike(way: str, is_async: bool) -> None:
    """Without hooks or retry, where the short way is taken; and a function with ``@job``."""
    for shape, ending in itertools.product(SHAPES, ("success", "failure")):
        perform = SHAPES[shape](body_of(ending, is_async))
        bare = type("Bare", (Job,), {"perform": perform})
        handle = WAYS[way](bare)
        assert handle.status is expected(ending, "now")[0], shape
        assert ending == "failure" or handle.result(0) == "success 7"
    function: Any = job(body_of("success", is_async))
    assert WAYS[way](function.job).result(0) == "success 7"


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.mark.filterwarnings("ignore:.*blocks the event loop")
@pytest.mark.parametrize("way", ["now", "inline", "fake"])
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "own loop"])
def test_on_a_thread_that_runs_a_loop(
    shape: str, way: str, loop: asyncio.AbstractEventLoop
) -> None:
    """As an async test calls what enqueues; a loop within a loop is nobody's to give."""

    async def within(is_async: bool, ending: str) -> None:
        told: list[str] = []
        check(made(shape, ending, is_async, told), ending, way, told)

    for is_async, ending in itertools.product((False, True), ENDINGS):
        loop.run_until_complete(within(is_async, ending))
