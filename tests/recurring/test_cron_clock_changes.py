"""When a crontab line runs: changes of the clock.

Expected times are written as the wall clock of the zone shows them.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cron_zones import BERLIN, NEW_YORK, needs_zone_data, utc

from counterpunch.recurring.cron import Cron


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


# Changes of the clock


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
@pytest.mark.parametrize("month", [3, 4, 10])
@pytest.mark.parametrize("zone", [BERLIN, "Australia/Lord_Howe"])
def test_months_of_quarters(zone: str, month: int) -> None:
    """A line that starts with * has no gap and no double where summer time begins and ends."""
    start = datetime(2026, month, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    quarter = timedelta(minutes=15)
    expected = [start + quarter * n for n in range(1, 31 * 24 * 4 + 1)]
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
