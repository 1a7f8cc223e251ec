"""Whoever goes on at every hand-over: some schedules of ``tests/benchmarks/simulation.py``.

There are a hundred thousand in the whole of it. It is a process of its own, since it exchanges
threads, locks and clocks of the core for simulated ones, and puts defects into it.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from process import LONG

import counterpunch

SIMULATION = Path(__file__).parents[1] / "benchmarks" / "simulation.py"
#: One of each kind, which a few dozen schedules find.
MUTANTS = ("no-second-look", "ticket-kept", "state-after-token", "wake-before-append")
#: Of the first schedule: all of them are found soon after it.
SEED = "360"


def simulated(*arguments: str) -> subprocess.CompletedProcess[str]:
    # Over the package that the tests themselves import.
    environ = {**os.environ, "PYTHONPATH": str(Path(counterpunch.__file__).parents[1])}
    command = [sys.executable, str(SIMULATION), *arguments]
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, check=False, timeout=LONG * 2
    )


def test_nothing_is_found_whoever_goes_on() -> None:
    """Every job has one ending, nobody sleeps beside work, and all that was taken is given back."""
    ended = simulated("--schedules", "120")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("hand-over") == 1


def test_every_defect_still_has_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who changes the words that one of them changes is told here."""
    monkeypatch.syspath_prepend(str(SIMULATION.parent))
    mutants: dict[str, Any] = importlib.import_module("simulation_mutants").MUTANTS
    for mutant in mutants.values():
        with mutant.applied():
            pass


def test_a_defect_is_found_and_its_seed_shows_it_again() -> None:
    """A missing re-check, a lost give-back, a state set too late, a wrong order: each is found; and
    the last one's seed gives, alone, the very schedule that it gave after many others."""
    found = simulated("--mutant", *MUTANTS, "-v", "--seed", SEED).stdout
    for name in MUTANTS:
        assert re.search(rf"^{name} .* seed \d+$", found, re.MULTILINE), found
    *_, last = re.split(r"^(?=\S)", found, flags=re.MULTILINE)
    head, _, schedule = last.partition("\n")
    again = simulated("--mutant", MUTANTS[-1], "-v", "--schedules", "1", "--seed", head.split()[-1])
    assert len(schedule.splitlines()) > 5
    assert again.stdout.endswith(schedule)
