"""Defining a job: options and their inheritance, refused values, functions, signatures."""

from __future__ import annotations

import abc
import functools
import logging
import pickle
import threading
from datetime import timedelta
from typing import Any, ClassVar
from unittest import mock

import pytest

import counterpunch
from counterpunch import InvalidOption, Job, QueueFull, Rate, Retry, Status, job, testing
from counterpunch.options import DEFAULTS

LONG = 10.0  # seconds; a bound that turns a hang into a failure, never reached otherwise


class Held:
    """Keeps a job on its worker until the test lets it go."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.release = threading.Event()

    def __call__(self) -> None:
        self.started.release()
        assert self.release.wait(LONG)

    def wait_started(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.started.acquire(timeout=LONG)


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

    assert set(threading.enumerate()) == before
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


# Refused values

REFUSED: list[tuple[str, Any, str]] = [
    *[("workers", value, "an int of 1 or more") for value in (0, -1, 1.5, "4", None, True)],
    *[("max_jobs", value, "an int of 1 or more, or None") for value in (0, -5, 2.0, "9", False)],
    *[
        ("overflow", value, "'raise', 'discard', 'discard_oldest', 'caller_runs', 'block'")
        for value in ("drop", None, 1, ["raise"])
    ],
    *[
        ("block_timeout", value, "seconds from 0, as a number or a timedelta, or None")
        for value in (-0.1, float("nan"), float("inf"), "5", True, timedelta(seconds=-1))
    ],
    *[("pool", value, "the name of a pool") for value in ("", 3, b"mail")],
    *[("priority", value, "an int; higher runs sooner") for value in (1.0, "9", None, True)],
    *[("retry", value, "a Retry(...), or None for a single run") for value in (3, True, Retry)],
    *[
        ("discard_on", value, "an exception class or a tuple of them")
        for value in (None, "OSError", (OSError, int), OSError())
    ],
    *[
        (option, value, "seconds above 0, as a number or a timedelta, or None")
        for option in ("timeout", "expires_in", "every")
        for value in (0, -1, float("nan"), float("inf"), "1", True, timedelta(0))
    ],
    *[("on_shutdown", value, "'drain', 'drop'") for value in ("wait", None, True)],
    *[("delayed_on_shutdown", value, "'drop', 'run', 'wait'") for value in ("drain", None)],
    *[("identity", value, "a @staticmethod") for value in ("user_id", 3)],
    *[("unique", value, "'queued', 'active' or None") for value in (True, "always")],
    ("unique", "queued", "None, unless the class has an identity"),
    *[
        ("on_duplicate", value, "'existing', 'replace', 'discard', 'raise'")
        for value in (None, "ignore")
    ],
    *[("rate", value, "a Rate(limit, per=seconds), or None") for value in (5, Rate)],
    *[("context", value, "'copy', 'fresh'") for value in ("share", None)],
    *[("cron", value, "a five-field crontab string") for value in (5, "* * * *", "61 * * * *")],
    *[("timezone", value, "an IANA time zone name") for value in (None, "Mars/Base", 2)],
    *[
        ("jitter", value, "seconds from 0, as a number or a timedelta")
        for value in (-1, None, float("nan"))
    ],
    *[("once_per", value, "'host', 'process'") for value in ("cluster", None)],
    *[("tags", value, "a tuple of strings") for value in ("mail", (1,), None)],
    *[("log_args", value, "True or False") for value in (1, None, "no")],
    *[("redact", value, "a tuple of names of perform") for value in ("password", 1, (1,), True)],
    *[("backend", value, "None: jobs run in threads") for value in ("celery", 1)],
]


@pytest.mark.parametrize(("option", "value", "allowed"), REFUSED)
def test_bad_option(option: str, value: Any, allowed: str) -> None:
    """A refused value is a ValueError that names class, option, value and what is allowed."""
    with pytest.raises(InvalidOption) as caught:
        type("HelloEmailJob", (Job,), {option: value, "perform": lambda self: None})
    message = str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert message.startswith("HelloEmailJob: ")
    assert f"{option}={value!r}"[:60] in message
    assert f"allowed: {allowed}" in message
    assert (caught.value.owner, caught.value.option) == ("HelloEmailJob", option)
    assert len(message) < 500  # a huge value is cut short


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("worker", 1, "workers"),
        ("max_job", 10, "max_jobs"),
        ("time_zone", "Europe/Berlin", "timezone"),
        ("time_out", timedelta(seconds=1), "timeout"),
        ("queue", "mail", "pool"),
        ("max_retries", 3, r"retry = Retry\(max_attempts=...\)"),
    ],
)
def test_an_attribute_that_looks_like_an_option_is_said(name: str, value: Any, meant: str) -> None:
    """It would be ignored in silence; where the class stands, and by its name."""
    with pytest.warns(UserWarning, match=rf"Mistaken: {name}=.* did you mean {meant}\?") as told:
        type(Job)("Mistaken", (Job,), {name: value})
    assert [warning.filename for warning in told] == [__file__]


@pytest.mark.filterwarnings("error")
def test_attributes_of_ones_own_are_nobodys_business() -> None:
    class Own(Job):
        content = "text"  # near "context", but a word of its own
        queue: ClassVar[list[int]] = []
        template, url, sizes, _worker = "mail.html", "https://example.org", (1, 2), 3

        def rates(self) -> None: ...

        def perform(self) -> None: ...

    class Heir(Own):
        workers = 1

    assert Heir.options["workers"] == 1


def test_every_option_has_a_refused_value() -> None:
    """The table above misses no option."""
    from counterpunch.options import DEFAULTS

    assert {option for option, _, _ in REFUSED} == set(DEFAULTS)


def test_every_and_cron_exclude_each_other() -> None:
    """Two rhythms at once are refused."""
    with pytest.raises(InvalidOption, match="Both: cron='0 3"):
        type("Both", (Job,), {"every": 60, "cron": "0 3 * * *", "perform": lambda self: None})


@pytest.mark.parametrize("hook", ["on_enqueue", "before", "on_success", "on_error", "after"])
def test_a_hook_must_be_callable(hook: str) -> None:
    """A value under a hook's name is a mistake that shows at once."""
    with pytest.raises(InvalidOption, match=f"Odd: {hook}='no'.*a method"):
        type("Odd", (Job,), {hook: "no"})


