"""The options of a class: refused values, and changes after the first use."""

from __future__ import annotations

import pickle
import threading
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from held import LONG, Held

import counterpunch
from counterpunch import InvalidOption, Job, QueueFull, Rate, Retry, Status, testing

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
    *[("loop", value, "'own', 'app'") for value in ("mine", None, True)],
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
    from counterpunch.define.options import DEFAULTS

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
        recorder._runtime.clock.move_to(recorder._runtime.clock.monotonic() + 61)
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


def test_a_number_beyond_any_float_is_refused() -> None:
    """Not an OverflowError out of the check itself."""
    for make_one in (
        lambda: type("Huge", (Job,), {"expires_in": 10**400}),
        lambda: Retry(wait=10**400),
        lambda: counterpunch.wait_idle(10**400),
    ):
        with pytest.raises(InvalidOption, match=r"=1000.*\.\.\. is not valid"):
            make_one()


def test_an_invalid_option_survives_a_pickle() -> None:
    """A pool of processes hands its workers' errors over that way."""
    original = InvalidOption("Owner", "workers", threading.Lock(), "a whole number")
    copied = pickle.loads(pickle.dumps(original))
    assert isinstance(copied, InvalidOption)
    assert (copied.owner, copied.option, copied.allowed) == ("Owner", "workers", "a whole number")
    assert "workers=" in str(copied)
    assert "a whole number" in str(copied)


def test_a_system_without_time_zones_says_what_to_install() -> None:
    """On a slim image every name but UTC is unknown."""
    import zoneinfo

    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[])
    try:
        if zoneinfo.available_timezones():
            pytest.skip("the package tzdata is installed")
        with pytest.raises(
            InvalidOption, match=r"timezone='Asia/Tokyo'.*install the package tzdata"
        ):
            type("Zoned", (Job,), {"timezone": "Asia/Tokyo", "perform": lambda self: None})
    finally:
        zoneinfo.reset_tzpath(to=before)
