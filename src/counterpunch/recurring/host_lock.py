"""A lock file that one process of this host holds, and the kernel releases if it dies."""

from __future__ import annotations

import logging
import os

from ..core.values.hooks import report

__all__ = ["HostLock"]


class HostLock:
    """Held by at most one process of one user, for one name and working directory.

    The file lies in a directory of the user's own below the temporary directory, mode
    0700. Two applications in different working directories do not share a lock; the
    worker processes of one server do.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._file: int | None = None
        self._path = ""
        self._pid = -1
        self._warned = False

    def hold(self) -> bool:
        """True if this process holds the lock, having tried to get it; never blocks.

        Without ``fcntl`` every process holds it, and the log says so once.
        """
        if not _HAS_FCNTL:
            if not self._warned:
                self._warned = True
                message = "no fcntl here: %s runs in every process (once_per='process')"
                report(logging.WARNING, message, self.name)
            return True
        if self._file is not None and self._pid == os.getpid() and _is_at(self._path, self._file):
            return True
        # After a fork the descriptor is shared with the parent, and so is its lock.
        self.release()
        try:
            import fcntl

            path = self.path()
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | _NO_FOLLOW, 0o600)
        except (ImportError, OSError) as exc:  # an import, too, needs a free descriptor
            report(logging.ERROR, "the lock file of %s cannot be opened: %s", self.name, exc)
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return False
        self._file, self._path, self._pid = file, path, os.getpid()
        return True

    def release(self) -> None:
        """Give it back; the file stays, for others may have it open."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def path(self) -> str:
        """Where the file lies; the directory is made if it is missing.

        Raises:
            OSError: If the directory is not this user's own.
        """
        import hashlib  # here: together with tempfile it doubles the import of the package
        import tempfile

        user = os.getuid() if hasattr(os, "getuid") else 0
        directory = os.path.join(tempfile.gettempdir(), f"counterpunch-{user}")
        os.makedirs(directory, mode=0o700, exist_ok=True)
        found = os.lstat(directory)
        if found.st_uid != user or found.st_mode & 0o022:
            raise PermissionError(f"{directory} can be written by others")
        digest = hashlib.sha256(f"{os.getcwd()}\0{self.name}".encode()).hexdigest()[:16]
        return os.path.join(directory, f"{self.name.rpartition('.')[2]}-{digest}.lock")


def _is_at(path: str, file: int) -> bool:
    """False if the file has been removed, as whatever tidies a temporary directory does after
    some days: another process then locks a new one of that name."""
    try:
        found, held = os.stat(path), os.fstat(file)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)


_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
#: Asked of the platform: an import of it that fails says little.
_HAS_FCNTL = os.name == "posix"
