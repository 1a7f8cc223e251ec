"""``examples/report.py``, run as its readers run it: a real process, asked over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WAIT = 10.0


class ReportServer:
    """The example, ready to be asked."""

    def __init__(self, row_seconds: float) -> None:
        kept = {key: os.environ[key] for key in ("PATH", "SYSTEMROOT") if key in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "examples" / "report.py"), "--port", "0"],
            env={**kept, "PYTHONPATH": str(ROOT / "src"), "ROW_SECONDS": str(row_seconds)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.fullmatch(r"listening on http://127\.0\.0\.1:(\d+)\n", line)
        assert found, line
        self.port = int(found[1])

    def ask(self, method: str, path: str) -> tuple[int, http.client.HTTPMessage, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode()
        finally:
            connection.close()

    def state(self, account: int) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.ask("GET", f"/reports/{account}/state")[2])
        return state

    def until(self, account: int, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Poll as the page does, until the state is as it should be."""
        deadline, pause = time.monotonic() + WAIT, threading.Event()
        while not condition(state := self.state(account)):
            assert time.monotonic() < deadline, state
            pause.wait(0.02)
        return state

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=WAIT)


@pytest.fixture
def serve() -> Iterator[Callable[[float], ReportServer]]:
    servers: list[ReportServer] = []

    def start(row_seconds: float) -> ReportServer:
        servers.append(ReportServer(row_seconds))
        return servers[-1]

    yield start
    for server in servers:
        server.end()


@pytest.fixture(scope="module")
def shared() -> Iterator[ReportServer]:
    """One server for the tests that do not stop it; each asks for accounts of its own."""
    server = ReportServer(0.05)
    yield server
    server.end()


def test_a_report_grows_and_can_be_fetched(serve: Callable[[float], ReportServer]) -> None:
    """The bar moves from poll to poll; at the end the file is there, with all its rows."""
    server = serve(0.002)
    assert server.state(7) == {"status": None, "active": False}
    status, headers, _ = server.ask("POST", "/reports/7")
    assert (status, headers["Location"]) == (303, "/reports/7")
    half = server.until(7, lambda state: 0 < state["progress"][0] < 100)
    assert (half["active"], half["status"]) == (True, "running")
    assert half["progress"][1] == 100
    done = server.until(7, lambda state: not state["active"])
    assert (done["status"], done["progress"]) == ("succeeded", [100, 100])
    status, headers, text = server.ask("GET", "/reports/7/file")
    assert (status, headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    rows = text.splitlines()
    assert (rows[0], len(rows)) == ("month,amount", 101)
    assert done["data"]["total"] == sum(int(row.split(",")[1]) for row in rows[1:])


def test_one_report_per_account_at_a_time(shared: ReportServer) -> None:
    """A second click shows the report in the making; another account has its own."""
    server = shared
    server.ask("POST", "/reports/1")
    server.until(1, lambda state: state["progress"][0] >= 2)
    server.ask("POST", "/reports/1")
    assert server.state(1)["progress"][0] >= 2  # not begun anew
    server.ask("POST", "/reports/2")
    assert server.until(2, lambda state: state["status"] == "running")["active"]
    page = server.ask("GET", "/reports/1")[2]
    shown = re.search(r'<progress id="bar" max="100" value="(\d+)">', page)
    assert shown is not None
    assert int(shown[1]) >= 2
    assert 'http-equiv="refresh"' in page
    for account in (1, 2):  # they would keep the workers from the other tests
        server.ask("POST", f"/reports/{account}/cancel")


def test_cancel_stops_it_between_two_rows(shared: ReportServer) -> None:
    """The button sets the token; the job ends as cancelled and there is no file."""
    server = shared
    server.ask("POST", "/reports/3")
    server.until(3, lambda state: state["progress"][0] >= 1)
    assert server.ask("POST", "/reports/3/cancel")[0] == 303
    assert server.until(3, lambda state: not state["active"])["status"] == "cancelled"
    assert server.ask("GET", "/reports/3/file")[0] == 404
    assert 'http-equiv="refresh"' not in server.ask("GET", "/reports/3")[2]


@pytest.mark.parametrize("path", ["/nothing", "/reports/x", "/reports/-1", "/reports/7/nothing"])
def test_unknown_pages(path: str, shared: ReportServer) -> None:
    """404, in plain text."""
    assert shared.ask("GET", path)[0] == 404


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_sigterm_ends_it(serve: Callable[[float], ReportServer]) -> None:
    """An idle server stops at once, in order."""
    server = serve(0.01)
    assert server.ask("GET", "/")[0] == 200
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(WAIT) == 128 + signal.SIGTERM
