"""A handler that cannot be called as it will be is refused where it is given, by name."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

import counterpunch
from counterpunch import InvalidOption, Job, Retry, dashboard, testing

Place = Callable[[Any], Any]


def redacts(fn: Any) -> Any:
    return type("Hides", (Job,), {"redact": fn, "perform": lambda self, a: None})


#: How each is given, and how many arguments it will be given.
PLACES: dict[str, tuple[Place, int]] = {
    "on_error": (counterpunch.on_error, 3),
    "around_perform": (counterpunch.around_perform, 1),
    "around_enqueue": (counterpunch.around_enqueue, 1),
    "on_lost": (lambda fn: counterpunch.configure(on_lost=fn), 1),
    "delay": (lambda fn: Retry(delay=fn), 2),
    "redact": (lambda fn: redacts(staticmethod(fn)), 2),
    "can_view": (lambda fn: dashboard.wsgi(can_view=fn), 1),
    "authorize": (lambda fn: dashboard.wsgi(authorize=fn), 1),
}


class Handles:
    def none(self) -> None: ...
    def one(self, a: Any) -> None: ...
    def two(self, a: Any, b: Any) -> None: ...
    def three(self, a: Any, b: Any, c: Any) -> None: ...
    def four(self, a: Any, b: Any, c: Any, d: Any) -> None: ...


FUNCTIONS = [Handles.none, Handles.one, Handles.two, Handles.three, Handles.four]  # one more: self
METHODS = [Handles().none, Handles().one, Handles().two, Handles().three, Handles().four]


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("count", range(5))
def test_only_one_that_takes_what_it_will_be_given(name: str, count: int) -> None:
    give, wanted = PLACES[name]
    functions: list[Any] = [
        METHODS[count],
        functools.partial(FUNCTIONS[count], None),
        functools.wraps(METHODS[count])(lambda *args: METHODS[count](*args)),
    ]
    if count:
        functions.append(FUNCTIONS[count - 1])
    for function in functions:
        if count == wanted:
            remove = give(function)
            if name.startswith(("on_error", "around")):
                remove()
        else:
            with pytest.raises(InvalidOption, match=f"{name}="):
                give(function)


#: Guards, too, may be async in that what is not True is a 403.
AWAITED = ("on_error", "can_view", "authorize")
PLAIN: dict[str, tuple[Place, int]] = {
    **{name: place for name, place in PLACES.items() if name not in AWAITED},
    "where": (lambda fn: counterpunch.jobs(where=fn), 1),
    "identity": (lambda fn: identified(staticmethod(fn)), 1),
    "actor": (lambda fn: dashboard.wsgi(actor=fn), 1),
}


def identified(fn: Any) -> Any:
    perform = {"unique": "queued", "perform": lambda self, a: None}
    return type("Named", (Job,), {"identity": fn, **perform})


class Later:
    async def method(self, *args: Any) -> bool:
        return True

    async def __call__(self, *args: Any) -> bool:
        return True

    async def each(self, *args: Any) -> Any:
        yield True


LATER: list[Any] = [
    functools.partial(Later.method, None),
    Later().method,
    Later(),
    Later().each,
    lambda *args: (yield),
]


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("function", LATER)
def test_one_whose_body_would_never_run_is_refused(name: str, function: Any) -> None:
    """What a call of it gives is true, and unlike any other: each job would match, none would be
    a duplicate."""
    give, _ = PLAIN[name]
    with pytest.raises(InvalidOption, match=f"{name}=.*(nobody (awaits|iterates) it|async def)"):
        give(function)


def test_an_identity_that_is_awaited_is_refused_however_it_is_written() -> None:
    async def by_id(a: Any) -> Any: ...

    class Ours:
        async def by_class(cls, a: Any) -> Any: ...

    for identity in (by_id, classmethod(Ours.by_class)):
        with pytest.raises(InvalidOption, match=r"Named: identity=.*nobody awaits it here"):
            identified(identity)
    with pytest.raises(InvalidOption, match=r"identity=.*nobody awaits it here"):
        counterpunch.job(identity=by_id, unique="active")(lambda a: None)


class Enters:
    def __init__(self, handle: Any) -> None: ...
    async def __aenter__(self) -> None: ...
    async def __aexit__(self, *exc: object) -> None: ...


class EntersBoth(Enters):
    def __enter__(self) -> None: ...
    def __exit__(self, *exc: object) -> None: ...


@pytest.mark.parametrize("name", ["around_perform", "around_enqueue"])
def test_a_middleware_that_only_async_with_enters_is_refused(name: str) -> None:
    give, _ = PLACES[name]
    each = contextlib.asynccontextmanager(Later().each)
    for middleware in (Enters, each, functools.partial(each), Later().method):
        with pytest.raises(InvalidOption, match=rf"{name}=.*contextlib\.contextmanager"):
            give(middleware)
    give(EntersBoth)()


@pytest.mark.parametrize("name", PLACES)
def test_in_doubt_it_is_taken(name: str) -> None:
    """What says nothing of its arguments, or takes any."""
    give, wanted = PLACES[name]
    for function in (lambda *args: None, lambda *args, more=1: None, mock.Mock(), mock.MagicMock()):
        remove = give(function)
        if name.startswith(("on_error", "around")):
            remove()
    with pytest.raises(InvalidOption, match=f"{name}="):
        give(lambda *args, needed: None)
    assert wanted


def test_a_decorated_middleware_shows_its_own_shape() -> None:
    @contextlib.contextmanager
    def forgets() -> Iterator[None]:
        yield

    with pytest.raises(InvalidOption, match=r"around_perform=.*a callable \(handle\)"):
        counterpunch.around_perform(forgets)  # type: ignore[arg-type]


def test_a_redact_that_forgot_to_be_static() -> None:
    """It is called with name and value alone."""
    with pytest.raises(InvalidOption, match="Hides: redact="):
        redacts(lambda self, name, value: value)


def test_a_recorder_runs_all_classes() -> None:
    """``drain(J)`` says what runs the jobs of one."""

    class Mail(Job):
        def perform(self) -> None: ...

    with testing.fake() as recorder:
        for call in (recorder.drain, functools.partial(recorder.advance, 1)):
            with pytest.raises(InvalidOption, match=r"limit=.*perform_one\(Job\)"):
                call(Mail)  # type: ignore[arg-type,operator]
        handle = counterpunch.delay(Mail.mro)()
        with pytest.raises(InvalidOption, match=r"job=.*Mail.*Job.cancel_all\(\)"):
            recorder.clear(Mail)  # type: ignore[arg-type]
        assert recorder.jobs == [handle]
        recorder.clear()
        assert recorder.jobs == []
