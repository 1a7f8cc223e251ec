"""The benchmarks: ``python tests/benchmarks/run.py [--quick] [--only NAME] [--json FILE]``.

Each measure runs each contender in a fresh process, contenders in turn within a round and
rounds one after the other, so that a slow minute of the machine weighs on all alike. A
figure is the median over the rounds, with the smallest and the largest beside it; a ratio
is the median of the ratios of single rounds. Nothing here is asserted: a table is printed.
"""

from __future__ import annotations

import argparse
import contextvars
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import delays
import enqueue
import idle
import imports
import memory
import throughput
import web
from contenders import installed
from figures import BASELINE, Measure, ratios, value_of

MEASURES: tuple[Measure, ...] = (
    enqueue.MEASURE,
    throughput.MEASURE,
    delays.MEASURE,
    memory.MEASURE,
    idle.MEASURE,
    imports.MEASURE,
    *web.MEASURES,
)

Values = dict[str, dict[str, list[float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="about a minute, wider spread")
    parser.add_argument("--only", action="append", metavar="NAME", help="one measure; repeatable")
    parser.add_argument("--contender", action="append", metavar="NAME", help="fewer contenders")
    parser.add_argument("--rounds", type=int, help="instead of the measure's own number")
    parser.add_argument("--json", metavar="FILE", help="write every figure of every round")
    parser.add_argument(
        "--child", nargs=2, metavar=("MEASURE", "CONTENDER"), help=argparse.SUPPRESS
    )
    given = parser.parse_args()
    named = {measure.name: measure for measure in MEASURES}
    if given.child:
        _child(named[given.child[0]], given.child[1], given.quick)
        return
    unknown = set(given.only or ()) - set(named)
    if unknown:
        parser.error(f"--only takes {', '.join(named)}; not {', '.join(sorted(unknown))}")
    _find_package()
    print(f"{_machine()}\n")
    results: dict[str, Values] = {}
    for measure in MEASURES:
        if given.only and measure.name not in given.only:
            continue
        rounds = given.rounds or measure.rounds[0 if given.quick else 1]
        results[measure.name] = _run(measure, rounds, given.quick, given.contender)
        _print_figures(measure, results[measure.name])
    _print_summary(results)
    if given.json:
        report = {"machine": _machine(), "quick": given.quick, "figures": results}
        Path(given.json).write_text(json.dumps(report, indent=1) + "\n")


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    kind = platform.python_implementation()
    return f"{kind} {platform.python_version()}, {cores} cores, {platform.system()}"


def _find_package() -> None:
    """In a checkout that is not installed, measure the checkout."""
    if importlib.util.find_spec("counterpunch") is None:
        source = Path(__file__).resolve().parents[2] / "src"
        paths = [str(source), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))


def _child(measure: Measure, contender: str, quick: bool) -> None:
    # A request has context variables, and so has the caller here: they are carried along.
    contextvars.ContextVar[str]("request").set("benchmark")
    print(json.dumps(measure.child(contender, quick)))
    sys.stdout.flush()
    os._exit(0)  # not measured here: some contenders take long to leave


def _run(measure: Measure, rounds: int, quick: bool, only: list[str] | None) -> Values:
    contenders = [
        name for name in measure.contenders if installed(name) and (not only or name in only)
    ]
    values: Values = {}
    for number in range(rounds):
        # Each in turn goes first: the first of a round meets the colder machine.
        shift = number % max(1, len(contenders))
        for contender in contenders[shift:] + contenders[:shift]:
            for figure, value in _ask(measure, contender, quick).items():
                values.setdefault(contender, {}).setdefault(figure, []).append(value)
    return values


def _ask(measure: Measure, contender: str, quick: bool) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", measure.name, contender]
    if quick:
        command.append("--quick")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, IndexError, ValueError) as exc:
        stderr = getattr(locals().get("done"), "stderr", "") or str(exc)
        print(f"{measure.name}: {contender} gave nothing: {stderr.strip()[-300:]}", file=sys.stderr)
        return {}
    return figures


def _print_figures(measure: Measure, values: Values) -> None:
    print(f"== {measure.name}")
    names: dict[str, None] = {}
    for figures in values.values():
        names.update(dict.fromkeys(figures))
    rows = []
    for name in names:
        for contender, figures in values.items():
            if name not in figures:
                continue
            ours = figures[name]
            base = values.get(BASELINE, {}).get(name)
            both = ratios(ours, base) if base and contender != BASELINE else []
            ratio = f"{statistics.median(both):.3f}" if both else ""
            spread = f"{_short(min(ours))} .. {_short(max(ours))}"
            rows.append((name, contender, _short(statistics.median(ours)), spread, ratio))
    _print_table(("figure", "contender", "median", "min .. max", f"/ {BASELINE}"), rows)


def _print_summary(results: dict[str, Values]) -> None:
    rows = []
    for measure in MEASURES:
        for target in measure.targets:
            value = value_of(target, results.get(measure.name, {}))
            if value is None:
                continue
            sign = ">=" if target.more else "<="
            against = f"x {target.against}" if target.against else "itself"
            verdict = "ok" if target.met(value, target.must) else "MISSED"
            if target.met(value, target.aim):
                verdict = "ok, aim"
            bounds = (f"{sign} {target.must:g}", f"{sign} {target.aim:g}")
            rows.append((target.label, against, _short(value), *bounds, verdict))
    print(f"== summary: {_machine()}")
    _print_table(("measure", "compared with", "value", "must", "aim", ""), rows)


def _print_table(head: tuple[str, ...], rows: list[Any]) -> None:
    table = [head, *rows]
    widths = [max(len(str(row[column])) for row in table) for column in range(len(head))]
    for row in table:
        cells = (str(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    print()


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


if __name__ == "__main__":
    main()
