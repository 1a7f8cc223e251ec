"""The private directory in which each process of this user has its Unix socket.

Only its owner may enter it (0700), and so may a socket in it (0600). A directory that
somebody else made, or may write to, is refused: a stranger could put a socket of his own
there, and the page would show what he says.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from typing import NamedTuple

from ..recurring.host_folder import Unsafe, host_folder, own_folder

__all__ = ["Address", "Unsafe", "addresses", "directory", "name_of", "too_long"]

#: Bytes of the longest directory that leaves room for a socket's name and the zero after it.
ROOM = (108 if sys.platform == "linux" else 104) - len("/4194304-12345678901.sock\0")
#: So many processes are asked at most; more than anybody runs on one host.
MOST = 256

_NAME = re.compile(r"(\d{1,10})-(\d{1,20})\.sock", re.ASCII)


class Address(NamedTuple):
    """A socket in the directory, and whose it is by its name."""

    path: str
    pid: int
    birth: int


def name_of(pid: int, birth: int) -> str:
    """The name of a process's socket. A pid comes again, with its start time it does not."""
    return f"{pid}-{birth}.sock"


def directory(path: str | None = None) -> str:
    """The directory, made if it is missing.

    Args:
        path: Where; None is ``host_folder()``.

    Raises:
        Unsafe: If ``own_folder`` says so, or its path leaves no room for a socket's name.
        OSError: If it cannot be made.
    """
    path = host_folder() if path is None else path
    if too_long(path):
        raise Unsafe(f"{path} is too long for a socket; processes= takes one of {ROOM} bytes")
    return own_folder(path)


def too_long(path: str) -> bool:
    """Whether a socket in this directory would have a longer path than the system allows."""
    return len(os.fsencode(path)) > ROOM


def addresses(path: str) -> list[Address]:
    """The sockets in the directory, by pid. Anything else in it is left alone."""
    found = []
    for name in os.listdir(path):
        match = _NAME.fullmatch(name)
        full = os.path.join(path, name)
        if match is None:
            continue
        try:
            status = os.lstat(full)
        except OSError:
            continue  # gone meanwhile
        if stat.S_ISSOCK(status.st_mode) and status.st_uid == os.geteuid():
            found.append(Address(full, int(match[1]), int(match[2])))
    return sorted(found, key=lambda one: (one.pid, one.birth))[:MOST]
