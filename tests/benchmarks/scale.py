"""What more workers, and more producers, are worth: with the interpreter lock and without.

``python tests/benchmarks/scale.py [--counts 1,2,4] [--rounds N] [--seconds S] [--json FILE]``

Run it with the interpreter to be measured; what it prints begins with the number of cores that the
process may use and with whether the lock is on, for no figure says anything without the two. Each
figure comes from a process of its own; counterpunch and a bare ``ThreadPoolExecutor`` take turns,
and what is printed is the median of the rounds.

``1 ms``, ``0.1 ms``
    Jobs of that much pure Python, one producer, so many workers: jobs per second, as a multiple of
    one worker of the same contender.
``no-op``
    Jobs that do nothing, as many producers as workers: jobs per second, from the first enqueue to
    the end of the last job, and as a multiple of one of each.
``enqueue``
    What one enqueue of such a job takes its caller, with so many callers at once: microseconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if importlib.util.find_spec("counterpunch") is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from contenders import Counterpunch, make

COUNTS = (1, 2, 4, 8, 16)
CONTENDERS = ("counterpunch", "executor")
#: Seconds of pure Python that a job takes; None: it does nothing.
KINDS: dict[str, float | None] = {"1 ms": 0.001, "0.1 ms": 0.0001, "no-op": None}
#: Jobs for each second of a round, before it is known how fast they are.
GUESS = 50_000

Figures = dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", default=",".join(map(str, COUNTS)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a figure, about")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=3, metavar=("CONTENDER", "KIND", "COUNT"))
    given = parser.parse_args()
    if given.child:
        contender, kind, count = given.child
        print(json.dumps(child(contender, KINDS[kind], int(count), given.seconds)))
        return 0
    counts = [int(count) for count in given.counts.split(",")]
    print(surroundings())
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(given.rounds):
        for kind in KINDS:
            for count in counts:
                for contender in CONTENDERS:
                    row = found.setdefault(f"{kind} {count}", {})
                    for name, value in measured(contender, kind, count, given.seconds).items():
                        row.setdefault(f"{contender} {name}", []).append(value)
    medians = {
        row: {name: statistics.median(values) for name, values in figures.items()}
        for row, figures in found.items()
    }
    for line in table(medians, counts):
        print(line)
    if given.json is not None:
        given.json.write_text(json.dumps({"on": surroundings(), "rounds": found}, indent=1))
    return 0


def surroundings() -> str:
    """What the figures were measured on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    version = ".".join(map(str, sys.version_info[:3]))
    build = "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else "ordinary"
    on = getattr(sys, "_is_gil_enabled", lambda: True)()
    lock = "on" if on else "off"
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{cores} cores{load}; CPython {version}, {build} build, interpreter lock {lock}"


def measured(contender: str, kind: str, count: int, seconds: float) -> Figures:
    """One figure of one contender, in a process of its own."""
    command = [sys.executable, __file__, "--seconds", str(seconds)]
    command += ["--child", contender, kind, str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    figures: Figures = json.loads(done.stdout)
    return figures


def child(contender: str, takes: float | None, count: int, seconds: float) -> Figures:
    """Jobs per second, and for jobs that do nothing the seconds of one enqueue."""
    job = _nothing if takes is None else _work(takes)
    under = make(contender, job, count)
    if isinstance(under, Counterpunch):
        under.unbounded()
    producers = count if takes is None else 1
    jobs = GUESS if takes is None else int(min(count, os.cpu_count() or 1) / takes)
    jobs = max(producers, int(jobs * seconds)) // producers * producers
    _produce(under.enqueue, producers, min(jobs, 200 * producers))  # all threads are there
    elapsed, called = _produce(under.enqueue, producers, jobs)
    figures = {"/s": jobs / elapsed}
    if takes is None:
        figures["enqueue"] = called / jobs
    return figures


def _nothing(n: int) -> None:
    pass


def _work(takes: float) -> Callable[[int], object]:
    """So many seconds of pure Python, on this machine and interpreter, alone on a core."""

    def loop(times: int) -> int:
        total = 0
        for n in range(times):
            total += n & 3
        return total

    best = min(_seconds(loop, 20_000) for _ in range(20))
    times = int(20_000 * takes / best)
    return lambda n: loop(times)


def _seconds(fn: Callable[[int], object], times: int) -> float:
    before = time.perf_counter()
    fn(times)
    return time.perf_counter() - before


def _produce(enqueue: Callable[[int], Any], producers: int, jobs: int) -> tuple[float, float]:
    """Seconds from the first enqueue to the end of the last job, and those of all callers."""
    start, each = threading.Barrier(producers + 1), jobs // producers
    called: list[float] = []
    last: list[Any] = []

    def produce() -> None:
        mine = enqueue  # not looked up in a shared cell for each
        start.wait()
        before = time.perf_counter()
        for n in range(each):
            handle = mine(n)
        called.append(time.perf_counter() - before)
        last.append(handle)

    threads = [threading.Thread(target=produce) for _ in range(producers)]
    for thread in threads:
        thread.start()
    start.wait()
    before = time.perf_counter()
    for thread in threads:
        thread.join()
    for handle in last:
        handle.result(120)
    return time.perf_counter() - before, sum(called)


def table(medians: dict[str, Figures], counts: list[int]) -> list[str]:
    """The figures as lines, with the multiples."""
    lines = []
    for kind, takes in KINDS.items():
        lines.append(f"{kind + ', jobs/s':18}" + "".join(f"{name:>26}" for name in CONTENDERS))
        for count in counts:
            of = f"{count} workers" if takes is not None else f"{count} and {count}"
            line = f"  {of:16}"
            for name in CONTENDERS:
                value = medians[f"{kind} {count}"][f"{name} /s"]
                one = medians[f"{kind} {counts[0]}"][f"{name} /s"]
                line += f"{value:16,.0f} ({value / one:6.2f})"
            lines.append(line)
    lines.append(f"{'enqueue, us':18}" + "".join(f"{name:>26}" for name in CONTENDERS))
    for count in counts:
        figures = medians[f"no-op {count}"]
        costs = [figures[f"{name} enqueue"] * 1e6 for name in CONTENDERS]
        lines.append(f"  {f'{count} producers':16}" + "".join(f"{cost:26.2f}" for cost in costs))
    return lines


if __name__ == "__main__":
    sys.exit(main())
