"""The dashboard in a Django site: one line in its URLconf."""

from __future__ import annotations

from typing import Any, Unpack

from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt

from ...dashboard.body import leave, read, too_large
from ...dashboard.message import MAX_BODY, PHRASES, Request, Response, fields
from ...dashboard.routes import Accepted, decide
from ...dashboard.settings import Options, settings_of

__all__ = ["urls"]


def urls(**options: Unpack[Options]) -> tuple[list[Any], str, str]:
    """The dashboard for a URLconf: ``path("jobs/", urls(can_view=is_staff, authorize=is_staff))``
    with ``def is_staff(request): return request.raw.user.is_staff``.

    ``request.raw`` is the ``HttpRequest``. Parts of the path that a route above captures are
    in its ``resolver_match``.

    Args:
        options: See ``Settings``: ``can_view``, ``authorize``, ``probes``, ``actor``, ``hosts``,
            ``arguments``, ``refresh``, ``health``, ``processes``.

    Raises:
        InvalidOption: For an option that is not allowed.
        TypeError: For one that does not exist.
    """
    settings = settings_of(options)

    def view(request: HttpRequest, below: str, **above: Any) -> HttpResponse:
        # The route has matched the end of the path: what stands before it is the mount point.
        full = request.path
        prefix = full[: len(full) - len(below)].strip("/")
        headers: Any = request.headers  # pyright does not see through Django's cached_property
        asked = Request(
            method=request.method or "",
            path="/" + below.removeprefix("/"),
            prefix=prefix and f"/{prefix}",
            query=fields(request.META.get("QUERY_STRING", "")),
            headers={
                **{name.lower(): value for name, value in headers.items()},
                "host": request.get_host(),  # behind a proxy, as the site's settings have it
            },
            scheme=request.scheme or "http",
            raw=request,
            peer=request.META.get("REMOTE_ADDR") or "",
        )
        response = decide(asked, settings)
        if isinstance(response, Accepted):
            body = _body(asked, request)
            response = body if isinstance(body, Response) else response.carry_out(body)
        else:
            leave(asked, request.META)
        return _translated(response)

    # It checks a token of its own, which also works without Django's middleware.
    pattern = re_path(r"^(?P<below>.*)$", csrf_exempt(view), name="dashboard")
    return [pattern], "counterpunch", "counterpunch"


def _translated(response: Response) -> HttpResponse:
    status, reason = response.status, PHRASES[response.status]
    answer = HttpResponse(response.body, response.content_type, status, reason)
    for name, value in response.headers:
        if name == "Set-Cookie":
            answer.cookies.load(value)  # where Django and its test client look for it
        else:
            answer[name] = value
    return answer


def _body(asked: Request, request: HttpRequest) -> bytes | Response:
    """Bounded here, whatever DATA_UPLOAD_MAX_MEMORY_SIZE allows the rest of the site. Nothing is
    left of one that a middleware has read as a multipart form, which ours are not."""
    if asked.headers.get("content-length"):
        return read(asked, request, request.META)
    # Without a length there is nothing under WSGI, and under ASGI a whole body in a file.
    body: bytes = request.read(MAX_BODY + 1)
    return body if len(body) <= MAX_BODY else too_large(asked)
