"""When a crontab line runs: reading it, its value, moments, and matching days."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from cron_zones import MINUTE, needs_zone_data, utc

from counterpunch.recurring import cron as cron_module
from counterpunch.recurring.cron import Cron

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
