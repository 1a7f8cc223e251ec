"""``python -m counterpunch top``: the live processes, read as a person or a script reads them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import counterpunch
from counterpunch.dashboard.top import HEADS, rows

SOURCE = str(Path(counterpunch.__file__).parents[1])
LONG = 30.0

SERVING = """
import sys, threading, counterpunch
from counterpunch import Job, dashboard

class Busy(Job):
    workers = 1
    def perform(self) -> None: sys.stdin.read()

dashboard.wsgi(processes=sys.argv[1])
Busy.perform_bulk([()] * 3)
while not Busy.stats().running: pass
print("ready", flush=True)
threading.Event().wait(60)
"""


@pytest.fixture
def where(tmp_path: Path) -> str:
    path = tmp_path / "sockets"
    path.mkdir(mode=0o700)
    return str(path)


@pytest.fixture
def serving(where: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a job that runs and two that wait."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVING, where],
        env={**os.environ, "PYTHONPATH": SOURCE},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.communicate(timeout=LONG)


def top(where: str, *more: str, out: Any = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "counterpunch", "top", "--directory", where, *more],
        env={**os.environ, "PYTHONPATH": SOURCE},
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        timeout=LONG,
        check=False,
    )


def test_a_pipe_gets_plain_text_once(where: str, serving: subprocess.Popen[bytes]) -> None:
    ended = top(where)
    assert ended.returncode == 0, ended.stderr
    head, row = ended.stdout.splitlines()
    assert head.split() == list(HEADS)
    cells = row.split()
    assert cells[0] == str(serving.pid)
    assert "1/1" in cells
    numbers = row[head.index("RUNNING") : head.index("OLDEST")].split()
    assert numbers == ["1", "2", "0"]  # running, waiting, delayed
    assert "\x1b" not in ended.stdout


def test_a_terminal_is_drawn_in_place_until_ctrl_c(
    where: str, serving: subprocess.Popen[bytes]
) -> None:
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "counterpunch", "top", "--directory", where, "--interval", "0.1"],
        env={**os.environ, "PYTHONPATH": SOURCE, "COLUMNS": "200", "LINES": "40"},
        stdin=terminal,
        stdout=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    seen = b""
    while seen.count(b"\x1b[H") < 3:
        seen += os.read(controller, 65536)
    process.send_signal(2)
    assert process.wait(LONG) == 0
    os.close(controller)
    assert str(serving.pid).encode() in seen


def test_nobody_there_says_what_to_do(where: str) -> None:
    ended = top(where)
    assert ended.returncode == 1
    assert "processes=True" in ended.stdout


def test_a_directory_of_others_is_refused(where: str) -> None:
    os.chmod(where, 0o777)
    ended = top(where)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert where in ended.stderr


def test_what_another_process_says_cannot_move_the_cursor() -> None:
    total = {
        "workers": {"busy": 1, "total": 2, "idle": 1},
        "running": 1, "queued": 12_345, "delayed": 0, "oldest_wait": 75.0, "failed": 3,
    }  # fmt: skip
    process = {
        "pid": 7, "role": "web", "phase": "quiet", "started_at": "2026-01-01T00:00:00+00:00",
        "memory": 0, "program": "evil\x1b[2J",
    }  # fmt: skip
    answer = {"total": total, "health": {"ok": False, "reasons": []}}
    (row,) = rows([{"process": process, "answer": answer}], 1767225600.0 + 90061.0)
    assert row == (
        "7", "quiet", "1d 1h", "-", "1/2", "1", "12,345", "0", "1m 15s", "3", "see below",
        "evil?[2J",
    )  # fmt: skip
