"""The time limit, over a clock that only the test moves."""

from __future__ import annotations

from typing import Any

import pytest
from making import Asked, call, lane, site

from counterpunch.core.moves.overrun import Overrun
from counterpunch.core.values.status import LOST, RUNNING


@pytest.mark.parametrize("held_up", [0, 1, 3])
def test_the_time_of_an_attempt_that_was_held_up_begins_anew(held_up: int) -> None:
    """Its thread got no turn between the look whether it may start and its start, for longer than
    it may take."""
    at = site()
    made = call(lane(at))
    stacks: Any = Asked(whole_of="")
    clock: Any = at.clock
    Overrun(at, stacks).watch(made, 5.0, clock.monotonic())
    for _ in range(held_up):
        clock.move_to(clock.monotonic() + 5.0)
        at.scheduler.run_due()
        assert not made.cancel_requested()
    made.state, made.attempt = RUNNING, 1
    clock.move_to(clock.monotonic() + 5.0)
    at.scheduler.run_due()
    assert made.cancel_requested()


def test_nobody_looks_at_an_attempt_that_never_began() -> None:
    """The job ended before."""
    at = site()
    made = call(lane(at))
    stacks: Any = Asked(whole_of="")
    clock: Any = at.clock
    Overrun(at, stacks).watch(made, 5.0, clock.monotonic())
    made.state = LOST
    clock.move_to(clock.monotonic() + 5.0)
    at.scheduler.run_due()
    assert not made.cancel_requested()
    assert not at.scheduler.inbox
