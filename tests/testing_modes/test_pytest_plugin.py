"""The pytest plugin: its fixtures in a user's suite."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import counterpunch

ROOT = Path(__file__).resolve().parents[2]


# The pytest plugin

USER_TEST = """
from counterpunch import Job

class Mail(Job):
    sent = []

    def perform(self, to):
        self.sent.append(to)

def sign_up(name):
    Mail.perform_in(60, name)

def test_recorded(counterpunch_fake):
    sign_up("ada")
    counterpunch_fake.assert_enqueued(Mail, args=("ada",), within=60)
    assert Mail.sent == []
    assert counterpunch_fake.advance(60) == 1
    assert Mail.sent == ["ada"]

def test_at_once(counterpunch_inline):
    sign_up("grace")
    assert Mail.sent == ["ada", "grace"]

def test_message(counterpunch_fake):
    sign_up("ada")
    counterpunch_fake.assert_enqueued(Mail, args=("grace",))
"""


def test_the_fixtures_in_a_real_pytest_run(tmp_path: Path) -> None:
    """Both fixtures work in a user's suite, and a failed assertion says what was enqueued."""
    (tmp_path / "test_user.py").write_text(USER_TEST)
    package = Path(counterpunch.__file__).parent.parent
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "counterpunch._pytest"),
            *("-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)),
        ],
        env={
            **os.environ,
            "PYTHONPATH": str(package),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # installed, it would be loaded twice
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    assert "1 failed, 2 passed" in run.stdout
    assert "not enqueued: Mail args=('grace',)" in run.stdout
    assert "Mail args=('ada',) kwargs={} in 60 s" in run.stdout


def test_the_entry_point() -> None:
    """Once installed, pytest finds the fixtures by itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    points = project["project"]["entry-points"]["pytest11"]
    assert points == {"counterpunch": "counterpunch._pytest"}
