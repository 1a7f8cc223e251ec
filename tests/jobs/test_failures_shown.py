"""What is shown of a failure, and what a group of exceptions means."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import decimal
import enum
import json
import logging
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from held import LONG

from counterpunch import Cancelled, Discard, Job, Retry, Status
from counterpunch.core.values.jsonable import jsonable


@dataclasses.dataclass(frozen=True)
class Declined(Exception):
    code: str


class Endless(Exception):
    """Its cause is another one, each time it is asked."""

    @property
    def __cause__(self) -> BaseException:  # type: ignore[override]
        return Endless("before")


def noted() -> BaseException:
    exc = ValueError("could not read invoice 42")
    exc.add_note("seen in batch 7")
    return exc


def chained(count: int) -> BaseException:
    exc: BaseException = ValueError("the last")
    last = exc
    for _ in range(count):
        last.__cause__ = KeyError("before")
        last = last.__cause__
    return exc


def shows_its_frames() -> BaseException:
    return ValueError("remote\n\nTraceback of another process")


SHOWN: dict[str, tuple[Callable[[], BaseException], str]] = {
    "many lines": (lambda: ValueError("first\n\nthird"), "ValueError: first\n\nthird"),
    "a note": (noted, "ValueError: could not read invoice 42"),
    "no message": (ValueError, "ValueError"),
    "a group": (
        lambda: ExceptionGroup("unhandled errors", [ValueError("a"), Declined("b")]),
        "ExceptionGroup: unhandled errors (2 sub-exceptions): ValueError: a; Declined",
    ),
    "groups in a group": (
        lambda: BaseExceptionGroup("out", [ExceptionGroup("in", [OSError(n)]) for n in range(5)]),
        "ExceptionGroup: out (5 sub-exceptions): OSError: 0; OSError: 1; OSError: 2; ...",
    ),
    "endless causes": (lambda: Endless("made up"), "Endless: made up"),
    "many causes": (lambda: chained(2_000), "ValueError: the last"),
    "a circle": (lambda: _circle(), "ValueError: around"),
    "a traceback within": (shows_its_frames, "ValueError: remote\n\nTraceback of another process"),
    "an exit": (lambda: SystemExit("enough"), "SystemExit: enough"),
}


def _circle() -> BaseException:
    exc = ValueError("around")
    exc.__cause__ = KeyError("and around")
    exc.__cause__.__context__ = exc
    return exc


@pytest.mark.parametrize(("make", "expected"), SHOWN.values(), ids=SHOWN)
def test_type_and_message_come_first_and_whole(
    make: Callable[[], BaseException], expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In the handle, in its JSON and in the log."""

    class Fails(Job):
        def perform(self) -> None:
            raise make()

    handle = Fails.perform_async()
    assert handle.exception(LONG) is not None
    error = handle.error or ""
    assert error.startswith(expected)
    shown = json.loads(json.dumps(handle.as_dict(), allow_nan=False))["error"]
    assert shown.startswith(expected)
    assert error.startswith(f"{shown}\n\n")
    assert "Traceback (most recent call last):" in error
    assert ", in perform" in error
    assert len(error) < 25_000
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert expected.split("\n")[0] in record.getMessage()
    assert ", in perform" in caplog.text


def test_a_message_without_end_is_cut() -> None:
    class Fails(Job):
        def perform(self) -> None:
            raise ValueError("x" * 1_000_000)

    handle = Fails.perform_async()
    handle.exception(LONG)
    assert (handle.error or "").startswith("ValueError: xxx")
    assert len(handle.error or "") < 25_000


# Groups


async def in_a_task_group(exc: BaseException) -> None:
    async def fails() -> None:
        raise exc

    async with asyncio.TaskGroup() as group:
        group.create_task(fails())


def test_what_is_discarded_in_a_task_group_is_discarded() -> None:
    """By Discard and by its type; not if something else has failed beside it."""

    class Drops(Job):
        discard_on = (LookupError,)

        async def perform(self, exc: BaseException) -> None:
            await in_a_task_group(exc)

    for exc in (Discard("not needed"), KeyError("gone"), ExceptionGroup("", [IndexError()])):
        handle = Drops.perform_async(exc)
        handle.exception(LONG)
        assert handle.status is Status.DISCARDED
    mixed = Drops.perform_async(ExceptionGroup("", [KeyError(), OSError()]))
    mixed.exception(LONG)
    assert mixed.status is Status.FAILED


