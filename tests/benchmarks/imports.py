"""Measure 6: import time and resident memory, on top of ``concurrent.futures``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from figures import Measure, Target

__all__ = ["MEASURE"]

_SCRIPT = """
import sys, time
def resident():
    try:
        return int(open("/proc/self/statm").read().split()[1]) * 4096
    except OSError:
        return 0
resident()
{first}
before, start = resident(), time.perf_counter()
{second}
print((time.perf_counter() - start) * 1e3, (resident() - before) / 1048576)
"""
_FUTURES = "from concurrent.futures import ThreadPoolExecutor"
_IMPORTS = {
    "concurrent.futures": ("", _FUTURES),
    "counterpunch": (_FUTURES, "import counterpunch"),
    # A web process has these already; what is left is the package itself.
    "counterpunch in a web process": (
        f"{_FUTURES}; import logging, datetime, typing, contextvars, traceback, random, abc",
        "import counterpunch",
    ),
}


def child(contender: str, quick: bool) -> dict[str, float]:
    first, second = _IMPORTS[contender]
    script = _SCRIPT.format(first=first, second=second)
    command = [sys.executable, "-c", script]
    with tempfile.TemporaryDirectory() as cache:
        env = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(2):  # the first one writes the .pyc files
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, timeout=60, env=env
            )
    milliseconds, mebibytes = map(float, done.stdout.split())
    return {"import ms": milliseconds, "import MiB": mebibytes}


MEASURE = Measure(
    name="imports",
    contenders=tuple(_IMPORTS),
    child=child,
    targets=(
        Target("import on top of concurrent.futures, ms", "import ms", None, 10, 3),
        Target("import on top of concurrent.futures, MiB", "import MiB", None, 2, 0.7),
    ),
    rounds=(3, 21),
)
