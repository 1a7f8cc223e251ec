"""The body of a write that was accepted, bounded in bytes and in time.

Whoever is refused is answered without it: a body that a stranger sends slowly, or without an
end, would hold the thread that waits for it.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from ..core.values.clock import monotonic
from .answers import failure
from .message import MAX_BODY, Request, Response

__all__ = ["SECONDS", "leave", "read", "too_large", "too_slow", "unfit"]

#: For the whole of it. A form has some two hundred bytes and comes with the headers.
SECONDS = 5.0


def unfit(request: Request) -> Response | None:
    """The answer to a body whose ``Content-Length`` will not do; None for one that will."""
    length = request.headers.get("content-length") or "0"
    if not (length.isascii() and length.isdigit()):
        return failure(request, 400, "The length of the request body is no number.")
    return too_large(request) if len(length) > 9 or int(length) > MAX_BODY else None


def read(request: Request, stream: Any, environ: Mapping[str, Any]) -> bytes | Response:
    """As many bytes as the request says that it has, or fewer if its stream has fewer.

    One at a time: a read of more would wait for the last of them, whatever the clock says. For
    the next one it waits as long as the socket does, where the server has given it; elsewhere as
    long as the server lets it.
    """
    length = int(request.headers.get("content-length") or 0)
    end, body = monotonic() + SECONDS, bytearray()
    with _bounded(_connection(environ)):
        try:
            while len(body) < length and (part := stream.read(1)):
                body += part
                if monotonic() > end:
                    raise TimeoutError
        except OSError:  # of the socket: the time is over, or the client has left
            leave(request, environ)
            return too_slow(request)
    return bytes(body)


def _connection(environ: Mapping[str, Any]) -> socket.socket | None:
    """The client's socket, which gunicorn gives to the application."""
    connection = environ.get("gunicorn.socket")
    return connection if isinstance(connection, socket.socket) else None


@contextlib.contextmanager
def _bounded(connection: socket.socket | None) -> Iterator[None]:
    if connection is None:
        yield
        return
    before = connection.gettimeout()
    connection.settimeout(SECONDS)
    try:
        yield
    finally:
        connection.settimeout(before)


def leave(request: Request, environ: Mapping[str, Any]) -> None:
    """Of a body that is not read: let the server not wait for it either.

    A thread of gunicorn's that keeps connections alive waits some seconds for the rest of each,
    which is a way to have all of them wait. Of its socket no more is to be read. (Not by the method
    of a TLS socket, which would end the encryption.)
    """
    length = request.headers.get("content-length") or "0"
    connection = _connection(environ)
    if (length == "0" and "transfer-encoding" not in request.headers) or connection is None:
        return
    with contextlib.suppress(OSError):  # the client has left
        socket.socket.shutdown(connection, socket.SHUT_RD)


def too_large(request: Request) -> Response:
    return failure(request, 413, "The request body is too large.")


def too_slow(request: Request) -> Response:
    return failure(request, 408, "The request body did not come in time.")
