"""Every way to enqueue: what it returns, and when the job is due."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from echo import LONG, Echo

import counterpunch
from counterpunch import CounterpunchError, InvalidOption, Job, QueueFull, Retry, Status, testing
from counterpunch.core.process.in_force import current
from counterpunch.core.values.config import config

HUGE = pytest.param(10**400, id="huge")  # an int that is beyond any float


# perform_async, perform_now


def test_perform_async_returns_at_once() -> None:
    """The caller gets the handle while the job is still running, on another thread."""
    go = threading.Event()

    class Slow(Job):
        def perform(self, user_id: int, *, greeting: str = "hi") -> str:
            assert go.wait(LONG)
            return f"{greeting} {user_id} {threading.current_thread().name}"

    handle = Slow.perform_async(42, greeting="hej")
    assert not handle.done()
    go.set()
    assert handle.result(LONG) == "hej 42 counterpunch-Slow_0"


def test_perform_now_runs_here_and_returns_the_value() -> None:
    """One attempt through hooks and counters on the caller's thread; no retry follows."""
    calls: list[str] = []

    class Here(Job):
        retry = Retry(max_attempts=5, wait=0)

        def before(self) -> None:
            calls.append("before")

        def perform(self, fail: bool) -> str:
            calls.append(threading.current_thread().name)
            if fail:
                raise LookupError("gone")
            return "ok"

        def after(self) -> None:
            calls.append("after")

    here = threading.current_thread().name
    assert Here.perform_now(False) == "ok"
    assert calls == ["before", here, "after"]
    with pytest.raises(LookupError, match="gone") as caught:
        Here.perform_now(True)
    assert "perform" in [entry.name for entry in caught.traceback]
    stats = Here.stats()
    assert (stats.accepted, stats.succeeded, stats.failed, stats.attempts) == (2, 1, 1, 2)
    assert stats.workers.total == 0
    assert counterpunch.wait_idle(10)  # the history has a timer, whose thread may just begin


def test_perform_now_of_a_job_that_is_discarded() -> None:
    """What ends without a value raises the error that ``result()`` would."""

    class Unwanted(Job):
        discard_on = (KeyError,)

        def perform(self) -> None:
            raise KeyError("stale")

    with pytest.raises(counterpunch.Discarded, match="KeyError"):
        Unwanted.perform_now()


# perform_in


@pytest.mark.parametrize(
    "delay",
    [
        *(-1, -0.001, float("nan"), float("inf"), -float("inf"), "5", None, True, HUGE),
        *(timedelta(seconds=-1), datetime(2030, 1, 1), complex(1)),
    ],
)
@pytest.mark.parametrize("how", ["perform_in", "using", "using_perform_in", "reschedule"])
def test_bad_delay(delay: Any, how: str) -> None:
    """A delay that is no span of time from now on is a ValueError that names the job."""
    with testing.fake() as recorder:
        waiting = Echo.perform_in(60)
        call = {
            "perform_in": lambda: Echo.perform_in(delay),
            "using": lambda: Echo.using(delay=delay),
            "using_perform_in": lambda: Echo.using(priority=1).perform_in(delay),
            "reschedule": lambda: waiting.reschedule(delay),
        }[how]
        with pytest.raises(ValueError, match=r"Echo\.\w+: delay=.*allowed: seconds >= 0"):
            call()
        assert recorder.jobs == [waiting]


def test_perform_in() -> None:
    """Due after the delay and not before; a number or a timedelta."""
    with testing.fake() as recorder:
        for delay in (30, timedelta(seconds=30), 30.0):
            handle = Echo.perform_in(delay, 1, a=2)
            assert handle.status is Status.SCHEDULED
            assert handle.run_at - handle.enqueued_at == timedelta(seconds=30)
            assert recorder.advance(29.999) == 0
            assert recorder.advance(0.001) == 1
            assert handle.result() == ((1,), {"a": 2})


