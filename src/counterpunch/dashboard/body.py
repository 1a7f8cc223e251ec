"""A request body of a stated length: why it is refused, and what becomes of it then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..core.values.clock import monotonic
from .answers import failure
from .message import MAX_BODY, Request, Response
from .routes import respond
from .settings import Settings

__all__ = ["LINGER_BYTES", "LINGER_SECONDS", "answer", "refused_length", "too_large"]

#: A refused body is read all the same, and thrown away, for so long: many servers close the
#: connection after the answer, the kernel then resets one with unread bytes, and the client
#: does not see why. nginx lingers like this.
LINGER_BYTES, LINGER_SECONDS = 1 << 26, 5.0


def answer(request: Request, body: bytes | Response, settings: Settings) -> Response:
    """The response to a request with this body, or the refusal that came in its place."""
    if isinstance(body, Response):
        return body
    return respond(replace(request, body=body), settings)


def refused_length(request: Request, length: str, stream: Any) -> Response | None:
    """The answer to a body whose ``Content-Length`` will not do; None for one that will."""
    if not (length.isascii() and length.isdigit()):
        return failure(request, 400, "The length of the request body is no number.")
    if len(length) <= 9 and int(length) <= MAX_BODY:
        return None
    if len(length) <= 9 and int(length) <= LINGER_BYTES:
        _discard(stream, int(length))
    return too_large(request)


def too_large(request: Request) -> Response:
    return failure(request, 413, "The request body is too large.")


def _discard(stream: Any, length: int) -> None:
    end = monotonic() + LINGER_SECONDS
    while length > 0 and monotonic() < end:
        part = stream.read(min(length, MAX_BODY))
        if not part:
            return
        length -= len(part)
