"""Whatever shape ``perform`` has: what it takes is what it says, and what it gives is awaited."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from held import LONG

import counterpunch
from counterpunch import Handle, InvalidOption, Job, Retry, job, testing

LOOP = "counterpunch-loop"


def made(perform: Any, **body: Any) -> Any:
    return type("Made", (Job,), {"perform": perform, **body})


async def send(kind: str, to: str) -> str:
    await asyncio.sleep(0)
    return f"{kind} to {to} on {threading.current_thread().name}"


class Sender:
    async def __call__(self, to: str) -> str:
        return await send("call", to)


class Plain:
    def __call__(self, to: str) -> Any:
        return send("plain call", to)


class Promise:
    """An awaitable of somebody's own."""

    def __init__(self, to: str) -> None:
        self.to = to

    def __await__(self) -> Iterator[Any]:
        return send("promise", self.to).__await__()


@types.coroutine
def by_generator(to: str) -> Iterator[Any]:
    return (yield from send("generator", to).__await__())


async def forgetful(to: str) -> Any:
    return send("forgotten await", to)


def bare(function: Callable[..., Any]) -> Callable[..., Any]:
    def around(*args: Any) -> Any:  # without functools.wraps
        return function(*args)

    return around


class Late:
    """A descriptor that is no method itself."""

    def __get__(self, instance: object, owner: type) -> Callable[[str], Any]:
        return functools.partial(send, owner.__name__)


class Own:
    async def send(self, to: str) -> str:
        return await send("method", to)


HIDDEN = {
    "partial": staticmethod(functools.partial(send, "mail")),
    "lambda": staticmethod(lambda to: send("lambda", to)),
    "callable object": Sender(),
    "plain callable object": Plain(),
    "awaitable": staticmethod(Promise),
    "generator": staticmethod(by_generator),
    "forgotten await": staticmethod(forgetful),
    "decorator": staticmethod(bare(functools.partial(send, "mail"))),
    "descriptor": Late(),
    "bound method": Own().send,
    "partialmethod": functools.partialmethod(lambda self, kind, to: send(kind, to), "mail"),
    "singledispatchmethod": functools.singledispatchmethod(lambda self, to: send("single", to)),
}
if sys.version_info < (3, 14):  # from then on it is a method
    HIDDEN["partial in the class"] = functools.partial(send, "mail")


@pytest.mark.parametrize("shape", HIDDEN)
def test_what_a_call_gives_is_awaited(shape: str) -> None:
    """However it is hidden that it is a coroutine; on the loop that all async jobs share."""
    handle = made(HIDDEN[shape]).perform_async("ada")
    assert handle.result(LONG).endswith(f" to ada on {LOOP}")


@pytest.mark.parametrize("shape", HIDDEN)
@pytest.mark.parametrize("loop", [False, True], ids=["no loop", "inside a loop"])
def test_what_a_call_gives_is_awaited_here(shape: str, loop: bool) -> None:
    """By perform_now and in the test modes, whether or not the caller runs a loop."""
    cls = made(HIDDEN[shape])

    def check() -> None:
        assert " to ada on " in cls.perform_now("ada")
        with testing.inline():
            assert " to bob on " in cls.perform_async("bob").result()
        with testing.fake() as recorder:
            handle = cls.perform_async("eve")
            recorder.drain()
            assert " to eve on " in handle.result()

    async def inside() -> None:
        check()

    asyncio.run(inside()) if loop else check()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="inspect marks none before")
def test_one_that_is_marked_runs_on_the_loop_from_its_start() -> None:
    """The part before its coroutine, too."""

    def perform() -> Any:
        asyncio.get_running_loop()
        return send("marked", "ada")

    marked: Any = inspect.markcoroutinefunction(perform)  # type: ignore[attr-defined,unused-ignore]
    assert made(staticmethod(marked)).perform_async().result(LONG).endswith(LOOP)


def test_a_function_decorated_as_a_job_is_awaited() -> None:
    """``@job`` over what hides a coroutine."""
    hiding: Any = job(lambda to: send("lambda", to))
    assert hiding.perform_async("ada").result(LONG).endswith(LOOP)


