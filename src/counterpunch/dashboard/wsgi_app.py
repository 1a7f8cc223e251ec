"""The WSGI shell: environ in, start_response out, no decision in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Unpack

from .answers import failure
from .body import leave, read
from .message import PHRASES, Request, Response, fields
from .routes import Accepted, decide
from .settings import Options, settings_of

__all__ = ["wsgi"]

WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def wsgi(**options: Unpack[Options]) -> WSGIApp:
    """The dashboard as a WSGI app; the mount point is ``SCRIPT_NAME``.

    Args:
        options: See ``Settings``: ``can_view``, ``authorize``, ``probes``, ``actor``, ``hosts``,
            ``arguments``, ``refresh``, ``health``, ``processes``.

    Raises:
        InvalidOption: For an option that is not allowed.
        TypeError: For one that does not exist.
    """
    settings = settings_of(options)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = _request(environ)
        response = decide(request, settings)
        if isinstance(response, Accepted):
            body = _body(request)
            response = body if isinstance(body, Response) else response.carry_out(body)
        else:
            leave(request, environ)
        start_response(f"{response.status} {PHRASES[response.status]}", response.all_headers)
        return [b"" if request.method == "HEAD" else response.body]

    # Python's error for a wrong mount begins with it.
    app.__qualname__ = (
        "dashboard.wsgi(...) (under ASGI it is dashboard.asgi, in a URLconf of Django "
        "counterpunch.integrations.django.dashboard.urls)"
    )
    return app


def _request(environ: dict[str, Any]) -> Request:
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    }
    headers["content-type"] = environ.get("CONTENT_TYPE") or ""
    headers["content-length"] = environ.get("CONTENT_LENGTH") or ""
    prefix = _decoded(environ.get("SCRIPT_NAME", "")).strip("/")
    return Request(
        method=environ["REQUEST_METHOD"].upper(),
        path="/" + _decoded(environ.get("PATH_INFO", "")).removeprefix("/"),
        prefix=prefix and f"/{prefix}",
        query=fields(environ.get("QUERY_STRING", "")),
        headers=headers,
        scheme=environ.get("wsgi.url_scheme", "http"),
        raw=environ,
        peer=environ.get("REMOTE_ADDR") or "",
    )


def _body(request: Request) -> bytes | Response:
    if "transfer-encoding" in request.headers:  # WSGI cannot say where such a body ends
        return failure(request, 411, "The length of the request body is missing.")
    return read(request, request.raw["wsgi.input"], request.raw)


def _decoded(text: str) -> str:
    """WSGI hands over bytes as latin-1."""
    return text.encode("latin-1", "replace").decode("utf-8", "replace")