def test_perform_in_on_real_threads() -> None:
    """The scheduler hands the job to a worker, and never before it is due."""
    handle = Echo.perform_in(0.05, 7)
    assert handle.result(LONG) == ((7,), {})
    assert handle.started_at is not None
    assert handle.started_at >= handle.run_at
    assert handle.run_at - handle.enqueued_at >= timedelta(seconds=0.0499)


def test_no_delay_at_all_is_due_now() -> None:
    """``perform_in(0)`` is queued, not scheduled."""
    with testing.fake():
        assert Echo.perform_in(0).status is Status.QUEUED


def test_a_delay_beyond_the_calendar() -> None:
    """A very long delay is accepted, and showing it does not fail."""
    handle = Echo.perform_in(1e15)
    assert handle.run_at.year == 9999
    assert handle.as_dict()["run_at"].startswith("9999")
    assert handle.cancel()


# perform_at


@pytest.mark.parametrize(
    "when",
    [
        *(datetime(2030, 1, 1), "2030-01-01", None, True, float("nan"), float("inf"), HUGE),
        timedelta(seconds=5),
    ],
)
@pytest.mark.parametrize("how", ["perform_at", "using", "using_perform_at"])
def test_bad_time(when: Any, how: str) -> None:
    """A naive datetime, or what is no time at all, is a ValueError that names the job."""
    before = Echo.stats().accepted
    call = {
        "perform_at": lambda: Echo.perform_at(when),
        "using": lambda: Echo.using(at=when),
        "using_perform_at": lambda: Echo.using(priority=1).perform_at(when),
    }[how]
    with pytest.raises(InvalidOption, match=r"Echo\.\w+: when=.*allowed: an aware datetime"):
        call()
    assert Echo.stats().accepted == before


@pytest.mark.parametrize(
    "zone", [timezone.utc, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))]
)
def test_perform_at(zone: timezone) -> None:
    """Due at the instant that an aware datetime names, whatever its zone."""
    with testing.fake() as recorder:
        when = (recorder.now + timedelta(hours=1)).astimezone(zone)
        handle = Echo.perform_at(when)
        assert handle.status is Status.SCHEDULED
        assert handle.run_at == when
        assert recorder.advance(3599) == 0
        assert recorder.advance(1) == 1


def test_perform_at_epoch_seconds() -> None:
    """A number is seconds since the epoch."""
    with testing.fake() as recorder:
        handle = Echo.perform_at(recorder.now.timestamp() + 60)
        assert handle.status is Status.SCHEDULED
        assert recorder.advance(60) == 1


@pytest.mark.parametrize("when", [0, -5.0, datetime(1999, 1, 1, tzinfo=timezone.utc)])
def test_a_past_time_is_due_now(when: Any) -> None:
    """A time that has passed is not an error: the job is queued."""
    with testing.fake():
        assert Echo.perform_at(when).status is Status.QUEUED
    assert Echo.perform_at(when, 1).result(LONG) == ((1,), {})


# perform_bulk


def test_perform_bulk() -> None:
    """One job for each row, handles in the order of the rows."""
    handles = Echo.perform_bulk([(1,), (2, 3), [4], ()])
    assert [handle.result(LONG)[0] for handle in handles] == [(1,), (2, 3), (4,), ()]
    assert Echo.perform_bulk([]) == []


def test_perform_bulk_is_lazy() -> None:
    """A generator is asked for the next row only after the one before was enqueued."""
    waiting: list[int] = []

    with testing.fake() as recorder:

        def rows() -> Iterator[tuple[int]]:
            for number in range(3):
                waiting.append(len(recorder.jobs))
                yield (number,)

        Echo.perform_bulk(rows())
        assert waiting == [0, 1, 2]
        Echo.using(priority=5).perform_bulk(rows())
        assert waiting == [0, 1, 2, 3, 4, 5]


