"""The apps to copy: their own tests pass, and each starts, works and stops under its server."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
from example_processes import EXAMPLES, Process, eventually

SOURCE = EXAMPLES.parent / "src"
LONG = 60.0  # the start of a server, on a busy machine

APPS = {
    "flask_app": ("flask", "gunicorn"),
    "fastapi_app": ("fastapi", "uvicorn", "httpx", "sqlalchemy", "aiosqlite"),
}


def needs(*hosts: str) -> None:
    for host in hosts:
        if importlib.util.find_spec(host) is None:
            if os.environ.get("COUNTERPUNCH_REQUIRE_HOSTS"):
                pytest.fail(f"{host} is not installed")
            pytest.skip(f"{host} is not installed")


def ask(url: str, **form: str) -> Any:
    data = urllib.parse.urlencode(form).encode() if form else None
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=LONG) as answer:
        return json.loads(answer.read())


def open_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize("name", APPS)
def test_its_own_tests_pass(name: str, tmp_path: Path) -> None:
    """In its directory, with what the package brings along: the fixtures of the test modes."""
    needs(*APPS[name])
    where = EXAMPLES / name
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    if importlib.util.find_spec("counterpunch") is not None:
        plugins = importlib.metadata.entry_points(group="pytest11")
        if "counterpunch" not in plugins.names:  # not installed, only on the path
            command += ["-p", "counterpunch._pytest"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(where), str(SOURCE)])}
    ended = subprocess.run(
        [*command, f"--rootdir={where}", "tests"],
        cwd=where,
        env=environ,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@contextmanager
def served(name: str, *command: str, **environ: str) -> Iterator[Process]:
    """A server in the directory of the app, killed in the end if it is still there."""
    where = EXAMPLES / name
    environ["PYTHONPATH"] = os.pathsep.join([str(where), str(SOURCE)])
    process = Process("-c", f"import os, sys; os.chdir({str(where)!r}); {RUN}", *command, **environ)
    try:
        yield process
    finally:
        process.kill()


RUN = "import runpy; sys.argv = sys.argv[1:]; runpy.run_module(sys.argv[0], run_name='__main__')"


def test_the_flask_shop_under_gunicorn(tmp_path: Path) -> None:
    """As its Procfile starts it: signed up, mailed, and out at TERM with nothing lost."""
    needs(*APPS["flask_app"])
    port = open_port()
    with served(
        "flask_app",
        *("gunicorn", "-b", f"127.0.0.1:{port}"),
        DATABASE=str(tmp_path / "shop.sqlite3"),
        PYTHONUNBUFFERED="1",
    ) as process:
        eventually(lambda: "Listening at" in process.output, "it listens", LONG)
        answer = ask(f"http://127.0.0.1:{port}/signup", email="ada@example.com")
        assert answer == {"user": 1}
        eventually(lambda: "would send to ada@example.com" in process.output, "the mail", LONG)
        process.popen.send_signal(SIGTERM)
        assert process.popen.wait(LONG) == 0
    assert "lost" not in process.output


def test_the_fastapi_reports_under_uvicorn_with_two_workers(tmp_path: Path) -> None:
    """As its Procfile starts it: whichever process answers knows how far a report is."""
    needs(*APPS["fastapi_app"])
    port = open_port()
    site = f"http://127.0.0.1:{port}"
    with served(
        "fastapi_app",
        *("uvicorn", "app:app", "--workers", "2", "--port", str(port)),
        DATABASE=f"sqlite+aiosqlite:///{tmp_path}/app.sqlite3",
    ) as process:
        started = re.compile("Application startup complete")
        eventually(lambda: len(started.findall(process.output)) == 2, "both serve", LONG)
        ping = urllib.parse.quote(f"{site}/ping", safe="")
        answer = ask(f"{site}/reports?url={ping}", post="")
        done = {"done": 5, "total": 5, "state": "done"}
        report = f"{site}/reports/{answer['id']}"
        eventually(lambda: ask(report) == done, "the report", LONG)
        process.popen.send_signal(SIGTERM)
        assert process.popen.wait(LONG) == 0
    assert "lost" not in process.output
