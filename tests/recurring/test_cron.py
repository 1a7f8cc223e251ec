"""When a crontab line runs: reading it, matching days, and changes of the clock.

Expected times are written as the wall clock of the zone shows them. The rule for summer
time is also checked against a second implementation, which steps through every minute the
way cron itself does.
"""

from __future__ import annotations

import copy
import pickle
import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

from counterpunch import cron as cron_module
from counterpunch.cron import Cron

MINUTE = timedelta(minutes=1)


def has_zone_data() -> bool:
    try:
        ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        return False
    return True


needs_zone_data = pytest.mark.skipif(
    not has_zone_data(), reason="no time zone data on this machine (pip install tzdata)"
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def runs(expression: str, zone: str, start: str, count: int) -> list[str]:
    """The next runs after ``start``, a wall time in ``zone`` unless it names an offset.

    As ``YYYY-MM-DD HH:MM+HH:MM``.
    """
    moment = datetime.fromisoformat(start)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    instants = Cron(expression, zone).upcoming(moment, count)
    return [
        instant.astimezone(ZoneInfo(zone)).isoformat(" ", timespec="minutes")
        for instant in instants
    ]


# Reading an expression


@pytest.mark.parametrize(
    ("expression", "moment", "expected"),
    [
        ("* * * * *", "2026-05-05 12:03", "2026-05-05 12:04"),
        ("* * * * *", "2026-12-31 23:59", "2027-01-01 00:00"),
        ("0 3 * * *", "2026-05-05 02:59", "2026-05-05 03:00"),
        ("0 3 * * *", "2026-05-05 03:00", "2026-05-06 03:00"),
        ("00 03 * * *", "2026-05-05 03:00", "2026-05-06 03:00"),
        # lists, ranges, steps
        ("5,50 * * * *", "2026-05-05 12:05", "2026-05-05 12:50"),
        ("50,5 * * * *", "2026-05-05 12:50", "2026-05-05 13:05"),
        ("*/5 * * * *", "2026-05-05 12:03", "2026-05-05 12:05"),
        ("10-30/5 * * * *", "2026-05-05 12:25", "2026-05-05 12:30"),
        ("10-30/5 * * * *", "2026-05-05 12:30", "2026-05-05 13:10"),
        ("10-30/7 * * * *", "2026-05-05 12:24", "2026-05-05 13:10"),
        ("0-10/5,58 * * * *", "2026-05-05 12:10", "2026-05-05 12:58"),
        ("7-7 * * * *", "2026-05-05 12:10", "2026-05-05 13:07"),
        ("0 9-17/4 * * *", "2026-05-05 13:00", "2026-05-05 17:00"),
        ("30 8,20 * * *", "2026-05-05 08:45", "2026-05-05 20:30"),
        # a step counts within its field
        ("*/35 * * * *", "2026-05-05 12:35", "2026-05-05 13:00"),
        ("*/90 * * * *", "2026-05-05 12:00", "2026-05-05 13:00"),
        ("0 */23 * * *", "2026-05-05 00:00", "2026-05-05 23:00"),
        ("0 0 */10 * *", "2026-05-31 00:00", "2026-06-01 00:00"),
        ("0 0 1 */5 *", "2026-06-01 00:00", "2026-11-01 00:00"),
        # names, in any case; 5 May 2026 is a Tuesday
        ("0 0 1 JAN *", "2026-05-05 00:00", "2027-01-01 00:00"),
        ("0 0 1 jun-Aug *", "2026-06-01 00:00", "2026-07-01 00:00"),
        ("0 0 1 FEB,dec *", "2026-05-05 00:00", "2026-12-01 00:00"),
        ("0 0 * * MON", "2026-05-05 00:00", "2026-05-11 00:00"),
        ("0 0 * * tue-thu/2", "2026-05-05 00:00", "2026-05-07 00:00"),
        # Sunday is 0, 7 and SUN, and may end a range
        ("0 0 * * 0", "2026-05-05 00:00", "2026-05-10 00:00"),
        ("0 0 * * 7", "2026-05-05 00:00", "2026-05-10 00:00"),
        ("0 0 * * 5-7", "2026-05-09 00:00", "2026-05-10 00:00"),
        ("0 0 * * FRI-SUN", "2026-05-09 00:00", "2026-05-10 00:00"),
        ("0 0 * * FRI-SUN/2", "2026-05-08 00:00", "2026-05-10 00:00"),
        ("0 0 * * 5-0", "2026-05-10 00:00", "2026-05-15 00:00"),
        ("0 0 * * SUN-MON", "2026-05-05 00:00", "2026-05-10 00:00"),
        # months that are too short are passed over
        ("0 0 31 * *", "2026-05-31 00:00", "2026-07-31 00:00"),
        ("0 0 30 * *", "2026-01-30 00:00", "2026-03-30 00:00"),
        ("0 0 28-31 2 *", "2026-02-28 00:00", "2027-02-28 00:00"),
        ("0 0 29 2 *", "2026-05-05 00:00", "2028-02-29 00:00"),
        ("0 0 29 2 *", "2096-02-29 00:00", "2104-02-29 00:00"),
    ],
)
def test_next_after(expression: str, moment: str, expected: str) -> None:
    """Every form of a field, in UTC."""
    assert Cron(expression).next_after(utc(moment)) == utc(expected)


@pytest.mark.parametrize(
    ("nickname", "expression"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("@Daily", "0 0 * * *"),
    ],
)
def test_nickname(nickname: str, expression: str) -> None:
    """A nickname runs when the line does that it stands for, and keeps its own name."""
    moment = utc("2026-05-05 12:03")
    assert Cron(nickname).upcoming(moment, 5) == Cron(expression).upcoming(moment, 5)
    assert str(Cron(nickname)) == nickname


FIELDS = "five fields (minute hour day-of-month month day-of-week) or one of"
NICKNAMES = "@yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly"
FORMS = "written as *, n, a-b, */n, a-b/n or a list of these"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        # the whole
        ("", f"expression: '' is not valid; allowed: {FIELDS} {NICKNAMES}"),
        ("* * * *", f"expression: '* * * *' is not valid; allowed: {FIELDS} {NICKNAMES}"),
        ("0 * * * * *", f"expression: '0 * * * * *' is not valid; allowed: {FIELDS} {NICKNAMES}"),
        ("@often", f"expression: '@often' is not valid; allowed: {FIELDS} {NICKNAMES}"),
        ("@daily *", f"expression: '@daily *' is not valid; allowed: {FIELDS} {NICKNAMES}"),
        (
            "@reboot",
            f"expression: '@reboot' is not valid; allowed: {FIELDS} {NICKNAMES};"
            " for a run at start-up, enqueue the job there",
        ),
        # out of bounds
        ("60 * * * *", f"minute: '60' is not valid; allowed: 0-59, {FORMS}"),
        ("0,61 * * * *", f"minute: '61' is not valid; allowed: 0-59, {FORMS}"),
        ("* 24 * * *", f"hour: '24' is not valid; allowed: 0-23, {FORMS}"),
        ("* 9-24 * * *", f"hour: '9-24' is not valid; allowed: 0-23, {FORMS}"),
        ("* * 0 * *", f"day-of-month: '0' is not valid; allowed: 1-31, {FORMS}"),
        ("* * 32 * *", f"day-of-month: '32' is not valid; allowed: 1-31, {FORMS}"),
        ("* * * 0 *", f"month: '0' is not valid; allowed: 1-12 or JAN-DEC, {FORMS}"),
        ("* * * 13 *", f"month: '13' is not valid; allowed: 1-12 or JAN-DEC, {FORMS}"),
        (
            "* * * * 8",
            f"day-of-week: '8' is not valid; allowed: 0-7 (0 and 7 are Sunday) or SUN-SAT, {FORMS}",
        ),
        # not a form of cronie's
        ("-5 * * * *", f"minute: '-5' is not valid; allowed: 0-59, {FORMS}"),
        ("5- * * * *", f"minute: '5-' is not valid; allowed: 0-59, {FORMS}"),
        ("1-2-3 * * * *", f"minute: '1-2-3' is not valid; allowed: 0-59, {FORMS}"),
        ("*-5 * * * *", f"minute: '*-5' is not valid; allowed: 0-59, {FORMS}"),
        ("** * * * *", f"minute: '**' is not valid; allowed: 0-59, {FORMS}"),
        ("+5 * * * *", f"minute: '+5' is not valid; allowed: 0-59, {FORMS}"),
        ("1_0 * * * *", f"minute: '1_0' is not valid; allowed: 0-59, {FORMS}"),
        ("\u0665 * * * *", f"minute: '\u0665' is not valid; allowed: 0-59, {FORMS}"),
        ("6~15 * * * *", f"minute: '6~15' is not valid; allowed: 0-59, {FORMS}"),
        ("MON * * * *", f"minute: 'MON' is not valid; allowed: 0-59, {FORMS}"),
        ("* * L * *", f"day-of-month: 'L' is not valid; allowed: 1-31, {FORMS}"),
        ("* * ? * *", f"day-of-month: '?' is not valid; allowed: 1-31, {FORMS}"),
        ("* * * JANUARY *", f"month: 'JANUARY' is not valid; allowed: 1-12 or JAN-DEC, {FORMS}"),
        # lists
        ("1,,2 * * * *", "minute: '1,,2' is not valid; allowed: a list without empty entries"),
        ("* 5, * * *", "hour: '5,' is not valid; allowed: a list without empty entries"),
        # steps
        ("*/0 * * * *", "minute: '*/0' is not valid; allowed: a step of 1 or more"),
        ("* */ * * *", "hour: '*/' is not valid; allowed: a step of 1 or more"),
        ("* * 1-9/x * *", "day-of-month: '1-9/x' is not valid; allowed: a step of 1 or more"),
        ("* * * */-2 *", "month: '*/-2' is not valid; allowed: a step of 1 or more"),
        ("*/2/2 * * * *", "minute: '*/2/2' is not valid; allowed: a step of 1 or more"),
        (
            "5/15 * * * *",
            "minute: '5/15' is not valid; allowed: a step after * or a range: */n or a-b/n",
        ),
        # ranges that wrap around
        (
            "* 22-2 * * *",
            "hour: '22-2' is not valid; allowed: a range from low to high; split it: '22-23,0-2'",
        ),
        (
            "5-0 * * * *",
            "minute: '5-0' is not valid; allowed: a range from low to high; split it: '5-59,0-0'",
        ),
        (
            "* * * NOV-FEB *",
            "month: 'NOV-FEB' is not valid;"
            " allowed: a range from low to high; split it: 'NOV-12,1-FEB'",
        ),
        (
            "* * * * FRI-MON",
            "day-of-week: 'FRI-MON' is not valid;"
            " allowed: a range from low to high; split it: 'FRI-7,0-MON'",
        ),
        # days that never come
        (
            "0 0 30 2 *",
            "day-of-month: '30' is not valid; allowed: 1-29, the days that month '2' has",
        ),
        (
            "0 0 31 APR,6,9-11/2 *",
            "day-of-month: '31' is not valid;"
            " allowed: 1-30, the days that month 'APR,6,9-11/2' has",
        ),
        (
            "0 0 30,31 FEB */2",
            "day-of-month: '30,31' is not valid; allowed: 1-29, the days that month 'FEB' has",
        ),
    ],
)
def test_refused(expression: str, message: str) -> None:
    """Each refusal names the field, the value and what is allowed."""
    with pytest.raises(ValueError, match=r"is not valid; allowed: ") as caught:
        Cron(expression)
    assert str(caught.value) == message


