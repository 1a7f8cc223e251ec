"""Defining a job: its options, its pool, functions as jobs, and what is no job."""

from __future__ import annotations

import abc
import functools
import logging
import threading
from typing import Any
from unittest import mock

import pytest
from held import LONG, Held

import counterpunch
from counterpunch import InvalidOption, Job, QueueFull, Retry, Status, job, testing
from counterpunch.define.options import DEFAULTS

# Definition


class UsesAllJob(Job):
    """Everything that ``perform`` finds on ``self``."""

    def perform(self, rows: int) -> tuple[list[int], int, bool]:
        self.progress(0, rows)
        self.set_status(state="begun")
        self.check_cancelled()
        self.logger.info("%d rows", rows)
        return list(self.track(range(rows))), self.attempt, self.cancelled


def test_perform_called_directly_does_without_a_job(caplog: pytest.LogCaptureFixture) -> None:
    """The usual unit test: no handle, so nobody is told and nothing stops it."""
    caplog.set_level(logging.INFO, logger="counterpunch")
    assert UsesAllJob().perform(3) == ([0, 1, 2], 1, False)
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("counterpunch.UsesAllJob", "3 rows")
    assert not hasattr(record, "job_id")

    handle = UsesAllJob.perform_async(2)  # the same code as a job
    assert handle.result(LONG) == ([0, 1], 1, False)
    assert (handle.progress, handle.data) == ((2, 2, ""), {"state": "begun"})
    assert [getattr(r, "job_id", None) for r in caplog.records if "rows" in r.msg] == [
        None,
        handle.id,
    ]


def test_the_handle_outside_of_a_job_says_the_way_out() -> None:
    """There is none to give; the message names what has one."""
    with pytest.raises(AttributeError, match=r"'UsesAllJob'.*inside a job only.*perform_now.*inl"):
        _ = UsesAllJob().handle
    assert not hasattr(UsesAllJob(), "handle")


def test_a_fresh_instance_per_attempt() -> None:
    """What one attempt stores on ``self`` is not there in the next."""
    seen: list[tuple[int, bool]] = []

    class Flaky(Job):
        retry = Retry(max_attempts=2, wait=0)

        def perform(self) -> None:
            seen.append((self.attempt, hasattr(self, "leftover")))
            self.leftover = True
            if self.attempt == 1:
                raise OSError

    Flaky.perform_async().result(LONG)
    assert seen == [(1, False), (2, False)]


def test_options_are_inherited_and_overridden() -> None:
    """A subclass takes over its base's options, and only what it names differs."""

    class Base(Job):
        workers = 3
        max_jobs = 7
        retry = Retry(max_attempts=2)

        def perform(self) -> None: ...

    class Child(Base):
        workers = 1

    def fill(cls: Any) -> int:
        with testing.fake() as recorder:
            with pytest.raises(QueueFull):
                cls.perform_bulk(() for _ in range(100))
            return len(recorder.jobs)

    assert fill(Base) == fill(Child) == 7
    assert (Child.workers, Child.retry) == (1, Base.retry)


def test_an_option_that_is_not_set_reads_as_its_default() -> None:
    """On the class, on an instance and on a function; what is no option stays an error, and an
    option of a mixin counts wherever the mixin stands."""

    class Urgent:
        priority = 7

    class DefaultsJob(Job, Urgent):
        workers = 3

        def perform(self) -> tuple[object, ...]:
            return self.workers, self.max_jobs, self.priority, self.retry

    @job
    def plain() -> None: ...

    assert (DefaultsJob.workers, DefaultsJob.max_jobs, DefaultsJob.priority) == (3, 100_000, 7)
    assert DefaultsJob.options["priority"] == 7
    for name, default in DEFAULTS.items():
        assert getattr(Job, name) == getattr(plain, name) == default
    assert DefaultsJob.perform_now() == (3, 100_000, 7, None)
    for thing in (DefaultsJob, DefaultsJob(), plain):
        with pytest.raises(AttributeError, match="no attribute 'worker'"):
            _ = thing.worker
    del DefaultsJob.workers
    assert (DefaultsJob.workers, DefaultsJob.options["workers"]) == (2, 2)


def test_each_subclass_has_its_own_pool() -> None:
    """A stuck base class does not hold its subclass up, and the threads bear its name."""
    held = Held()

    class Mail(Job):
        workers = 1

        def perform(self, stuck: bool) -> str:
            if stuck:
                held()
            return threading.current_thread().name

    class Newsletter(Mail):
        pass

    first = Mail.perform_async(True)
    held.wait_started()
    assert Newsletter.perform_async(False).result(LONG) == "counterpunch-Newsletter_0"
    assert (Mail.stats().accepted, Newsletter.stats().accepted) == (1, 1)
    held.release.set()
    assert first.result(LONG) == "counterpunch-Mail_0"


def test_no_thread_before_the_first_enqueue() -> None:
    """Defining a class starts nothing; the first enqueue starts one worker, not all."""
    before = set(threading.enumerate())

    class Eager(Job):
        workers = 8

        def perform(self) -> None: ...

    assert set(threading.enumerate()) <= before  # one of an earlier test may have ended
    Eager.perform_async().result(LONG)
    assert Eager.stats().workers.total == 1


