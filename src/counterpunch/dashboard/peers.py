"""Asks the processes of this user on this host for their snapshots, all at once.

Whatever they do, the answer comes in time: who is dead is skipped and its socket removed,
who hangs is named as silent, and what is too long, or not a snapshot, as unreadable.
"""

from __future__ import annotations

import errno
import json
import os
import selectors
import socket
from typing import Any, NamedTuple

from ..core.values.clock import monotonic
from .beacon import LIMIT, peer_of
from .sockets import Address, addresses

__all__ = ["Gathered", "gather"]

#: Seconds for all of them together.
PATIENCE = 1.0

_CHUNK = 1 << 16


class Gathered(NamedTuple):
    """The snapshots of those who answered, and why each of the others has none."""

    snapshots: list[dict[str, Any]]
    silent: list[dict[str, Any]]  # pid and reason


def gather(where: str, own: tuple[int, int], patience: float = PATIENCE) -> Gathered:
    """Ask every process but this one.

    Args:
        where: The directory, which ``sockets.directory`` has checked.
        own: Pid and start time of this process, which is left out.
        patience: Seconds until those who have not answered are given up.
    """
    found = Gathered([], [])
    with selectors.DefaultSelector() as waiting:
        calls: list[_Call] = []
        try:
            for address in addresses(where):
                if (address.pid, address.birth) == own:
                    continue
                call = _dial(address, found)
                if call is not None:
                    calls.append(call)
                    waiting.register(call.connection, selectors.EVENT_READ, call)
            deadline = monotonic() + patience
            while waiting.get_map() and (left := deadline - monotonic()) > 0:
                for key, _ in waiting.select(left):
                    call = key.data
                    if _read(call, found):
                        waiting.unregister(call.connection)
                        call.done = True
            for call in calls:
                if not call.done:
                    _silent(found, call.address, f"no answer within {patience:g} s")
        finally:
            for call in calls:
                call.connection.close()
    return found


class _Call:
    """A process that was asked, and what it has said so far."""

    def __init__(self, address: Address, connection: socket.socket) -> None:
        self.address = address
        self.connection = connection
        self.said = bytearray()
        self.done = False


def _dial(address: Address, found: Gathered) -> _Call | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        connection.connect(address.path)
        peer = peer_of(connection)
    except OSError as exc:
        connection.close()
        if exc.errno == errno.ECONNREFUSED:
            # Nobody listens on it any more, and nobody will: a socket gets this name once it
            # listens, and no later process has the same pid and start time.
            _remove(address.path)
        elif exc.errno != errno.ENOENT:  # it has left meanwhile
            _silent(found, address, "busy" if exc.errno == errno.EAGAIN else str(exc.strerror))
        return None
    if peer is not None and peer[1] != os.geteuid():
        connection.close()
        _silent(found, address, f"it runs as user {peer[1]}")
        return None
    return _Call(address, connection)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # somebody else was faster


def _read(call: _Call, found: Gathered) -> bool:
    """Take what there is; True when nothing more is wanted of this one."""
    try:
        part = call.connection.recv(_CHUNK)
    except BlockingIOError:
        return False
    except OSError as exc:
        _silent(found, call.address, str(exc.strerror))
        return True
    if part:
        call.said += part
        if len(call.said) <= LIMIT:
            return False
        _silent(found, call.address, "its answer is too long")
        return True
    snapshot = _snapshot(bytes(call.said))
    if snapshot is None:
        _silent(found, call.address, "its answer is no snapshot of this version")
    else:
        found.snapshots.append(snapshot)
    return True


def _silent(found: Gathered, address: Address, reason: str) -> None:
    found.silent.append({"pid": address.pid, "reason": reason})


#: The shape of a snapshot; of a list, that of each item.
_SHAPE: dict[str, Any] = {
    "process": {
        "host": str, "pid": int, "started_at": str, "program": str, "python": str,
        "phase": str, "threads": int,
    },
    "health": {"ok": bool, "reasons": [str]},
    "total": {
        "running": int, "queued": int, "delayed": int, "failed": int, "succeeded": int,
        "failed_recently": int, "per_minute": int, "oldest_wait": float,
        "workers": {"total": int, "busy": int, "idle": int},
    },
    "classes": [
        {
            "job": str, "running": int, "queued": int, "delayed": int, "failed_recently": int,
            "per_minute": int, "oldest_wait": float, "workers": int,
        }
    ],
}  # fmt: skip


def _snapshot(text: bytes) -> dict[str, Any] | None:
    """What a process has said, if it has the shape: an older version may have another."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if _fits(value, _SHAPE) else None


def _fits(value: Any, shape: Any) -> bool:
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(
            name in value and _fits(value[name], part) for name, part in shape.items()
        )
    if isinstance(shape, list):
        return isinstance(value, list) and all(_fits(item, shape[0]) for item in value)
    if shape is float:
        return type(value) in (int, float)
    return type(value) is shape
