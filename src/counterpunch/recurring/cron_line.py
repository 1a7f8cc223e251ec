"""A crontab line as numbers: its five fields read, and the next time of day that they match.

Only *wall* times are known here: naive ones, as a clock on the wall of the time zone shows them.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterable
from datetime import MAXYEAR, date, datetime, time, timedelta
from typing import NamedTuple

from ..core.values.errors import shorten

__all__ = ["Line", "read", "refusal"]

_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class _Field(NamedTuple):
    """One of the five fields: its name, its inclusive bounds, its names from ``low`` on."""

    name: str
    low: int
    high: int
    allowed: str
    names: tuple[str, ...] = ()


_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

_FIELDS = (
    _Field("minute", 0, 59, "0-59"),
    _Field("hour", 0, 23, "0-23"),
    _Field("day-of-month", 1, 31, "1-31"),
    _Field("month", 1, 12, "1-12 or JAN-DEC", _MONTHS),
    _Field("day-of-week", 0, 7, "0-7 (0 and 7 are Sunday) or SUN-SAT", _WEEKDAYS),
)

_EXPRESSIONS = (
    f"five fields ({' '.join(one.name for one in _FIELDS)}) or one of {', '.join(_NICKNAMES)}"
)


class Line(NamedTuple):
    """What the fields name.

    Attributes:
        expression: The line as it was written, blanks aside.
        wildcard: True if it follows elapsed time over a change to or from summer time.
        either_day: True if a day named by either of the two day fields will do.
        days: Bit n stands for day n of a month; bit 0 is never set.
        weekdays: The same for the days of the week, in a month whose first day is a Monday, a
            Tuesday...
    """

    expression: str
    wildcard: bool
    either_day: bool
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: tuple[int, ...]
    days: int
    weekdays: tuple[int, ...]

    def next_after(self, wall: datetime) -> datetime:
        """The first wall time after ``wall`` that the fields match; clock changes aside.

        Raises:
            OverflowError: If there is none before the year 10000.
        """
        start = wall + timedelta(minutes=1)  # its seconds are not looked at
        today = start.date()
        day = self._next_day(today)
        if day == today:
            for hour in self.hours[bisect_left(self.hours, start.hour) :]:
                minute = 0 if hour > start.hour else bisect_left(self.minutes, start.minute)
                if minute < len(self.minutes):
                    return datetime.combine(day, time(hour, self.minutes[minute]))
            day = self._next_day(today + timedelta(days=1))
        return datetime.combine(day, time(self.hours[0], self.minutes[0]))

    def _next_day(self, start: date) -> date:
        """The first date, ``start`` or later, that the day and month fields match."""
        # A month is one step, and only months that the line names are looked at: the rarest
        # line, 29 February on one day of the week, takes 40 steps (over a year like 2100).
        for year in range(start.year, MAXYEAR + 1):
            for month in self.months:
                if (year, month) < (start.year, start.month):
                    continue
                first_weekday, length = monthrange(year, month)
                days = self.weekdays[first_weekday]
                days = days | self.days if self.either_day else days & self.days
                days &= (1 << length + 1) - 1
                if (year, month) == (start.year, start.month):
                    days &= -1 << start.day
                if days:  # its lowest bit is the first of them
                    return date(year, month, (days & -days).bit_length() - 1)
        raise OverflowError(f"cron {self.expression!r}: no run before the year {MAXYEAR + 1}")


def read(expression: str) -> Line:
    """
    Raises:
        ValueError: If it cannot be read, or names no day that there is.
    """
    texts = _split(expression)
    minutes, hours, days, months, weekdays = map(_numbers, _FIELDS, texts)
    either_day = not texts[2].startswith("*") and not texts[4].startswith("*")
    # A leap year, because 29 February does come round, on any day of the week.
    longest = max(monthrange(2000, month)[1] for month in months)
    if not either_day and days[0] > longest:
        allowed = f"1-{longest}, the days that month {texts[3]!r} has"
        raise refusal("day-of-month", texts[2], allowed)
    # cron counts the days of the week from Sunday (0 and 7), Python from Monday (0).
    named = {(number - 1) % 7 for number in weekdays}
    by_first = tuple(
        _bits(day for day in range(1, 32) if (first + day - 1) % 7 in named) for first in range(7)
    )
    text = " ".join(expression.split())
    wildcard = texts[0].startswith("*") or texts[1].startswith("*")
    return Line(text, wildcard, either_day, minutes, hours, months, _bits(days), by_first)


def _bits(days: Iterable[int]) -> int:
    return sum(1 << day for day in days)


def refusal(name: str, value: object, allowed: str) -> ValueError:
    return ValueError(f"{name}: {shorten(value)} is not valid; allowed: {allowed}")


def _split(expression: str) -> list[str]:
    """The texts of the five fields."""
    if not isinstance(expression, str):
        raise refusal("expression", expression, _EXPRESSIONS)
    texts = expression.split()
    if len(texts) == 1 and texts[0].startswith("@"):
        nickname = texts[0].lower()
        if nickname == "@reboot":
            allowed = f"{_EXPRESSIONS}; for a run at start-up, enqueue the job there"
            raise refusal("expression", expression, allowed)
        texts = _NICKNAMES.get(nickname, "").split()
    if len(texts) != len(_FIELDS):
        raise refusal("expression", expression, _EXPRESSIONS)
    return texts


def _numbers(one: _Field, text: str) -> tuple[int, ...]:
    """The numbers that a field names, in order; never empty."""
    numbers: set[int] = set()
    for part in text.split(","):
        if not part:
            raise refusal(one.name, text, "a list without empty entries")
        numbers.update(_range(one, part))
    return tuple(sorted(numbers))


def _range(one: _Field, part: str) -> range:
    """The numbers that one entry of a list names; never empty."""
    base, slash, step = part.partition("/")
    first, dash, last = base.partition("-")
    if base == "*":
        low, high = one.low, one.high
    else:
        low = _number(one, first, part)
        high = _number(one, last, part) if dash else low
        if slash and not dash:
            # Other crons run 5/15 at 5 only, or from 5 on; cronie refuses it, as we do.
            raise refusal(one.name, part, "a step after * or a range: */n or a-b/n")
        if one.name == "day-of-week" and high == 0 < low:
            high = 7  # FRI-SUN: as a name, Sunday is 0
        if high < low:
            # cronie takes it without a word and never runs it; crontab(5) forbids it.
            split = f"{first}-{one.high},{one.low}-{last}"
            raise refusal(one.name, part, f"a range from low to high; split it: {split!r}")
    if not slash:
        return range(low, high + 1)
    if not _is_number(step) or int(step) == 0:
        raise refusal(one.name, part, "a step of 1 or more")
    return range(low, high + 1, int(step))


def _number(one: _Field, text: str, part: str) -> int:
    if text.upper() in one.names:
        return one.names.index(text.upper()) + one.low
    if not _is_number(text) or not one.low <= int(text) <= one.high:
        allowed = f"{one.allowed}, written as *, n, a-b, */n, a-b/n or a list of these"
        raise refusal(one.name, part, allowed)
    return int(text)


def _is_number(text: str) -> bool:
    # Plain digits only (int() also takes '+5', '1_0' and the digits of other scripts), and
    # few enough of them for int(), which refuses thousands with a message of its own.
    return text.isascii() and text.isdigit() and len(text) <= 100
