"""Runs a script in a process of its own, as its user would: with a real end, signals and forks.

The script gets the package that the tests themselves import, and no ``PYTHONUNBUFFERED``,
which would hide an abort at exit. Every wait is bounded; whatever is left of the process
and of its children is killed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import pytest

import counterpunch

#: Seconds; turns a hang into a failure and is never reached otherwise.
LONG = 20.0


class Result(NamedTuple):
    """How a script ended.

    ``status``: its exit status, minus the number of the signal it died of. ``seconds``: how
    long it lived. ``ended``: the instant (``time.monotonic``) at which it and every process
    it forked had closed their standard output.
    """

    status: int
    stdout: str
    stderr: str
    seconds: float
    ended: float

    def since(self, mark: str) -> float:
        """Seconds from the ``mark=<time.monotonic()>`` that the script printed to its end."""
        found = re.search(rf"{mark}=([0-9.]+)", self.stdout)
        assert found, f"the script printed no {mark!r}: {self}"
        return self.ended - float(found[1])

    def lines(self) -> list[str]:
        """Its standard output without the marks."""
        return [line for line in self.stdout.splitlines() if not re.match(r"\w+=[0-9.]+$", line)]


class Script:
    """A script that runs. At the end of the ``with`` nothing of it is left."""

    def __init__(self, text: str, *arguments: str) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="script-")
        #: The script and its current directory are here.
        self.directory = Path(self._temporary.name)
        # A file and not "-c": multiprocessing's spawn imports the main module again.
        path = self.directory / "script.py"
        path.write_text(text, encoding="utf-8")
        environ = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
        environ["PYTHONPATH"] = str(Path(counterpunch.__file__).parents[1])
        environ["XDG_RUNTIME_DIR"] = self._temporary.name  # its locks are its own
        environ["PYTHONFAULTHANDLER"] = "1"  # where it hung, when finish() gives up
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed in __exit__)
        self._output = bytearray()
        self._grown = threading.Condition()
        self._closed: float | None = None
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, str(path), *arguments],
            cwd=self.directory,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # one group with all that it forks
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Script:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it and all of its children are gone
        self._process.wait(LONG)
        self._reader.join(LONG)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()
        self._temporary.cleanup()

    def _read(self) -> None:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while chunk := os.read(descriptor, 1 << 16):
            with self._grown:
                self._output += chunk
                self._grown.notify_all()
        with self._grown:
            self._closed = time.monotonic()
            self._grown.notify_all()

    def until(self, text: str) -> None:
        """Wait until the script has printed (and flushed) ``text``."""
        wanted = text.encode()
        with self._grown:
            self._grown.wait_for(lambda: wanted in self._output or self._closed, LONG)
            printed = wanted in self._output
        assert printed, f"never printed {text!r}: {self._texts()}"

    def signal(self, number: int) -> None:
        """Send a signal to the script's own process."""
        self._process.send_signal(number)

    def finish(self, within: float = LONG) -> Result:
        """Wait for the end; fails, with the stacks of all threads, if it takes too long."""
        with self._grown:
            ended = self._grown.wait_for(lambda: self._closed is not None, within)
        if not ended:
            self._process.send_signal(signal.SIGABRT)
            try:
                self._process.wait(5.0)
            except subprocess.TimeoutExpired:
                pass
            raise AssertionError(f"did not end within {within} s: {self._texts()}")
        assert self._closed is not None
        status = self._process.wait(LONG)
        stdout, stderr = self._texts()
        return Result(status, stdout, stderr, self._closed - self._started, self._closed)

    def _texts(self) -> tuple[str, str]:
        # Not by seek and read: the script writes at the very position that seek would move.
        errors = os.pread(self._errors.fileno(), 1 << 24, 0)
        return self._output.decode(errors="replace"), errors.decode(errors="replace")


def run(text: str, *arguments: str, within: float = LONG) -> Result:
    """Run a script from beginning to end."""
    with Script(text, *arguments) as script:
        return script.finish(within)


def script(text: str, within: float = LONG) -> pytest.MarkDecorator:
    """The test is given, as ``result``, how this script ended.

    A name in angle brackets stands for the argument of that name of a parametrised test. The
    scripts of a module's tests run side by side from the first of these tests on.
    """
    return pytest.mark.script(text, within)