def test_workers_are_added_only_while_none_is_idle() -> None:
    """Jobs one after the other share one thread; jobs at once get one each, up to the limit."""
    held = Held()

    class Grows(Job):
        workers = 3

        def perform(self, wait: bool) -> None:
            if wait:
                held()

    for _ in range(5):
        Grows.perform_async(False)
        assert counterpunch.wait_idle(LONG)
    assert Grows.stats().workers == (1, 0, 1)
    for _ in range(5):
        Grows.perform_async(True)
    held.wait_started(3)
    assert Grows.stats().workers == (3, 3, 0)
    assert Grows.stats().queued == 2
    held.release.set()
    assert counterpunch.wait_idle(LONG)
    assert Grows.stats().workers == (3, 0, 3)


def test_one_worker_is_strictly_serial_and_first_in_first_out() -> None:
    """``workers = 1``: no two jobs overlap, and they run in the order of their enqueue."""
    inside: list[int] = []
    order: list[int] = []

    class Serial(Job):
        workers = 1

        def perform(self, number: int) -> None:
            inside.append(number)
            assert len(inside) == 1
            order.append(number)
            inside.remove(number)

    handles = Serial.perform_bulk((n,) for n in range(200))
    for handle in handles:
        handle.result(LONG)
    assert order == list(range(200))


def test_priority_within_a_pool() -> None:
    """Higher priorities run sooner, equal ones in the order of their enqueue."""
    held = Held()
    order: list[str] = []

    class Ranked(Job):
        workers = 1

        def perform(self, name: str) -> None:
            held() if name == "blocker" else order.append(name)

    Ranked.perform_async("blocker")
    held.wait_started()
    for name, priority in [("a", 0), ("b", 5), ("c", 0), ("d", 9), ("e", 5), ("f", -1)]:
        Ranked.using(priority=priority).perform_async(name)
    held.release.set()
    assert counterpunch.wait_idle(LONG)
    assert order == ["d", "b", "e", "a", "c", "f"]


# Functions


def test_a_function_as_a_job() -> None:
    """``@job`` gives the enqueue methods; calling the object runs the function here."""

    @job
    def hello(user_id: int, *, greeting: str = "hi") -> str:
        """Say hello."""
        return f"{greeting} {user_id} on {threading.current_thread().name}"

    here = threading.current_thread().name
    assert hello(1) == f"hi 1 on {here}"
    assert hello.perform_async(1, greeting="hej").result(LONG) == "hej 1 on counterpunch-hello_0"
    assert hello.perform_in(0, 2).result(LONG).startswith("hi 2")
    assert hello.perform_at(0, 3).result(LONG).startswith("hi 3")
    assert hello.perform_now(4) == f"hi 4 on {here}"
    assert [h.result(LONG)[:4] for h in hello.perform_bulk([(5,), (6,)])] == ["hi 5", "hi 6"]
    assert hello.using(priority=3).perform_async(7).result(LONG).startswith("hi 7")
    assert (hello.__name__, hello.__doc__) == ("hello", "Say hello.")
    assert hello.stats().succeeded == 7


def test_options_of_a_function() -> None:
    """``@job(...)`` takes every option of a class, checked, under the function's name."""

    @job(workers=1, max_jobs=1, overflow="discard")
    def once() -> None: ...

    with testing.fake():
        once.perform_async()
        assert once.perform_async().status is Status.DISCARDED

    with pytest.raises(InvalidOption, match=r"twice: workers=0 is not valid"):

        @job(workers=0)
        def twice() -> None: ...

    with pytest.raises(InvalidOption, match=r"@job: worker=4 .*max_jobs.*workers"):
        job(worker=4)
    with pytest.raises(InvalidOption, match=r"@job: function=3"):
        job(3)  # type: ignore[call-overload]


def test_options_of_a_function_can_be_changed() -> None:
    """They are those of the class behind it: checked, in force, and back again."""

    @job(workers=4)
    def resize(number: int) -> int:
        return number

    with mock.patch.object(resize, "max_jobs", 1), testing.fake():
        assert (resize.max_jobs, resize.job.options["max_jobs"]) == (1, 1)
        resize.perform_async(1)
        with pytest.raises(QueueFull):
            resize.perform_async(2)
    assert resize.max_jobs == DEFAULTS["max_jobs"]
    with pytest.raises(InvalidOption, match="workers=0"):
        resize.workers = 0
    assert resize.workers == 4
    resize.note = "anything else is the object's own"
    del resize.note


