"""Type-checked, never run: one use of each public shape.

``assert_type`` says what a checker must infer from ``perform``; each ``type: ignore`` is a
call that it must refuse (an ignore that nothing needs is an error of its own).
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, assert_type

import counterpunch
from counterpunch import (
    Batch,
    Handle,
    Job,
    JobLogFilter,
    Rate,
    Retry,
    ShutdownReport,
    Stats,
    Status,
    around_enqueue,
    around_perform,
    current_job,
    dashboard,
    delay,
    job,
    on_error,
    periodic,
    testing,
)
from counterpunch.integrations import asgi

if TYPE_CHECKING:
    from collections.abc import Generator


# Definition


class HelloEmailJob(Job):
    workers = 4
    max_jobs = None
    overflow = "block"
    block_timeout = timedelta(seconds=2)
    retry = Retry(max_attempts=5, on=(OSError,), not_on=FileNotFoundError, wait=0.5)
    discard_on = (KeyError,)
    rate = Rate(100, per=20.0)
    tags = ("mail",)

    def perform(self, user_id: int, *, greeting: str = "hi") -> str:
        assert_type(self.attempt, int)
        assert_type(self.cancelled, bool)
        self.check_cancelled()
        self.progress(1, 10, "rows")
        self.set_status(stage="rendering")
        for row in self.track([1, 2]):
            assert_type(row, int)
        self.logger.info("hello")
        return f"{greeting} {user_id}"

    def on_success(self, result: str) -> None: ...
    def on_error(self, exc: BaseException) -> None: ...
    def on_failure(self, exc: BaseException) -> None: ...


class Newsletter(HelloEmailJob):
    workers = 1


class FetchJob(Job):
    async def perform(self, url: str, limit: int = 10) -> bytes:
        return b""


class Everything(Job):
    def perform(self, first: int, /, *rest: str, flag: bool, **names: float) -> list[int]:
        return [first]


class Report(Job):
    workers: int = 3
    unique = "active"
    on_duplicate = "replace"
    timeout = timedelta(minutes=1)
    every = 60.0
    tags = frozenset({"report"})

    @staticmethod
    def identity(user_id: int = 0, kind: str = "pdf") -> tuple[int, str]:
        return user_id, kind

    def perform(self, user_id: int = 0, kind: str = "pdf") -> None: ...


class Typo(Job):
    workers = "four"  # type: ignore[assignment]
    retry = 3  # type: ignore[assignment]
    identity = None

    def perform(self) -> None: ...


class WithIdentity(Job):
    @staticmethod
    def identity(user_id: int) -> int:
        return user_id

    def perform(self, user_id: int) -> None: ...


# Enqueue


def enqueue(when: datetime) -> None:
    assert_type(HelloEmailJob.perform_async(42, greeting="hej"), Handle[str])
    assert_type(HelloEmailJob.perform_in(60, 42), Handle[str])
    assert_type(HelloEmailJob.perform_in(timedelta(minutes=1), 42, greeting="hej"), Handle[str])
    assert_type(HelloEmailJob.perform_at(when, 42), Handle[str])
    assert_type(HelloEmailJob.perform_at(1.7e9, 42), Handle[str])
    assert_type(HelloEmailJob.perform_now(42), str)
    assert_type(HelloEmailJob.perform_bulk([(1,), (2,)]), list[Handle[str]])
    assert_type(HelloEmailJob.using(priority=9).perform_async(42), Handle[str])
    assert_type(HelloEmailJob.using(tags=("a",)).using(delay=5).perform_now(42), str)
    assert_type(HelloEmailJob.using(pool="low").perform_in(1, 42, greeting="x"), Handle[str])
    assert_type(HelloEmailJob.using(expires_in=5).perform_at(when, 42), Handle[str])
    assert_type(HelloEmailJob.using(retry=None).perform_bulk([(1,)]), list[Handle[str]])
    assert_type(Newsletter.perform_async(42), Handle[str])
    assert_type(Everything.perform_async(1, "a", "b", flag=True, x=1.5), Handle[list[int]])


def enqueue_wrongly() -> None:
    HelloEmailJob.perform_async()  # type: ignore[call-arg]
    HelloEmailJob.perform_async("42")  # type: ignore[arg-type]
    HelloEmailJob.perform_async(42, "hej")  # type: ignore[call-arg]
    HelloEmailJob.perform_async(42, greting="hej")  # type: ignore[call-arg]
    HelloEmailJob.perform_async(42, greeting=1)  # type: ignore[arg-type]
    HelloEmailJob.perform_in(42)  # type: ignore[call-arg]
    HelloEmailJob.perform_in("soon", 42)  # type: ignore[arg-type]
    HelloEmailJob.perform_at(timedelta(1), 42)  # type: ignore[arg-type]
    HelloEmailJob.perform_now()  # type: ignore[call-arg]
    HelloEmailJob.perform_bulk([1, 2])  # type: ignore[list-item]
    HelloEmailJob.using(priority=1).perform_async("42")  # type: ignore[arg-type]
    HelloEmailJob.using(priority=1).perform_in(1, 42, greting="x")  # type: ignore[call-arg]
    HelloEmailJob.using(prioriti=1)  # type: ignore[call-arg]
    HelloEmailJob.using(priority="high")  # type: ignore[arg-type]
    HelloEmailJob.using(priority=1).using(delayed_on_shutdown="keep")  # type: ignore[arg-type]
    hello.using(retry=3)  # type: ignore[arg-type]
    Newsletter.perform_async("42")  # type: ignore[arg-type]
    Everything.perform_async(1, flag="yes")  # type: ignore[arg-type]
    Everything.perform_async(1, 2, flag=True)  # type: ignore[arg-type]


# ``async def perform``: the result is what it returns, not the coroutine


def enqueue_async() -> None:
    assert_type(FetchJob.perform_async("https://example.org"), Handle[bytes])
    assert_type(FetchJob.perform_in(1, "https://example.org", limit=3), Handle[bytes])
    assert_type(FetchJob.perform_now("https://example.org"), bytes)
    assert_type(FetchJob.using(priority=1).perform_async("x"), Handle[bytes])
    FetchJob.perform_async(3)  # type: ignore[arg-type]


# Functions


@job
def hello(user_id: int, *, greeting: str = "hi") -> str:
    return f"{greeting} {user_id}"


@job(workers=4, retry=Retry(max_attempts=3))
def goodbye(user_id: int) -> int:
    return user_id


@job(
    workers=1,
    max_jobs=None,
    overflow="block",
    pool="mail",
    priority=3,
    discard_on=(KeyError,),
    rate=Rate(5, per=timedelta(minutes=1)),
    identity=abs,
    unique="queued",
    cron="@daily",
    timezone="Europe/Berlin",
    tags=("a",),
)
def many_options(user_id: int) -> int:
    return user_id


@job
async def fetch(url: str) -> bytes:
    return b""


def functions(when: datetime) -> None:
    assert_type(hello(42), str)
    assert_type(goodbye(42), int)
    pages = [fetch("https://example.org")]
    assert_type(pages, list[Coroutine[Any, Any, bytes]])
    assert_type(hello.perform_async(42, greeting="hej"), Handle[str])
    assert_type(hello.perform_in(60, 42), Handle[str])
    assert_type(hello.perform_at(when, 42), Handle[str])
    assert_type(hello.perform_now(42), str)
    assert_type(hello.perform_bulk([(1,)]), list[Handle[str]])
    assert_type(hello.using(priority=1).perform_async(42), Handle[str])
    assert_type(goodbye.perform_async(42), Handle[int])
    assert_type(fetch.perform_async("https://example.org"), Handle[bytes])
    assert_type(many_options.perform_async(1), Handle[int])
    many_options.perform_async("1")  # type: ignore[arg-type]
    hello.perform_async("42")  # type: ignore[arg-type]
    hello("42")  # type: ignore[arg-type]
    goodbye.perform_async()  # type: ignore[call-arg]
    fetch.perform_async(42)  # type: ignore[arg-type]


# Handle


async def handles(handle: Handle[str]) -> None:
    assert_type(handle.id, str)
    assert_type(handle.job, type[Any])
    assert_type(handle.args, tuple[Any, ...])
    assert_type(handle.kwargs, dict[str, Any])
    assert_type(handle.status, Status)
    assert_type(handle.attempt, int)
    assert_type(handle.enqueued_at, datetime)
    assert_type(handle.run_at, datetime)
    assert_type(handle.started_at, datetime | None)
    assert_type(handle.finished_at, datetime | None)
    assert_type(handle.progress, tuple[float, float | None, str] | None)
    assert_type(handle.data, dict[str, Any])
    assert_type(handle.error, str | None)
    assert_type(handle.result(timeout=1.5), str)
    assert_type(handle.exception(), BaseException | None)
    assert_type(await handle, str)
    assert_type(handle.future().result(), str)
    assert_type(handle.done() and handle.running() and handle.cancelled(), bool)
    assert_type(handle.cancel(), bool)
    assert_type(handle.reschedule(timedelta(seconds=1)), bool)
    assert_type(handle.run_now(), bool)
    assert_type(handle.retry(), Handle[str])
    assert_type(handle.result(timedelta(seconds=1)), str)
    assert_type(handle.exception(timedelta(seconds=1)), BaseException | None)
    assert_type(handle.future(), Future[str])
    assert_type(handle.tags, frozenset[str])
    assert_type(handle.options["priority"], Any)
    assert_type(handle.as_dict(), dict[str, Any])
    handle.options["priority"] = 9
    handle.result("soon")  # type: ignore[arg-type]
    handle.tags = ()  # type: ignore[misc, assignment]
    handle.add_done_callback(lambda done: print(done.result()))
    handle.status = Status.LOST  # type: ignore[misc]
    handle.reschedule("soon")  # type: ignore[arg-type]


# Process


def process() -> None:
    counterpunch.configure(
        shutdown_timeout=timedelta(seconds=5),
        max_threads=16,
        pools={"mail": 4},
        strict_args="json",
        history=100,
        history_ttl=None,
        log_args=False,
        starved_after=timedelta(minutes=1),
        on_lost=lambda lost: print([one.id for one in lost]),
        signals=True,
    )
    counterpunch.configure(pool={"mail": 4})  # type: ignore[call-arg]
    assert_type(counterpunch.shutdown(timeout=1), ShutdownReport)
    assert_type(counterpunch.wait_idle(timedelta(seconds=1), scheduled=True), bool)
    assert_type(counterpunch.stats(), Stats)
    assert_type(counterpunch.stats().total.accepted, int)
    assert_type(counterpunch.stats().jobs["HelloEmailJob"].workers.busy, int)
    assert_type(counterpunch.find("id"), Handle[Any] | None)
    assert_type(counterpunch.jobs(HelloEmailJob, "queued"), list[Handle[Any]])
    assert_type(
        counterpunch.jobs(status=Status.QUEUED, where=lambda one: one.done()), list[Handle[Any]]
    )
    assert_type(current_job(), Handle[Any] | None)
    assert_type(HelloEmailJob.stats().queued, int)
    assert_type(HelloEmailJob.cancel_all(), int)
    counterpunch.start()
    counterpunch.quiet()
    with Batch(on_complete=goodbye) as batch:
        HelloEmailJob.perform_async(1)
    assert_type(batch.wait(1.0), bool)
    assert_type(batch.wait(timedelta(seconds=1)), bool)
    assert_type(batch.id, str)
    assert_type(batch.progress, tuple[int, int])
    assert_type(batch.done(), bool)
    assert_type(list(batch.handles), list[Handle[Any]])
    Batch(on_failure=goodbye)  # type: ignore[call-arg]
    assert_type(counterpunch.dump(), str)
    assert_type(counterpunch.metrics(), str)
    assert_type(counterpunch.health(max_fill=0.5, max_wait=30.0).ok, bool)
    assert_type(counterpunch.health().reasons, tuple[str, ...])
    for entry in periodic():
        assert_type(entry.job, type[Job])
        assert_type(entry.next_run, datetime)
        assert_type(entry.upcoming(3), list[datetime])
        assert_type(entry.latest, Handle[Any] | None)
    logging.getLogger().addFilter(JobLogFilter())
    JobLogFilter(3)  # type: ignore[arg-type]


# A class as a whole, and its options as they read


def whole() -> None:
    assert_type(Report.latest(7, "pdf"), Handle[Any] | None)
    assert_type(Report.status(7, "pdf"), Status | None)
    assert_type(Report.in_progress(7, "pdf"), bool)
    assert_type(Report.options["workers"], Any)
    Report.options["workers"] = 3  # type: ignore[index]
    assert_type(Report.workers, int)
    assert_type(Report.max_jobs, int | None)
    assert_type(Report.retry, Retry | None)
    assert_type(HelloEmailJob.timeout, float | timedelta | None)
    Report.pause()
    Report.resume()
    Report.latest([7])  # type: ignore[arg-type]


class Account:
    def close(self, reason: str) -> int:
        return 0


def resize(path: str, *, size: int = 100) -> bytes:
    return b""


async def load(url: str) -> bytes:
    return b""


def delayed(account: Account) -> None:
    assert_type(delay(account, priority=9).close("moved"), Handle[Any])
    assert_type(delay("text").upper(), Handle[Any])
    assert_type(delay(account.close)("moved"), Handle[int])
    assert_type(delay(resize, delay=5)("cat.jpg", size=3), Handle[bytes])
    assert_type(delay(load)("https://example.org"), Handle[bytes])
    assert_type(delay(Account).close(account, "moved"), Handle[Any])
    delay(account.close)(3)  # type: ignore[arg-type]
    delay(resize)("cat.jpg", 3)  # type: ignore[call-arg]
    delay(resize)("cat.jpg").upper()  # type: ignore[attr-defined]
    delay(account)("moved")  # type: ignore[operator]
    delay(account, prioriti=9)  # type: ignore[call-overload]


# Handlers


@on_error
def remove_handler(exc: BaseException, handle: Handle[Any], will_retry: bool) -> None: ...


remove_handler()


@contextmanager
def traced(handle: Handle[Any]) -> Generator[None]:
    yield


remove = around_perform(traced)
remove()
around_enqueue(traced)()
on_error(lambda exc: None)  # type: ignore[arg-type, misc]
around_perform(lambda: traced)  # type: ignore[arg-type, misc]


# Test modes


def test_modes() -> None:
    with testing.inline():
        HelloEmailJob.perform_async(1)
    with testing.fake() as recorder:
        assert_type(recorder, testing.Fake)
        assert_type(recorder.jobs, list[Handle[Any]])
        assert_type(recorder.drain(), int)
        assert_type(recorder.advance(timedelta(hours=1)), int)
        assert_type(recorder.perform_one(hello), Handle[Any])
        recorder.assert_enqueued(HelloEmailJob, args=(1,), kwargs={}, within=60)
        recorder.assert_enqueued(hello)
        recorder.assert_not_enqueued(goodbye)
        assert_type(recorder.now, datetime)
        recorder.clear()
    with testing.fake(now=datetime.now()) as recorder, testing.fake(now=1.7e9):
        recorder.clear()
    testing.fake(now="noon")  # type: ignore[arg-type]


# The page


Message = MutableMapping[str, Any]
#: As Starlette, FastAPI and Litestar have it, for ``mount``.
ASGIApp = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


async def narrow(scope: dict[str, Any], receive: object, send: object) -> None: ...


mounted_with_lifespan: ASGIApp = asgi.wrap(narrow)  # Django's, by its stubs
asgi.wrap(lambda environ, start_response: [])  # type: ignore[arg-type, misc]


def page(health: Callable[[], counterpunch.Health]) -> None:
    mounted: ASGIApp = dashboard.asgi()
    assert mounted is not None
    dashboard.wsgi(authorize=lambda request: request.path == "/", refresh=1, health=health)
    dashboard.asgi(can_view=None, arguments=False, processes="/run/shop")
    dashboard.wsgi(autorize=None)  # type: ignore[call-arg]
    dashboard.asgi(refresh="5")  # type: ignore[arg-type]


# Policies


def policies() -> None:
    Retry(delay=lambda attempt, exc: timedelta(seconds=attempt))
    Retry(delay=lambda attempt, exc: None)
    Retry(on=OSError)
    Retry(budget=0.2, max_elapsed=timedelta(hours=1), max_wait=timedelta(minutes=1))
    Retry(budget="most")  # type: ignore[arg-type]
    assert_type(Rate(100, per=20.0).per, float)
    assert_type(Rate(100, per=timedelta(seconds=20)).limit, int)
    Retry(attempts=3)  # type: ignore[call-arg]
    Retry(on="OSError")  # type: ignore[arg-type]
    Rate("100")  # type: ignore[arg-type]