@pytest.mark.parametrize("expression", ["0 0 29 2 *", "0 0 30 2 MON", "0 0 31 * *", "0 0 */31 2 *"])
def test_rare_days_are_accepted(expression: str) -> None:
    """A leap day comes; a day of the week makes up for a date that does not."""
    assert Cron(expression).next_after(utc("2026-05-05")).tzinfo is UTC


def test_not_a_string() -> None:
    """A value of another type is refused in the same words."""
    with pytest.raises(ValueError, match=r"^expression: None is not valid; allowed: five fields"):
        Cron(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_huge_numbers_are_refused_briefly() -> None:
    """Thousands of digits neither reach ``int`` nor fill the log; a step may be any size."""
    digits = "9" * 10_000
    with pytest.raises(ValueError, match=r"^minute: '9+\.\.\. is not valid; allowed: 0-59,"):
        Cron(f"{digits} * * * *")
    with pytest.raises(ValueError, match=r"^minute: .*; allowed: a step of 1 or more$"):
        Cron(f"*/{digits} * * * *")
    assert Cron(f"*/{digits[:50]} * * * *").next_after(utc("2026-05-05 00:00")).hour == 1


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../UTC", "/etc/passwd", None])
def test_unknown_zone(zone: str) -> None:
    """The zone is named; that the data may be missing is said as well."""
    with pytest.raises(ValueError, match="is not valid") as caught:
        Cron("* * * * *", zone)
    assert str(caught.value) == (
        f"timezone: {zone!r} is not valid; allowed: an IANA time zone name such as 'UTC' or"
        " 'Europe/Berlin' (names other than 'UTC' need the system's time zone data or the"
        " tzdata package)"
    )


def test_utc_needs_no_zone_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default zone works on a machine without any data."""

    def missing(key: str) -> ZoneInfo:
        raise ZoneInfoNotFoundError(key)

    monkeypatch.setattr(cron_module, "ZoneInfo", missing)
    assert Cron("@hourly").next_after(utc("2026-05-05 12:03")) == utc("2026-05-05 13:00")
    with pytest.raises(ValueError, match=r"^timezone: 'Europe/Berlin' is not valid"):
        Cron("@hourly", "Europe/Berlin")


# The value


def test_text() -> None:
    """``str`` is the expression; ``repr`` shows the zone too; blanks are kept as one."""
    cron = Cron(" */5\t1-3  * jan MON ", "UTC")
    assert str(cron) == cron.expression == "*/5 1-3 * jan MON"
    assert repr(cron) == "Cron(expression='*/5 1-3 * jan MON', timezone='UTC')"


@needs_zone_data
def test_equality() -> None:
    """Equal if written alike, in the same zone."""
    cron = Cron("0 3 * * *")
    assert cron == Cron("0  3 * * *", "UTC")
    assert hash(cron) == hash(Cron("0  3 * * *", "UTC"))
    assert cron != Cron("1 3 * * *")
    assert cron != Cron("0 3 * * *", "Europe/Berlin")
    other: object = "0 3 * * *"
    assert cron != other


@needs_zone_data
def test_copies() -> None:
    """A copy, also through pickle, is equal and runs at the same times."""
    cron = Cron("30 2 * * *", "Europe/Berlin")
    moment = utc("2026-03-28 12:00")
    for other in (copy.copy(cron), copy.deepcopy(cron), pickle.loads(pickle.dumps(cron))):
        assert other == cron
        assert other.upcoming(moment, 3) == cron.upcoming(moment, 3)


def test_frozen() -> None:
    """A Cron cannot be changed."""
    with pytest.raises(FrozenInstanceError):
        Cron("@daily").expression = "@hourly"  # type: ignore[misc]  # pyright: ignore


# Moments


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-05-05 11:59:59.999999", "2026-05-05 12:00"),
        ("2026-05-05 12:00:00.000000", "2026-05-05 12:01"),
        ("2026-05-05 12:00:00.000001", "2026-05-05 12:01"),
        ("2026-05-05 12:00:59.999999", "2026-05-05 12:01"),
    ],
)
def test_strictly_after(moment: str, expected: str) -> None:
    """A run at the moment itself is over; a microsecond before it is still to come."""
    assert Cron("* * * * *").next_after(utc(moment)) == utc(expected)


def test_moment_in_any_zone() -> None:
    """The zone of the moment does not matter; the answer is in UTC."""
    moment = datetime(2026, 5, 5, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    result = Cron("0 21 * * *").next_after(moment)
    assert result == utc("2026-05-04 21:00")
    assert result.tzinfo is UTC


def test_naive_moment() -> None:
    """A moment without a zone is refused, as everywhere in this package."""
    with pytest.raises(ValueError, match=r"^moment: datetime.*is not valid; allowed: an aware"):
        Cron("@daily").next_after(datetime(2026, 5, 5))


def test_upcoming() -> None:
    """``upcoming`` is ``next_after`` repeated; zero gives none and less is refused."""
    moment = utc("2026-05-05 12:03")
    assert Cron("*/20 * * * *").upcoming(moment, 3) == [
        utc("2026-05-05 12:20"),
        utc("2026-05-05 12:40"),
        utc("2026-05-05 13:00"),
    ]
    assert Cron("@daily").upcoming(moment, 0) == []
    with pytest.raises(ValueError, match=r"^count: -1 is not valid; allowed: 0 or more$"):
        Cron("@daily").upcoming(moment, -1)


def test_end_of_the_calendar() -> None:
    """Past the last year that datetime knows there is an error, not an endless search."""
    with pytest.raises(OverflowError, match=r"^cron '@yearly': no run before the year 10000$"):
        Cron("@yearly").next_after(utc("9999-06-01"))


# Days


@pytest.mark.parametrize(
    ("expression", "days"),
    [
        # May 2026 begins on a Friday.
        ("0 0 13 * *", [13]),
        ("0 0 * * FRI", [1, 8, 15, 22, 29]),
        ("0 0 13 * FRI", [1, 8, 13, 15, 22, 29]),
        ("0 0 1-31 * FRI", list(range(1, 32))),
        ("0 0 13 * 0-7", list(range(1, 32))),
        # A field that starts with * is not a restriction, even with a step or a list.
        ("0 0 */10 * FRI", [1]),
        ("0 0 */2 * MON", [11, 25]),
        ("0 0 13 * */2", []),
        ("0 0 12 * */2", [12]),
        ("0 0 *,13 * FRI", [1, 8, 15, 22, 29]),
        # The star has to come first.
        ("0 0 13,1-2/1 * FRI", [1, 2, 8, 13, 15, 22, 29]),
    ],
)
def test_either_day_or_both(expression: str, days: list[int]) -> None:
    """Both day fields restricted: either will do; otherwise both must match."""
    end = utc("2026-06-01")
    found: list[int] = []
    moment = utc("2026-05-01") - MINUTE
    while (moment := Cron(expression).next_after(moment)) < end:
        found.append(moment.day)
    assert found == days


def test_leap_day_on_a_weekday() -> None:
    """29 February on a Sunday, also over the years that are not leap, 1900 and 2100."""
    leap_days = [date(year, 2, 29) for year in range(1872, 2200, 4) if year not in (1900, 2100)]
    expected = [day for day in leap_days if day.isoweekday() == 7]
    instants = Cron("0 0 29 2 */7").upcoming(utc("1870-01-01"), len(expected))
    assert [instant.date() for instant in instants] == expected
    gaps = {b.year - a.year for a, b in pairwise(expected)}
    assert max(gaps) == 40


# Changes of the clock

BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"


@needs_zone_data
@pytest.mark.parametrize(
    ("expression", "zone", "start", "expected"),
    [
        # Berlin, forward at 02:00: a fixed time in the gap runs once, right after it.
        (
            "30 2 * * *",
            BERLIN,
            "2026-03-28 01:00",
            ["2026-03-28 02:30+01:00", "2026-03-29 03:00+02:00", "2026-03-30 02:30+02:00"],
        ),
        ("0 2 * * *", BERLIN, "2026-03-29 00:00", ["2026-03-29 03:00+02:00"]),
        ("30 2 29 3 *", BERLIN, "2026-01-01 00:00", ["2026-03-29 03:00+02:00"]),
        # Several in the gap, and one right after it, are one run.
        (
            "0,20,40 2,3 * * *",
            BERLIN,
            "2026-03-29 00:00",
            ["2026-03-29 03:00+02:00", "2026-03-29 03:20+02:00"],
        ),
        # Wildcards are not made up.
        ("*/30 2 * * *", BERLIN, "2026-03-29 00:00", ["2026-03-30 02:00+02:00"]),
        (
            "30 * * * *",
            BERLIN,
            "2026-03-29 01:00",
            ["2026-03-29 01:30+01:00", "2026-03-29 03:30+02:00"],
        ),
        (
            "0 */2 * * *",
            BERLIN,
            "2026-03-29 00:00",
            ["2026-03-29 04:00+02:00", "2026-03-29 06:00+02:00"],
        ),
        # Berlin, back at 03:00: a fixed time runs in the first pass only.
        (
            "30 2 * * *",
            BERLIN,
            "2026-10-25 00:00",
            ["2026-10-25 02:30+02:00", "2026-10-26 02:30+01:00"],
        ),
        ("30 2 * * *", BERLIN, "2026-10-25 02:10+01:00", ["2026-10-26 02:30+01:00"]),
        (
            "0 2,3 * * *",
            BERLIN,
            "2026-10-25 00:00",
            ["2026-10-25 02:00+02:00", "2026-10-25 03:00+01:00"],
        ),
        # Wildcards run in both passes.
        (
            "*/30 2 * * *",
            BERLIN,
            "2026-10-25 00:00",
            [
                "2026-10-25 02:00+02:00",
                "2026-10-25 02:30+02:00",
                "2026-10-25 02:00+01:00",
                "2026-10-25 02:30+01:00",
                "2026-10-26 02:00+01:00",
            ],
        ),
        (
            "@hourly",
            BERLIN,
            "2026-10-25 01:00",
            ["2026-10-25 02:00+02:00", "2026-10-25 02:00+01:00", "2026-10-25 03:00+01:00"],
        ),
        # @daily over both changes.
        (
            "@daily",
            BERLIN,
            "2026-03-28 12:00",
            ["2026-03-29 00:00+01:00", "2026-03-30 00:00+02:00"],
        ),
        (
            "@daily",
            BERLIN,
            "2026-10-24 12:00",
            ["2026-10-25 00:00+02:00", "2026-10-26 00:00+01:00"],
        ),
        (
            "@daily",
            NEW_YORK,
            "2026-03-07 12:00",
            ["2026-03-08 00:00-05:00", "2026-03-09 00:00-04:00"],
        ),
        (
            "@daily",
            NEW_YORK,
            "2026-10-31 12:00",
            ["2026-11-01 00:00-04:00", "2026-11-02 00:00-05:00"],
        ),
        # Half an hour: 02:00 becomes 02:30, and 02:00 becomes 01:30.
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-04 00:00",
            ["2026-10-04 02:30+11:00", "2026-10-05 02:15+11:00"],
        ),
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-05 00:00",
            ["2026-04-05 01:45+11:00", "2026-04-06 01:45+10:30"],
        ),
        (
            "*/15 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-05 01:20+11:00",
            [
                "2026-04-05 01:30+11:00",
                "2026-04-05 01:45+11:00",
                "2026-04-05 01:30+10:30",
                "2026-04-05 01:45+10:30",
                "2026-04-06 01:00+10:30",
            ],
        ),
        # A day without a midnight, and one with two.
        (
            "@daily",
            "America/Sao_Paulo",
            "2017-10-14 12:00",
            ["2017-10-15 01:00-02:00", "2017-10-16 00:00-02:00"],
        ),
        (
            "30 23 * * *",
            "America/Sao_Paulo",
            "2018-02-17 12:00",
            ["2018-02-17 23:30-02:00", "2018-02-18 23:30-03:00"],
        ),
        (
            "@daily",
            "Asia/Beirut",
            "2021-03-27 12:00",
            ["2021-03-28 01:00+03:00", "2021-03-29 00:00+03:00"],
        ),
        # A zone that crossed the date line: the day is gone, and nothing is made up.
        (
            "0 12 * * *",
            "Pacific/Apia",
            "2011-12-29 00:00",
            ["2011-12-29 12:00-10:00", "2011-12-31 12:00+14:00"],
        ),
        ("0 12 30 * *", "Pacific/Apia", "2011-12-29 00:00", ["2012-01-30 12:00+14:00"]),
        (
            "@daily",
            "Pacific/Apia",
            "2011-12-28 12:00",
            ["2011-12-29 00:00-10:00", "2011-12-31 00:00+14:00"],
        ),
        # And the other way: the day came twice, and so did its runs.
        (
            "0 12 * * *",
            "Pacific/Kwajalein",
            "1969-09-29 18:00",
            ["1969-09-30 12:00+11:00", "1969-09-30 12:00-12:00", "1969-10-01 12:00-12:00"],
        ),
    ],
)
def test_clock_changes(expression: str, zone: str, start: str, expected: list[str]) -> None:
    """The rule of cron(8), case by case."""
    assert runs(expression, zone, start, len(expected)) == expected


@needs_zone_data
@pytest.mark.parametrize("zone", [BERLIN, "Australia/Lord_Howe"])
def test_a_year_of_quarters(zone: str) -> None:
    """A line that starts with * has no gap and no double in a whole year of summer time."""
    start = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    quarter = timedelta(minutes=15)
    expected = [start + quarter * n for n in range(1, 365 * 24 * 4 + 1)]
    assert Cron("*/15 * * * *", zone).upcoming(start, len(expected)) == expected


@needs_zone_data
@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, "Asia/Beirut", "Africa/Casablanca"])
def test_a_year_of_days(zone: str) -> None:
    """A fixed time runs on each day of a year, once, also if it lies in a change."""
    tz = ZoneInfo(zone)
    for expression in ("@daily", "30 0 * * *", "30 1 * * *", "30 2 * * *", "30 3 * * *"):
        moment = datetime(2025, 12, 31, 12, tzinfo=tz)
        instants = Cron(expression, zone).upcoming(moment, 365)
        days = [instant.astimezone(tz).date() for instant in instants]
        assert days == [date(2026, 1, 1) + timedelta(days=n) for n in range(365)]


@needs_zone_data
def test_offsets_with_seconds() -> None:
    """Local mean time, an offset of odd seconds: the wall clock still shows a full minute."""
    instant = Cron("30 2 * * *", BERLIN).next_after(utc("1893-03-30 00:00"))
    assert instant == utc("1893-03-30 01:36:32")


# Against an oracle: minute by minute, as cron's own loop does it

Match = Callable[[datetime], bool]


def sunday_from_0(wall: datetime) -> int:
    return wall.isoweekday() % 7


LINES: list[tuple[str, bool, Match]] = [
    # the line, whether it has a wildcard time, and what it says in Python
    ("*/15 * * * *", True, lambda t: t.minute % 15 == 0),
    ("30 * * * *", True, lambda t: t.minute == 30),
    ("* 1 * * *", True, lambda t: t.hour == 1),
    ("*/20 */2 * * *", True, lambda t: t.minute % 20 == 0 and t.hour % 2 == 0),
    ("7-59/13 * */2 * *", True, lambda t: t.minute in (7, 20, 33, 46, 59) and t.day % 2 == 1),
    ("0 0 * * *", False, lambda t: t.minute == 0 and t.hour == 0),
    ("30 2 * * *", False, lambda t: t.minute == 30 and t.hour == 2),
    ("0-59 0-3 * * *", False, lambda t: t.hour <= 3),
    ("59,0 0-23/1 * * *", False, lambda t: t.minute in (0, 59)),
    ("15,45 1,23 * * *", False, lambda t: t.minute in (15, 45) and t.hour in (1, 23)),
    (
        "20 1 * * SAT,SUN",
        False,
        lambda t: t.minute == 20 and t.hour == 1 and sunday_from_0(t) in (6, 0),
    ),
    (
        "0 12 29-31 * 5",
        False,
        lambda t: (
            t.minute == 0 and t.hour == 12 and (t.day in (29, 30, 31) or sunday_from_0(t) == 5)
        ),
    ),
    (
        "10 0 */2 * MON-FRI",
        False,
        lambda t: t.minute == 10 and t.hour == 0 and t.day % 2 == 1 and 1 <= sunday_from_0(t) <= 5,
    ),
]

WINDOWS = [
    # zone, first instant, days, the shift of the wall clock within them in minutes
    ("UTC", "2028-02-25 00:00", 9, 0),
    ("Asia/Kolkata", "2026-12-28 18:11", 5, 0),
    (BERLIN, "2026-03-28 00:00", 3, 60),
    (BERLIN, "2026-10-24 00:00", 3, -60),
    (NEW_YORK, "2026-03-07 00:00", 3, 60),
    (NEW_YORK, "2026-10-31 00:00", 3, -60),
    ("Australia/Lord_Howe", "2026-10-02 00:00", 3, 30),
    ("Australia/Lord_Howe", "2026-04-03 00:00", 3, -30),
    ("America/Sao_Paulo", "2017-10-14 00:00", 3, 60),
    ("America/Sao_Paulo", "2018-02-17 00:00", 3, -60),
    ("Asia/Beirut", "2021-03-26 12:00", 3, 60),
    ("Asia/Beirut", "2021-10-29 12:00", 3, -60),
    ("Antarctica/Troll", "2026-03-28 00:00", 3, 120),
    ("Antarctica/Troll", "2026-10-24 00:00", 3, -120),
    ("Antarctica/Casey", "2009-10-16 12:00", 3, 180),
    ("Pacific/Apia", "2011-12-29 00:00", 4, 24 * 60),
    ("Pacific/Kwajalein", "1969-09-29 00:00", 4, -23 * 60),
]


@cache
def wall_clock(zone: str, start: str, days: int) -> list[tuple[datetime, datetime]]:
    """Every minute of the window: the instant, and what the wall clock shows."""
    tz = ZoneInfo(zone)
    instants = [utc(start) + MINUTE * n for n in range(days * 24 * 60)]
    return [(instant, instant.astimezone(tz).replace(tzinfo=None)) for instant in instants]


def oracle(clock: list[tuple[datetime, datetime]], wildcard: bool, match: Match) -> list[datetime]:
    """What cron would run: ``reached`` is the wall time up to which fixed lines have run."""
    found = []
    reached = clock[0][1] - MINUTE
    for instant, wall in clock:
        shift = wall - reached - MINUTE
        if wildcard or abs(shift) >= timedelta(hours=3):
            reached = wall
            if match(wall):
                found.append(instant)
            continue
        missed = []
        while reached < wall:
            reached += MINUTE
            missed.append(match(reached))
        if any(missed):
            found.append(instant)
    return found


@needs_zone_data
@pytest.mark.parametrize(("zone", "start", "days", "shift"), WINDOWS)
def test_against_the_oracle(zone: str, start: str, days: int, shift: int) -> None:
    """Every run of a window, and the next one from moments all over it."""
    clock = wall_clock(zone, start, days)
    steps = {(b[1] - a[1]) // MINUTE - 1 for a, b in pairwise(clock)}
    assert steps - {0} == {shift} - {0}  # or the window would not test what it says
    end = clock[-1][0]
    for expression, wildcard, match in LINES:
        expected = oracle(clock, wildcard, match)
        cron = Cron(expression, zone)

        found: list[datetime] = []
        moment = clock[0][0] - datetime.resolution
        while (moment := cron.next_after(moment)) <= end:
            found.append(moment)
        assert found == expected, expression

        for instant, _ in clock[::37]:
            moment = instant + timedelta(seconds=20, microseconds=5)
            index = bisect_right(expected, moment)
            answer = cron.next_after(moment)
            if index < len(expected):
                assert answer == expected[index], (expression, moment)
            else:
                assert answer > end, (expression, moment)


# Against the oracle again, with lines made at random


def random_field(source: random.Random, low: int, high: int) -> tuple[str, set[int]]:
    """A field's text, and the numbers it names, put together without parsing anything."""
    texts, numbers = [], set()
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        first, last = sorted(source.choices(range(low, high + 1), k=2))
        step = source.randint(1, high)
        kind = source.choice(("*", "*/n", "n", "n", "a-b", "a-b/n"))
        text = kind.replace("a-b", f"{first}-{last}")
        texts.append(text.replace("/n", f"/{step}").replace("n", str(first)))
        if kind == "n":
            numbers.add(first)
        else:
            ends = (first, last) if "a" in kind else (low, high)
            numbers.update(range(ends[0], ends[1] + 1, step if "/n" in kind else 1))
    return ",".join(texts), numbers


def random_line(source: random.Random) -> tuple[str, bool, Match]:
    """A whole line, whether it follows elapsed time, and what it says in Python."""
    texts, sets = zip(
        *(random_field(source, *ends) for ends in ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))),
        strict=True,
    )
    starred = [text.startswith("*") for text in texts]
    minutes, hours, days, months, weekdays = sets

    def match(wall: datetime) -> bool:
        # The cheap questions first: it is asked for every minute of a window.
        if not (wall.minute in minutes and wall.hour in hours and wall.month in months):
            return False
        day = wall.day in days
        weekday = sunday_from_0(wall) in weekdays or (sunday_from_0(wall) == 0 and 7 in weekdays)
        return day or weekday if not (starred[2] or starred[4]) else day and weekday

    return " ".join(texts), starred[0] or starred[1], match


@needs_zone_data
@pytest.mark.parametrize(("zone", "start", "days", "shift"), WINDOWS)
def test_random_lines_against_the_oracle(zone: str, start: str, days: int, shift: int) -> None:
    """Lines that nobody thought of, in every window, run exactly when cron would; six do run."""
    source = random.Random(f"{zone} {start}")
    clock = wall_clock(zone, start, days)
    end = clock[-1][0]
    ran = 0
    while ran < 6:
        expression, wildcard, match = random_line(source)
        try:
            cron = Cron(expression, zone)
        except ValueError as refused:  # a day that none of its months has
            assert "day-of-month" in str(refused)  # noqa: PT017
            continue
        found: list[datetime] = []
        moment = clock[0][0] - datetime.resolution
        while (moment := cron.next_after(moment)) <= end:
            found.append(moment)
        assert found == oracle(clock, wildcard, match), expression
        ran += bool(found)