def test_the_reason_is_that_of_the_exception_and_not_of_its_group() -> None:
    class Drops(Job):
        async def perform(self) -> None:
            await in_a_task_group(Discard("not needed"))

    handle = Drops.perform_async()
    handle.exception(LONG)
    assert handle.error == "Discard: not needed"


def test_a_group_is_retried_if_all_of_it_is() -> None:
    """``on`` has all of it, ``not_on`` none."""

    class Twice(Job):
        retry = Retry(2, on=(OSError, ValueError), not_on=(PermissionError,), wait=0)

        async def perform(self, *exceptions: Exception) -> None:
            raise ExceptionGroup("several", [ExceptionGroup("inner", exceptions)])

    def attempts(*exceptions: Exception) -> int:
        handle = Twice.perform_async(*exceptions)
        handle.exception(LONG)
        return handle.attempt

    assert attempts(OSError()) == attempts(OSError(), ValueError()) == 2
    assert attempts(OSError(), KeyError()) == 1
    assert attempts(OSError(), PermissionError()) == 1
    assert Retry(on=ExceptionGroup).wants(1, ExceptionGroup("itself", [KeyError()]))


@pytest.mark.parametrize("told", [True, False])
def test_a_job_that_stops_at_its_own_check_in_a_task_group_is_cancelled(told: bool) -> None:
    """If it was told to; the same exception without that is a failure."""

    class Stops(Job):
        async def perform(self) -> None:
            async def child() -> None:
                if told:
                    self.handle.cancel()
                    self.check_cancelled()
                raise Cancelled("by itself")

            async with asyncio.TaskGroup() as group:
                group.create_task(child())

    handle = Stops.perform_async()
    try:
        handle.exception(LONG)
    except Cancelled:
        pass
    assert handle.status is (Status.CANCELLED if told else Status.FAILED)


# As JSON


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


class Word(str):
    def __str__(self) -> str:
        return "not it"


def itself() -> Any:
    rows: list[Any] = [1]
    rows.append(rows)
    return rows


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError


IDENTITY = uuid.UUID(int=7)
JSON: list[tuple[Any, Any]] = [
    ({"a": [1, 2.5, None, True, "x"]}, {"a": [1, 2.5, None, True, "x"]}),
    ((1, (2, [3])), [1, [2, [3]]]),
    (float("nan"), "nan"),
    ([float("inf"), -float("inf")], ["inf", "-inf"]),
    (datetime.datetime(2026, 1, 2, 3, 4), "2026-01-02 03:04:00"),
    (decimal.Decimal("1.50"), "1.50"),
    (IDENTITY, str(IDENTITY)),
    (
        {
            1,
        },
        "{1}",
    ),
    (b"x", "b'x'"),
    ({1: "a", None: "b", IDENTITY: 2}, {"1": "a", "None": "b", str(IDENTITY): 2}),
    (Level.HIGH, 3),
    (Word("it"), "it"),
    (list(range(1000)), list(range(1000))),
    ("x" * 5000, "x" * 5000),
]


@pytest.mark.parametrize(("value", "expected"), JSON)
def test_a_handle_is_json_whatever_its_job_stored(value: Any, expected: Any) -> None:
    """Strictly: what JSON cannot say is text, and what it can stays as it is."""

    class Stores(Job):
        def perform(self) -> None:
            self.set_status(value=value)
            self.progress(float("nan"), 0, "so far")

    handle = Stores.perform_async()
    handle.result(LONG)
    shown = json.loads(json.dumps(handle.as_dict(), allow_nan=False))
    assert shown["data"] == {"value": expected}
    assert shown["progress"] == ["nan", 0, "so far"]


def test_what_is_no_json_at_all_is_text() -> None:
    for value in (Colour.RED, itself(), 10**5000, Broken(), object(), {Broken(): 1}):
        assert json.dumps(jsonable(value), allow_nan=False)
