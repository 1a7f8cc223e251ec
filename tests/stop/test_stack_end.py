"""Calls at the end of a stack: ``RecursionError``, and nothing is lost by it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from process import LONG

from counterpunch import Handle, Job

#: The calls are tried with so many frames left, one after the other; most need fewer than that.
ROOMS = range(60)


def with_room(frames: int, act: Callable[[], object]) -> bool:
    """Call it where so many more calls may be within one another; False if that is too few."""
    depth, frame = 0, sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        depth += 1

    def down(more: int) -> None:
        if more > 0:
            down(more - 1)
        else:
            act()

    try:
        down(sys.getrecursionlimit() - depth - frames - 3)
    except RecursionError:
        return False
    return True


def fresh() -> Any:
    return type("Deep", (Job,), {"workers": 1, "perform": lambda self: None})


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize(
    "steer", [Handle.cancel, Handle.run_now, lambda handle: handle.reschedule(90.0)]
)
def test_a_job_is_steered_or_stays_where_it_was(
    steer: Callable[[Handle[Any]], object], held: bool
) -> None:
    """It can be cancelled afterwards, at once."""
    job = fresh()
    if held:
        job.pause()
    done = set()
    for room in ROOMS:
        handle = job.perform_async() if held else job.perform_in(60)
        done.add(with_room(room, lambda handle=handle: steer(handle)))
        assert handle.cancel() or handle.exception(LONG) is None
    assert done == {False, True}


def test_a_class_keeps_its_workers() -> None:
    """The right to start one is not lost where the first enqueue is broken off."""
    done = set()
    for room in ROOMS:
        job = fresh()
        done.add(with_room(room, job.perform_async))
        assert job.perform_async().exception(LONG) is None
    assert True in done