def test_perform_bulk_is_held_back_by_a_blocking_queue() -> None:
    """With ``overflow="block"`` an endless source never gets ahead of the workers."""
    taken = threading.Semaphore(0)
    go = threading.Semaphore(0)

    class Slowly(Job):
        workers = 1
        max_jobs = 3
        overflow = "block"
        block_timeout = None

        def perform(self, number: int) -> None:
            assert go.acquire(timeout=LONG)

    def rows() -> Iterator[tuple[int]]:
        for number in range(20):
            taken.release()
            yield (number,)

    producer = threading.Thread(target=lambda: Slowly.perform_bulk(rows()))
    producer.start()
    for _ in range(5):  # one runs, three wait, the fifth row is in the producer's hands
        assert taken.acquire(timeout=LONG)
    assert not taken.acquire(timeout=0.05)
    for _ in range(20):
        go.release()
    producer.join(LONG)
    assert not producer.is_alive()
    assert counterpunch.wait_idle(LONG)
    assert Slowly.stats().succeeded == 20


def test_perform_bulk_that_fails_half_way() -> None:
    """What was enqueued before the row that raised stays enqueued."""
    with testing.fake() as recorder:
        with pytest.raises(TypeError, match=r"Echo\.perform_bulk: each row .*not 5"):
            Echo.perform_bulk([(1,), 5, (2,)])  # type: ignore[list-item]
        assert [handle.args for handle in recorder.jobs] == [(1,)]
        with pytest.raises(TypeError, match="each row") as refused:
            Echo.perform_bulk(["x" * 1_000_000])  # type: ignore[list-item]
        assert len(str(refused.value)) < 1000


# using


def test_using_changes_one_call_only() -> None:
    """Options of single calls are reusable and leave the class alone."""

    class Target(Job):
        retry = Retry(max_attempts=1)

        def perform(self, failing: bool = False) -> int:
            if failing:
                raise OSError
            return self.attempt

    eager = Target.using(priority=7, tags=("a",), retry=Retry(max_attempts=2, wait=5, jitter=0))
    with testing.fake() as recorder:
        plain = Target.perform_async()
        first, second = eager.perform_async(True), eager.perform_async()
        assert recorder.jobs == [first, second, plain]
        assert (first.tags, plain.tags) == ({"a"}, frozenset())
        recorder.drain()
        assert first.status is Status.RETRYING
        with pytest.raises(OSError):  # noqa: PT011
            recorder.advance(5)
        failed = Target.perform_async(True)
        with pytest.raises(OSError):  # noqa: PT011
            recorder.drain()
        assert (first.attempt, failed.attempt) == (2, 1)


def test_using_delay_and_at() -> None:
    """``delay`` and ``at`` say when; the later of two counts, and both at once are refused."""
    with testing.fake() as recorder:
        delayed = Echo.using(delay=60)
        assert delayed.perform_async().status is Status.SCHEDULED
        assert delayed.using(at=0).perform_async().status is Status.QUEUED
        assert delayed.perform_in(0).status is Status.QUEUED
        assert delayed.perform_at(0).status is Status.QUEUED
        again = delayed.using(delay=5).perform_async()
        assert again.run_at - again.enqueued_at == timedelta(seconds=5)
        assert Echo.using(delay=timedelta(seconds=9)).perform_async().status is Status.SCHEDULED
        recorder.clear()
    with pytest.raises(InvalidOption, match=r"Echo\.using: at=0 .*beside delay"):
        Echo.using(delay=1, at=0)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("priority", "high"),
        ("pool", 3),
        ("retry", 3),
        ("expires_in", 0),
        ("timeout", -1),
        ("tags", "mail"),
        ("discard_on", "OSError"),
        ("delayed_on_shutdown", "maybe"),
    ],
)
def test_using_refuses_bad_values(option: str, value: Any) -> None:
    """The same checks as on the class, where the option is written."""
    with pytest.raises(InvalidOption, match=f"Echo: {option}={value!r} is not valid; allowed: "):
        Echo.using(**{option: value})


