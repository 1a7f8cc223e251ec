"""The folder in which the processes of one user on one host meet: lock files, and the page's
sockets.

Only its owner may enter it (0700). One that somebody else made, or may write to, is refused: a
stranger could put something of his own there.
"""

from __future__ import annotations

import os
import stat

__all__ = ["Unsafe", "host_folder", "own_folder"]


class Unsafe(OSError):
    """The folder is not ours alone; says what is wrong with it."""


def host_folder() -> str:
    """Where it lies: ``counterpunch`` in ``$XDG_RUNTIME_DIR`` where that is this user's own, which
    nobody else can take first, or else ``counterpunch-<uid>`` in the temporary directory."""
    user = os.geteuid() if hasattr(os, "geteuid") else 0
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime) and _belongs_to(runtime, user):
        return os.path.join(runtime, "counterpunch")
    import tempfile  # here: it doubles the import of the package

    return os.path.join(tempfile.gettempdir(), f"counterpunch-{user}")


def _belongs_to(path: str, user: int) -> bool:
    """False, too, for what ``sudo -E`` has handed on: what root made there would be in the way."""
    try:
        found = os.stat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == user and os.access(path, os.W_OK)


def own_folder(path: str) -> str:
    """``path``, made if it is missing.

    Raises:
        Unsafe: If it is no folder, belongs to somebody else, others have any right to it, or could
            put another one into its place.
        OSError: If it cannot be made.
    """
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    found = os.lstat(path)  # not stat: a link could lead anywhere, and be changed later
    user = os.geteuid() if hasattr(os, "geteuid") else found.st_uid
    if not stat.S_ISDIR(found.st_mode):
        raise Unsafe(f"{path} is no directory")
    if found.st_uid != user:
        raise Unsafe(f"{path} belongs to user {found.st_uid}, not to user {user}")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise Unsafe(f"others have rights to {path} (mode {mode:04o}); it must be 0700")
    above = os.path.dirname(path)
    around = os.stat(above)
    if around.st_uid not in (0, user):
        raise Unsafe(f"{above}, where {path} is, belongs to user {around.st_uid}")
    if around.st_mode & 0o022 and not around.st_mode & stat.S_ISVTX:
        mode = stat.S_IMODE(around.st_mode)
        raise Unsafe(f"others could replace {path}: {above} has mode {mode:04o}, and is not sticky")
    return path
