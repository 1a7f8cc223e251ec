"""Measure 5: what an idle process costs: wake-ups per second, and the pause at its exit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from figures import Measure, Target, wait_for

__all__ = ["MEASURE"]

_USE = {
    "counterpunch": """
import counterpunch
class Noop(counterpunch.Job):
    def perform(self): pass
Noop.perform_async().result()
""",
    "executor": """
from concurrent.futures import ThreadPoolExecutor
executor = ThreadPoolExecutor(2)
executor.submit(print, end="").result()
""",
    # What is left is the pause: the interpreter's own end takes its time for every module.
    "nothing": "import counterpunch",
}


def child(contender: str, quick: bool) -> dict[str, float]:
    figures = {"exit ms": _exit(contender)}
    if contender == "counterpunch" and Path("/proc/self/task").exists():
        figures["wake-ups /s"] = _wake_ups(2.0 if quick else 10.0)
    return figures


def _exit(contender: str) -> float:
    """Milliseconds from the last line of a script to the end of its process."""
    script = _USE[contender] + "\nimport time; print(time.monotonic())"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    last = float(process.stdout.readline())
    process.wait()  # without a timeout: with one it polls, at 7.5 and 15.5 ms
    return (time.monotonic() - last) * 1e3


def _wake_ups(seconds: float) -> float:
    """Context switches of every thread but this one, with pools and a scheduler after use."""
    import counterpunch

    class First(counterpunch.Job):
        def perform(self) -> None:
            pass

    class Second(counterpunch.Job):
        def perform(self) -> None:
            pass

    for job in (First, Second):
        handles = [job.perform_async() for _ in range(1000)]
        handles.append(job.perform_in(0.05))
        for handle in handles:
            handle.result(10)
    First.perform_in(3600)
    # Not seen here: one wake-up of the watchdog, starved_after (60 s) after the last backlog.
    time.sleep(0.5)
    before = _switches()
    time.sleep(seconds)
    after = _switches()
    wait_for(lambda: len(after) >= 3)  # else nothing was looked at
    return sum(after[task] - before.get(task, 0) for task in after) / seconds


def _switches() -> dict[str, int]:
    counts: dict[str, int] = {}
    for task in os.listdir("/proc/self/task"):
        if int(task) == os.getpid():
            continue
        for line in Path(f"/proc/self/task/{task}/status").read_text().splitlines():
            if "ctxt_switches" in line:
                counts[task] = counts.get(task, 0) + int(line.split()[1])
    return counts


MEASURE = Measure(
    name="idle",
    contenders=("nothing", "executor", "counterpunch"),
    child=child,
    targets=(
        Target("idle wake-ups per second, after use", "wake-ups /s", None, 0, 0),
        Target("pause at exit when idle", "exit ms", "nothing", 1.25, 1.0),
    ),
    rounds=(3, 9),
)
