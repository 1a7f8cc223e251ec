"""dump(): every worker with what it is at and its stack."""

from __future__ import annotations

import os
import threading

import counterpunch
from counterpunch import Job, testing

SOON = 10.0  # seconds


class Dumped(Job):
    workers = 2
    gate = threading.Event()
    entered = threading.Event()

    def perform(self) -> None:
        self.wait_for_the_gate()

    def wait_for_the_gate(self) -> None:
        self.entered.set()
        self.gate.wait(SOON)


def test_it_shows_running_idle_and_scheduler_threads():
    """The busy worker with job, id and the user's own frames; the idle one; the scheduler."""
    Dumped.gate.set()
    Dumped.perform_async().result(SOON)
    Dumped.gate.clear()
    Dumped.entered.clear()
    handle = Dumped.perform_async()
    Dumped.perform_in(3600)
    assert Dumped.entered.wait(SOON)
    try:
        text = counterpunch.dump()
    finally:
        Dumped.gate.set()
    handle.result(SOON)
    assert f"process {os.getpid()}" in text
    assert f"Dumped {handle.id} attempt 1 for " in text
    assert "in wait_for_the_gate" in text
    assert "counterpunch-scheduler: alive" in text
    assert counterpunch.wait_idle(SOON)
    assert "counterpunch-Dumped_0: idle" in counterpunch.dump()


def test_an_unused_process_has_no_threads():
    """Looking starts none either."""
    with testing.fake():
        assert "no threads" in counterpunch.dump()
