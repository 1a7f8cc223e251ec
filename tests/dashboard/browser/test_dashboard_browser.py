"""A real browser: buttons, live refresh, keyboard, an empty console, accessibility.

Runs where a Chromium, node and the npm packages playwright-core and axe-core (found through
``NODE_PATH``) are installed; ``COUNTERPUNCH_REQUIRE_BROWSER=1`` fails instead of skipping.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


def missing() -> str | None:
    node = shutil.which("node")
    if node is None or CHROMIUM is None:
        return "no node or no Chromium"
    code = "require('playwright-core'); require('axe-core')"
    done = subprocess.run([node, "-e", code], capture_output=True, timeout=30, check=False)
    return None if done.returncode == 0 else "no playwright-core or axe-core on NODE_PATH"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A server in a process of its own, gone with the test."""
    reason = missing()
    if reason is not None:
        if os.environ.get("COUNTERPUNCH_REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    server = subprocess.Popen(
        [sys.executable, str(HERE / "server.py"), str(tmp_path / "sockets")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}/jobs"
        server.communicate(timeout=20)
    finally:
        server.kill()
        server.wait()


@pytest.mark.timeout(300)
def test_clicking_through(address: str) -> None:
    """Retry, discard, cancel, run now, pause, resume, stop; with and without scripts; wide and
    narrow, light and dark; no word on the console, no serious finding of axe."""
    assert CHROMIUM is not None
    done = subprocess.run(
        ["node", str(HERE / "click_through.js"), address],
        env={**os.environ, "CHROMIUM": CHROMIUM},
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
