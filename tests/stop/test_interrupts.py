"""An exception may come out of any call, as Ctrl-C does: a sample of the places it comes from.

``tests/benchmarks/interrupts.py`` tries all places of all calls; this is a handful of calls,
and four places of each. It is a script of its own, since its children are forked from a
process that has no threads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from process import LONG

import counterpunch
from counterpunch.core.values.interpreter import LOCKED

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs fork and POSIX timers")

SWEEP = Path(__file__).parents[1] / "benchmarks" / "interrupts.py"
#: Places of each call.
MOST = 4
#: As the sweep names them.
CALLS = (
    "perform_async, busy",
    "perform_async, idle, async",
    "unique: perform_async, replace",
    "perform_in",
    "perform_now",
    "cancel(), queued",
    "reschedule(), queued",
    "resume(), own pool",
    "after_commit: commit",
    "Batch: a member cancelled",
    "shutdown(), stuck",
)


def sweep(file: Path, *calls: str, more: tuple[str, ...] = ()) -> dict[str, list[Any]]:
    """What the sweep found, by call: an entry for each place that was tried."""
    chosen = "|".join(f"={name}=" for name in calls)
    # Over the package that the tests themselves import.
    environ = {**os.environ, "PYTHONPATH": str(Path(counterpunch.__file__).parents[1])}
    command = [sys.executable, str(SWEEP), "--calls", chosen, "--most", str(MOST), *more]
    ended = subprocess.run(
        [*command, "--json", str(file)],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG * 2,
    )
    assert file.exists(), ended.stdout + ended.stderr
    assert "uninterrupted" not in ended.stdout, ended.stdout
    result: dict[str, list[Any]] = json.loads(file.read_text())
    return result


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    return sweep(tmp_path_factory.mktemp("interrupts") / "found.json", *CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_broken_wherever_an_exception_comes_out_of(
    name: str, found: dict[str, list[Any]]
) -> None:
    """It reaches the caller; every job ends, every key and place is free, and the stop is
    quick and tells of all that is lost."""
    # Without the interpreter lock no two runs of a call have equally many.
    assert len(found[name]) >= (MOST // 2 if LOCKED else 1)
    broken = [one for one in found[name] if one["words"]]
    assert [f"{' '.join(one['places'])}: {', '.join(one['words'])}" for one in broken] == []


def test_without_a_guard_the_sweep_finds_what_is_broken(tmp_path: Path) -> None:
    """Its negative control: what an interruption has left is not carried out."""
    call = "after_commit: commit"
    found = sweep(tmp_path / "found.json", call, more=("--control",))
    assert any(one["words"] for one in found[call])


@pytest.mark.parametrize("kind", ["RecursionError", "MemoryError"])
def test_nothing_is_broken_where_the_stack_or_the_memory_ends(kind: str, tmp_path: Path) -> None:
    call = "unique: perform_async, replace"
    found = sweep(tmp_path / "found.json", call, more=("--kind", kind))
    assert [one["words"] for one in found[call] if one["words"]] == []
