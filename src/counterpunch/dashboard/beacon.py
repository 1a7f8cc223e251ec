"""Answers the other processes of its user, on a Unix socket.

A daemon thread takes connections, and each has a short-lived thread of its own, so many at once
at most: one question, one line of JSON, and one answer. A slow client is cut off. It is asked for
by ``processes=True`` at a mount, and begins with the first page or the first job of a process, so
that a server that forks after it has set up the app has no thread before.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable

from ..core.values.clock import monotonic
from ..core.values.hooks import process, report
from ..core.values.interpreter import start
from .process import birth
from .sockets import Unsafe, directory, name_of

__all__ = ["LIMIT", "Beacon", "peer_of", "register"]

#: Bytes of one answer: some thousand classes, or the stacks of some hundred threads.
LIMIT = 1 << 22
#: Bytes of one question.
QUESTION = 1 << 16
#: Seconds that a client may take to ask, and then to read.
SEND_SECONDS = 1.0
#: Clients that are answered at the same time.
AT_ONCE = 16
#: Of a process without a file descriptor or memory to spare just now, and the seconds after
#: which it tries again; and of a client that has left.
PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED})
PAUSE = 1.0


class Beacon:
    """One process's socket.

    Args:
        where: The directory, see ``sockets.directory``.
        answer: Given a question, a line of JSON; None says nothing. Called on a thread of this
            library, by several at once.
    """

    def __init__(self, where: str | None, answer: Callable[[bytes], bytes | None]) -> None:
        self.where = where
        self.answer = answer
        self.problem: str | None = None
        #: The process it was lit in, and its socket there.
        self._pid = 0
        self._socket: socket.socket | None = None
        self._path = ""
        self._ended = False
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(AT_ONCE)

    def light(self) -> None:
        """Serve in this process, unless it does already. Never raises, never waits long."""
        if self._pid == os.getpid() or self._ended or not self._lock.acquire(blocking=False):
            return
        try:
            if self._pid != os.getpid():
                self._forget()
                self._light()
                self._pid = os.getpid()
        except (OSError, Unsafe, RuntimeError) as exc:
            self._pid = os.getpid()  # said once, not with every page
            self.problem = f"this process cannot be seen by the others: {exc}"
            report(logging.ERROR, "dashboard: %s", self.problem)
        finally:
            self._lock.release()

    def _light(self) -> None:
        where = directory(self.where)
        path = os.path.join(where, name_of(os.getpid(), birth()))
        # Under a name that nobody asks until it listens and its mode is right.
        hidden = os.path.join(where, os.urandom(8).hex())
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Not of the path, which would follow a link. Where a socket that is not bound has no
            # mode to set, the folder keeps others out.
            with contextlib.suppress(OSError):
                os.fchmod(server.fileno(), 0o600)
            server.bind(hidden)
            try:
                server.listen(64)
                os.rename(hidden, path)
            except BaseException:
                os.unlink(hidden)
                raise
            thread = threading.Thread(
                target=self._serve, args=(server,), name="counterpunch-beacon", daemon=True
            )
            start(thread)
        except BaseException:
            server.close()
            raise
        self._socket, self._path = server, path
        self.problem = None

    def _serve(self, server: socket.socket) -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError as exc:
                if exc.errno not in PASSING:
                    return  # put out
                threading.Event().wait(PAUSE)
                continue
            self._hand_over(client)

    def _hand_over(self, client: socket.socket) -> None:
        """To a thread of its own. Who comes when there are too many is cut off: it is said to be
        silent, as it would be if it waited."""
        if not self._room.acquire(timeout=SEND_SECONDS):
            client.close()
            return
        try:
            threading.Thread(
                target=self._serve_one, args=(client,), name="counterpunch-peer", daemon=True
            ).start()
        except RuntimeError:  # no thread to be had
            self._serve_one(client)

    def _serve_one(self, client: socket.socket) -> None:
        try:
            with client:
                self._answer(client)
        except Exception as exc:
            if not isinstance(exc, OSError):  # the client has left
                report(logging.ERROR, "dashboard: no answer for a peer", exc_info=exc)
        finally:
            self._room.release()

    def _answer(self, client: socket.socket) -> None:
        peer = peer_of(client)
        if peer is not None and peer[1] != os.geteuid():
            return  # the mode keeps others out already, except root
        end = monotonic() + SEND_SECONDS
        question = bytearray()
        while not question.endswith(b"\n"):
            client.settimeout(max(0.001, end - monotonic()))
            part = client.recv(QUESTION)
            question += part
            if not part or len(question) > QUESTION:
                return
        body = self.answer(bytes(question))
        client.settimeout(SEND_SECONDS)
        if body is not None and len(body) <= LIMIT:
            client.sendall(body)

    def put_out(self) -> None:
        """Serve no longer, and leave no socket behind; a page asked for later lights no other."""
        self._ended = True
        if self._pid != os.getpid():
            self._forget()
            return
        server, self._socket, self._pid = self._socket, None, 0
        if server is None:
            return
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept()
        server.close()

    def _forget(self) -> None:
        """In a forked child: let go of the parent's socket, which would seem alive after it."""
        server, self._socket = self._socket, None
        if server is not None:
            server.close()

    def after_fork(self) -> None:
        """In a forked child; another thread may have held the lock."""
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(AT_ONCE)
        self._forget()


def peer_of(connection: socket.socket) -> tuple[int, int] | None:
    """Pid and user id of the other end, as the kernel knows them; None where it does not say."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    size = struct.calcsize("3i")
    pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, option, size))
    return pid, uid


def register(beacon: Beacon) -> None:
    """Light it with the first job; close the socket at exit, and in every forked child."""
    process.add("at_work", beacon.light)
    atexit.register(beacon.put_out)
    os.register_at_fork(after_in_child=beacon.after_fork)
