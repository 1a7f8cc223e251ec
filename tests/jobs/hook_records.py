"""Jobs that record which of their hooks ran, and the modes to run them in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import counterpunch
from counterpunch import Job, Retry, testing

LONG = 10.0  # seconds; a bound that turns a hang into a failure, never reached otherwise


class Broken(Exception):
    pass


@pytest.fixture
def installed() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Registers what removes a handler; it is called at the end of the test."""
    removers: list[Callable[[], None]] = []
    yield removers.append
    for remove in removers:
        remove()


def run_threads(cls: Any, *args: Any) -> None:
    cls.perform_async(*args).exception(LONG)
    assert counterpunch.wait_idle(LONG, scheduled=True)


def run_inline(cls: Any, *args: Any) -> None:
    with testing.inline(), contextlib.suppress(BaseException):
        cls.perform_async(*args)


def run_fake(cls: Any, *args: Any) -> None:
    with testing.fake() as recorder, contextlib.suppress(BaseException):
        cls.perform_async(*args)
        recorder.advance(3600)


def run_now(cls: Any, *args: Any) -> None:
    with contextlib.suppress(BaseException):
        cls.perform_now(*args)


MODES = pytest.mark.parametrize(
    "run",
    [run_threads, run_inline, run_fake, run_now],
    ids=["threads", "inline", "fake", "perform_now"],
)
RETRYING_MODES = pytest.mark.parametrize(
    "run", [run_threads, run_inline, run_fake], ids=["threads", "inline", "fake"]
)


class Recorded(Job):
    """Writes down every hook; ``breaking`` names those that raise."""

    calls: list[str] = []  # noqa: RUF012
    breaking: frozenset[str] = frozenset()

    def note(self, name: str) -> None:
        Recorded.calls.append(name)
        if name.split()[0] in type(self).breaking:
            raise Broken(name)

    def on_enqueue(self) -> None:
        self.note("on_enqueue")

    def before(self) -> None:
        self.note("before")

    def perform(self, failures: int = 0) -> str:
        self.note("perform")
        if self.attempt <= failures:
            raise OSError(f"attempt {self.attempt}")
        return "value"

    def on_success(self, result: str) -> None:
        self.note(f"on_success {result}")

    def on_error(self, exc: BaseException) -> None:
        self.note(f"on_error {exc}")

    def on_failure(self, exc: BaseException) -> None:
        self.note(f"on_failure {exc}")

    def after(self) -> None:
        self.note("after")


class Plain(Recorded):
    pass


class Thrice(Recorded):
    retry = Retry(max_attempts=3, wait=0.001)


@pytest.fixture(autouse=True)
def empty_record() -> None:
    Recorded.calls = []


def recorded() -> list[str]:
    return [call for call in Recorded.calls if call != "on_enqueue"]
