"""The body of a write that was accepted, bounded in bytes and in time.

Whoever is refused is answered without it: a body that a stranger sends slowly, or without an
end, would hold the thread that waits for it.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
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


def read(request: Request, stream: Any) -> bytes | Response:
    """As many bytes as the request says that it has, or fewer if its stream has fewer.

    One at a time: a read of more would wait for the last of them, whatever the clock says.
    """
    length = int(request.headers.get("content-length") or 0)
    end, body = monotonic() + SECONDS, bytearray()
    while len(body) < length:
        part = stream.read(1)
        if not part:
            break
        body += part
        if monotonic() > end:
            return too_slow(request)
    return bytes(body)


def leave(request: Request, environ: Mapping[str, Any]) -> None:
    """Of a body that is not read: let the server not wait for it either.

    A thread of gunicorn's that keeps connections alive waits some seconds for the rest of each,
    which is a way to have all of them wait. It gives the application the socket; of that no more
    is to be read. (Not by the method of a TLS socket, which would end the encryption.)
    """
    length = request.headers.get("content-length") or "0"
    connection = environ.get("gunicorn.socket")
    if (length == "0" and "transfer-encoding" not in request.headers) or connection is None:
        return
    if isinstance(connection, socket.socket):
        with contextlib.suppress(OSError):  # the client has left
            socket.socket.shutdown(connection, socket.SHUT_RD)


def too_large(request: Request) -> Response:
    return failure(request, 413, "The request body is too large.")


def too_slow(request: Request) -> Response:
    return failure(request, 408, "The request body did not come in time.")
