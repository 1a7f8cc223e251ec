"""Retries: the formula, its limits, which exceptions, and what a retry wait costs: nothing."""

from __future__ import annotations

import random
import sys
import threading
from datetime import timedelta
from email.message import Message
from itertools import pairwise
from types import ModuleType
from typing import Any
from urllib.error import HTTPError

import pytest

import counterpunch
from counterpunch import Cancelled, Discard, InvalidOption, Job, Retry, Status, testing

LONG = 10.0  # seconds; a bound that turns a hang into a failure, never reached otherwise


class Down(OSError):
    pass


def full() -> float:
    """A random source that always draws the whole wait (all but)."""
    return 1.0


def waits(retry: Retry, attempts: int, draw: float = 1.0) -> list[float | None]:
    return [retry.next_delay(n, Down(), 0.0, lambda: draw) for n in range(1, attempts + 1)]


# The formula


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 2, 4, 8, None]),
        ({"max_attempts": 1}, [None]),
        ({"max_attempts": 2}, [1, None]),
        ({"max_attempts": 9}, [1, 2, 4, 8, 16, 32, 60, 60, None]),
        ({"wait": 3, "factor": 1}, [3, 3, 3, 3, None]),
        ({"wait": 0.5, "factor": 3, "max_wait": 10}, [0.5, 1.5, 4.5, 10, None]),
        ({"wait": 0}, [0, 0, 0, 0, None]),
        ({"wait": timedelta(minutes=1), "max_wait": timedelta(minutes=2)}, [60, 120, 120, 120]),
        ({"max_wait": 0.25}, [0.25, 0.25, 0.25, 0.25, None]),
    ],
)
def test_formula(options: dict[str, Any], expected: list[float | None]) -> None:
    """``min(max_wait, wait * factor ** (n - 1))``, and None after the last attempt."""
    assert waits(Retry(**options), len(expected)) == expected


def test_the_formula_beyond_the_range_of_a_float() -> None:
    """``factor ** (n - 1)`` has none from some n on; no wait remains no wait."""
    assert Retry(jitter=0).formula(5000, lambda: 1.0) == 60.0
    assert Retry(wait=0, jitter=0).formula(5000, lambda: 1.0) == 0.0


@pytest.mark.parametrize(
    ("jitter", "draw", "expected"),
    [
        (1.0, 0.0, [0, 0, 0]),
        (1.0, 0.25, [0.25, 0.5, 1]),
        (1.0, 1.0, [1, 2, 4]),
        (0.5, 0.0, [0.5, 1, 2]),
        (0.5, 0.5, [0.75, 1.5, 3]),
        (0.0, 0.5, [1, 2, 4]),
    ],
)
def test_jitter(jitter: float, draw: float, expected: list[float]) -> None:
    """The fraction ``jitter`` of each wait is drawn, from zero to full."""
    assert waits(Retry(jitter=jitter), 3, draw) == expected


def test_jitter_spreads_the_waits_evenly() -> None:
    """With a real random source the waits fill the whole range."""
    source = random.Random(7).random
    drawn = [Retry().next_delay(3, Down(), 0.0, source) for _ in range(2000)]
    assert all(wait is not None and 0 <= wait < 4 for wait in drawn)
    quarters = [sum(1 for wait in drawn if wait is not None and int(wait) == q) for q in range(4)]
    assert all(400 < count < 600 for count in quarters)


def test_a_factor_that_leaves_the_range_of_floats() -> None:
    """Attempt 5000 waits ``max_wait``, it does not fail."""
    retry = Retry(max_attempts=10_000, factor=10.0)
    assert retry.next_delay(5000, Down(), 0.0, full) == 60


def test_max_elapsed() -> None:
    """No attempt begins later than that after the first start."""
    retry = Retry(max_attempts=10, wait=10, factor=1, max_elapsed=25, jitter=0)
    assert retry.next_delay(1, Down(), 15.0, full) == 10
    assert retry.next_delay(1, Down(), 15.001, full) is None
    with testing.fake() as recorder:

        class Elapsing(Job):
            def perform(self) -> None:
                raise Down

        Elapsing.retry = retry  # type: ignore[attr-defined]
        handle = Elapsing.perform_in(100)
        with pytest.raises(Down):
            recorder.advance(1000)
        assert handle.attempt == 3  # at 0, 10 and 20; the one at 30 would be too late


