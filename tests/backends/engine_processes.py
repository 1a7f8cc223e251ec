"""A Redis server and an engine's workers, each a process of its own that is ended by its pid."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

import counterpunch

APPS = Path(__file__).parent / "apps"
#: Seconds; turns a hang into a failure and is never reached otherwise.
LONG = 40.0
#: Seconds between two looks at something that gives no signal of its own.
GLANCE = 0.03

#: How each engine's worker is started, and what it says once it listens.
COMMANDS = {
    "celery": (
        ["{bin}/celery", "-A", "{site}", "worker", "-c", "{slots}", "-l", "INFO"],
        "ready.",
    ),
    "rq": (
        ["{bin}/rq", "worker", "--with-scheduler", "-c", "{module}", "--url", "{url}"],
        "Listening on default",
    ),
    "dramatiq": (
        ["{bin}/dramatiq", "{module}:{name}", "-p", "1", "-t", "{slots}"],
        "is ready for action",
    ),
}
COMMANDS["dramatiq-gevent"] = (
    ["{bin}/dramatiq-gevent", *COMMANDS["dramatiq"][0][1:]],
    COMMANDS["dramatiq"][1],
)


def require(*names: str) -> None:
    """Skip where a module or program is missing; fail if CI forbids that."""
    missing = [
        name
        for name in names
        if (shutil.which(name) if name == "redis-server" else importlib.util.find_spec(name))
        is None
    ]
    if missing:
        reason = f"not installed: {', '.join(missing)}"
        if os.environ.get("COUNTERPUNCH_REQUIRE_HOSTS"):
            pytest.fail(f"{reason}, and COUNTERPUNCH_REQUIRE_HOSTS is set")
        pytest.skip(reason)


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
    """What the jobs wrote: lines of key, word, process id and epoch seconds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def lines(self, key: str) -> list[tuple[str, int, float]]:
        split = (line.split() for line in self.path.read_text().splitlines())
        return [(one[1], int(one[2]), float(one[3])) for one in split if one[0] == key]

    def words(self, key: str) -> list[str]:
        return [word for word, _, _ in self.lines(key)]

    def write(self, key: str, word: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{key} {word} 0 0\n")


class Process:
    """A child with its output. At the end of the ``with`` it and its children are gone."""

    def __init__(self, command: list[str], cwd: Path, **environ: str) -> None:
        inherited = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
        source = Path(counterpunch.__file__).parents[1]
        self._output = bytearray()
        self._grown = threading.Condition()
        self._closed = False
        self.popen = subprocess.Popen(
            command,
            cwd=cwd,
            env={**inherited, "PYTHONPATH": f"{source}{os.pathsep}{APPS}", **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self.kill()
        if kind is not None:
            print(self.output)  # pytest shows it with the failure

    def _read(self) -> None:
        assert self.popen.stdout is not None
        while chunk := os.read(self.popen.stdout.fileno(), 65_536):
            with self._grown:
                self._output += chunk
                self._grown.notify_all()
        with self._grown:
            self._closed = True
            self._grown.notify_all()

    @property
    def output(self) -> str:
        with self._grown:
            return self._output.decode(errors="replace")

    @property
    def pid(self) -> int:
        return self.popen.pid

    def until(self, text: str) -> None:
        wanted = text.encode()
        with self._grown:
            self._grown.wait_for(lambda: wanted in self._output or self._closed, LONG)
            printed = wanted in self._output
        assert printed, f"never printed {text!r}:\n{self.output}"

    def kill(self) -> None:
        """SIGKILL to its whole process group: nothing of it can react."""
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait(LONG)
        self._reader.join(LONG)

    def stop(self) -> int:
        """The normal way, as a supervisor does it; its exit status."""
        self.popen.send_signal(signal.SIGTERM)
        status = self.popen.wait(LONG)
        self._reader.join(LONG)
        return status


class Redis:
    """A server on a free loopback port, with its data in a directory of its own."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="redis-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.process = self._start()

    @property
    def url(self) -> str:
        return self.database(0)

    def database(self, number: int) -> str:
        """The URL of one of its 16 databases, of which a worker elsewhere sees nothing."""
        return f"redis://127.0.0.1:{self.port}/{number}"

    def _start(self) -> Process:
        directory = Path(self._directory.name)
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(directory)]
        persist = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        process = Process(["redis-server", *options, *persist], directory)
        process.until("Ready to accept connections")
        return process

    def restart(self) -> None:
        """Killed, not asked: what it has not written to disk is gone."""
        self.process.kill()
        self.process = self._start()

    def close(self) -> None:
        self.process.kill()
        self._directory.cleanup()


class Worker(Process):
    """The engine's own command, as the README gives it."""

    def __init__(
        self,
        engine: str,
        url: str,
        ledger: Ledger,
        *options: str,
        slots: int = 2,
        site: str = "engine_site",
        **environ: str,
    ) -> None:
        command, self.ready = COMMANDS[engine]
        bin = str(Path(sys.executable).parent)
        module, _, name = site.partition(":")
        values = {"bin": bin, "slots": str(slots), "url": url, "site": site}
        values |= {"module": module, "name": name or "app"}
        super().__init__(
            [*(part.format(**values) for part in command), *options],
            APPS,
            ENGINE=engine.removesuffix("-gevent"),
            ENGINE_REDIS=url,
            ENGINE_LEDGER=str(ledger.path),
            PYTHONDONTWRITEBYTECODE="1",
            **environ,
        )

    def __enter__(self) -> Worker:
        try:
            self.until(self.ready)
        except BaseException:
            self.kill()
            raise
        return self
