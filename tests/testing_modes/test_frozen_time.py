"""freezegun replaces the functions of ``time`` wherever a module has them, by identity."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from counterpunch import Job, Retry, testing

FROZEN = 1_924_992_000.0  # in 2031


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As freezegun does it: in ``time``, and in each module that has taken a function from it."""
    fakes = {time.time: lambda: FROZEN, time.monotonic: lambda: FROZEN}
    for module in [one for name, one in sys.modules.items() if name.startswith("counterpunch")]:
        for name, value in list(vars(module).items()):
            if type(value) is type(time.time) and value in fakes:
                monkeypatch.setattr(module, name, fakes[value])
    for real, fake in fakes.items():
        monkeypatch.setattr(time, real.__name__, fake)
    yield
    monkeypatch.undo()


class Echo(Job):
    retry = Retry(2, wait=0.001, jitter=0)

    def perform(self, fails: int = 0) -> int:
        if self.attempt <= fails:
            raise OSError
        return self.attempt


def test_a_job_lives_in_real_time_while_a_test_has_stopped_its_own(frozen: None) -> None:
    """Delays and retry waits end, and its instants are those of the real clock."""
    before = datetime.now(timezone.utc)
    assert Echo.perform_async().result(5) == 1  # the first of a class takes the long path
    later = Echo.perform_in(0.001)
    assert later.result(5) == 1
    assert before <= later.enqueued_at <= later.run_at <= before + timedelta(seconds=5)
    assert Echo.perform_async(1).result(5) == 2
    with pytest.raises(TimeoutError):
        Echo.perform_in(60).result(0.001)


def test_the_fake_mode_starts_at_the_time_that_is_frozen(frozen: None) -> None:
    with testing.fake() as fake:
        handle = Echo.perform_in(60)
        assert handle.enqueued_at.timestamp() == FROZEN
        assert fake.advance(60) == 1
        assert handle.finished_at is not None
        assert handle.finished_at.timestamp() == FROZEN + 60
