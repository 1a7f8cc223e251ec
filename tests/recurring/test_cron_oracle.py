"""When a crontab line runs, against a second implementation.

It steps through every minute the way cron itself does; the rule for summer time is checked
against it too.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from cron_zones import BERLIN, MINUTE, NEW_YORK, needs_zone_data, utc

from counterpunch.recurring.cron import Cron

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
        due = reached + MINUTE
        if wildcard or wall == due or abs(wall - due) >= timedelta(hours=3):
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

        for instant, _ in clock[::97]:
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