def test_arguments_named_like_the_parameters_of_the_library() -> None:
    """A job may call its own arguments ``cls``, ``self``, ``delay`` or ``job``."""

    class Clash(Job):
        def perform(self, cls: int, delay: int, job: int, args: int) -> tuple[int, ...]:
            return cls, delay, job, args

    names: Any = {"cls": 1, "delay": 2, "job": 3, "args": 4}
    assert Clash.perform_async(**names).result(LONG) == (1, 2, 3, 4)
    assert Clash.perform_in(0, **names).result(LONG) == (1, 2, 3, 4)
    assert Clash.perform_now(**names) == (1, 2, 3, 4)
    assert Clash.using(priority=1).perform_async(**names).result(LONG) == (1, 2, 3, 4)

    @job
    def selfish(self: int, function: int) -> int:
        return self + function

    assert selfish(self=1, function=2) == 3
    assert selfish.perform_async(self=1, function=2).result(LONG) == 3
    assert selfish.perform_now(self=1, function=2) == 3
    assert selfish.using(tags=("t",)).perform_async(self=1, function=2).result(LONG) == 3


def test_a_class_without_perform() -> None:
    """A base class may leave it out, and says so when it is enqueued itself."""

    class Template(Job):
        pass

    class Filled(Template):
        def perform(self) -> str:
            return "done"

    for call in (Template.perform_async, lambda: Template.perform_in(1), Template.perform_now):  # type: ignore[attr-defined,misc]
        with pytest.raises(TypeError, match=r"Template cannot be .*it defines no perform\(\)"):
            call()
    assert Filled.perform_async().result(LONG) == "done"


def test_an_abstract_class_is_refused_where_it_is_enqueued() -> None:
    """No instance of it could ever be made, and a worker is not the place to find out."""

    class Fetch(Job):
        @abc.abstractmethod
        def url(self) -> str: ...

        def perform(self) -> str:
            return self.url()

    class FetchNews(Fetch):
        def url(self) -> str:
            return "news"

    class Template(Job):
        @abc.abstractmethod
        async def perform(self) -> str: ...

    for call in (Fetch.perform_async, lambda: Fetch.perform_in(1), Fetch.perform_now):
        with pytest.raises(TypeError, match=r"Fetch cannot be .*it is abstract, without url"):
            call()
    with pytest.raises(TypeError, match="Template cannot be enqueued: it is abstract"):
        Template.perform_async()
    assert Fetch.stats().accepted == 0
    assert FetchNews.perform_async().result(LONG) == "news"
    Fetch.url = lambda self: "any"  # type: ignore[method-assign]
    abc.update_abstractmethods(Fetch)
    assert Fetch.perform_async().result(LONG) == "any"


def test_a_base_that_allows_no_instance_without_init_changes_nothing_of_a_failure() -> None:
    """A failed job is told to hooks and handlers, also where no second instance can be made."""
    told: list[tuple[str, bool]] = []

    class Rows(Job, dict[str, int]):
        retry = Retry(max_attempts=2, wait=0)

        def perform(self) -> None:
            raise LookupError("no such row")

    class Needy(Rows):
        def __init__(self) -> None:
            raise TypeError("no session")

        def on_failure(self, exc: BaseException) -> None:
            raise AssertionError("there is no instance to call it on")

    remove = counterpunch.on_error(lambda exc, handle, again: told.append((str(exc), again)))
    try:
        with pytest.raises(LookupError, match="no such row"):
            Rows.perform_async().result(LONG)
        with pytest.raises(TypeError, match="session"):
            Needy.perform_async().result(LONG)
    finally:
        remove()
    assert told[:2] == [("no such row", True), ("no such row", False)]
    assert [again for _, again in told[2:]] == [True, False]
    assert Needy.stats().attempts == 2


def test_an_init_that_fails_fails_the_job() -> None:
    """The library makes the instance; a class that cannot be made fails as any job would."""
    failures: list[BaseException] = []

    class Needy(Job):
        def __init__(self) -> None:
            raise TypeError("no session")

        def perform(self) -> None: ...

        def on_failure(self, exc: BaseException) -> None:
            failures.append(exc)

    with pytest.raises(TypeError, match="session"):
        Needy.perform_async().result(LONG)
    assert len(failures) == 1


# What would look like a success and run nothing


def test_a_generator_is_no_perform() -> None:
    """Its body would never run; a plain function that returns one is the user's own business."""
    for decorate in (job, job(workers=1)):

        def rows():
            yield 1

        with pytest.raises(InvalidOption, match="yield"):
            decorate(rows)

    with pytest.raises(InvalidOption, match="yield"):

        class Streaming(Job):
            async def perform(self):
                yield 1

    assert job(lambda: list(range(3))).perform_async().result(10) == [0, 1, 2]


def test_a_hook_that_nobody_awaits_is_refused() -> None:
    """``async def`` hooks belong to an ``async def perform``; on_enqueue is never awaited."""
    with pytest.raises(InvalidOption, match="on_failure"):

        class Plain(Job):
            def perform(self) -> None: ...

            async def on_failure(self, exc: BaseException) -> None: ...

    with pytest.raises(InvalidOption, match="on_enqueue"):

        class Awaited(Job):
            async def perform(self) -> None: ...

            async def on_enqueue(self) -> None: ...


def test_the_decorator_refuses_what_is_no_function() -> None:
    for wrong in (3, "name", None, functools.partial(print, "x")):
        with pytest.raises(InvalidOption, match="@job: function"):
            job(workers=1)(wrong)  # type: ignore[call-overload]
