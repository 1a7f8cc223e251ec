"""A real server in a process group of its own, and the ledger its jobs write.

The end of a server is the moment at which every process that holds its standard output has
gone, so a worker that outlives its master is waited for. Every wait is bounded, and whatever
is left is killed.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

import counterpunch

APPS = Path(__file__).parent / "apps"
EXAMPLES = Path(__file__).parents[2] / "examples"

#: Seconds; turns a hang into a failure and is never reached otherwise.
LONG = 25.0
#: Seconds between two looks at something that gives no signal of its own.
GLANCE = 0.03


def require(*names: str) -> None:
    """Skip where a module, or a program ("bin/..."), is missing; fail if CI forbids that."""
    missing = [name for name in names if not _present(name)]
    if missing:
        reason = f"not installed: {', '.join(missing)}"
        if os.environ.get("COUNTERPUNCH_REQUIRE_HOSTS"):
            pytest.fail(f"{reason}, and COUNTERPUNCH_REQUIRE_HOSTS is set")
        pytest.skip(reason)


def _present(name: str) -> bool:
    if name.startswith("bin/"):
        return program(name.removeprefix("bin/")).exists()
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of the package that it is in
        return False


def program(name: str) -> Path:
    """A console script of this very environment: one elsewhere has another Python."""
    return Path(sys.executable).with_name(name)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(probe: Callable[[], Any], what: str, limit: float = LONG) -> Any:
    """Look again and again until the probe is true; there is nothing to wait on."""
    deadline = time.monotonic() + limit
    pause = threading.Event()
    while True:
        value = probe()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {limit:g} s: {what}"
        pause.wait(GLANCE)


class Ledger:
    """What became of the jobs, one line each, written by the server's processes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def of(self, word: str) -> list[str]:
        """The second words of all lines that begin with ``word``, in order."""
        text = self.path.read_text() if self.path.exists() else ""
        pairs = (line.split() for line in text.splitlines())
        return [pair[1] for pair in pairs if len(pair) == 2 and pair[0] == word]


class Server:
    """One server process with its children. At the end of the ``with`` nothing is left."""

    def __init__(
        self, command: list[str], ledger: Ledger, cwd: Path = APPS, **environ: str
    ) -> None:
        self.port = free_port()
        self.ledger = ledger
        self.status: int | None = None
        self._output: list[bytes] = []
        self._closed = threading.Event()
        inherited = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
        source = Path(counterpunch.__file__).parents[1]
        self._process = subprocess.Popen(
            [part.replace("{port}", str(self.port)) for part in command],
            cwd=cwd,
            env={
                **inherited,
                "PYTHONPATH": f"{source}{os.pathsep}{cwd}",
                "PYTHONDONTWRITEBYTECODE": "1",
                "HOSTS_LEDGER": str(ledger.path),
                "HOME": str(ledger.path.parent),  # gunicorn puts a control socket there
                **{
                    name: value.replace("{port}", str(self.port)) for name, value in environ.items()
                },
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Server:
        try:
            eventually(self._answers, f"answer at port {self.port}")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait(LONG)
        self._reader.join(LONG)
        if kind is not None:
            print(self.output)  # pytest shows it with the failure

    @property
    def output(self) -> str:
        return b"".join(list(self._output)).decode(errors="replace")

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        while chunk := os.read(self._process.stdout.fileno(), 65_536):
            self._output.append(chunk)
        self._closed.set()

    def _answers(self) -> bool:
        assert self._process.poll() is None, f"it ended by itself:\n{self.output}"
        try:
            return bool(self.request("GET", "/")[0])
        except OSError:
            return False

    def request(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        """Status and body of one request, on a connection of its own.

        Raises:
            OSError: If the server does not answer, or not to the end.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG)
        headers = {"Connection": "close", "Content-Type": "application/x-www-form-urlencoded"}
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except http.client.HTTPException as exc:
            raise ConnectionError(str(exc)) from exc
        finally:
            connection.close()

    def get(self, path: str) -> dict[str, Any]:
        """The JSON answer to a GET.

        Raises:
            OSError: If the server does not answer with a whole 200.
        """
        status, body = self.request("GET", path)
        if status != 200:
            raise ConnectionError(f"{status}: {body[:500]!r}")
        answer: dict[str, Any] = json.loads(body)
        return answer

    def send(self, number: signal.Signals, group: bool = False) -> None:
        """Signal the parent, as a supervisor does, or all processes, as a terminal does."""
        if group:
            os.killpg(self._process.pid, number)
        else:
            self._process.send_signal(number)

    def end(self, limit: float = LONG) -> int:
        """Wait until no process of it is left; the exit status of the first one."""
        assert self._closed.wait(limit), f"still there after {limit:g} s:\n{self.output}"
        return self.wait(limit)

    def wait(self, limit: float = LONG) -> int:
        """Wait for the first process alone; its exit status."""
        self.status = self._process.wait(limit)
        return self.status