def test_delay_replaces_the_formula() -> None:
    """``delay(attempt, exc)``: seconds, a timedelta, or None to give up."""
    asked: list[tuple[int, BaseException]] = []

    def delay(attempt: int, exc: BaseException) -> Any:
        asked.append((attempt, exc))
        return {1: 7, 2: timedelta(seconds=3), 3: 0, 4: None}[attempt]

    with testing.fake() as recorder:

        class Asking(Job):
            retry = Retry(max_attempts=9, delay=delay)

            def perform(self) -> None:
                raise Down(f"attempt {self.attempt}")

        handle = Asking.perform_async()
        ran = [recorder.drain()]
        for seconds in (6.999, 0.001, 2.999):
            ran.append(recorder.advance(seconds))
        assert ran == [1, 0, 1, 0]
        with pytest.raises(Down, match="attempt 4"):
            recorder.advance(0.001)  # the third, and the fourth right behind it
        assert handle.attempt == 4
        assert [attempt for attempt, _ in asked] == [1, 2, 3, 4]
        assert [str(exc) for _, exc in asked] == [f"attempt {n}" for n in (1, 2, 3, 4)]


def test_retry_after_is_honoured() -> None:
    """What a server asked for in its header; the job's own guess where it asked for nothing."""

    def retry_after(attempt: int, exc: BaseException) -> float | None:
        if isinstance(exc, HTTPError) and exc.code == 404:
            return None
        asked = exc.headers.get("Retry-After") if isinstance(exc, HTTPError) else None
        return float(asked) if asked else 2.0 * attempt

    answers: list[tuple[int, dict[str, str]]] = [
        (429, {"Retry-After": "120"}),
        (503, {}),
        (429, {"Retry-After": "0"}),
        (404, {"Retry-After": "5"}),
    ]
    starts = []

    class Polite(Job):
        retry = Retry(max_attempts=9, max_wait=1.0, delay=retry_after)

        def perform(self) -> None:
            starts.append(recorder.now.timestamp())
            code, headers = answers[self.attempt - 1]
            raise HTTPError("https://example.org", code, "no", message(headers), None)

    def message(headers: dict[str, str]) -> Message:
        made = Message()
        for name, value in headers.items():
            made[name] = value
        return made

    with testing.fake(now=1_000_000) as recorder:
        handle = Polite.perform_async()
        with pytest.raises(HTTPError):
            recorder.advance(600)
    assert handle.attempt == 4
    assert [start - 1_000_000 for start in starts] == [0, 120, 124, 124]


