"""What a newcomer writes the first time: the message names the way out."""

from __future__ import annotations

import asyncio
import logging
import traceback
import warnings
from typing import Any

import pytest
from held import LONG

import counterpunch.errors
from counterpunch import Batch, InvalidOption, Job, Rate, Retry, configure, delay, job

GUESSED_HOOKS = {
    "on_fail": "on_failure",
    "on_retry": "on_error",
    "after_return": "after",
    "before_perform": "before",
    "on_sucess": "on_success",
    "sidekiq_retries_exhausted": "on_failure",
}


@pytest.mark.parametrize("name", GUESSED_HOOKS)
def test_a_hook_that_nobody_calls_is_said_where_it_is_written(name: str) -> None:
    methods: dict[str, Any] = {"perform": lambda self: None, name: lambda self: None}
    with pytest.warns(UserWarning, match=rf"Mail: {name}\(\) .*mean {GUESSED_HOOKS[name]}\(\)\?"):
        type("Mail", (Job,), methods)


def test_a_method_of_its_own_is_nobody_elses_business() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class Mail(Job):
            def perform(self) -> None: ...
            def send(self) -> None: ...
            def _on_fail(self) -> None: ...
            def on_failure(self, exc: BaseException) -> None: ...


WRONG: dict[Any, tuple[dict[str, Any], str]] = {
    Retry: ({"max_retries": 3}, "Retry: .*'max_retries'; there are max_attempts, on, "),
    Rate: ({"limit": 3, "period": 1}, "Rate: .*'period'; there are limit, per"),
    Batch: ({"on_done": job}, "Batch: .*'on_done'; there are on_success, on_complete"),
    configure: ({"timeout": 3}, "configure: .*'timeout'; there are shutdown_timeout, "),
}


@pytest.mark.parametrize("call", WRONG)
def test_a_wrong_option_is_told_the_right_ones(call: Any) -> None:
    options, there = WRONG[call]
    with pytest.raises(TypeError, match=there):
        call(**options)


@pytest.mark.parametrize(
    ("options", "ours"),
    [({"countdown": 3}, "delay"), ({"eta": 3}, "at"), ({"queue": "low"}, "pool")],
    ids=str,
)
def test_a_word_from_elsewhere_in_a_call_names_ours(options: Any, ours: str) -> None:
    class Mail(Job):
        def perform(self) -> None: ...

    for owner, call in ((r"Mail\.using", Mail.using), ("delay", lambda **kw: delay(print, **kw))):
        with pytest.raises(InvalidOption, match=rf"{owner}: .*; did you mean {ours}\?$"):
            call(**options)
    with pytest.raises(InvalidOption, match=r"@job: retries=3 .* mean retry = Retry\(max_attem"):
        job(retries=3)  # type: ignore[call-overload]


def test_an_option_among_the_arguments_is_told_its_place() -> None:
    class Mail(Job):
        def perform(self, user_id: int, *, lang: str = "en") -> None: ...

    calls: list[Any] = [
        Mail.perform_async, lambda *args, **kw: Mail.perform_in(5, *args, **kw),
        Mail.using(priority=1).perform_async, Mail.perform_now,
    ]  # fmt: skip
    for call in calls:
        for word in ("delay", "priority", "after_commit"):
            way = rf"'{word}'.*; an option of one call goes into .*Mail\.using\({word}=\.\.\.\)"
            with pytest.raises(TypeError, match=way):
                call(1, **{word: 3})
        with pytest.raises(TypeError, match=r"'language'") as told:
            call(1, language="sv")
        assert "using" not in str(told.value)


def test_python_adds_no_other_word_to_ours() -> None:
    """ "here it is perform_now. Did you mean: 'perform_in'?" would be two."""

    class Mail(Job):
        def perform(self) -> None: ...

    handle = Mail.perform_async()
    for owner, word in (
        (Mail, "perform_inline"),
        (Mail(), "perform_later"),
        (handle, "get_status"),
    ):
        with pytest.raises(AttributeError) as missing:
            getattr(owner, word)
        said = "".join(traceback.format_exception_only(missing.value))
        assert "here it is" in said
        assert "Did you mean" not in said
    assert handle.result(LONG) is None


