"""``delay(obj).method(...)``: any object's method as a job."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any

import pytest

import counterpunch
from counterpunch import Handle, InvalidOption, Retry, Status, delay
from counterpunch.testing import fake

WAIT = 10.0


class Account:
    plan = "free"

    def __init__(self) -> None:
        self.log: list[object] = []

    def welcome(self, greeting: str, *, loud: bool = False) -> str:
        self.log.append((greeting, loud))
        return greeting.upper() if loud else greeting

    async def sync(self) -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    @classmethod
    def total(cls) -> int:
        return 42


def enqueued(value: object) -> Handle[object]:
    """A type checker sees the method's own result; what comes is its handle."""
    assert isinstance(value, Handle)
    return value


def test_a_method_runs_as_a_job() -> None:
    """On the very object, with the arguments, and with its result on the handle."""
    account = Account()
    handle = enqueued(delay(account).welcome("hi", loud=True))
    assert handle.result(WAIT) == "HI"
    assert account.log == [("hi", True)]
    assert enqueued(delay(Account).total()).result(WAIT) == 42


def test_options_are_those_of_using() -> None:
    """Priority, delay in seconds, retry: each for this call only."""
    account = Account()
    with fake() as recorder:
        later = enqueued(delay(account, delay=60).welcome("later"))
        first = enqueued(delay(account).welcome("first"))
        urgent = enqueued(delay(account, priority=9, retry=Retry(3)).welcome("urgent"))
        assert recorder.jobs == [urgent, first, later]
        assert later.status is Status.SCHEDULED
        recorder.advance(60)
    assert [greeting for greeting, _ in account.log] == ["urgent", "first", "later"]  # type: ignore[misc]


def test_mistakes_fail_where_they_are_made() -> None:
    """A missing method, one that is none, bad arguments, unknown options: nothing is queued."""
    account = Account()
    with fake() as recorder:
        with pytest.raises(AttributeError, match="'Account' object has no attribute 'welcom'"):
            delay(account).welcom  # type: ignore[attr-defined]  # noqa: B018
        with pytest.raises(InvalidOption, match="delay: method='plan'"):
            delay(account).plan  # noqa: B018
        with pytest.raises(TypeError, match=r"Account\.welcome\(\).*greeting"):
            delay(account).welcome()  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="lout"):
            delay(account).welcome("hi", lout=True)  # type: ignore[call-arg]
        with pytest.raises(InvalidOption, match="prio"):
            delay(account, prio=9)
        with pytest.raises(InvalidOption, match="priority='high'"):
            delay(account, priority="high")
        assert recorder.jobs == []


def test_an_async_method_runs_on_the_event_loop() -> None:
    """Not on a worker thread, where nobody would await it."""
    assert enqueued(delay(Account()).sync()).result(WAIT) == "counterpunch-loop"


def test_a_proxy_is_reusable_and_shows_what_it_is() -> None:
    """One proxy, many calls; its repr names the object."""
    account = Account()
    proxy = delay(account)
    assert repr(proxy) == f"delay({account!r})"
    for _ in range(3):
        proxy.welcome("x")
    assert counterpunch.wait_idle(WAIT)
    assert len(account.log) == 3


def resize(path: str, *, size: int = 100) -> str:
    return f"{path} {size}"


class Shouting:
    """Callable, and with a method: to access one still means the method."""

    def __call__(self, text: str) -> str:
        return text.upper()

    def whisper(self, text: str) -> str:
        return text.lower()


async def load(url: str) -> str:
    return f"{url} on {threading.current_thread().name}"


def test_a_callable_is_called_as_a_job() -> None:
    """A function, a bound method, a builtin, a classmethod, a partial, an object, an async one."""
    account = Account()
    calls: list[tuple[Handle[Any], Any]] = [
        (delay(resize)("cat.jpg", size=3), "cat.jpg 3"),
        (delay(account.welcome)("hi", loud=True), "HI"),
        (delay(sorted)([2, 1], reverse=True), [2, 1]),
        (delay(Account.total)(), 42),
        (delay(functools.partial(resize, size=7))("dog.jpg"), "dog.jpg 7"),
        (delay(Shouting())("quiet"), "QUIET"),
        (delay(Shouting()).whisper("LOUD"), "loud"),
        (delay(load)("here"), "here on counterpunch-loop"),
        (delay(dict)(a=1), {"a": 1}),
    ]
    for handle, value in calls:
        assert handle.result(WAIT) == value


def test_a_call_has_the_options_and_is_checked() -> None:
    """As a method: for this call only, and where it is written."""
    with fake() as recorder:
        later, first = delay(resize, delay=60)("a"), delay(resize)("b")
        assert recorder.jobs == [first, later]
        with pytest.raises(TypeError, match=r"resize\(\).*path"):
            delay(resize)()  # type: ignore[call-arg]
        assert not callable(delay(object()))
        recorder.clear()


@pytest.mark.parametrize("known", ["class", "function"])
def test_what_is_a_job_already_is_refused(known: str) -> None:
    """It would run as a job of ``delay``, without its own options."""

    class Known(counterpunch.Job):
        def perform(self) -> None: ...

    obj: Any = Known if known == "class" else counterpunch.job(resize)
    with pytest.raises(InvalidOption, match="perform_async"):
        delay(obj)