def test_a_bad_option_inherited_from_a_mixin() -> None:
    """Options may come from a mixin that is no job, and are checked all the same."""

    class Slow:
        workers = 0

    with pytest.raises(InvalidOption, match="Mixed: workers=0"):
        type("Mixed", (Slow, Job), {"perform": lambda self: None})


def test_times_may_be_timedeltas() -> None:
    """An option in seconds takes a timedelta as well."""
    ran: list[int] = []

    class Brief(Job):
        expires_in = timedelta(minutes=1)

        def perform(self) -> None:
            ran.append(1)

    with testing.fake() as recorder:
        handle = Brief.perform_async()
        recorder._runtime.virtual.move_to(recorder._runtime.clock.monotonic() + 61)
        recorder.drain()
    assert (handle.status, ran) == (Status.DISCARDED, [])


# Options changed after first use


def test_changed_options_take_effect() -> None:
    """``max_jobs``, ``overflow``, ``retry`` and ``perform`` count from the next enqueue on."""

    class Changing(Job):
        max_jobs = 1

        def perform(self) -> str:
            return "old"

    with testing.fake() as recorder:
        Changing.perform_async()
        with pytest.raises(QueueFull):
            Changing.perform_async()
        Changing.max_jobs = 2
        Changing.perform_async()
        with pytest.raises(QueueFull):
            Changing.perform_async()
        Changing.overflow = "discard"
        assert Changing.perform_async().status is Status.DISCARDED
        recorder.drain()
        Changing.perform = lambda self, who: f"new {who}"  # type: ignore[assignment,misc]
        with pytest.raises(TypeError):
            Changing.perform_async()
        handle = Changing.perform_async("x")
        recorder.drain()
        assert handle.result() == "new x"


def test_a_change_reaches_subclasses_that_inherit_it() -> None:
    """A base class's new value holds for its subclasses in use, unless they have their own."""

    class Upper(Job):
        def perform(self) -> None: ...

    class Lower(Upper):
        pass

    class Own(Upper):
        max_jobs = 3

    with testing.fake():
        Lower.perform_async()
        Own.perform_async()
        Upper.max_jobs = 1
        with pytest.raises(QueueFull):
            Lower.perform_async()
        Own.perform_async()
        del Upper.max_jobs
        Lower.perform_async()


def test_workers_changed_after_first_use() -> None:
    """More workers start at once for what waits; fewer leave after the job they are at."""
    held = Held()

    class Elastic(Job):
        workers = 1

        def perform(self) -> None:
            held()

    Elastic.perform_bulk(() for _ in range(3))
    held.wait_started()
    Elastic.workers = 3
    held.wait_started(2)
    assert Elastic.stats().workers.total == 3
    Elastic.workers = 1
    held.release.set()
    assert counterpunch.wait_idle(LONG)
    held.release.clear()
    Elastic.perform_bulk(() for _ in range(2))
    held.wait_started()
    assert (Elastic.stats().running, Elastic.stats().queued) == (1, 1)
    held.release.set()


