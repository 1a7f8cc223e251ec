"""``examples/sizing.py``: the simulation against the formula, and what it tells its reader."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).parents[2] / "examples" / "sizing.py"


@pytest.fixture(scope="module")
def sizing() -> Any:
    spec = importlib.util.spec_from_file_location("sizing_example", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sizing_example"] = module  # its NamedTuples look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("rate", "seconds", "workers", "jobs"),
    [(6, 7, 50, 120_000), (0.5, 1, 1, 40_000), (2, 1, 3, 40_000)],
)
def test_the_simulation_agrees_with_the_formula(
    sizing: Any, rate: float, seconds: float, workers: int, jobs: int
) -> None:
    """The mean wait of Erlang's C formula, over so many jobs; the seed makes it exact."""
    load = sizing.Load(rate, seconds, workers)
    outcome = sizing.simulate(load, jobs / 3600 / rate)
    assert outcome.mean == pytest.approx(sizing.expected_wait(load), rel=0.15, abs=0.02)
    assert outcome.utilisation == pytest.approx(load.busy / workers, rel=0.02)


def test_one_worker_by_hand(sizing: Any) -> None:
    """M/M/1: the share of waiting jobs is the utilisation, so the mean wait is 1 s here."""
    assert sizing.expected_wait(sizing.Load(0.5, 1, 1)) == pytest.approx(1.0)
    assert sizing.expected_wait(sizing.Load(6, 7, 42)) == math.inf


def test_six_purchases_a_second(sizing: Any) -> None:
    """Seven seconds each: 42 workers are busy, 42 are too few, and 50 are plenty."""
    load = sizing.Load(6, 7, 50)
    assert load.busy == 42
    assert sizing.objections(load, sizing.simulate(load, 4), sizing.Memory(), 1.0) == []
    few = load._replace(workers=42)
    (reason,) = sizing.objections(few, sizing.simulate(few, 4), sizing.Memory(), 1.0)
    assert "42 workers are needed on average, there are 42" in reason
    impatient, patient = (sizing.enough_workers(load, goal, 1) for goal in (1.0, 10.0))
    assert 42 < patient < impatient <= 51


def test_what_one_process_cannot_give(sizing: Any) -> None:
    """Memory and the interpreter's time are objections of their own."""
    load = sizing.Load(6, 7, 50, cpu=0.2)
    outcome = sizing.simulate(load, 1)
    reasons = sizing.objections(load, outcome, sizing.Memory(dyno=200), 1.0)
    assert [reason.split()[0] for reason in reasons] == ["the", "300"]
    assert "compute for 120% of the time" in reasons[0]
    assert "300 MiB are needed, there are 200" in reasons[1]


def test_a_queue_that_grows(sizing: Any) -> None:
    """Too few workers: the longest queue is what came and was not served."""
    load = sizing.Load(10, 1, 5, fixed=True)
    outcome = sizing.simulate(load, 1)
    assert outcome.longest == pytest.approx(5 * 3600, rel=0.05)
    assert outcome.wait(0.0) == 0.0


def test_it_is_run_as_its_reader_runs_it() -> None:
    """The command of its first lines; the exit status says whether one process is enough."""

    def run(*options: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(PATH), *options]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
        )

    with (
        run("--hours", "2") as enough,
        run("--workers", "40", "--hours", "0.2") as too_few,
        run("--rate", "0") as refused,
    ):
        try:
            output, errors = enough.communicate(timeout=30)
            assert enough.returncode == 0, errors
            assert "6 jobs/s x 7 s = 42 workers busy on average" in output
            assert output.endswith("one process holds it\n")
            output, errors = too_few.communicate(timeout=30)
            assert too_few.returncode == 1, errors
            assert "the queue grows without end" in output
            output, errors = refused.communicate(timeout=30)
            assert refused.returncode == 2, errors
        finally:
            for process in (enough, too_few, refused):
                process.kill()