def test_a_future_is_awaited_where_it_belongs() -> None:
    """On the loop that it was made for, running or not."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)

    async def began() -> Any:
        return asyncio.ensure_future(send("future", "ada"))

    thread.start()
    try:
        cls = made(lambda self: asyncio.run_coroutine_threadsafe(began(), loop).result(LONG))
        assert cls.perform_async().result(LONG) == f"future to ada on {thread.name}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LONG)
    cls = made(lambda self: loop.create_task(send("task", "ada")))
    assert cls.perform_async().result(LONG).startswith("task to ada on counterpunch-Made_")
    loop.close()


def test_what_fails_in_it_fails_the_attempt() -> None:
    """With the exception itself, and with the retry that the class has."""

    async def fails(attempt: int) -> int:
        if attempt == 1:
            raise OSError
        return attempt

    for hooks in ({}, {"after": lambda self: None}):
        cls = made(lambda self: fails(self.attempt), retry=Retry(2, wait=0), **hooks)
        assert cls.perform_async().result(LONG) == 2
        cls.retry = None
        failure = cls.perform_async().exception(LONG)
        assert isinstance(failure, OSError)
        assert failure.__traceback__ is None


def test_context_variables_come_and_stay() -> None:
    """The coroutine sees the caller's, and the hooks see what it has set."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    seen: list[str] = []

    async def around() -> None:
        seen.append(variable.get())
        variable.set("the coroutine's")

    variable.set("the caller's")
    cls = made(lambda self: around(), after=lambda self: seen.append(variable.get()))
    cls.perform_async().result(LONG)
    cls.perform_now()
    assert seen == ["the caller's", "the coroutine's"] * 2
    assert variable.get() == "the caller's"


def test_handlers_are_awaited_as_well() -> None:
    """A handler written with ``async def``, of plain jobs and of async ones."""
    seen: list[str] = []

    async def handler(exc: BaseException, handle: Handle[Any], will_retry: bool) -> None:
        await asyncio.sleep(0)
        seen.append(handle.job.__name__)

    def fails(self: Any) -> None:
        raise OSError

    async def fails_later(self: Any) -> None:
        raise OSError

    remove = counterpunch.on_error(handler)
    try:
        for cls in (made(fails), made(fails, after=lambda self: None), made(fails_later)):
            cls.perform_async().exception(LONG)
    finally:
        remove()
    assert seen == ["Made"] * 3


@pytest.mark.parametrize("is_async", [False, True])
def test_a_handle_is_a_result(is_async: bool) -> None:
    """A job, or a class of jobs, that a job returns is not waited for."""

    class Other(Job):
        def perform(self) -> None: ...

    async def begin(self: Any) -> Any:
        return Other.using(delay=3600).perform_async()

    def begin_here(self: Any) -> Any:
        return Other.using(delay=3600).perform_async()

    handle = made(begin if is_async else begin_here).perform_async().result(LONG)
    assert isinstance(handle, Handle)
    assert handle.cancel()
    assert made(lambda self: Other).perform_async().result(LONG) is Other


def runs_it(function: Callable[..., Any]) -> Callable[..., Any]:
    """As people put async code under what is not."""

    @functools.wraps(function)
    def around(*args: Any, **kwargs: Any) -> Any:
        return asyncio.run(function(*args, **kwargs))

    return around


