"""The lock of ``once_per="host"`` by itself: where it lies, what it remembers, and where it cannot
be had or trusted."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from process import Result, script

from counterpunch import configure
from counterpunch.recurring import host_folder, host_lock
from counterpunch.recurring.host_lock import HostLock
from counterpunch.recurring.schedule import Last

NONE = "no lock of this host can be kept, so it runs in every process"
needs_fcntl = pytest.mark.skipif(os.name != "posix", reason="needs fcntl")
needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to give a folder away"
)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Lock files go to a folder of the test's own."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"counterpunch-{os.geteuid() if hasattr(os, 'geteuid') else 0}"


def test_without_fcntl_every_process_runs_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The fallback is the safe one for the work, and it is said once."""
    monkeypatch.setattr(host_lock, "_HAS_FCNTL", False)
    first, second = HostLock("x.Job"), HostLock("x.Job")
    assert first.hold()
    assert first.hold()
    assert second.hold()
    first.write(Last(1.0, ran=True), "every 1")
    assert first.read() is None
    assert [record.getMessage() for record in caplog.records] == [
        f"x.Job: {NONE}: there is no fcntl here"
    ] * 2


@needs_fcntl
def test_where_fcntl_cannot_be_imported_it_runs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And as soon as it can, the lock is kept."""
    lock, other = HostLock("x.Job"), HostLock("x.Job")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "fcntl", None)
        assert lock.hold()
        assert other.hold()
    assert f"x.Job: {NONE}" in caplog.text
    assert lock.problem is not None
    assert lock.hold()
    assert lock.problem is None
    assert not other.hold()
    assert other.problem is None
    lock.release()


@needs_fcntl
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
    held = lock.hold(), lock.hold(), lock.problem is None, lock.turn is None
for each in taken:
    os.close(each)
print(*held, lock.hold(), lock.problem, lock.turn is None)
"""
)
def test_without_a_free_descriptor_it_runs_all_the_same(result: Result) -> None:
    """Nothing of what it needs was imported before; with descriptors the lock is had at once."""
    assert result.stdout.split() == ["True", "True", "False", "True", "True", "None", "False"], (
        result
    )
    assert result.stderr.count(NONE) == 1


@needs_fcntl
@script(
    """
import os, tempfile
from counterpunch.recurring.host_lock import HostLock

folder = tempfile.mkdtemp()
tempfile.tempdir = folder
gone = os.path.join(folder, "release")
os.mkdir(gone)
os.chdir(gone)
os.rmdir(gone)
first, second = HostLock("x.Job"), HostLock("x.Job")
print(first.hold(), first.problem, second.hold())
"""
)
def test_a_current_directory_that_was_removed_does_not_matter(result: Result) -> None:
    """Whoever keeps five releases removes the sixth, and a process may still be in it."""
    assert result.lines() == ["True None False"], result


@needs_fcntl
def test_a_folder_that_cannot_be_had(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file in its place, one that others may write to: it runs, and says why."""
    folder.write_text("not a folder")
    lock = HostLock("x.Job")
    assert lock.hold()
    assert lock.problem == f"{NONE}: {folder} is no directory"
    folder.unlink()
    folder.mkdir()
    folder.chmod(0o777)
    assert lock.hold()
    assert lock.problem == f"{NONE}: others have rights to {folder} (mode 0777); it must be 0700"
    folder.chmod(0o700)
    assert lock.hold()
    assert lock.problem is None
    assert len(caplog.records) == 1
    lock.release()


@needs_root
def test_the_owner_of_a_foreign_folder_is_named(folder: Path) -> None:
    """Anybody can take a name in the temporary directory first."""
    folder.mkdir()
    os.chown(folder, 1234, 1234)
    lock = HostLock("x.Job")
    assert lock.hold()
    assert lock.problem == f"{NONE}: {folder} belongs to user 1234, not to user {os.geteuid()}"


@needs_fcntl
def test_the_users_own_runtime_directory_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nobody else can take a name there; one that is somebody else's is left alone."""
    own = tmp_path / "run"
    own.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(own))
    assert HostLock("x.Job").path().startswith(f"{own}/counterpunch/")
    monkeypatch.setattr(host_folder, "_belongs_to", lambda path, user: False)
    assert HostLock("x.Job").path().startswith(f"{tmp_path}/counterpunch-")


@needs_fcntl
def test_releases_share_a_lock_and_applications_need_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The file follows the name of the class, whatever the current directory is."""
    path = HostLock("x.Job").path()
    monkeypatch.chdir(tmp_path)
    assert HostLock("x.Job").path() == path
    configure(application="staging")
    assert HostLock("x.Job").path() != path


@needs_fcntl
def test_it_remembers_the_last_run() -> None:
    """For who holds it next, and for who does not hold it."""
    lock, other = HostLock("x.Job"), HostLock("x.Job")
    assert lock.read() is None
    assert lock.hold()
    assert lock.read() is None
    lock.write(Last(1764212400.25, ran=True), "cron 0 3 * * * Europe/Berlin")
    found = other.read()
    assert found == lock.read()
    assert found is not None
    assert found[:3] == ((1764212400.25, True), "cron 0 3 * * * Europe/Berlin", os.getpid())
    lock.write(Last(1.0, ran=False), "every 1")  # shorter: nothing of the old one remains
    lock.release()
    lock.write(Last(2.0, ran=True), "every 1")  # it is no longer to say so
    found = other.read()
    assert found is not None
    assert found[:2] == ((1.0, False), "every 1")


@needs_fcntl
@pytest.mark.parametrize(
    "text", ["", "x", "0" * 40, "00000000 0004 abcd", "\xff" * 20, "zz" * 3000], ids=range(6)
)
def test_a_file_that_says_nothing_that_can_be_read(text: str) -> None:
    """Left by an older release, by a full disk, or by anybody: as if it were new."""
    lock = HostLock("x.Job")
    Path(lock.path()).write_text(text, encoding="latin-1")
    assert lock.hold()
    assert lock.read() is None
    lock.write(Last(5.0, ran=True), "every 5")
    record = lock.read()
    assert record is not None
    assert record.last == (5.0, True)
    lock.release()


@needs_fcntl
def test_what_cannot_be_written_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The lock is held all the same, so it runs once per host; a restart knows nothing."""
    lock, other = HostLock("x.Job"), HostLock("x.Job")
    assert lock.hold()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        lock.write(Last(5.0, ran=True), "every 5")
    assert lock.problem is not None
    assert "No space left on device" in lock.problem
    assert len(caplog.records) == 1
    assert not other.hold()
    lock.write(Last(5.0, ran=True), "every 5")
    assert lock.problem is None
    lock.release()