@pytest.mark.parametrize("option", ["workers", "max_jobs", "prio", "overflow"])
def test_using_refuses_options_that_are_not_per_call(option: str) -> None:
    """Options of the whole class, and names that do not exist, are refused with a list."""
    with pytest.raises(
        InvalidOption, match=rf"Echo\.using: {option}=1 .*delay, .*priority, .*tags"
    ):
        Echo.using(**{option: 1})


def test_using_a_pool_that_does_not_exist() -> None:
    """An unknown pool is refused at the enqueue, with those that there are."""
    before = Echo.stats().accepted
    counterpunch.configure(pools={"mail": 1})
    with pytest.raises(InvalidOption, match=r"Echo: pool='male' .*'mail'"):
        Echo.using(pool="male").perform_async()
    assert Echo.stats().accepted == before


def test_using_expires_in() -> None:
    """A call that waited too long is discarded, counted from when it was due."""
    with testing.fake() as recorder:
        late = Echo.using(expires_in=10).perform_in(60)
        recorder._runtime.clock.move_to(recorder._runtime.clock.monotonic() + 69)
        recorder.drain()
        assert late.status is Status.SUCCEEDED
        later = Echo.using(expires_in=10).perform_in(60)
        recorder._runtime.clock.move_to(recorder._runtime.clock.monotonic() + 71)
        recorder.drain()
        assert later.status is Status.DISCARDED
        assert "expires_in=10" in (later.error or "")


# Shared pools


def test_a_shared_pool() -> None:
    """Two classes in one pool share its threads; each keeps its own bound and counters."""
    counterpunch.configure(pools={"postal": 1})
    held, go = threading.Event(), threading.Event()
    order: list[str] = []

    class Letter(Job):
        pool = "postal"
        max_jobs = 2

        def perform(self, name: str) -> str:
            if name == "first":
                held.set()
                assert go.wait(LONG)
            order.append(name)
            return threading.current_thread().name

    class Parcel(Letter):
        max_jobs = 1

    first = Letter.perform_async("first")
    assert held.wait(LONG)
    others = [Letter.perform_async("a"), Parcel.perform_async("b"), Letter.perform_async("c")]
    for cls in (Letter, Parcel):
        with pytest.raises(QueueFull, match=rf"{cls.__name__} .*max_jobs={cls.max_jobs}"):
            cls.perform_async("d")
    assert (Letter.stats().queued, Parcel.stats().queued) == (2, 1)
    go.set()
    names = {handle.result(LONG) for handle in (first, *others)}
    assert names == {"counterpunch-postal_0"}
    assert order == ["first", "a", "b", "c"]


def test_using_another_pool() -> None:
    """A call that names a shared pool runs on that pool's threads."""
    counterpunch.configure(pools={"aside": 1})

    class Movable(Job):
        def perform(self) -> str:
            return threading.current_thread().name

    assert Movable.using(pool="aside").perform_async().result(LONG) == "counterpunch-aside_0"
    assert Movable.perform_async().result(LONG) == "counterpunch-Movable_0"


def test_the_id_is_unique() -> None:
    """Ids of all classes and of a runtime that was started afresh differ."""

    class Other(Echo):
        pass

    ids = {cls.perform_async().id for cls in (Echo, Other) for _ in range(100)}
    counterpunch.shutdown(LONG)
    ids |= {Echo.perform_async().id for _ in range(100)}
    assert len(ids) == 300
    assert all(isinstance(one, str) for one in ids)


def test_every_error_has_the_common_base() -> None:
    """``CounterpunchError`` catches them all; built-in bases stay."""
    from concurrent.futures import CancelledError

    from counterpunch import errors

    classes = [getattr(errors, name) for name in errors.__all__]
    assert all(issubclass(cls, CounterpunchError) for cls in classes)
    assert issubclass(errors.InvalidOption, ValueError)
    assert issubclass(errors.Cancelled, CancelledError)


# A class that writes an enqueue method of its own


