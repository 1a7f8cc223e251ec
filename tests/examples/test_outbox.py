"""The outbox of the guide: what was committed is done, whatever kills the process."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import counterpunch
from counterpunch import testing

GUIDE = Path(__file__).parents[2] / "examples" / "guide"
LONG = 20.0


@pytest.fixture
def outbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("DATABASE", str(tmp_path / "shop.sqlite3"))
    monkeypatch.syspath_prepend(str(GUIDE))
    import outbox

    outbox.KNOWN.clear()
    return outbox


def noted(outbox: Any, *arguments: Any) -> int:
    with outbox.connect() as database:
        return int(outbox.note(database, "receipt", *arguments))


def rows(outbox: Any) -> list[Any]:
    with outbox.connect() as database:
        return list(database.execute("SELECT id, given_up FROM outbox"))


def test_what_was_noted_is_done_once_and_deleted(outbox: Any) -> None:
    done: list[int] = []
    outbox.KNOWN["receipt"] = done.append
    row = noted(outbox, 17)
    outbox.Do.perform_async(row).result(LONG)
    outbox.Do.perform_async(row).result(LONG)  # as a sweep that was late would
    assert (done, rows(outbox)) == ([17], [])


def test_a_transaction_that_is_rolled_back_leaves_nothing(outbox: Any) -> None:
    database = outbox.connect()
    outbox.note(database, "receipt", 17)
    database.rollback()
    assert rows(outbox) == []


def test_a_row_that_another_process_is_at_is_left_alone(outbox: Any) -> None:
    done: list[int] = []
    outbox.KNOWN["receipt"] = done.append
    row = noted(outbox, 17)
    with outbox.connect() as database:
        database.execute("UPDATE outbox SET until = 1e12")
    outbox.Do.perform_async(row).result(LONG)
    outbox.Sweep.perform_now()
    assert counterpunch.wait_idle(LONG)
    assert (done, rows(outbox)) == ([], [(row, None)])


def test_a_failure_is_tried_again_and_then_left_to_be_looked_at(outbox: Any) -> None:
    tried: list[int] = []

    def fails(order: int) -> None:
        tried.append(order)
        raise OSError("smtp down")

    outbox.KNOWN["receipt"] = fails
    row = noted(outbox, 17)
    with testing.fake() as fake:
        outbox.Do.perform_async(row)
        fake.drain()
        with pytest.raises(OSError, match="smtp down"):
            fake.advance(outbox.LEASE)
    assert tried == [17] * 5
    assert rows(outbox) == [(row, "OSError('smtp down')")]


def test_a_process_killed_after_the_commit_loses_nothing(outbox: Any, tmp_path: Path) -> None:
    """The next one sweeps as it starts."""
    killed = (
        "import os, signal, outbox\n"
        "with outbox.connect() as database: outbox.note(database, 'receipt', 17)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    source = str(Path(counterpunch.__file__).parents[1])
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(GUIDE), source])}
    ended = subprocess.run([sys.executable, "-c", killed], env=environ, timeout=LONG, check=False)
    assert ended.returncode == -signal.SIGKILL
    with sqlite3.connect(tmp_path / "shop.sqlite3") as database:
        assert database.execute("SELECT count(*) FROM outbox").fetchone() == (1,)
    done: list[int] = []
    outbox.KNOWN["receipt"] = done.append
    outbox.Sweep.perform_async().result(LONG)
    assert counterpunch.wait_idle(LONG)
    assert (done, rows(outbox)) == ([17], [])