class Holder:
    @runs_it
    async def double(self, number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number


def test_a_decorator_that_runs_its_own_loop_works() -> None:
    """Through each way in, as a direct call does."""
    counterpunch.configure(pools={"shared-shapes": 1})
    function: Any = job(runs_it(lambda number: Holder.double.__wrapped__(None, number)))  # type: ignore[attr-defined]
    cls = made(Holder.double)
    shared = made(Holder.double, pool="shared-shapes")
    delayed: Any = counterpunch.delay(Holder())
    assert function(21) == function.perform_async(21).result(LONG) == 42
    assert cls.perform_async(21).result(LONG) == shared.perform_async(21).result(LONG) == 42
    assert delayed.double(21).result(LONG) == cls.perform_now(21) == 42
    with testing.inline():
        assert cls.perform_async(21).result() == 42


# What it takes


def with_session(said: bool) -> Callable[..., Any]:
    """Puts an argument before the caller's; says so, or not."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def around(self: Any, *args: Any, **kwargs: Any) -> Any:
            return function(self, "SESSION", *args, **kwargs)

        if said:
            own = inspect.signature(function)
            names = [each for name, each in own.parameters.items() if name != "session"]
            around.__signature__ = own.replace(parameters=names)  # type: ignore[attr-defined]
        return around

    return decorate


def with_tenant(function: Any) -> Any:
    """Takes one away that the function does not know, and gives it another."""

    @functools.wraps(function)
    def around(*args: Any, **kwargs: Any) -> Any:
        return function(*args, session=kwargs.pop("tenant"), **kwargs)

    return around


class Session: ...


def with_object(function: Any) -> Any:
    """As ``with_session``, without a word that could be seen."""

    @functools.wraps(function)
    def around(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, Session(), *args, **kwargs)

    return around


def in_front(function: Any) -> Any:
    """Of a plain function."""

    @functools.wraps(function)
    def around(*args: Any, **kwargs: Any) -> Any:
        return function(Session(), *args, **kwargs)

    return around


def logging_it(function: Any) -> Any:
    """Gives everything on, and names the instance."""

    @functools.wraps(function)
    def around(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return function(self, *args, **kwargs)
        finally:
            kwargs.clear()

    return around


async def logs(self: Any, number: int) -> int:
    return number


def logging_later(function: Any) -> Any:
    @functools.wraps(function)
    async def around(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await function(self, *args, **kwargs)

    return around


def exact(function: Any) -> Any:
    @functools.wraps(function)
    def around(self: Any, user_id: int) -> Any:
        return function(self, "SESSION", user_id)

    return around


def of_session(self: Any, session: str, user_id: int) -> tuple[str, int]:
    return session, user_id


def by_name(self: Any, user_id: int, session: str) -> tuple[str, int]:
    return session, user_id


@pytest.mark.parametrize(
    ("perform", "args", "kwargs"),
    [
        (with_session(True)(of_session), (7,), {}),
        (with_session(True)(of_session), (), {"user_id": 7}),
        (with_session(False)(of_session), (7,), {}),
        (exact(of_session), (7,), {}),
        (with_tenant(by_name), (7,), {"tenant": "SESSION"}),
        (bare(with_session(True)(of_session)), (7,), {}),
    ],
)
def test_a_decorator_may_change_the_arguments(
    perform: Any, args: tuple[Any, ...], kwargs: Any
) -> None:
    """A call that works when it is made directly is accepted as a job."""
    assert made(perform).perform_async(*args, **kwargs).result(LONG) == ("SESSION", 7)


def dropping_self(function: Any) -> Any:
    @functools.wraps(function)
    def around(self: Any, *args: Any) -> Any:
        return function(*args)

    return around


def test_an_object_put_in_front_is_seen() -> None:
    for perform in (
        with_object(of_session),
        staticmethod(in_front(lambda session, user_id: 1)),
        dropping_self(lambda user_id: 1),
    ):
        made(perform).perform_async(7).result(LONG)


@pytest.mark.parametrize(
    ("perform", "args", "complaint"),
    [
        (logging_it(of_session), (7,), "missing 1 required positional argument: 'user_id'"),
        (logging_it(of_session), (1, 2, 3), "takes 2 positional arguments but 3 were given"),
        (logging_later(logs), (), "missing 1 required positional argument: 'number'"),
        (logging_it(logging_it(logs)), (), "missing 1 required positional argument: 'number'"),
        (with_session(True)(of_session), (), "missing 1 required positional argument: 'user_id'"),
        (with_session(True)(of_session), (1, 2), "takes 1 positional argument but 2 were given"),
        (exact(of_session), (), "missing 1 required positional argument: 'user_id'"),
        (functools.partialmethod(of_session, "S"), (), "required positional argument: 'user_id'"),
        (staticmethod(functools.partial(send, "mail")), (), "positional argument: 'to'"),
        (Sender(), (), "missing 1 required positional argument: 'to'"),
        (Own().send, ("a", "b"), "takes 1 positional argument but 2 were given"),
        (functools.lru_cache(of_session), (1,), "positional argument: 'user_id'"),
        (functools.singledispatchmethod(of_session), (1,), "positional argument: 'user_id'"),
    ],
)
def test_what_does_not_fit_is_refused(perform: Any, args: tuple[Any, ...], complaint: str) -> None:
    """By the signature that it says it has."""
    with pytest.raises(TypeError, match=rf"Made.perform\(\).*{complaint}"):
        made(perform).perform_async(*args)


def test_a_delayed_method_is_checked_alike() -> None:
    """What its decorator adds is not asked of the caller."""

    class Holder:
        silent = with_session(False)(of_session)
        said = with_session(True)(of_session)
        logged = logging_it(logs)

    holder: Any = counterpunch.delay(Holder())
    assert holder.silent(7).result(LONG) == holder.said(user_id=7).result(LONG) == ("SESSION", 7)
    assert holder.logged(7).result(LONG) == 7
    for call in (holder.said, holder.logged):
        with pytest.raises(TypeError, match=r"delay: .*missing 1 required positional argument"):
            call()
    assert counterpunch.delay(max)(1, 2).result(LONG) == 2


def test_wrapt_says_its_signature_or_none() -> None:
    """Its decorators are objects, and may have the signature of an adapter."""
    wrapt = pytest.importorskip("wrapt")

    @wrapt.decorator
    def silent(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return wrapped("SESSION", *args, **kwargs)

    @wrapt.decorator(adapter=lambda self, user_id: None)
    def said(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return wrapped("SESSION", *args, **kwargs)

    for decorate in (silent, said):
        assert made(decorate(of_session)).perform_async(7).result(LONG) == ("SESSION", 7)
    with pytest.raises(TypeError, match="user_id"):
        made(said(of_session)).perform_async()


def generator(self: Any) -> Iterator[int]:
    yield 1


class Yields:
    def __call__(self) -> Iterator[int]:
        yield 1


@pytest.mark.parametrize(
    "perform", [generator, functools.partial(generator, None), Yields(), Yields().__call__]
)
def test_one_whose_body_would_never_run_is_refused(perform: Any) -> None:
    with pytest.raises(InvalidOption, match=r"Made: perform=.*without yield"):
        made(perform)


class Rows:
    def each(self) -> Iterator[int]:
        yield 1

    async def each_later(self) -> Any:
        yield 1


def test_delay_refuses_what_a_class_refuses() -> None:
    rows = Rows()
    calls: list[Any] = [
        counterpunch.delay(generator),
        counterpunch.delay(functools.partial(generator, None)),
        counterpunch.delay(Yields()),
    ]
    for call in (*calls, counterpunch.delay(rows).each, counterpunch.delay(rows).each_later):
        with pytest.raises(InvalidOption, match=r"delay: .*without yield"):
            call() if call not in calls[:1] else call(1)


@pytest.mark.parametrize(
    ("give", "how"), [(Rows().each, r"`for each in"), (Rows().each_later, r"`async for each in")]
)
def test_a_generator_that_comes_out_of_a_call_fails_the_job(give: Any, how: str) -> None:
    """Its body has not run and nobody will run it; the job would be a success that did nothing."""

    def plain(self: Any) -> Any:
        return give()

    def hooked(self: Any) -> Any:
        return give()

    async def later(self: Any) -> Any:
        return give()

    message = rf"generator object Rows.each.*nobody iterates it.*{how}"
    for perform in (plain, hooked, later, lambda self: later(self)):
        cls = made(perform)
        if perform is hooked:
            cls.before = lambda self: None
        handle = cls.perform_async()
        with pytest.raises(TypeError, match=message):
            handle.result(LONG)
        assert handle.status == "failed"
        with pytest.raises(TypeError, match=message):
            cls.perform_now()
    with pytest.raises(TypeError, match=message):
        counterpunch.delay(lambda: give())().result(LONG)


def test_a_generator_that_has_ended_is_a_result_as_any_other() -> None:
    ended = Rows().each()
    assert list(ended) == [1]
    assert made(lambda self: ended).perform_async().result(LONG) is ended


@pytest.mark.parametrize(
    ("perform", "written"),
    [
        (lambda: None, r"perform\(self\)"),
        (lambda user_id: None, r"perform\(self, user_id\)"),
        (lambda *, user_id: None, r"perform\(self, \*, user_id\)"),
        (exact(lambda user_id: None).__wrapped__, r"perform\(self, user_id\)"),
    ],
)
def test_a_forgotten_self_is_found_at_the_class(perform: Any, written: str) -> None:
    """It would take the first argument away, at each attempt."""
    with pytest.raises(InvalidOption, match=rf"Made: perform=.*allowed: {written}: the job"):
        made(perform)


@pytest.mark.parametrize(
    "perform", [lambda this: 1, lambda _: 1, lambda _self: 1, lambda *args: 1, lambda job, n=0: 1]
)
def test_self_may_have_another_name(perform: Any) -> None:
    assert made(perform).perform_async().result(LONG) == 1


@pytest.mark.parametrize(
    ("hook", "method", "allowed"),
    [
        ("on_error", lambda self: None, r"on_error\(self, exc\)"),
        ("on_success", lambda result: None, r"on_success\(self, result\)"),
        ("on_failure", lambda self, exc, more: None, r"on_failure\(self, exc\)"),
        ("before", lambda: None, r"before\(self\)"),
        ("after", lambda self, *, how: None, r"after\(self\)"),
        ("on_enqueue", lambda self, handle: None, r"on_enqueue\(self\)"),
    ],
)
def test_a_hook_that_cannot_be_called_is_found_at_the_class(
    hook: str, method: Any, allowed: str
) -> None:
    with pytest.raises(InvalidOption, match=rf"Made: {hook}=.*allowed: {allowed}$"):
        made(lambda self: None, **{hook: method})


def test_hooks_may_take_more_than_they_are_given() -> None:
    made(
        lambda self: None,
        before=lambda self, *rest: None,
        on_error=lambda *args, **kwargs: None,
        on_success=lambda self, result, then=None: None,
        after=staticmethod(print),
    )