def test_an_enqueue_method_of_the_users_own_is_inherited_and_reaches_ours() -> None:
    """``super().perform_async`` enqueues the class it was called on, from every level."""

    class Base(Job):
        def perform(self, name: str) -> str:
            return f"{type(self).__name__} {name}"

    assert Base.perform_async("before").result(LONG) == "Base before"

    class Titled(Base):
        @classmethod
        def perform_async(cls, name: str) -> Any:  # type: ignore[override]
            return super().perform_async(name.title())

        @classmethod
        def perform_in(cls, delay: float, name: str) -> Any:  # type: ignore[override]
            return super().perform_in(delay, name.upper())

    class Below(Titled):
        workers = 1

    assert Titled.perform_async("ada").result(LONG) == "Titled Ada"
    assert Below.perform_async("ada").result(LONG) == "Below Ada"
    assert Below.perform_in(0.001, "ada").result(LONG) == "Below ADA"
    Base.workers = 1  # the class is worked out anew, and keeps out of the way
    assert Titled.perform_async("bob").result(LONG) == "Titled Bob"
    assert Base.perform_async("bob").result(LONG) == "Base bob"
    del Titled.perform_async
    assert Titled.perform_async("eve").result(LONG) == "Titled eve"
    assert Below.perform_async("eve").result(LONG) == "Below eve"


def test_a_worker_that_starts_as_its_pool_closes_gives_its_thread_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The stop saw no executor yet; the thread must not wait in one for ever."""
    threads: list[threading.Thread] = []

    class LateJob(Job):
        workers = 1

        def perform(self) -> None:
            threads.append(threading.current_thread())

    LateJob.resume()  # makes its pool, in a runtime that accepts
    pool = current().lane(LateJob).pool

    class Late(ThreadPoolExecutor):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            pool.close()

    monkeypatch.setattr("counterpunch.core.workers.hiring.ThreadPoolExecutor", Late)
    LateJob.perform_async().result(LONG)
    threads[0].join(LONG)
    assert not threads[0].is_alive()


@pytest.mark.parametrize(
    ("started", "says_so", "signals", "warned"),
    [
        pytest.param(True, False, False, True, id="nothing added"),
        pytest.param(False, False, False, False, id="as it is imported"),
        pytest.param(True, True, False, False, id="with a lifespan"),
        pytest.param(True, False, True, False, id="with our signal handler"),
    ],
)
def test_uvicorn_without_a_lifespan_is_warned_of(
    started: bool,
    says_so: bool,
    signals: bool,
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With the first job, while the server runs on the main thread; once, and only then."""
    module = types.ModuleType("uvicorn.server")
    module.__file__ = "/somewhere/uvicorn/server.py"
    text = "class Server:\n    def run(self, app):\n        app()\n"
    exec(compile(text, module.__file__, "exec"), vars(module))
    monkeypatch.setitem(sys.modules, "uvicorn.server", module)
    monkeypatch.setattr(config, "signals", signals)

    class FirstJob(Job):
        def perform(self) -> None: ...

    class SecondJob(FirstJob): ...

    def app() -> None:
        if says_so:
            counterpunch.start()
        FirstJob.perform_async()
        SecondJob.perform_async().result(10)

    server = vars(module)["Server"]()
    server.started = started
    server.run(app)
    told = [record for record in caplog.records if "asgi.lifespan" in record.getMessage()]
    assert [record.levelname for record in told] == ["WARNING"] * warned


@pytest.mark.parametrize("using", [False, True])
def test_a_bulk_that_is_broken_off_hands_over_what_it_has_enqueued(using: bool) -> None:
    """On the exception, whatever that is; by each way to enqueue in bulk."""

    def rows() -> Any:
        yield (1,)
        yield (2,)
        raise OSError

    with testing.fake() as recorder:
        bulk = Echo.using(priority=1).perform_bulk if using else Echo.perform_bulk
        for given in ([(1,), (2,), 3], rows()):
            with pytest.raises((TypeError, OSError)) as caught:
                bulk(given)
            assert [handle.args for handle in caught.value.handles] == [(1,), (2,)]  # type: ignore[attr-defined]
        assert len(recorder.jobs) == 4