def test_workers_lowered_and_raised_again_never_exceed_the_limit() -> None:
    """A worker that was to leave and need not any more stays; no third one is started."""
    held = Held()

    class Wavering(Job):
        workers = 2

        def perform(self) -> None:
            held()

    Wavering.perform_bulk(() for _ in range(4))
    held.wait_started(2)
    Wavering.workers = 1
    Wavering.workers = 2
    assert not held.started.acquire(timeout=0.05)
    assert Wavering.stats().workers == (2, 2, 0)
    assert (Wavering.stats().running, Wavering.stats().queued) == (2, 2)
    held.release.set()
    assert counterpunch.wait_idle(LONG)
    assert Wavering.stats().succeeded == 4


def test_a_refused_change_leaves_the_class_as_it_was() -> None:
    """A bad value raises where it is set, and the old one stays in force."""

    class Steady(Job):
        max_jobs = 1

        def perform(self) -> None: ...

    with testing.fake():
        Steady.perform_async()
        with pytest.raises(InvalidOption, match="Steady: max_jobs=0"):
            Steady.max_jobs = 0
        assert Steady.max_jobs == 1
        with pytest.raises(QueueFull):
            Steady.perform_async()
    with pytest.raises(InvalidOption, match="Steady: workers='many'"):
        Steady.workers = "many"  # type: ignore[assignment]
    assert "workers" not in Steady.__dict__


def test_an_attribute_that_is_needed_cannot_be_deleted() -> None:
    """As a refused change: the class remains as it was."""

    class Single(Job):
        unique = "queued"

        @staticmethod
        def identity(number: int) -> int:
            return number

        def perform(self, number: int) -> None: ...

    with pytest.raises(InvalidOption, match="Single: unique='queued'"):
        del Single.identity
    with testing.fake():
        assert Single.perform_async(1) is Single.perform_async(1)
        assert Single.in_progress(1)
    del Single.unique
    del Single.identity
    assert Single.options["identity"] is None


def test_the_pool_of_a_class_in_use_cannot_be_changed() -> None:
    """Its jobs may wait in the old one, so the change is refused, not ignored."""
    counterpunch.configure(pools={"elsewhere": 1})

    class Settled(Job):
        def perform(self) -> None: ...

    Settled.perform_async().result(LONG)
    with pytest.raises(InvalidOption, match=r"Settled: pool='elsewhere'.*in use"):
        Settled.pool = "elsewhere"
    assert "pool" not in Settled.__dict__
    Settled.perform_async().result(LONG)


def test_other_class_attributes_are_free() -> None:
    """A job class may keep its own data, also from inside a job."""

    class Counting(Job):
        total = 0

        def perform(self) -> None:
            type(self).total += 1

    for _ in range(3):
        Counting.perform_async().result(LONG)
    assert Counting.total == 3


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


# Signatures


