"""``python -m counterpunch``: the tour, run as its readers run it."""

import http.client
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest
from example_processes import LONG, ROOT, Process, eventually, posix_signals


class Terminal:
    """The tour in a terminal, whose output is read as it comes."""

    def __init__(self) -> None:
        import pty

        self.chunks: list[bytes] = []
        self.controller, terminal = pty.openpty()
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "counterpunch", "--fast"],
            env={"PYTHONPATH": str(ROOT / "src"), "TERM": "xterm", "PATH": os.environ["PATH"]},
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        while chunk := read_pty(self.controller):
            self.chunks.append(chunk)

    def end(self) -> int:
        """Wait for the exit and the rest of the output; return the exit status."""
        status = self.popen.wait(LONG)
        self.reader.join(LONG)
        return status

    def kill(self) -> None:
        self.popen.kill()
        self.end()
        os.close(self.controller)


def read_pty(descriptor: int) -> bytes:
    """Read what is there; empty at the end, which Linux reports as an error."""
    try:
        return os.read(descriptor, 65_536)
    except OSError:
        return b""


class Tours(NamedTuple):
    plain: Process
    staying: Process
    terminal: Terminal | None


@pytest.fixture(scope="module")
def tours() -> Iterator[Tours]:
    """All at the same time: a tour mostly waits."""
    with ExitStack() as stack:
        plain = Process("-m", "counterpunch", "--fast")
        stack.callback(plain.kill)
        staying = Process("-m", "counterpunch", "--fast", "--stay")
        stack.callback(staying.kill)
        terminal = None
        if importlib.util.find_spec("termios") is not None:
            terminal = Terminal()
            stack.callback(terminal.kill)
        yield Tours(plain, staying, terminal)


# python -m counterpunch


def test_the_tour_shows_each_part(tours: Tours) -> None:
    process = tours.plain
    assert process.end() == 0, process.output
    parts = process.matches(r"^\d\. (\w+): ")
    assert parts == ["Immediate", "Delayed", "Retried", "Cancelled", "Drained"]
    assert "user 42 reminded" in process.output
    assert "attempt 3 got through" in process.output
    assert "report B waits, cancel() gives True: it will never start" in process.output
    assert "report A runs, cancel() gives False: it is asked to stop" in process.output
    assert "not run: SendReminder(43)" in process.output
    assert process.matches(r"\| ResizeImage .* 12 succeeded$")
    assert process.matches(r"\| SendReceipt .* 8 succeeded$")
    stats = process.output.partition("Stats\n")[2]
    lines = re.findall(r"^ +(\d+) (\w+)", stats, re.MULTILINE)  # a pool's begins with "|"
    counts = {status: int(count) for count, status in lines}
    ended = {"succeeded", "failed", "cancelled", "discarded", "lost"}
    assert counts["accepted"] == 25
    assert sum(counts.get(status, 0) for status in ended) == 25
    assert "\x1b" not in process.output
    assert "Traceback" not in process.output


@posix_signals
def test_the_tour_serves_the_dashboard_while_it_runs(tours: Tours) -> None:
    """At the address it prints; ``--stay`` goes on until Ctrl-C."""
    process = tours.staying
    address = r"^dashboard: http://127\.0\.0\.1:(\d+)/dashboard/$"
    port = int(eventually(lambda: process.matches(address), "an address")[0])

    def ask(path: str, **headers: str) -> tuple[int, str, str | None]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONG)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read().decode(), response.headers["Location"]
        finally:
            connection.close()

    status, text, _ = ask("/dashboard/overview.json")
    assert status == 200
    assert json.loads(text)["process"]["pid"] == process.popen.pid
    assert ask("/")[::2] == (302, "/dashboard/")
    assert ask("/dashboard/", Host="evil.example")[0] == 403
    eventually(lambda: "Jobs go on" in process.output, "the end of the tour")

    def resized() -> bool:
        classes = json.loads(ask("/dashboard/overview.json")[1])["classes"]
        return any(row["job"] == "ResizeImage" for row in classes)

    eventually(resized, "jobs after the tour")
    process.popen.send_signal(signal.SIGINT)
    assert process.end() == 130
    assert "Traceback" not in process.output


def test_the_tour_rewrites_its_lines_in_a_terminal(tours: Tours) -> None:
    if tours.terminal is None:
        pytest.skip("no terminals on this system")
    assert tours.terminal.end() == 0
    text = b"".join(tours.terminal.chunks).decode()
    assert re.search(r"\x1b\[\d+A", text)  # the cursor goes up
    assert "\x1b[K" in text  # and each line replaces what was there
