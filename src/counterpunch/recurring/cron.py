"""When a crontab line runs next: an expression and a time zone in, instants out.

Pure: no clock is read and no thread is started, so a test passes any moment it likes. Two
kinds of value are kept apart by name: a *wall* time is naive and is what a clock on the
wall of the time zone shows; an *instant* is aware and in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from .cron_line import Line, read, refusal

__all__ = ["Cron"]

# A shift of this much or more is a zone changing sides (Pacific/Apia, 2011), not summer time.
# Source: cron(8) of cronie, "Daylight Saving Time and other time changes".
_CORRECTION = timedelta(hours=3)

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
    _line: Line = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        line = read(self.expression)
        # The class is frozen, so what is derived is set past its own guard.
        put = object.__setattr__
        put(self, "expression", line.expression)
        put(self, "_zone", _find_zone(self.timezone))
        put(self, "_line", line)

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
            raise refusal("moment", moment, allowed)
        moment = moment.astimezone(UTC)
        local = moment.astimezone(self._zone)
        wall = local.replace(tzinfo=None)
        before, after = self._offsets(wall)
        if before > after:
            # The wall clock shows this time twice. Within a repeated hour, instants are not
            # in the order of wall times, which is all that Line.next_after knows about.
            elapsed = self._follows_elapsed_time(before - after)
            change = self._change(wall, before, after)
            if elapsed and local.fold == 0:
                candidate = _instant(self._line.next_after(wall), before)
                if candidate < change:
                    return candidate
                wall = _just_before(change, after)  # from the start of the second pass
            elif not elapsed and local.fold == 1:
                wall = _just_before(change, before)  # past it: the first pass has run all

        while True:
            wall = self._line.next_after(wall)
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
            raise refusal("count", count, "0 or more")
        instants: list[datetime] = []
        for _ in range(count):
            moment = self.next_after(moment)
            instants.append(moment)
        return instants

    def _follows_elapsed_time(self, shift: timedelta) -> bool:
        """True if nothing is made up or left out when the clock is shifted by ``shift``."""
        return self._line.wildcard or shift >= _CORRECTION

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


def _instant(wall: datetime, offset: timedelta) -> datetime:
    return (wall - offset).replace(tzinfo=UTC)


def _just_before(instant: datetime, offset: timedelta) -> datetime:
    """The wall time after which ``Line.next_after`` finds that of ``instant``, or a later one."""
    return instant.replace(tzinfo=None) + offset - datetime.resolution


def _find_zone(name: str) -> tzinfo:
    if name == "UTC":  # works on a machine without time zone data
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        # KeyError: not found; ValueError: '../x'; OSError: the name of a folder, 'America'.
        raise refusal("timezone", name, _ZONES) from None
