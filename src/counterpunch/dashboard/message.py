"""A request and a response as plain values; the shells translate, everything else decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

__all__ = ["MAX_BODY", "PHRASES", "Request", "Response", "fields"]

#: Bytes of a request body; the largest form of these pages has some two hundred.
MAX_BODY = 16 * 1024

#: The statuses these pages answer with. (``http.HTTPStatus`` knows more, and is 1 MB to import.)
PHRASES = {
    200: "OK",
    303: "See Other",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    411: "Length Required",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True)
class Request:
    """One request, from whichever server.

    Attributes:
        method: In capitals.
        path: Below the mount point, decoded, beginning with ``/``. A guard gets it in its one
            form: without a slash or ``.json`` at its end, and ``/`` for the overview.
        prefix: The mount point, without a slash at its end; ``""`` at the root.
        query: The last value of each name.
        headers: Names in lower case.
        body: At most ``MAX_BODY`` bytes; empty while a guard is asked.
        scheme: ``"http"`` or ``"https"``, as the server saw it.
        peer: The address at the other end of the connection; ``""`` if there is none, as on a
            Unix socket.
        ending: ``".json"`` if the path had that.
        raw: The WSGI environ, the ASGI scope or the framework's request: where ``authorize``
            finds a session or a user.
    """

    method: str
    path: str
    prefix: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    scheme: str = "http"
    raw: Any = None
    peer: str = ""
    ending: str = ""

    @property
    def cookies(self) -> dict[str, str]:
        """Name to value, without unquoting."""
        pairs = (part.partition("=") for part in self.headers.get("cookie", "").split(";"))
        return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}

    @property
    def form(self) -> dict[str, str]:
        """The fields of a URL-encoded body; empty for another kind."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            return {}
        return fields(self.body.decode("utf-8", "replace"))


@dataclass(frozen=True)
class Response:
    """What to answer: all in memory, since every page is bounded."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/html; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def all_headers(self) -> list[tuple[str, str]]:
        """Those that follow from the body included."""
        length = ("Content-Length", str(len(self.body)))
        return [("Content-Type", self.content_type), *self.headers, length]


def fields(text: str) -> dict[str, str]:
    """URL-encoded fields, the last value of each name; none at all of a text with too many."""
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=50))
    except ValueError:
        return {}
