"""Writes the table of ``examples/guide/costs.md``: a column for each report of ``run.py --json``.

    python3.13 tests/benchmarks/run.py --json 313.json
    python3.11 tests/benchmarks/run.py --json 311.json
    python tests/benchmarks/costs.py "3.13=313.json" "3.11=311.json"

and prints the figures that the text below the table has in words.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from figures import BASELINE, OURS, ratios

PAGE = Path(__file__).parents[2] / "examples" / "guide" / "costs.md"
BEGIN, END = "<!-- table: tests/benchmarks/costs.py -->", "<!-- end -->"

#: Measure, against in words, and for each number of a cell: measure, figure, contender. Rates are
#: "times".
ROWS: list[tuple[str, str, list[tuple[str, str, str]], bool]] = [
    ("`perform_async`, workers busy, p50 / p99", "`ThreadPoolExecutor.submit`",
     [("enqueue", "busy p50 ns", BASELINE), ("enqueue", "busy p99 ns", BASELINE)], False),
    ("the same while jobs fight for the interpreter lock, p99", "the same",
     [("enqueue", "fight p99 ns", BASELINE)], False),
    ("`perform_async`, idle pool, p50; one of a burst of ten", "the same",
     [("enqueue", "idle p50 ns", BASELINE), ("enqueue", "burst p50 ns", BASELINE)], False),
    ("from the enqueue to the start, idle pool, p50", "the same",
     [("enqueue", "idle start p50 ns", BASELINE)], False),
    ("no-op jobs per second, 1 / 4 producers", "the same",
     [("throughput", "1 producer /s", BASELINE), ("throughput", "4 producers /s", BASELINE)], True),
    ("the same, 1 producer", "Flask-Executor / Huey / Dramatiq / APScheduler",
     [("throughput", "1 producer /s", peer)
      for peer in ("flask-executor", "huey", "dramatiq", "apscheduler")], True),
    ("bytes per waiting job", "the same queue in an executor",
     [("memory", "bytes per waiting job", BASELINE)], False),
    ("`perform_in`, p50", "a heap, a Condition and a `Future`",
     [("delays", "perform_in p50 ns", "heap+condition+future")], False),
    ("the same", "a heap and a Condition that return nothing",
     [("delays", "perform_in p50 ns", "heap+condition")], False),
    ("FastAPI requests per second, 1 ms jobs", "BackgroundTasks",
     [("fastapi", "sleep requests /s", "background")], True),
    ("their p99", "the same", [("fastapi", "sleep p99 ms", "background")], False),
    ("Flask requests per second, 1 ms jobs", "a bare pool",
     [("flask", "sleep requests /s", "executor")], True),
    ("many short CPU-bound jobs: median request latency, Flask / FastAPI", "a bare pool",
     [("flask", "many p50 ms", "executor"), ("fastapi", "many p50 ms", "executor")], False),
]  # fmt: skip
WORDS = [
    ("memory", "bytes per waiting job"), ("memory", "bytes per delayed job"),
    ("memory", "growth KiB after many"), ("imports", "import MiB"), ("imports", "import ms"),
    ("idle", "wake-ups /s"), ("delays", "early"),
]  # fmt: skip


def cell(figures: Any, wanted: list[tuple[str, str, str]], rate: bool) -> str:
    """Medians of the ratios of single rounds; "-" for a contender that was not installed."""
    numbers = []
    for measure, figure, against in wanted:
        found = figures.get(measure, {})
        both = ratios(found.get(OURS, {}).get(figure, []), found.get(against, {}).get(figure, []))
        numbers.append(f"{statistics.median(both):.2g}" if both else "-")
    return " / ".join(numbers) + (" times" if rate else "")


def main() -> None:
    columns = {name: path for name, _, path in (one.partition("=") for one in sys.argv[1:])}
    reports = {name: json.loads(Path(path).read_text()) for name, path in columns.items()}
    table = [f"| measure | against | {' | '.join(reports)} |", "|---|---|" + "---|" * len(reports)]
    for measure, against, wanted, rate in ROWS:
        cells = (cell(report["figures"], wanted, rate) for report in reports.values())
        table.append(f"| {measure} | {against} | {' | '.join(cells)} |")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + "\n".join((BEGIN, *table, END)) + after, encoding="utf-8")
    for name, report in reports.items():
        print(f"{name}: {report['machine']}{', quick' if report['quick'] else ''}")
        for measure, figure in WORDS:
            values = report["figures"].get(measure, {}).get(OURS, {}).get(figure)
            print(f"  {figure}: {statistics.median(values):.4g}" if values else f"  no {figure}")


if __name__ == "__main__":
    main()
