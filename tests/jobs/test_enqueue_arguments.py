"""What goes along with a job: context variables, and what its arguments become."""

from __future__ import annotations

import contextvars
import threading
from typing import Any

import pytest
from echo import LONG, Echo

import counterpunch
from counterpunch import Job, Retry, current_job, testing

LANGUAGE: contextvars.ContextVar[str] = contextvars.ContextVar("language", default="unset")


# Context variables


def seen_in_a_job(context: str, failing: bool = False) -> list[tuple[str, str]]:
    seen: list[tuple[str, str]] = []

    def note(where: str) -> None:
        seen.append((where, LANGUAGE.get()))

    class Visible(Job):
        retry = Retry(max_attempts=2, wait=0)

        def before(self) -> None:
            note(f"before {self.attempt}")

        def perform(self) -> None:
            note(f"perform {self.attempt}")
            if failing:
                raise OSError

        def on_success(self, result: None) -> None:
            note("on_success")

        def on_error(self, exc: BaseException) -> None:
            note(f"on_error {self.attempt}")

        def on_failure(self, exc: BaseException) -> None:
            note("on_failure")

        def after(self) -> None:
            note(f"after {self.attempt}")

    Visible.context = context  # type: ignore[attr-defined]
    remove = counterpunch.on_error(lambda exc, handle, will_retry: note("handler"))
    try:
        token = LANGUAGE.set("cy")
        handle = Visible.perform_async()
        LANGUAGE.reset(token)
        handle.exception(LONG)
        assert counterpunch.wait_idle(LONG)
    finally:
        remove()
    return seen


def test_context_variables_of_the_caller_are_visible_everywhere() -> None:
    """In perform, in every hook, in the process's handlers and in the retry."""
    seen = seen_in_a_job("copy", failing=True)
    assert [where for where, _ in seen] == [
        *("before 1", "perform 1", "on_error 1", "after 1", "handler"),
        *("before 2", "perform 2", "on_error 2", "on_failure", "after 2", "handler"),
    ]
    assert {value for _, value in seen} == {"cy"}
    assert ("on_success", "cy") in seen_in_a_job("copy")


def test_a_fresh_context_shows_nothing_of_the_caller() -> None:
    """``context = "fresh"``: the default of each variable, in hooks and retries as well."""
    seen = seen_in_a_job("fresh", failing=True)
    assert len(seen) == 11
    assert {value for _, value in seen} == {"unset"}


def test_a_job_does_not_change_its_callers_context() -> None:
    """What a job sets is its own: not the caller's, not the worker's next job's."""

    class Setting(Job):
        workers = 1

        def perform(self) -> str:
            before = LANGUAGE.get()
            LANGUAGE.set("changed")
            return before

    token = LANGUAGE.set("cy")
    try:
        assert Setting.perform_async().result(LONG) == "cy"
        assert Setting.perform_async().result(LONG) == "cy"
        assert Setting.perform_now() == "cy"
        assert LANGUAGE.get() == "cy"
    finally:
        LANGUAGE.reset(token)


def test_the_context_of_a_delayed_job_is_the_one_of_its_enqueue() -> None:
    """Not the one in force when it falls due."""

    class Later(Job):
        def perform(self) -> str:
            return LANGUAGE.get()

    with testing.fake() as recorder:
        token = LANGUAGE.set("first")
        handle = Later.perform_in(60)
        LANGUAGE.set("second")
        recorder.advance(60)
        LANGUAGE.reset(token)
        assert handle.result() == "first"


def test_current_job() -> None:
    """The running job's handle, from anywhere in it; None outside."""

    class Outer(Job):
        def perform(self) -> Any:
            inner = Inner.perform_now()
            return current_job() is self.handle, inner, current_job() is self.handle

    class Inner(Job):
        def perform(self) -> Any:
            return current_job() is self.handle

    assert current_job() is None
    assert Outer.perform_async().result(LONG) == (True, True, True)
    assert Outer.perform_now() == (True, True, True)
    assert current_job() is None


# Arguments


