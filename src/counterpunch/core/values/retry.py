"""Whether a failed attempt is followed by another, and when: values in, a value out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta

from .checks import amount, function, named_options, whole
from .errors import InvalidOption
from .matching import matches, touches
from .replaceable import Replaceable

__all__ = ["Chance", "Retry", "exception_types"]

DelayFunction = Callable[[int, BaseException], "float | timedelta | None"]
RandomSource = Callable[[], float]


class Chance:
    """Where jitter comes from: numbers from 0 up to 1, of a generator made on first use."""

    __slots__ = ("source",)

    def __init__(self) -> None:
        #: A test may set it.
        self.source: RandomSource | None = None

    def __call__(self) -> float:
        if self.source is None:
            from random import Random

            self.source = Random().random
        return self.source()


class Retry(Replaceable):
    """A retry policy, kept in memory: what waits for its next attempt dies with the process
    (on an engine it waits in the broker).

    Args:
        max_attempts: Runs in total, the first included. Default 5; 1 never retries.
        on: Exception classes that are retried. Default every ``Exception``;
            ``SystemExit`` and its like are retried only if named here.
        not_on: Exception classes that are not, even if ``on`` covers them. A group, as
            a ``TaskGroup`` raises it, is retried if all in it is, by ``on`` and ``not_on``.
        wait: Seconds before the second attempt. Default 1.
        factor: What each further wait is multiplied by. Default 2.
        max_wait: Longest wait in seconds. Default 60.
        jitter: The fraction of each wait that is drawn at random, 0 to 1. Default 1.
        max_elapsed: Seconds after the first start past which no further attempt begins, whatever
            held it up: the job fails then. Default None, no limit.
        delay: ``delay(attempt, exc)`` replaces the formula: seconds (or a ``timedelta``)
            until the next attempt, None to give up. Runs on the worker thread; one that
            raises is logged and the formula is used.
        budget: The share of recent attempts of a class that may be retries, above 0 up
            to 1; recent are the last hundred, of the last minute, and fewer than ten say
            nothing. When most attempts fail, retries beyond it are given up instead of
            hammering whatever is down. Default None, no budget.

    The wait before attempt ``n + 1`` is ``min(max_wait, wait * factor ** (n - 1))``, of
    which the fraction ``jitter`` is drawn uniformly from zero to full. The defaults wait
    at most 1, 2, 4 and 8 seconds. Source of the formula: exponential backoff with "full
    jitter", Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    ``jitter=0`` together with many jobs that fail at once makes all of them come back at
    the same instant.

    Raises:
        InvalidOption: For any value outside the ranges above.
    """

    __slots__ = (
        "budget", "delay", "factor", "jitter", "max_attempts", "max_elapsed", "max_wait",
        "not_on", "on", "wait",
    )  # fmt: skip

    @named_options
    def __init__(
        self,
        max_attempts: int = 5,
        on: tuple[type[BaseException], ...] | type[BaseException] = (Exception,),
        not_on: tuple[type[BaseException], ...] | type[BaseException] = (),
        *,
        wait: float | timedelta = 1.0,
        factor: float = 2.0,
        max_wait: float | timedelta = 60.0,
        jitter: float = 1.0,
        max_elapsed: float | timedelta | None = None,
        delay: DelayFunction | None = None,
        budget: float | None = None,
    ) -> None:
        function("a callable (attempt, exc), or None", 2)("Retry", "delay", delay)
        self.max_attempts: int = whole(1)("Retry", "max_attempts", max_attempts)
        self.on = exception_types("Retry", "on", on)
        self.not_on = exception_types("Retry", "not_on", not_on)
        self.wait = _number("wait", wait, 0.0)
        self.factor = _number("factor", factor, 1.0)
        self.max_wait = _number("max_wait", max_wait, 0.0)
        self.jitter = _number("jitter", jitter, 0.0, 1.0)
        self.max_elapsed = None if max_elapsed is None else _number("max_elapsed", max_elapsed, 0.0)
        self.delay = delay
        allowed = "a number above 0 up to 1, or None"
        least = sys.float_info.min
        self.budget = (
            None if budget is None else amount("Retry", "budget", budget, allowed, least, 1)
        )

    def __repr__(self) -> str:
        usual, fields = Retry(), [f"max_attempts={self.max_attempts}"]
        for name in self.__slots__:
            value = getattr(self, name)
            if name != "max_attempts" and value != getattr(usual, name):
                names = [kind.__name__ for kind in value] if name in ("on", "not_on") else None
                fields.append(f"{name}={value!r}" if names is None else f"{name}={_tuple(names)}")
        return f"Retry({', '.join(fields)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Retry):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash((self.max_attempts, self.on, self.not_on, self.wait, self.factor))

    def wants(self, attempt: int, exc: BaseException) -> bool:
        """True if a failure of attempt number ``attempt`` by ``exc`` may be retried at all."""
        return attempt < self.max_attempts and self.covers(exc)

    def covers(self, exc: BaseException) -> bool:
        """True for an exception that is retried."""
        return matches(exc, self.on) and not touches(exc, self.not_on)

    def next_delay(
        self, attempt: int, exc: BaseException, elapsed: float, random: RandomSource
    ) -> float | None:
        """Seconds to wait before attempt ``attempt + 1``, or None to give up.

        Args:
            attempt: Number of the attempt that failed, from 1.
            exc: What it raised.
            elapsed: Seconds since the first attempt started.
            random: Returns a float in [0, 1); injected, so that tests are exact.

        Raises:
            ValueError: If ``delay`` returned a negative number or one that is not finite.
        """
        if not self.wants(attempt, exc):
            return None
        if self.delay is not None:
            asked = self.delay(attempt, exc)
            if asked is None:
                return None
            seconds = asked.total_seconds() if isinstance(asked, timedelta) else float(asked)
            if not 0 <= seconds <= sys.float_info.max:  # NaN neither
                raise ValueError(f"Retry.delay returned {asked!r}; allowed: seconds >= 0 or None")
        else:
            seconds = self.formula(attempt, random)
        if self.max_elapsed is not None and elapsed + seconds > self.max_elapsed:
            return None
        return seconds

    def formula(self, attempt: int, random: RandomSource) -> float:
        """The wait after attempt ``attempt`` by the formula of the class docstring."""
        try:
            full = min(self.max_wait, self.wait * self.factor ** (attempt - 1))
        except OverflowError:  # factor ** 1024 leaves the range of a float
            full = self.max_wait if self.wait else 0.0
        return full * (1.0 - self.jitter) + full * self.jitter * random()


def exception_types(owner: str, option: str, value: object) -> tuple[type[BaseException], ...]:
    """``value`` as a tuple of exception classes.

    Raises:
        InvalidOption: If it is neither an exception class nor an iterable of them.
    """
    allowed = "an exception class or a tuple of them"
    if isinstance(value, type) and issubclass(value, BaseException):
        return (value,)
    if not isinstance(value, (tuple, list, set, frozenset)):
        raise InvalidOption(owner, option, value, allowed)
    for one in value:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise InvalidOption(owner, option, value, allowed)
    return tuple(value)


def _number(option: str, value: object, low: float, high: float | None = None) -> float:
    upper = "or more" if high is None else f"to {high:g}"
    allowed = f"a number from {low:g} {upper}"
    return amount(
        "Retry", option, value, allowed, low, sys.float_info.max if high is None else high
    )


def _tuple(names: list[str]) -> str:
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"
