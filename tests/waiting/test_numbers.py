"""Every number that a user may write: what is refused, where, and what is the same as what."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

import counterpunch
from counterpunch import Batch, InvalidOption, Job, QueueFull, Rate, Retry, configure, testing

LONG = 10.0


class Odd:
    """Like a scalar of numpy: no subclass of a number, and convertible to all of them."""

    def __float__(self) -> float:
        return 1.0

    def __int__(self) -> int:
        return 1

    __index__ = __int__


class Float64(float):
    """``numpy.float64`` is a subclass of float, and may be used like one."""


class NumberJob(Job):
    def perform(self) -> None: ...


def option(name: str) -> Callable[[Any], object]:
    return lambda value: type("OptionJob", (Job,), {name: value, "perform": lambda self: None})


def policy(name: str) -> Callable[[Any], object]:
    return lambda value: Retry(**{name: value})


def setting(name: str) -> Callable[[Any], object]:
    return lambda value: configure(**{name: value})


def virtually(call: Callable[[testing.Fake, Any], object]) -> Callable[[Any], object]:
    def door(value: Any) -> object:
        with testing.fake() as recorder:
            return call(recorder, value)

    return door


def finished() -> counterpunch.Handle[None]:
    handle = NumberJob.perform_async()
    handle.result(LONG)
    return handle


#: Everything that takes whole numbers, and everything that takes seconds or a fraction.
WHOLE: dict[str, Callable[[Any], object]] = {
    "workers": option("workers"),
    "max_jobs": option("max_jobs"),
    "priority": option("priority"),
    "using(priority)": lambda value: NumberJob.using(priority=value),
    "Retry(max_attempts)": policy("max_attempts"),
    "Rate(limit)": lambda value: Rate(value),
    "max_threads": setting("max_threads"),
    "history": setting("history"),
    "pools": lambda value: configure(pools={"numbers": value}),
}
SECONDS: dict[str, Callable[[Any], object]] = {
    "block_timeout": option("block_timeout"),
    "jitter": option("jitter"),
    "perform_in": virtually(lambda _, value: NumberJob.perform_in(value)),
    "using(delay)": lambda value: NumberJob.using(delay=value),
    "reschedule": virtually(lambda _, value: NumberJob.perform_in(60).reschedule(value)),
    "Retry(wait)": policy("wait"),
    "Retry(max_wait)": policy("max_wait"),
    "Retry(max_elapsed)": policy("max_elapsed"),
    "shutdown_timeout": setting("shutdown_timeout"),
    "history_ttl": setting("history_ttl"),
    "shutdown": lambda value: counterpunch.shutdown(value),
    "wait_idle": lambda value: counterpunch.wait_idle(value),
    "advance": virtually(lambda recorder, value: recorder.advance(value)),
}
ABOVE_ZERO: dict[str, Callable[[Any], object]] = {
    "timeout": option("timeout"),
    "expires_in": option("expires_in"),
    "every": option("every"),
    "using(timeout)": lambda value: NumberJob.using(timeout=value),
    "using(expires_in)": lambda value: NumberJob.using(expires_in=value),
    "Rate(per)": lambda value: Rate(1, per=value),
}
PLAIN: dict[str, Callable[[Any], object]] = {
    "Retry(factor)": policy("factor"),
    "Retry(jitter)": policy("jitter"),
    "Retry(budget)": policy("budget"),
}
MOMENTS: dict[str, Callable[[Any], object]] = {
    "perform_at": virtually(lambda _, value: NumberJob.perform_at(value)),
    "using(at)": lambda value: NumberJob.using(at=value),
    "fake(now)": lambda value: testing.fake(value).__enter__(),
}
LIMITS: dict[str, Callable[[Any], object]] = {
    "result": lambda value: finished().result(value),
    "exception": lambda value: finished().exception(value),
    "Batch.wait": lambda value: Batch().wait(value),
}
#: What is no number of ours anywhere. Decimal and Fraction do not mix with the clock's floats.
STRANGE: list[Any] = [True, False, "1", b"1", 1j, [1], Decimal(1), Fraction(1), Odd(), math.nan]
EVERYWHERE = {**WHOLE, **SECONDS, **ABOVE_ZERO, **PLAIN, **MOMENTS, **LIMITS}


@pytest.mark.parametrize("door", EVERYWHERE)
@pytest.mark.parametrize("value", STRANGE, ids=repr)
def test_what_is_no_number_is_refused(door: str, value: Any) -> None:
    """By ``InvalidOption``, everywhere, and by nothing else."""
    with pytest.raises(InvalidOption):
        EVERYWHERE[door](value)


@pytest.mark.parametrize("door", {**WHOLE, **SECONDS, **ABOVE_ZERO, **PLAIN, **MOMENTS})
@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinity_is_refused(door: str, value: float) -> None:
    """No option is without end but by ``None``; a caller's own patience may be, see below."""
    with pytest.raises(InvalidOption):
        EVERYWHERE[door](value)