def test_arguments_are_passed_by_reference() -> None:
    """The job gets the very objects; what the caller changes afterwards is seen."""
    with testing.fake() as recorder:
        rows = [1]
        handle = Echo.perform_async(rows, rows=rows)
        rows.append(2)
        recorder.drain()
        (got,), kwargs = handle.result()
        assert got is rows
        assert kwargs["rows"] is rows
    assert handle.args[0] is rows
    assert handle.kwargs["rows"] is rows


@pytest.mark.parametrize("mode", ["json", "pickle", "copy"])
def test_strict_args_make_a_copy(mode: str) -> None:
    """A round trip at the enqueue: later changes of the caller are not seen."""
    counterpunch.configure(strict_args=mode)
    with testing.fake() as recorder:
        rows = [1]
        handle = Echo.perform_async(rows, name="x", rows=rows)
        rows.append(2)
        recorder.drain()
        assert handle.result() == (([1],), {"name": "x", "rows": [1]})


@pytest.mark.parametrize(
    ("mode", "value"),
    [
        ("json", {1, 2}),
        ("json", float("nan")),
        ("json", object()),
        ("pickle", lambda: None),
        ("pickle", threading.Lock()),
        ("copy", threading.Lock()),
    ],
)
def test_strict_args_refuse_what_does_not_survive(mode: str, value: Any) -> None:
    """A TypeError at the call, naming the job and the mode; nothing was accepted."""
    before = Echo.stats().accepted
    counterpunch.configure(strict_args=mode)
    with pytest.raises(TypeError, match=rf"Echo: the arguments .*strict_args='{mode}'"):
        Echo.perform_async(value)
    assert Echo.stats().accepted == before


def test_strict_args_take_effect_for_a_class_in_use() -> None:
    """Switched on later it counts at once, and off again as well."""
    shared: list[int] = []
    assert Echo.perform_async(shared).result(LONG)[0][0] is shared
    counterpunch.configure(strict_args="copy")
    assert Echo.perform_async(shared).result(LONG)[0][0] is not shared
    counterpunch.configure(strict_args=None)
    assert Echo.perform_async(shared).result(LONG)[0][0] is shared


def test_json_shows_what_a_broker_would_do() -> None:
    """Tuples become lists and number keys become text."""
    counterpunch.configure(strict_args="json")
    assert Echo.perform_async((1, 2), {3: 4}).result(LONG) == (([1, 2], {"3": 4}), {})


def test_the_number_of_arguments_is_checked_without_calling_perform() -> None:
    """Too few, too many, by keyword, defaults, rest and keyword-only: perform's own TypeError."""

    class Shaped(Job):
        def perform(self, a: int, b: int = 2, *, c: int = 3) -> tuple[int, ...]:
            return a, b, c

    class Rest(Job):
        def perform(self, *numbers: int) -> int:
            return sum(numbers)

    class Named(Job):
        def perform(self, *, c: int) -> int:
            return c

    for _ in range(2):  # the first enqueue opens the short path, the second takes it
        assert Shaped.perform_async(1).result(LONG) == (1, 2, 3)
        assert Shaped.perform_async(1, 5, c=6).result(LONG) == (1, 5, 6)
        assert Shaped.perform_in(0.001, 1, 5).result(LONG) == (1, 5, 3)
        assert Rest.perform_async(*range(50)).result(LONG) == 1225
        assert Named.perform_async(c=7).result(LONG) == 7
        for call in (
            lambda: Shaped.perform_async(),  # type: ignore[call-arg]
            lambda: Shaped.perform_async(1, 2, 3),  # type: ignore[call-arg]
            lambda: Shaped.perform_in(1, 1, 2, 3),  # type: ignore[call-arg]
            lambda: Shaped.perform_async(1, d=4),  # type: ignore[call-arg]
            lambda: Named.perform_async(),  # type: ignore[call-arg]
            lambda: Named.perform_async(7),  # type: ignore[call-arg]
        ):
            with pytest.raises(TypeError, match="perform"):
                call()
