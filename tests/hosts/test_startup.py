"""An app that fails to start: each server does with it what it does without ``wrap``."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from serving import Ledger, Server, program, require

pytestmark = pytest.mark.hosts

#: Each server: what must be installed, and its command but for the app.
SERVERS = {
    "uvicorn": ("uvicorn", "-m uvicorn --port {port}"),
    "uvicorn-on": ("uvicorn", "-m uvicorn --lifespan on --port {port}"),
    "hypercorn": ("hypercorn", "-m hypercorn -b 127.0.0.1:{port}"),
    "hypercorn-in-process": ("hypercorn", "-m hypercorn -w 0 -b 127.0.0.1:{port}"),
    "hypercorn-trio": ("trio", "-m hypercorn -w 0 -k trio -b 127.0.0.1:{port}"),
    "granian": ("granian", "bin/granian --port {port} --interface asgi"),
    "daphne": ("daphne", "-m daphne -p {port}"),
}


def outcome(name: str, app: str, directory: Path) -> str:
    """``served``, or with which status it ended."""
    _, command = SERVERS[name]
    words = command.split()
    if words[0].startswith("bin/"):
        argv = [str(program(words[0].removeprefix("bin/"))), *words[1:]]
    else:
        argv = [sys.executable, *words]
    directory.mkdir()
    server = Server([*argv, f"asgi_fails:{app}"], Ledger(directory / "ledger"))
    try:
        with server:
            return "served"
    except AssertionError:
        status = server.end()
        return f"ended with {status}"


@pytest.mark.parametrize("name", SERVERS)
def test_a_startup_that_fails_ends_as_it_does_without_us(name: str, tmp_path: Path) -> None:
    require(SERVERS[name][0])
    shapes = ["failing", "quiet", "raising"]
    apps = [*shapes, *(f"wrapped_{shape}" for shape in shapes)]
    with ThreadPoolExecutor(len(apps)) as pool:
        ends = list(pool.map(lambda app: outcome(name, app, tmp_path / app), apps))
    bare, wrapped = ends[: len(shapes)], ends[len(shapes) :]
    assert wrapped == bare
    # daphne knows no lifespan, so there is nothing that fails.
    assert (bare[0] == "served") is (name == "daphne")
