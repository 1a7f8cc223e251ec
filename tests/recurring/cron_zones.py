"""Moments and time zones for the tests of crontab lines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

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


BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