@pytest.mark.parametrize("door", WHOLE)
def test_a_whole_number_is_an_int(door: str) -> None:
    """Not a float that happens to be one."""
    for value in (1.0, Float64(1), 0.5):
        with pytest.raises(InvalidOption):
            WHOLE[door](value)


@pytest.mark.parametrize("door", {**SECONDS, **ABOVE_ZERO, **PLAIN, **MOMENTS})
@pytest.mark.parametrize("value", [10**400, -(10**400)], ids=["huge", "-huge"])
def test_no_time_is_beyond_a_float(door: str, value: int) -> None:
    """Refused in the same words, not with an OverflowError out of the check."""
    with pytest.raises(InvalidOption):
        EVERYWHERE[door](value)


@pytest.mark.parametrize("door", {**SECONDS, **ABOVE_ZERO})
def test_negative_times_are_refused(door: str) -> None:
    """As numbers and as timedeltas."""
    for value in (-1, -1e-9, timedelta(microseconds=-1)):
        with pytest.raises(InvalidOption):
            EVERYWHERE[door](value)


@pytest.mark.parametrize("door", ABOVE_ZERO)
@pytest.mark.parametrize("value", [0, 0.0, -0.0, timedelta(0)], ids=repr)
def test_zero_is_refused_where_it_would_mean_never(door: str, value: Any) -> None:
    """Minus zero is zero."""
    with pytest.raises(InvalidOption):
        ABOVE_ZERO[door](value)


@pytest.mark.parametrize("door", {**SECONDS, **ABOVE_ZERO})
def test_seconds_are_numbers_or_timedeltas(door: str) -> None:
    """An int, a float, a subclass of float and a timedelta mean the same."""
    for value in (1, 1.0, Float64(1), timedelta(seconds=1)):
        EVERYWHERE[door](value)


def test_minus_zero_is_zero() -> None:
    """It is not shown, kept or compared as anything else."""
    with testing.fake() as recorder:
        handle = NumberJob.perform_in(-0.0)
        assert handle.status is counterpunch.Status.QUEUED
        assert NumberJob.perform_in(60).reschedule(-0.0)
        assert recorder.drain() == 2
    for value in (
        NumberJob.using(delay=-0.0).options["delay"],
        Retry(wait=-0.0).wait,
        Retry(jitter=-0.0).jitter,
    ):
        assert math.copysign(1, value) == 1
    configure(history_ttl=-0.0)
    assert math.copysign(1, counterpunch.core.values.config.config.history_ttl or 0.0) == 1


@pytest.mark.parametrize(
    ("door", "least"), [("workers", 10**9), ("history", 10**19), ("max_jobs", 10**19)]
)
def test_counts_that_no_process_can_hold_are_refused(door: str, least: int) -> None:
    """At the option, before anything tries to make room for them."""
    for value in (least, 10**400):
        with pytest.raises(InvalidOption, match="allowed: an int from"):
            WHOLE[door](value)
    with pytest.raises(InvalidOption, match="1 to 1000000"):
        configure(pools={"numbers": 10**9})


def test_a_rate_of_millions_takes_memory_only_as_it_is_used() -> None:
    """Its log grows with the starts, and a limit beyond any count is none."""

    class FastJob(Job):
        rate = Rate(10**400, per=1.0)

        def perform(self) -> None: ...

    with testing.fake() as recorder:
        FastJob.perform_bulk([()] * 100)
        assert recorder.drain() == 100


def test_how_long_a_caller_waits() -> None:
    """Seconds or a timedelta; below zero the time has run out; infinity is no limit."""
    begun, go = threading.Event(), threading.Event()

    class WaitedJob(Job):
        def perform(self) -> str:
            begun.set()
            assert go.wait(LONG)
            return "done"

    with Batch() as batch:
        handle = WaitedJob.perform_async()
    assert begun.wait(LONG)
    for brief in (0, -1, -math.inf, -(10**400), timedelta(0), timedelta(days=-1), 0.001):
        with pytest.raises(TimeoutError, match="has not ended after 0"):
            handle.result(brief)
        with pytest.raises(TimeoutError):
            handle.exception(brief)
        assert not batch.wait(brief)
    go.set()
    assert handle.result(timedelta(seconds=LONG)) == "done"
    for patient in (math.inf, 10**400, timedelta.max, None):
        assert handle.result(patient) == "done"
        assert handle.exception(patient) is None
        assert batch.wait(patient)
    assert counterpunch.wait_idle(timedelta(seconds=LONG))
    assert counterpunch.shutdown(timedelta(seconds=LONG)).clean


def test_block_timeout_may_be_a_timedelta() -> None:
    """As every other time."""

    class BlockedJob(Job):
        max_jobs = 1
        overflow = "block"
        block_timeout = timedelta(milliseconds=1)

        def perform(self) -> None: ...

    BlockedJob.pause()
    BlockedJob.perform_async()
    with pytest.raises(QueueFull, match=r"block_timeout=0\.001 s"):
        BlockedJob.perform_async()