@pytest.mark.parametrize("answer", [-1, float("nan"), float("inf"), "soon", 10**400, SystemExit])
def test_a_broken_delay_function(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Logged, and the formula is used, with the policy's limits in force."""

    def delay(attempt: int, exc: BaseException) -> Any:
        if isinstance(answer, type):
            raise answer("broken")
        return answer

    with testing.fake() as recorder:

        class Astray(Job):
            retry = Retry(max_attempts=9, wait=5, jitter=0, factor=1, max_elapsed=5, delay=delay)

            def perform(self) -> None:
                raise Down

        handle = Astray.perform_async()
        recorder.drain()
        assert handle.status is Status.RETRYING
        assert "Retry.delay raised" in caplog.text
        with pytest.raises(Down):
            recorder.advance(5)
        assert (handle.attempt, handle.status) == (2, Status.FAILED)


def test_the_runtimes_random_source_is_used() -> None:
    """Jitter comes from one injectable source."""
    with testing.fake() as recorder:
        recorder._runtime.chance.source = lambda: 0.5

        class Drawn(Job):
            retry = Retry(max_attempts=2, wait=10)

            def perform(self) -> None:
                raise Down

        handle = Drawn.perform_async()
        recorder.drain()
        assert handle.run_at - recorder.now == timedelta(seconds=5)


# Which exceptions


@pytest.mark.parametrize(
    ("options", "exc", "retried"),
    [
        ({}, Down, True),
        ({}, KeyError, True),
        ({}, SystemExit, False),
        ({}, KeyboardInterrupt, False),
        ({}, GeneratorExit, False),
        ({"on": SystemExit}, SystemExit, True),
        ({"on": (BaseException,)}, KeyboardInterrupt, True),
        ({"on": (OSError,)}, Down, True),
        ({"on": OSError}, KeyError, False),
        ({"on": ()}, Down, False),
        ({"not_on": Down}, Down, False),
        ({"not_on": (Down,)}, OSError, True),
        ({"on": (Down,), "not_on": (OSError,)}, Down, False),
    ],
)
def test_on_and_not_on(options: dict[str, Any], exc: type[BaseException], retried: bool) -> None:
    """``on`` says which are retried, ``not_on`` takes some of them out again."""
    assert Retry(**options).wants(1, exc()) is retried
    with testing.fake() as recorder:

        class Choosy(Job):
            def perform(self) -> None:
                raise exc

        Choosy.retry = Retry(max_attempts=2, jitter=0, **options)  # type: ignore[attr-defined]
        handle = Choosy.perform_async()
        if retried:
            recorder.drain()
            assert handle.status is Status.RETRYING
            recorder.clear()
        else:
            with pytest.raises(exc):
                recorder.drain()
            assert handle.status is Status.FAILED


def test_discard_is_never_retried() -> None:
    """``Discard`` and ``discard_on`` end the job before the policy is asked."""

    class Dropping(Job):
        retry = Retry(max_attempts=5, wait=0, on=(Exception,))
        discard_on = (KeyError,)

        def perform(self, exc: type[Exception]) -> None:
            raise exc("why")

    with testing.fake() as recorder:
        for exc in (Discard, KeyError):
            handle = Dropping.perform_async(exc)
            recorder.drain()
            assert (handle.status, handle.attempt) == (Status.DISCARDED, 1)


@pytest.mark.parametrize("exc", [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration])
def test_no_exception_ends_the_worker(exc: type[BaseException]) -> None:
    """The attempt ends; the same thread goes on to the next job."""
    threads: list[int] = []

    class Fatal(Job):
        workers = 1
        retry = Retry(max_attempts=2, wait=0, on=(BaseException,))

        def perform(self, failing: bool) -> None:
            threads.append(threading.get_ident())
            if failing:
                raise exc("in a job")

    failed = Fatal.perform_async(True)
    failure = failed.exception(LONG)
    assert type(failure) is exc
    assert (failed.status, failed.attempt) == (Status.FAILED, 2)
    assert Fatal.perform_async(False).result(LONG) is None
    assert len(threads) == 3
    assert len(set(threads)) == 1
    with pytest.raises(exc):
        failed.result(LONG)


def test_an_exception_that_cannot_be_shown() -> None:
    """A broken ``__str__``, ``__repr__`` or ``__cause__`` does not harm the worker either."""

    class Nasty(Exception):
        def __str__(self) -> str:
            raise SystemExit

        __repr__ = __str__

    class Awkward(Job):
        workers = 1

        def perform(self, argument: object) -> None:
            raise Nasty from Nasty()

    class Unshowable:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    handle = Awkward.perform_async(Unshowable())
    assert isinstance(handle.exception(LONG), Nasty)
    assert "Nasty" in (handle.error or "")
    assert isinstance(Awkward.perform_async(1).exception(LONG), Nasty)


# On real threads


def test_a_worker_does_not_sleep_out_a_retry_wait() -> None:
    """While a job waits for its next attempt its only worker runs others."""
    order: list[tuple[str, int]] = []

    class Waiting(Job):
        workers = 1
        retry = Retry(max_attempts=2, wait=3600, jitter=0)

        def perform(self, name: str) -> None:
            order.append((name, self.attempt))
            if name == "flaky" and self.attempt == 1:
                raise Down

    flaky = Waiting.perform_async("flaky")
    for _ in range(3):
        Waiting.perform_async("other").result(LONG)
    assert flaky.status is Status.RETRYING
    assert Waiting.stats().retrying == 1
    assert Waiting.stats().workers == (1, 0, 1)
    assert counterpunch.wait_idle(LONG)
    assert not counterpunch.wait_idle(0, scheduled=True)
    assert flaky.run_now()
    flaky.result(LONG)
    assert order == [("flaky", 1), *[("other", 1)] * 3, ("flaky", 2)]


def test_attempts_are_counted() -> None:
    """``attempt`` from 1, in the job, in the handle and in the counters."""
    seen: list[tuple[int, int]] = []

    class Counted(Job):
        retry = Retry(max_attempts=4, wait=0.001)

        def perform(self) -> str:
            seen.append((self.attempt, self.handle.attempt))
            if self.attempt < 4:
                raise Down
            return "at last"

    handle = Counted.perform_async()
    assert handle.result(LONG) == "at last"
    assert seen == [(n, n) for n in (1, 2, 3, 4)]
    stats = Counted.stats()
    assert (stats.accepted, stats.attempts, stats.succeeded, stats.failed) == (1, 4, 1, 0)


def test_the_last_failure_counts() -> None:
    """``result()`` raises the exception of the last attempt, and ``error`` shows it."""

    class Worse(Job):
        retry = Retry(max_attempts=3, wait=0)

        def perform(self) -> None:
            raise Down(f"attempt {self.attempt}")

    handle = Worse.perform_async()
    with pytest.raises(Down, match="attempt 3"):
        handle.result(LONG)
    assert (handle.error or "").rstrip().endswith("attempt 3")


def test_a_retry_never_starts_early() -> None:
    """Each attempt begins no sooner than its wait after the end of the one before."""
    with testing.fake() as recorder:
        times: list[float] = []

        class Punctual(Job):
            retry = Retry(max_attempts=4, wait=10, jitter=0)

            def perform(self) -> None:
                times.append(recorder._runtime.clock.monotonic())
                raise Down

        Punctual.perform_async()
        with pytest.raises(Down):
            recorder.advance(1000)
        assert [later - sooner for sooner, later in pairwise(times)] == [10, 20, 40]


def test_cancelled_is_retried_like_others_unless_told_to_stop() -> None:
    """``Cancelled`` from elsewhere is an ordinary failure."""
    with testing.fake() as recorder:

        class Bystander(Job):
            retry = Retry(max_attempts=2, wait=5, jitter=0)

            def perform(self) -> None:
                raise Cancelled("another job")

        handle = Bystander.perform_async()
        recorder.drain()
        assert handle.status is Status.RETRYING
        recorder.clear()


# Bad values


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        *[("max_attempts", value, "an int of 1 or more") for value in (0, -1, 2.5, "3", True)],
        *[
            (option, value, "an exception class or a tuple of them")
            for option in ("on", "not_on")
            for value in (None, "OSError", (OSError, 3), OSError())
        ],
        *[
            (option, value, "a number from 0 or more")
            for option in ("wait", "max_wait", "max_elapsed")
            for value in (-1, float("nan"), float("inf"), "1", timedelta(seconds=-1), True)
        ],
        *[("factor", value, "a number from 1 or more") for value in (0.9, -2, None, True)],
        *[("jitter", value, "a number from 0 to 1") for value in (-0.1, 1.1, None, "full")],
        *[("delay", value, "a callable (attempt, exc), or None") for value in (5, "later")],
        *[("budget", value, "0") for value in (0, 1.5, -1, "half")],
    ],
)
def test_bad_retry(option: str, value: Any, allowed: str) -> None:
    """Refused where it is written, with the option, the value and what is allowed."""
    with pytest.raises(InvalidOption) as caught:
        Retry(**{option: value})
    assert str(caught.value).startswith(f"Retry: {option}={value!r} is not valid; allowed: ")
    assert allowed in str(caught.value)


def test_retry_is_a_value() -> None:
    """Equal policies are equal, and show themselves."""
    assert Retry(3, OSError, wait=2) == Retry(3, (OSError,), wait=timedelta(seconds=2))
    assert Retry(3) != Retry(4)
    assert Retry(3) != 3
    assert hash(Retry(3)) == hash(Retry(3))
    assert repr(Retry(3)) == "Retry(max_attempts=3)"
    text = "Retry(max_attempts=5, max_wait=9.0, not_on=(KeyError, IndexError), on=(OSError,))"
    assert repr(Retry(on=OSError, not_on=(KeyError, IndexError), max_wait=9)) == text


def test_a_failure_while_another_thread_imports_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that is only half there is no reason to fail otherwise than the job did."""

    class Unlucky(Job):
        def perform(self) -> None:
            raise Down

    monkeypatch.setitem(sys.modules, "asyncio", ModuleType("asyncio"))
    with pytest.raises(Down):
        Unlucky.perform_async().result(LONG)
