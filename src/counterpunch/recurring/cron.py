"""When a crontab line runs next: an expression and a time zone in, instants out.

Pure: no clock is read and no thread is started, so a test passes any moment it likes. Two
kinds of value are kept apart by name: a *wall* time is naive and is what a clock on the
wall of the time zone shows; an *instant* is aware and in UTC.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import MAXYEAR, UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from ..core.port import shorten

__all__ = ["Cron"]

_MINUTE = timedelta(minutes=1)

# A shift of this much or more is a zone changing sides (Pacific/Apia, 2011), not summer time.
# Source: cron(8) of cronie, "Daylight Saving Time and other time changes".
_CORRECTION = timedelta(hours=3)

_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True, slots=True)
class _Field:
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
_ZONES = (
    "an IANA time zone name such as 'UTC' or 'Europe/Berlin'"
    " (names other than 'UTC' need the system's time zone data or the tzdata package)"
)


@dataclass(frozen=True, slots=True)
class Cron:
    """A crontab line in a time zone, read as cronie (the Vixie cron of most Linuxes) does.

    Args:
        expression: ``minute hour day-of-month month day-of-week``, or a nickname:
            ``@yearly``, ``@annually``, ``@monthly``, ``@weekly``, ``@daily``,
            ``@midnight``, ``@hourly``. Runs of blanks are kept as one.
        timezone: IANA name of the zone whose wall clock the fields are compared with.
            Default UTC.

    A field is a list of ``*``, ``n``, ``a-b``, ``*/n`` and ``a-b/n``, separated by commas.
    Months and days of the week also have names (``JAN``, ``mon``); 0 and 7 are Sunday, so
    ``FRI-SUN`` is a range. Other ranges that wrap around (``FRI-MON``), a step after a
    single number (``5/15``) and random times (``6~15``) are refused. A step counts within
    its field only: ``*/35`` is minutes 0 and 35 of each hour, ``*/90`` is minute 0.

    If day-of-month and day-of-week are both restricted, which is to say that neither
    starts with ``*``, a day that either of them names will do: ``0 0 13 * FRI`` runs on
    each 13th and on each Friday. Otherwise both must match. Source: crontab(5), cronie.

    When the zone's clock is put forward or back by less than three hours:

    * A line whose minute or hour starts with ``*`` follows elapsed time: it runs in both
      passes of a repeated hour, and nothing is made up for a skipped one.
    * Any other line names fixed times: those that were skipped run once, at the first
      instant after the gap; those that occur twice run the first time only.

    Changes of three hours or more (a zone that moves across the date line) count as
    corrections: every line simply follows the new time. Source: cron(8), cronie, "Daylight
    Saving Time and other time changes", and its ``cron.c``, ``find_jobs``, for what a
    wildcard is.

    ``0-59 2 * * *`` is thus a fixed line and ``* 2 * * *`` is not: in a skipped hour the
    first runs once and the second not at all.

    Two are equal if expression and time zone are written alike, blanks aside.

    Raises:
        ValueError: For an expression that cannot be read or can never match (30 February),
            or an unknown time zone. The message names the field, the value and what is
            allowed.
    """

    expression: str
    timezone: str = "UTC"
    _zone: tzinfo = field(init=False, repr=False, compare=False)
    # True if the line follows elapsed time over a change to or from summer time.
    _wildcard: bool = field(init=False, repr=False, compare=False)
    # True if a day named by either of the two day fields will do.
    _either_day: bool = field(init=False, repr=False, compare=False)
    _minutes: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _hours: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _months: tuple[int, ...] = field(init=False, repr=False, compare=False)
    # Bit n stands for day n of a month; bit 0 is never set.
    _days: int = field(init=False, repr=False, compare=False)
    # The same for the days of the week, in a month whose first day is a Monday, a Tuesday...
    _weekdays: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        texts = _split(self.expression)
        minutes, hours, days, months, weekdays = map(_parse_field, _FIELDS, texts)
        either_day = not texts[2].startswith("*") and not texts[4].startswith("*")
        # A leap year, because 29 February does come round, on any day of the week.
        longest = max(monthrange(2000, month)[1] for month in months)
        if not either_day and min(days) > longest:
            allowed = f"1-{longest}, the days that month {texts[3]!r} has"
            raise _refusal("day-of-month", texts[2], allowed)

        # The class is frozen, so what is derived is set past its own guard.
        put = object.__setattr__
        put(self, "expression", " ".join(self.expression.split()))
        put(self, "_zone", _find_zone(self.timezone))
        put(self, "_wildcard", texts[0].startswith("*") or texts[1].startswith("*"))
        put(self, "_either_day", either_day)
        put(self, "_minutes", tuple(sorted(minutes)))
        put(self, "_hours", tuple(sorted(hours)))
        put(self, "_months", tuple(sorted(months)))
        put(self, "_days", sum(1 << day for day in days))
        # cron counts the days of the week from Sunday (0 and 7), Python from Monday (0).
        named = {(number - 1) % 7 for number in weekdays}
        by_first = [
            sum(1 << day for day in range(1, 32) if (first + day - 1) % 7 in named)
            for first in range(7)
        ]
        put(self, "_weekdays", tuple(by_first))

    def __str__(self) -> str:
        return self.expression

    def next_after(self, moment: datetime) -> datetime:
        """The first instant, strictly after ``moment``, at which the line runs.

        Args:
            moment: An aware datetime in any zone.

        Returns:
            An aware datetime in UTC.

        Raises:
            ValueError: If ``moment`` is naive.
            OverflowError: If the line does not run again before the year 10000.
        """
        if moment.utcoffset() is None:
            allowed = "an aware datetime; add a zone, e.g. datetime.now(timezone.utc)"
            raise _refusal("moment", moment, allowed)
        moment = moment.astimezone(UTC)
        local = moment.astimezone(self._zone)
        wall = local.replace(tzinfo=None)
        before, after = self._offsets(wall)
        if before > after:
            # The wall clock shows this time twice. Within a repeated hour, instants are not
            # in the order of wall times, which is all that _next_wall knows about.
            elapsed = self._follows_elapsed_time(before - after)
            change = self._change(wall, before, after)
            if elapsed and local.fold == 0:
                candidate = _instant(self._next_wall(wall), before)
                if candidate < change:
                    return candidate
                wall = _just_before(change, after)  # from the start of the second pass
            elif not elapsed and local.fold == 1:
                wall = _just_before(change, before)  # past it: the first pass has run all

        while True:
            wall = self._next_wall(wall)
            before, after = self._offsets(wall)
            instant = _instant(wall, before)
            if before == after:
                return instant
            if before > after:  # shown twice; the first pass may be over
                return instant if instant > moment else _instant(wall, after)
            change = self._change(wall, before, after)  # never shown
            if not self._follows_elapsed_time(after - before):
                return change
            wall = _just_before(change, after)

    def upcoming(self, moment: datetime, count: int) -> list[datetime]:
        """The next ``count`` instants (0 or more) strictly after ``moment``, in UTC.

        Raises:
            ValueError: If ``moment`` is naive or ``count`` negative.
            OverflowError: If there are fewer before the year 10000.
        """
        if count < 0:
            raise _refusal("count", count, "0 or more")
        instants: list[datetime] = []
        for _ in range(count):
            moment = self.next_after(moment)
            instants.append(moment)
        return instants

    def _follows_elapsed_time(self, shift: timedelta) -> bool:
        """True if nothing is made up or left out when the clock is shifted by ``shift``."""
        return self._wildcard or shift >= _CORRECTION

    def _offsets(self, wall: datetime) -> tuple[timedelta, timedelta]:
        """The UTC offsets before and after the change that ``wall`` is ambiguous by.

        They differ only if it is: before > after means that the wall clock shows this time
        twice, before < after that it never does. Source: PEP 495.
        """
        before = wall.replace(tzinfo=self._zone, fold=0).utcoffset()
        after = wall.replace(tzinfo=self._zone, fold=1).utcoffset()
        assert before is not None  # true of every ZoneInfo and of UTC
        assert after is not None
        return before, after

    def _change(self, wall: datetime, before: timedelta, after: timedelta) -> datetime:
        """The instant at which the offset changes, for a ``wall`` that occurs twice or never."""
        # zoneinfo does not tell its changes. This one lies between the two readings of
        # ``wall``, and changes fall on whole seconds: at most 17 halvings of a day.
        start = _instant(wall.replace(microsecond=0), max(before, after))
        low, high = 0, int(abs(after - before).total_seconds())
        while high - low > 1:
            middle = (low + high) // 2
            if (start + timedelta(seconds=middle)).astimezone(self._zone).utcoffset() == before:
                low = middle
            else:
                high = middle
        return start + timedelta(seconds=high)

    def _next_wall(self, wall: datetime) -> datetime:
        """The first wall time after ``wall`` that the fields match; clock changes aside."""
        start = wall + _MINUTE  # its seconds are not looked at
        today = start.date()
        day = self._next_day(today)
        if day == today:
            minute = bisect_left(self._minutes, start.minute)
            hour = bisect_left(self._hours, start.hour)
            if hour < len(self._hours):
                if self._hours[hour] > start.hour:
                    minute = 0
                elif minute == len(self._minutes):
                    minute, hour = 0, hour + 1
            if hour < len(self._hours):
                return datetime.combine(day, time(self._hours[hour], self._minutes[minute]))
            day = self._next_day(today + timedelta(days=1))
        return datetime.combine(day, time(self._hours[0], self._minutes[0]))

    def _next_day(self, start: date) -> date:
        """The first date, ``start`` or later, that the day and month fields match."""
        # A month is one step, and only months that the line names are looked at: the rarest
        # line, 29 February on one day of the week, takes 40 steps (over a year like 2100).
        for year in range(start.year, MAXYEAR + 1):
            for month in self._months:
                if year == start.year and month < start.month:
                    continue
                first_weekday, length = monthrange(year, month)
                days = self._weekdays[first_weekday]
                days = days | self._days if self._either_day else days & self._days
                days &= (1 << length + 1) - 1
                if year == start.year and month == start.month:
                    days &= -1 << start.day
                if days:
                    lowest = (days & -days).bit_length() - 1
                    return date(year, month, lowest)
        raise OverflowError(f"cron {self.expression!r}: no run before the year {MAXYEAR + 1}")


def _instant(wall: datetime, offset: timedelta) -> datetime:
    return (wall - offset).replace(tzinfo=UTC)


def _just_before(instant: datetime, offset: timedelta) -> datetime:
    """The wall time from which ``_next_wall`` finds the one at ``instant`` itself, or later."""
    return instant.replace(tzinfo=None) + offset - datetime.resolution


def _refusal(name: str, value: object, allowed: str) -> ValueError:
    return ValueError(f"{name}: {shorten(value)} is not valid; allowed: {allowed}")


def _find_zone(name: str) -> tzinfo:
    if name == "UTC":  # works on a machine without time zone data
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        # KeyError: not found; ValueError: '../x'; OSError: the name of a folder, 'America'.
        raise _refusal("timezone", name, _ZONES) from None


def _split(expression: str) -> list[str]:
    """The texts of the five fields."""
    if not isinstance(expression, str):
        raise _refusal("expression", expression, _EXPRESSIONS)
    texts = expression.split()
    if len(texts) == 1 and texts[0].startswith("@"):
        nickname = texts[0].lower()
        if nickname == "@reboot":
            allowed = f"{_EXPRESSIONS}; for a run at start-up, enqueue the job there"
            raise _refusal("expression", expression, allowed)
        texts = _NICKNAMES.get(nickname, "").split()
    if len(texts) != len(_FIELDS):
        raise _refusal("expression", expression, _EXPRESSIONS)
    return texts


def _parse_field(one: _Field, text: str) -> set[int]:
    """The numbers that a field names; never empty."""
    numbers: set[int] = set()
    for part in text.split(","):
        if not part:
            raise _refusal(one.name, text, "a list without empty entries")
        numbers.update(_parse_part(one, part))
    return numbers


def _parse_part(one: _Field, part: str) -> range:
    """The numbers that one entry of a list names; never empty."""
    base, slash, step = part.partition("/")
    first, dash, last = base.partition("-")
    if base == "*":
        low, high = one.low, one.high
    else:
        low = _parse_number(one, first, part)
        high = _parse_number(one, last, part) if dash else low
        if slash and not dash:
            # Other crons run 5/15 at 5 only, or from 5 on; cronie refuses it, as we do.
            raise _refusal(one.name, part, "a step after * or a range: */n or a-b/n")
        if one.name == "day-of-week" and high == 0 < low:
            high = 7  # FRI-SUN: as a name, Sunday is 0
        if high < low:
            # cronie takes it without a word and never runs it; crontab(5) forbids it.
            split = f"{first}-{one.high},{one.low}-{last}"
            raise _refusal(one.name, part, f"a range from low to high; split it: {split!r}")
    if not slash:
        return range(low, high + 1)
    if not _is_number(step) or int(step) == 0:
        raise _refusal(one.name, part, "a step of 1 or more")
    return range(low, high + 1, int(step))


def _parse_number(one: _Field, text: str, part: str) -> int:
    if text.upper() in one.names:
        return one.names.index(text.upper()) + one.low
    if not _is_number(text) or not one.low <= int(text) <= one.high:
        allowed = f"{one.allowed}, written as *, n, a-b, */n, a-b/n or a list of these"
        raise _refusal(one.name, part, allowed)
    return int(text)


def _is_number(text: str) -> bool:
    # Plain digits only (int() also takes '+5', '1_0' and the digits of other scripts), and
    # few enough of them for int(), which refuses thousands with a message of its own.
    return text.isascii() and text.isdigit() and len(text) <= 100
