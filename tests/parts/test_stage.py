"""The phases of a process: from where each is reached, and what a stop does with a delay."""

from __future__ import annotations

import pytest

from counterpunch.core.values.stage import DRAINING, OPEN, QUIET, STOPPED, Stage, fate

PHASES = (OPEN, QUIET, DRAINING, STOPPED)
#: Each pair that is possible; all others are not.
WAYS = {
    (OPEN, QUIET),
    (OPEN, DRAINING),
    (OPEN, STOPPED),
    (QUIET, OPEN),
    (QUIET, DRAINING),
    (QUIET, STOPPED),
    (DRAINING, DRAINING),
    (DRAINING, STOPPED),
    (STOPPED, STOPPED),
}


@pytest.mark.parametrize("target", PHASES)
@pytest.mark.parametrize("start", PHASES)
def test_the_table_of_phases(start: str, target: str) -> None:
    """A phase that is not possible is refused and changes nothing."""
    stage = Stage(threads=False)
    for step in {DRAINING: (DRAINING,), STOPPED: (STOPPED,), QUIET: (QUIET,)}.get(start, ()):
        assert stage.enter(step)
    assert stage.phase == start
    assert stage.enter(target) is ((start, target) in WAYS)
    assert stage.phase == (target if (start, target) in WAYS else start)


def test_a_process_serves_until_it_drains() -> None:
    """Quiet or not."""
    stage = Stage(threads=False)
    served = []
    for phase in (QUIET, OPEN, DRAINING, STOPPED):
        stage.enter(phase)
        served.append(stage.serving)
    assert served == [True, True, False, False]


@pytest.mark.parametrize(
    ("policy", "due", "expected"),
    [
        ("drop", 1.0, "drop"),
        ("run", 9.0, "run"),
        ("wait", 4.9, "wait"),
        ("wait", 5.0, "drop"),
        ("wait", 9.0, "drop"),
    ],
)
def test_what_a_stop_does_with_a_delayed_job(policy: str, due: float, expected: str) -> None:
    """One that waits is waited for if it is due before the deadline, which is 5.0 here."""
    assert fate(policy, due, 5.0) == expected
