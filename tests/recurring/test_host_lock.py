"""The lock of ``once_per="host"`` by itself, where it cannot be had or trusted."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from process import Result, script

from counterpunch.recurring import host_lock
from counterpunch.recurring.host_lock import HostLock


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Lock files go to a folder of the test's own."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_without_fcntl_every_process_runs_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The fallback is the safe one for the work, and it is said once."""
    monkeypatch.setattr(host_lock, "_HAS_FCNTL", False)
    first, second = HostLock("x.Job"), HostLock("x.Job")
    assert first.hold()
    assert first.hold()
    assert second.hold()
    assert [record.getMessage() for record in caplog.records] == [
        "no fcntl here: x.Job runs in every process (once_per='process')"
    ] * 2


@pytest.mark.skipif(os.name != "posix", reason="needs fcntl")
def test_an_import_that_fails_holds_no_lock(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The platform has ``fcntl``: another process may hold the lock."""
    lock = HostLock("x.Job")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "fcntl", None)
        assert not lock.hold()
    assert "the lock file of x.Job cannot be opened" in caplog.text
    assert lock.hold()
    lock.release()


@pytest.mark.skipif(os.name != "posix", reason="needs fcntl")
@script(
    """
import os, resource
from counterpunch.recurring.host_lock import HostLock

lock, taken = HostLock("x.Job"), []
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True:
        taken.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    held = lock.hold()
for each in taken:
    os.close(each)
print(held, lock.hold())
"""
)
def test_without_a_free_descriptor_it_is_not_held(result: Result) -> None:
    """Nothing of what it needs was imported before; with descriptors it is had at once."""
    assert result.stdout.split() == ["False", "True"], result
    assert "cannot be opened" in result.stderr


def test_a_lock_folder_that_others_can_write_is_not_trusted(tmp_path: Path) -> None:
    """Nobody else may plant a file there; the log says why nothing runs."""
    folder = tmp_path / f"counterpunch-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    assert not HostLock("x.Job").hold()
    folder.chmod(0o700)
    lock = HostLock("x.Job")
    assert lock.hold()
    lock.release()
