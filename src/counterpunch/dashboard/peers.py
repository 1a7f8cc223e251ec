"""Asks the processes of this user on this host, all at once.

Whatever they do, the answer comes in time: who is dead is skipped and its socket removed,
who hangs is named as silent, and what is too long, or no answer, as unreadable.
"""

from __future__ import annotations

import errno
import json
import math
import os
import selectors
import socket
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..core.values.clock import monotonic
from .beacon import LIMIT, peer_of
from .sockets import Address

__all__ = ["PATIENCE", "Gathered", "gather"]

#: Seconds for all of them together.
PATIENCE = 1.0

_CHUNK = 1 << 16


class Gathered(NamedTuple):
    """What those said who answered, and why each of the others has not."""

    answers: list[tuple[Address, Any]]
    silent: list[dict[str, Any]]  # pid and reason


def gather(
    peers: Iterable[Address], question: Callable[[Address], bytes], patience: float = PATIENCE
) -> Gathered:
    """Ask each of them.

    Args:
        peers: Whom; the sockets of a directory that ``sockets.directory`` has checked.
        question: What each is asked.
        patience: Seconds until those who have not answered are given up.
    """
    found = Gathered([], [])
    with selectors.DefaultSelector() as waiting:
        calls: list[_Call] = []
        try:
            for address in peers:
                call = _dial(address, question(address), found)
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


def _dial(address: Address, question: bytes, found: Gathered) -> _Call | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        connection.connect(address.path)
        peer = peer_of(connection)
        if peer is not None and peer[1] != os.geteuid():
            connection.close()
            _silent(found, address, f"it runs as user {peer[1]}")
            return None
        # The buffer of a new connection holds more than any question.
        if connection.send(question) < len(question):
            raise BlockingIOError(errno.EAGAIN, "full")
    except OSError as exc:
        connection.close()
        if exc.errno == errno.ECONNREFUSED:
            # Nobody listens on it any more, and nobody will: a socket gets this name once it
            # listens, and no later process has the same pid and start time.
            _remove(address.path)
        elif exc.errno != errno.ENOENT:  # it has left meanwhile
            _silent(found, address, "busy" if exc.errno == errno.EAGAIN else str(exc.strerror))
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
    try:
        answer = json.loads(
            bytes(call.said), parse_constant=_no_number, parse_float=_number, parse_int=_whole
        )
    except (ValueError, RecursionError):
        _silent(found, call.address, "its answer cannot be read")
    else:
        found.answers.append((call.address, answer))
    return True


def _number(text: str) -> float:
    """NaN and what is infinite, written as it may be, is no number to anybody else."""
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _whole(text: str) -> int:
    """None of ours has more digits, and a float has no room for many."""
    return int(text) if len(text) < 20 else int(_no_number(text))


def _no_number(text: str) -> float:
    raise ValueError(text)


def _silent(found: Gathered, address: Address, reason: str) -> None:
    found.silent.append({"pid": address.pid, "reason": reason})
