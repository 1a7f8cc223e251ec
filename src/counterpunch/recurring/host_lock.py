"""A lock file that one process of this host holds, and the kernel releases if it dies.

It also says which run was the last one, for whoever holds it next.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import zlib
from typing import NamedTuple

from ..core.values.config import config
from ..core.values.hooks import report
from .host_folder import host_folder, own_folder
from .schedule import Last

__all__ = ["HostLock", "Record"]


#: What is said where the file cannot be used; why follows.
NO_LOCK = "no lock of this host can be kept, so it runs in every process"
NOT_NOTED = "its last run cannot be noted, so the next process may repeat or leave out one"


class Record(NamedTuple):
    """The last run, by which schedule, and who wrote that."""

    last: Last
    schedule: str
    pid: int
    directory: str


class HostLock:
    """Held by at most one process of one user, for one name.

    The name is that of the class, with its module: releases of an application in several folders
    share a lock. Two applications of one user that have a class of the same name tell themselves
    apart by ``configure(application=...)``. The file lies in ``host_folder()``.

    Where no lock can be kept every process holds it, has nothing to remember, and ``problem`` says
    why; the log does so once.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        #: What is wrong just now, as a sentence.
        self.problem: str | None = None
        #: Another one each time that it is gained; None while it is not held.
        self.turn: object | None = None
        self._file: int | None = None
        self._path = ""
        self._pid = -1
        self._told = False
        #: Around what uses the descriptor: closed meanwhile, its number is soon another file's.
        self._use = threading.RLock()

    def hold(self) -> bool:
        """True if this process holds the lock, having tried to get it; never blocks."""
        with self._use:
            if self._file is not None and self._pid == os.getpid() and self._is_there(self._file):
                return True
            # After a fork the descriptor is shared with the parent, and so is its lock.
            self.release()
            try:
                gained = self._gain()
            except (ImportError, OSError) as exc:  # an import, too, needs a free descriptor
                self._say(f"{NO_LOCK}: {exc}")
                return True
            self.problem = None
            return gained

    def _gain(self) -> bool:
        if not _HAS_FCNTL:
            raise ImportError("there is no fcntl here")
        import fcntl

        path = self.path()
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | _NO_FOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(file)
            if exc.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise
        self._file, self._path, self._pid = file, path, os.getpid()
        self.turn = object()
        return True

    def _say(self, problem: str) -> None:
        self.problem = problem
        if not self._told:
            self._told = True
            report(logging.WARNING, "%s: %s", self.name, problem)

    def release(self) -> None:
        """Give it back; the file stays, for others may have it open."""
        with self._use:
            file, self._file, self.turn = self._file, None, None
            if file is not None:
                os.close(file)

    def after_fork(self) -> None:
        """In a forked child: a copy of the descriptor would hold the parent's lock."""
        self._use = threading.RLock()  # another thread of the parent may have been at it
        self.release()

    def read(self) -> Record | None:
        """The last run, whoever holds the lock; None if nobody has noted one that can be read."""
        if not _HAS_FCNTL:
            return None
        with self._use:
            file, opened = self._file, None
            try:
                if file is None:
                    file = opened = os.open(self.path(), os.O_RDONLY | os.O_CLOEXEC | _NO_FOLLOW)
                return _record(os.pread(file, _MOST, 0))
            except OSError:
                return None
            finally:
                if opened is not None:
                    os.close(opened)

    def write(self, last: Last, schedule: str) -> None:
        """Note the last run, for whoever comes next; only by who holds the lock."""
        try:
            directory = os.getcwd()
        except OSError:  # it has been removed
            directory = ""
        body = "\n".join(
            (repr(last.due), str(int(last.ran)), schedule, str(os.getpid()), directory[:500])
        )
        data = body.encode(errors="replace")
        with self._use:
            if self._file is None:
                return
            try:  # in one call, with a sum: never half of one and half of the other
                os.pwrite(self._file, b"%08x %04x " % (zlib.crc32(data), len(data)) + data, 0)
                self.problem = None
            except OSError as exc:
                self._say(f"{NOT_NOTED} ({self._path}): {exc}")

    def path(self) -> str:
        """Where the file lies; the folder is made if it is missing.

        Raises:
            OSError: If it cannot be, or is not this user's own.
        """
        import hashlib  # here: few processes need it

        folder = own_folder(host_folder())
        whose = f"{config.application or ''}\0{self.name}"
        digest = hashlib.sha256(whose.encode(errors="replace")).hexdigest()[:16]
        return os.path.join(folder, f"{self.name.rpartition('.')[2][:60]}-{digest}.lock")

    def _is_there(self, file: int) -> bool:
        """False if the file has been removed, as whatever tidies a temporary directory does after
        some days: another process then locks a new one of that name."""
        try:
            found, held = os.stat(self._path), os.fstat(file)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)


def _record(data: bytes) -> Record | None:
    try:
        total, length = int(data[:8], 16), int(data[9:13], 16)
        body = data[14 : 14 + length]
        if zlib.crc32(body) != total:
            return None
        due, ran, schedule, pid, directory = body.decode().split("\n", 4)
        return Record(Last(float(due), ran == "1"), schedule, int(pid), directory)
    except ValueError:
        return None


#: Bytes of a record.
_MOST = 4096
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
#: Asked of the platform: an import of it that fails says little.
_HAS_FCNTL = os.name == "posix"
