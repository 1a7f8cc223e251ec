"""Who goes on at every hand-over: the core under a seeded scheduler, a hundred thousand times.

``python tests/benchmarks/simulation.py [--schedules N] [--seed S] [--scenario NAME]
[--mutant NAME ...] [-v]``

Jobs are enqueued, taken, paused, cancelled and drained by simulated threads, of which one runs at a
time (``simulation_world``); at each step that another one could notice (``simulation_points``) a
seeded scheduler decides who goes on. After each schedule, once nobody can go on, it is looked
whether every accepted job has its one ending or waits where it may, nobody sleeps beside work,
the ledger balances, and keys, room and places of workers are free (``simulation_stage``;
``simulation_scenes`` has who does what). What is found is printed with the seed that shows it
again.

``--mutant`` puts a defect into the core (``simulation_mutants``) and looks for it in the scene that
it is about, for a minute at most; ``--mutant all`` does so with each.

Exit status 0 if nothing is found; with mutants, if each is. The same seed gives the same schedule
on the same version of Python: ``-v`` shows who went on where.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

if importlib.util.find_spec("counterpunch") is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from simulation_mutants import MUTANTS, Mutant
from simulation_scenes import SCENES
from simulation_stage import Scene, Stage
from simulation_world import Switch

__all__ = ["Run", "main", "played"]

#: Seconds that the search for a mutant takes at most.
PATIENCE = 60.0
#: Schedules between two collections of garbage, which comes by the same amount in each.
TIDY = 500


class Run(NamedTuple):
    """What was seen of one scene: the words for what was wrong, each with its first seed."""

    schedules: int
    steps: int
    switches: int
    seconds: float
    failed: int
    found: dict[str, int]


def played(stage: Stage, kind: type[Scene], seeds: range, search: bool = False) -> Run:
    """One schedule of a scene for each seed; with ``search`` until something is found."""
    world, begun = stage.world, time.perf_counter()
    steps, switches = world.all_steps, world.all_switches
    found: dict[str, int] = {}
    failed = count = 0
    for count, seed in enumerate(seeds, 1):
        words = stage.play(kind, f"{kind.name}:{seed}")
        if not count % TIDY:
            gc.collect()
        if words:
            failed += 1
            for word in words:
                found.setdefault(word, seed)
        if search and (words or time.perf_counter() - begun > PATIENCE):
            break
    took = time.perf_counter() - begun
    return Run(count, world.all_steps - steps, world.all_switches - switches, took, failed, found)


def main() -> int:
    given = _arguments()
    print(f"{platform.python_implementation()} {platform.python_version()}", flush=True)
    if given.mutant:
        names = list(MUTANTS) if "all" in given.mutant else given.mutant
        found = [_searched(name, given) for name in names]
        return 0 if all(found) else 1
    scenes = [kind for kind in SCENES if given.scenario in ("all", kind.name)]
    share = -(-given.schedules // len(scenes))
    runs = []
    with _undisturbed(), Stage() as stage:
        print(f"{'':10} schedules   a second    steps  switches    found", flush=True)
        for kind in scenes:
            run = played(stage, kind, range(given.seed, given.seed + share))
            runs.append(run)
            _row(kind.name, run)
            _show(stage, kind, run, given.verbose)
    if len(runs) > 1:
        schedules, steps, switches, failed = (
            sum(each) for each in zip(*((run[:3] + run[4:5]) for run in runs), strict=True)
        )
        _row(
            "in all", Run(schedules, steps, switches, sum(run.seconds for run in runs), failed, {})
        )
    return 1 if any(run.failed for run in runs) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = [kind.name for kind in SCENES]
    parser.add_argument("--schedules", type=int, default=100_000, metavar="N", help="in all")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the first schedule")
    parser.add_argument("--scenario", choices=["all", *names], default="all")
    parser.add_argument(
        "--mutant", choices=["all", *MUTANTS], nargs="+", help="put a defect into the core"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="who went on, where")
    return parser.parse_args()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _searched(name: str, given: argparse.Namespace) -> bool:
    """Look for a mutant, in the scene that it is about; True if it is found."""
    mutant: Mutant = MUTANTS[name]
    kind = next(kind for kind in SCENES if kind.name == mutant.scene)
    with _undisturbed(), mutant.applied(), Stage() as stage:
        run = played(stage, kind, range(given.seed, given.seed + given.schedules), search=True)
        after = f"after {run.schedules:6} schedules of {kind.name:9} {run.seconds:6.2f} s"
        what = f"seed {next(iter(run.found.values()))}" if run.failed else "NOT FOUND"
        print(f"{name:22} {mutant.kind:20} {after}: {what}", flush=True)
        _show(stage, kind, run, given.verbose)
    return run.failed > 0


def _row(name: str, run: Run) -> None:
    each = run.schedules or 1
    print(
        f"{name:10} {run.schedules:9} {run.schedules / (run.seconds or 1):10.0f} "
        f"{run.steps / each:8.0f} {run.switches:9} {run.failed:8}",
        flush=True,
    )


def _show(stage: Stage, kind: type[Scene], run: Run, verbose: bool) -> None:
    """What was found, and with ``verbose`` the schedule that shows it."""
    for word, seed in run.found.items():
        print(f"    --scenario {kind.name} --schedules 1 --seed {seed}: {word}", flush=True)
    if not run.found or not verbose:
        return
    seed = next(iter(run.found.values()))
    record: list[Switch] = []
    stage.world.record = record
    words = stage.play(kind, f"{kind.name}:{seed}")
    stage.world.record = None
    print(f"    seed {seed} again: {'; '.join(words) or 'NOTHING'}")
    for step, before, where, after in record:
        print(f"    {step:8} {before or '-':28} {where:40} > {after or '-'}")
    for at, handle in enumerate(stage.scene.handles):
        name, ran = handle.job.__qualname__, stage.scene.ran[handle]
        print(f"    {name} {at}: {handle.status}, ran {ran} times", flush=True)


if __name__ == "__main__":
    sys.exit(main())