def test_delay_of_what_a_call_gave_is_refused() -> None:
    async def send() -> None: ...

    coroutine = send()
    for given in (print(end=""), coroutine):  # type: ignore[func-returns-value]
        with pytest.raises(InvalidOption, match=r"delay\(send\)\(7\), not what a call of it gave"):
            delay(given)
    coroutine.close()
    with pytest.raises(AttributeError, match=r"is called itself: delay\(send\)\(7\)"):
        delay(send).perform_async()


def test_a_mode_without_its_block_says_how_it_is_entered() -> None:
    with pytest.raises(AttributeError, match=r"'drain' .*`with testing.fake\(\) as fake:`"):
        counterpunch.testing.fake().drain()  # type: ignore[attr-defined]


def test_a_page_under_the_wrong_kind_of_server_says_which_is_right() -> None:
    wsgi: Any = counterpunch.dashboard.wsgi()
    asgi: Any = counterpunch.dashboard.asgi()
    with pytest.raises(TypeError, match=r"under ASGI it is dashboard.asgi"):
        wsgi({"type": "http"}, print, print)
    with pytest.raises(TypeError, match=r"under WSGI it is dashboard.wsgi"):
        asgi({"PATH_INFO": "/"}, print)


def test_an_error_is_shown_by_the_name_that_one_imports() -> None:
    class Own(counterpunch.CounterpunchError):
        pass

    assert Own.__module__ == __name__
    for name in counterpunch.errors.__all__:
        assert getattr(counterpunch, name).__module__ == "counterpunch"


class ObjectDoesNotExist(Exception):
    """As Django calls it."""


class DoesNotExist(ObjectDoesNotExist):
    pass


ADVISED = {
    "loop": (RuntimeError("<Lock> is bound to a different event loop"), "loop = 'app'"),
    "task": (RuntimeError("Task got Future attached to a different loop"), "loop = 'app'"),
    "app": (RuntimeError("Working outside of application context.\n"), "Counterpunch.app"),
    "request": (RuntimeError("Working outside of request context.\n"), "as arguments"),
    "row": (DoesNotExist("User matching query does not exist."), "after_commit"),
    "group": (ExceptionGroup("two", [DoesNotExist("no"), OSError("x")]), "after_commit"),
}


@pytest.mark.parametrize("name", ADVISED)
def test_the_record_of_a_failure_names_the_way_out(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the text of the exception cannot: it does not know that it is in a job."""
    exc, way_out = ADVISED[name]

    class Failing(Job):
        def perform(self) -> None:
            raise exc

    with caplog.at_level(logging.WARNING):
        assert Failing.perform_async().exception(LONG)
    assert way_out.replace(".app", "(app") in caplog.records[-1].getMessage()


def test_an_object_of_another_loop_is_found_for_real(caplog: pytest.LogCaptureFixture) -> None:
    class Locked(Job):
        async def perform(self, lock: asyncio.Lock) -> None:
            async with lock:
                pass

    async def main() -> None:
        lock = asyncio.Lock()
        waits: list[asyncio.Task[bool]] = []
        async with lock:
            waits.append(asyncio.create_task(lock.acquire()))
            await asyncio.sleep(0)  # with one that waits it remembers its loop
            with pytest.raises(RuntimeError):
                await Locked.perform_async(lock)
        assert await waits[0]

    asyncio.run(main())
    assert "loop = 'app'" in caplog.text


def test_other_failures_are_left_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(RuntimeError):
        @property
        def args(self) -> Any:  # type: ignore[override]
            raise AssertionError("somebody asked")

    class Failing(Job):
        def perform(self, exc: BaseException) -> None:
            raise exc

    for exc in (ValueError("bound to a different event loop"), Odd("x"), RuntimeError(object())):
        Failing.perform_async(exc).exception(LONG)
    assert " (" not in "".join(r.getMessage().partition("failed: ")[2] for r in caplog.records)
