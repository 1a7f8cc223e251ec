"""Type-checked, never run: options of classes, rows of ``perform_bulk``, any job class."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar, assert_type

import counterpunch
from counterpunch import Batch, Handle, Job, Rate, Retry, job

# The words of an option


class Words(Job):
    overflow = "discard_oldest"
    on_shutdown = "drop"
    delayed_on_shutdown = "wait"
    unique = None
    on_duplicate = "raise"
    context = "fresh"
    loop = "app"
    once_per = "process"

    async def perform(self) -> None: ...


class Wrong(Job):
    overflow = "blok"  # type: ignore[assignment]
    on_shutdown = "wait"  # type: ignore[assignment]
    unique = "always"  # type: ignore[assignment]
    on_duplicate = "ignore"  # type: ignore[assignment]
    context = "share"  # type: ignore[assignment]
    loop = "mine"  # type: ignore[assignment]
    once_per = "cluster"  # type: ignore[assignment]
    max_jobs = "many"  # type: ignore[assignment]

    def perform(self) -> None: ...


@job(overflow="block", loop="own", rate=Rate(1, per=1.0), tags=("a",))
def right(number: int) -> int:
    return number


@job(overflow="blok")  # type: ignore[call-overload, untyped-decorator]
def wrong(number: int) -> int:
    return number


@job(overflo="block")  # type: ignore[call-overload, untyped-decorator]
def misspelt(number: int) -> int:
    return number


# A base, and classes below that change its options: mypy takes the nearest assignment for the type,
# so a number that is to be replaced by another kind is annotated.


class Base(Job):
    workers = 4
    retry = Retry(5)
    rate = Rate(100)
    timeout: float | timedelta | None = 30.0
    tags = ("mail",)

    def perform(self, number: int) -> int:
        return number


class Below(Base):
    workers = 1
    retry = None
    rate = None
    timeout = None
    max_jobs = None
    tags = ("bulk",)


class Again(Base):
    retry = Retry(2)


class Policies:
    usual = Retry(3)


def policies() -> None:
    assert_type(Base.retry, Retry | None)
    assert_type(Again().rate, Rate | None)
    assert_type(Policies.usual, Retry)
    assert_type(Policies().usual.max_attempts, int)


class Blocks(Job):
    overflow = "block"
    unique = "queued"
    delayed_on_shutdown = "wait"

    def perform(self) -> None: ...


class Raises(Blocks):
    overflow = "raise"
    unique = "active"
    delayed_on_shutdown = "drop"


# Queries


def queries() -> None:
    assert_type(counterpunch.jobs(Base, "failed"), list[Handle[Any]])
    counterpunch.jobs(Base, status="done")  # type: ignore[arg-type]
    counterpunch.jobs(Base, counterpunch.Status.FAILED)


# Any job class

J = TypeVar("J", bound=Job)


def enqueue_any(cls: type[J], base: type[Job]) -> None:
    assert_type(cls.perform_async(1, key=2), Handle[Any])
    assert_type(cls.perform_in(5, 1), Handle[Any])
    assert_type(cls.perform_at(0, 1), Handle[Any])
    assert_type(cls.perform_bulk([(1,), (2, "x")]), list[Handle[Any]])
    assert_type(cls.using(priority=9).perform_async(1), Handle[Any])
    assert_type(base.perform_async(), Handle[Any])
    cls.perform_now(1)
    cls.using(prioriti=9)  # type: ignore[call-arg]


# Rows


class One(Job):
    def perform(self, user_id: int, *, greeting: str = "hi") -> str:
        return greeting


class Optional(Job):
    async def perform(self, url: str, limit: int = 10) -> bytes:
        return b""


class Three(Job):
    def perform(self, a: int, b: str, c: bytes = b"") -> None: ...


class Nothing(Job):
    def perform(self) -> int:
        return 0


class Many(Job):
    def perform(self, *numbers: int) -> int:
        return sum(numbers)


class Five(Job):
    def perform(self, a: int, b: int, c: int, d: int = 0, e: int = 0) -> int:
        return a


class Fetched(Job):
    @staticmethod
    def perform(value: list[int]) -> int:
        return 0


def rows(loose: list[tuple[Any, ...]], exact: list[tuple[int]]) -> None:
    assert_type(One.perform_bulk([(1,), (2,)]), list[Handle[str]])
    assert_type(One.perform_bulk((number,) for number in range(3)), list[Handle[str]])
    assert_type(Optional.perform_bulk([("x",), ("y", 3)]), list[Handle[bytes]])
    assert_type(Three.perform_bulk([(1, "x"), (1, "x", b"")]), list[Handle[None]])
    assert_type(Nothing.perform_bulk([()] * 3), list[Handle[int]])
    assert_type(Many.perform_bulk([(), (1, 2, 3, 4, 5)]), list[Handle[int]])
    assert_type(Five.perform_bulk([(1, 2, 3), (1, 2, 3, 4, 5)]), list[Handle[int]])
    assert_type(Fetched.perform_bulk([([1],)]), list[Handle[int]])
    One.perform_bulk(loose)
    One.perform_bulk(exact)
    One.perform_bulk([("x",)])  # type: ignore[list-item]
    One.perform_bulk([(1, "x")])  # type: ignore[list-item]
    One.perform_bulk([1, 2])  # type: ignore[list-item]
    Optional.perform_bulk([("x", "y")])  # type: ignore[list-item]
    Three.perform_bulk([(1,)])  # type: ignore[list-item]
    Nothing.perform_bulk([(1,)])  # type: ignore[list-item]


@job
def hello(user_id: int, *, greeting: str = "hi") -> str:
    return greeting


@job(workers=2)
async def fetch(url: str, limit: int = 10) -> bytes:
    return b""


@job
def five(a: int, b: int, c: int, d: int = 0, e: int = 0) -> int:
    return a


def rows_of_functions(loose: list[tuple[Any, ...]], cls: type[J]) -> None:
    assert_type(hello.perform_bulk([(1,), (2,)]), list[Handle[str]])
    assert_type(hello.perform_bulk((number,) for number in range(3)), list[Handle[str]])
    assert_type(hello.using(priority=3).perform_bulk([(1,)]), list[Handle[str]])
    assert_type(fetch.perform_bulk([("x",), ("y", 3)]), list[Handle[bytes]])
    assert_type(fetch.using(delay=3).perform_bulk([("x",), ("y", 3)]), list[Handle[bytes]])
    assert_type(five.perform_bulk([(1, 2, 3), (1, 2, 3, 4, 5)]), list[Handle[int]])
    assert_type(One.using(priority=3).perform_bulk([(1,)]), list[Handle[str]])
    assert_type(cls.using(priority=3).perform_bulk([(1, "x")]), list[Handle[Any]])
    hello.perform_bulk(loose)
    hello.perform_bulk([("x",)])  # type: ignore[list-item]
    hello.using(priority=3).perform_bulk([(1, "x")])  # type: ignore[list-item]
    fetch.perform_bulk([("x", "y")])  # type: ignore[list-item]
    One.using(priority=3).perform_bulk([("x",)])  # type: ignore[list-item]


# Awaiting


async def awaiting(handle: Handle[str]) -> None:
    async with Batch() as batch:
        One.perform_async(1)
    assert_type(batch, Batch)
    assert_type(await batch, bool)
    assert_type(await One.perform_async(1), str)
    assert_type(await Optional.perform_async("x"), bytes)
    handle.remove_done_callback(print)
