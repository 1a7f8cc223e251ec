"""The dashboard of a server with several processes: whichever answers, it is about all of them."""

from __future__ import annotations

import http.client
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from serving import LONG, Ledger, Server, eventually, require

pytestmark = pytest.mark.hosts

WSGI = "gunicorn --no-control-socket -b 127.0.0.1:{port} pages_site:application -w"
ASGI = "uvicorn --port {port} --log-level warning pages_site:site --workers"
FLEETS = [
    pytest.param(module, f"{command} {count}", count, id=f"{module}-{count}")
    for module, command in (("gunicorn", WSGI), ("uvicorn", ASGI))
    for count in (2, 4, 8)
]


class Browser:
    """One visitor: the cookie of the page, and the token of its forms."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cookie = ""

    def ask(self, method: str, path: str, body: str = "") -> tuple[int, Any]:
        """Status and answer; a connection each, so that any process may get it."""
        headers = {
            "Accept": "application/json" if method == "POST" else "*/*",
            "Connection": "close",
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": self.cookie,
            "Sec-Fetch-Site": "same-origin",
            "X-CSRF-Token": self.cookie.partition("=")[2],
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=LONG)
        try:
            connection.request(method, "/jobs" + path, body or None, headers)
            response = connection.getresponse()
            text = response.read().decode()
            cookie = response.headers.get("Set-Cookie")
            if cookie:
                self.cookie = cookie.partition(";")[0]
        finally:
            connection.close()
        kind = response.headers.get("Content-Type", "")
        return response.status, json.loads(text) if kind == "application/json" else text


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("module", "command", "count"), FLEETS)
def test_whichever_process_answers(
    module: str, command: str, count: int, ledger: Ledger, tmp_path: Path
) -> None:
    """A job of each is found 100 of 100 times, a retry reaches the one that has it, a pause pauses
    all, and the metrics tell them apart."""
    require(module)
    sockets = str(tmp_path / "s")
    launch = [sys.executable, "-m", *command.split()]
    with Server(launch, ledger, HOSTS_SOCKETS=sockets) as server:
        jobs: dict[int, str] = {}

        def everyone_has_one() -> bool:
            found = server.get("/go")
            jobs.setdefault(found["pid"], found["id"])
            return len(jobs) == count

        eventually(everyone_has_one, f"a job in each of {count} processes")
        browser = Browser(server)
        assert browser.ask("GET", "/")[0] == 200

        places = list(jobs.items())
        for number in range(100):
            pid, id = places[number % count]
            status, job = browser.ask("GET", f"/job/{id}.json")
            assert (status, job.get("process", {}).get("pid")) == (200, pid), (number, job)
        status, found = browser.ask("GET", "/processes.json")
        assert {one["process"]["pid"] for one in found["processes"]} == set(jobs)
        assert found["silent"] == []

        for pid, id in places:
            assert browser.ask("POST", f"/job/{id}/retry")[1]["done"] == "retried"
            assert browser.ask("POST", f"/job/{id}/retry")[0] == 409
            assert browser.ask("GET", f"/job/{id}.json")[1]["retried_as"]

        status, done = browser.ask("POST", "/class/pause", "job=pages_site.Charge")
        assert (status, done["done"]) == (200, "paused")
        assert done["processes"] == {"done": count, "of": count}
        assert f"in {count} of {count} processes." in done["text"]
        held: dict[int, bool] = {}

        def everyone_has_said() -> bool:
            found = server.get("/hold")
            held[found["pid"]] = found["paused"]
            return len(held) == count

        eventually(everyone_has_said, f"an answer of each of {count} processes")
        assert all(held.values()), held

        status, text = browser.ask("GET", "/metrics")
        accepted = re.findall(r'^counterpunch_jobs_accepted_total\{process="(\d+)"', text, re.M)
        assert sorted(map(int, accepted)) == sorted(jobs)
        assert text.count("# TYPE counterpunch_jobs_accepted_total ") == 1
        status, overview = browser.ask("GET", "/overview.json")
        (row,) = [row for row in overview["classes"] if row["class"] == "pages_site.Charge"]
        assert (row["processes"], row["paused_in"]) == (count, count)
        status, failed = browser.ask("GET", "/errors.json")
        (group,) = failed["groups"]
        assert (group["processes"], group["kind"]) == (count, "ConnectionError: no answer for …")