class Shapes:
    """Methods to be used as ``perform``, each with calls that fit and calls that do not."""

    def plain(self, a: int, b: int = 2) -> tuple[Any, ...]:
        return a, b

    def positional_only(self, a: int, /, b: int = 2) -> tuple[Any, ...]:
        return a, b

    def self_only_positional(self, /, a: int) -> tuple[Any, ...]:
        return (a,)

    def keyword_only(self, a: int, *, b: int, c: int = 3) -> tuple[Any, ...]:
        return a, b, c

    def rest(self, a: int, *more: int, b: int = 0, **names: int) -> tuple[Any, ...]:
        return a, more, b, names

    def everything(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
        return args[1:], kwargs


def decorated(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def make(perform: Any) -> Any:
    return type("HelloEmailJob", (Job,), {"perform": perform})


@pytest.mark.parametrize(
    ("perform", "args", "kwargs"),
    [
        (Shapes.plain, (1,), {}),
        (Shapes.plain, (1, 3), {}),
        (Shapes.plain, (), {"b": 3, "a": 1}),
        (Shapes.positional_only, (1,), {"b": 3}),
        (Shapes.self_only_positional, (), {"a": 1}),
        (Shapes.keyword_only, (1,), {"b": 2}),
        (Shapes.keyword_only, (), {"a": 1, "b": 2, "c": 4}),
        (Shapes.rest, (1, 2, 3), {"b": 4, "z": 5}),
        (Shapes.everything, (1, 2), {"x": 3}),
        (decorated(Shapes.plain), (1, 3), {}),
        (decorated(decorated(Shapes.keyword_only)), (1,), {"b": 2}),
        (staticmethod(lambda a, b=2: (a, b)), (1,), {"b": 3}),
        (classmethod(lambda cls, a: (cls.__name__, a)), (1,), {}),
        (staticmethod(decorated(lambda a: a)), (1,), {}),
        (staticmethod(max), (1, 2), {}),
    ],
)
def test_arguments_that_fit(perform: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Every shape of signature is accepted and reaches perform unchanged."""
    cls = make(perform)
    assert cls.perform_async(*args, **kwargs).result(LONG) == cls().perform(*args, **kwargs)


MISFITS: list[tuple[Any, tuple[Any, ...], dict[str, Any], str]] = [
    (Shapes.plain, (), {}, "missing 1 required positional argument: 'a'"),
    (Shapes.plain, (1, 2, 3), {}, "from 1 to 2 positional arguments but 3 were given"),
    (Shapes.plain, (1,), {"a": 2}, "multiple values for argument 'a'"),
    (Shapes.plain, (1,), {"x": 2}, "unexpected keyword argument 'x'"),
    (Shapes.positional_only, (), {"a": 1}, "positional-only arguments passed as keyword"),
    (Shapes.self_only_positional, (), {}, "missing 1 required positional argument: 'a'"),
    (Shapes.keyword_only, (1,), {}, "missing 1 required keyword-only argument: 'b'"),
    (Shapes.keyword_only, (1, 2), {}, "1 positional argument but 2"),
    (Shapes.rest, (), {}, "missing 1 required positional argument: 'a'"),
    (decorated(Shapes.plain), (), {}, "missing 1 required positional argument: 'a'"),
    (staticmethod(lambda a: a), (), {}, "missing 1 required positional argument: 'a'"),
    (staticmethod(lambda a: a), (1, 2), {}, "1 positional argument but 2 were given"),
    (classmethod(lambda cls, a: a), (1, 2), {}, "1 positional argument but 2 were given"),
]
CALLS = ("async", "in", "at", "now", "bulk", "using")


@pytest.mark.parametrize(
    ("perform", "args", "kwargs", "complaint", "call"),
    [
        (*misfit, call)
        for misfit in MISFITS
        for call in CALLS
        if call != "bulk" or not misfit[2]  # rows of a bulk are positional
    ],
)
def test_arguments_that_do_not_fit(
    perform: Any, args: tuple[Any, ...], kwargs: dict[str, Any], complaint: str, call: str
) -> None:
    """A TypeError at the call, naming the class; nothing is accepted and nothing runs."""
    cls = make(perform)
    enqueue = {
        "async": cls.perform_async,
        "in": functools.partial(cls.perform_in, 60),
        "at": functools.partial(cls.perform_at, 0),
        "now": cls.perform_now,
        "bulk": lambda *row: cls.perform_bulk([row]),
        "using": cls.using(priority=1).perform_async,
    }[call]
    with testing.fake() as recorder:
        with pytest.raises(TypeError, match=complaint) as caught:
            enqueue(*args, **kwargs)
        assert "HelloEmailJob.perform()" in str(caught.value)
        assert recorder.jobs == []
        assert cls.stats().accepted == 0


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
        def __init__(self, session: object) -> None: ...

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


def test_an_init_that_wants_arguments_fails_the_job() -> None:
    """The library makes the instance; a class that cannot be made fails as any job would."""
    failures: list[BaseException] = []

    class Needy(Job):
        def __init__(self, session: object) -> None: ...

        def perform(self) -> None: ...

        def on_failure(self, exc: BaseException) -> None:
            failures.append(exc)

    with pytest.raises(TypeError, match="session"):
        Needy.perform_async().result(LONG)
    assert len(failures) == 1


def test_a_number_beyond_any_float_is_refused() -> None:
    """Not an OverflowError out of the check itself."""
    for make_one in (
        lambda: type("Huge", (Job,), {"expires_in": 10**400}),
        lambda: Retry(wait=10**400),
        lambda: counterpunch.wait_idle(10**400),
    ):
        with pytest.raises(InvalidOption, match=r"=1000.*\.\.\. is not valid"):
            make_one()


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


def test_an_invalid_option_survives_a_pickle() -> None:
    """A pool of processes hands its workers' errors over that way."""
    original = InvalidOption("Owner", "workers", threading.Lock(), "a whole number")
    copied = pickle.loads(pickle.dumps(original))
    assert isinstance(copied, InvalidOption)
    assert (copied.owner, copied.option, copied.allowed) == ("Owner", "workers", "a whole number")
    assert "workers=" in str(copied)
    assert "a whole number" in str(copied)
