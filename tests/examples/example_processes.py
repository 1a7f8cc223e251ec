"""The examples and the tour as processes, whose output is read as it comes."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
LONG = 10.0  # seconds; a bound that turns a hang into a failure, never reached otherwise

T = TypeVar("T")

posix_signals = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


def eventually(probe: Callable[[], T], what: str, seconds: float = LONG) -> T:
    """Return the first true answer of ``probe``; fail when there is none in time."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not (answer := probe()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {what}")
        pause.wait(0.02)
    return answer


class Process:
    """A child whose output, both streams in one, is read as it comes."""

    def __init__(self, *command: str, **env: str) -> None:
        # Its own environment: PYTHONUNBUFFERED would hide aborts at exit, and no proxy may be used.
        kept = {key: os.environ[key] for key in ("PATH", "SYSTEMROOT") if key in os.environ}
        self.lines: list[str] = []
        self.popen = subprocess.Popen(
            [sys.executable, *command],
            env={**kept, "PYTHONPATH": str(ROOT / "src"), "PYTHONIOENCODING": "utf-8", **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        assert self.popen.stdout is not None
        with self.popen.stdout as stream:
            self.lines.extend(line.rstrip("\n") for line in stream)

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def matches(self, pattern: str) -> list[Any]:
        return re.findall(pattern, self.output, re.MULTILINE)

    def end(self) -> int:
        """Wait for the exit and the rest of the output; return the exit status."""
        status = self.popen.wait(LONG)
        self.reader.join(LONG)
        return status

    def kill(self) -> None:
        self.popen.kill()
        self.end()
