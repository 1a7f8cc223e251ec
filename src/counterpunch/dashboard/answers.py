"""The forms of an answer: a page, JSON, a redirect, or why there is none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from . import security
from .fleet import Fleet
from .frame import Frame, failure_page
from .message import Request, Response
from .notes import NOTE, noted
from .process import process
from .settings import Settings
from .theme import theme_of

__all__ = [
    "LENGTH", "Asked", "as_json", "elsewhere", "failure", "fleet_of", "page", "redirect",
    "wants_json",
]  # fmt: skip

#: Where a page's data has rows of a class each, or of a job.
_ROWS = ("classes", "failed", "failures", "groups", "jobs", "periodic")
LENGTH = 200  # characters of an id, a class or a page in an address


class Asked(NamedTuple):
    """A request, and what was found out about it so far."""

    request: Request
    settings: Settings
    parts: list[str]  # of the path, without the ending
    wants_json: bool
    writes: bool  # the one who asks may change things


def fleet_of(asked: Asked, everyone: bool = False) -> Fleet:
    """The processes that a request is about: all of them, or the one it names."""
    form = asked.request.form if asked.request.method == "POST" else asked.request.query
    return Fleet(asked.settings, "" if everyone else form.get("process", "")[:20])


def page(
    asked: Asked,
    fleet: Fleet,
    data: Mapping[str, Any],
    render: Callable[[Frame, Mapping[str, Any]], str],
) -> Response:
    """The data of a page as it was asked for: as JSON, or rendered."""
    data = {"process": process(), **data, "scope": fleet.scope}
    titles = fleet.titles
    for row in (data, data.get("numbers"), *(row for name in _ROWS for row in data.get(name, ()))):
        if isinstance(row, dict) and "class" in row:
            row["job"] = titles.get(row["class"], row["job"])
    if asked.wants_json:
        return as_json(data)
    request, token, extra = asked.request, None, []
    if asked.writes:
        token = security.token_of(request)
        extra.append(security.cookie(request, token))
    frame = Frame(
        prefix=quote(request.prefix),
        path=request.path,
        query={n: v[:LENGTH] for n, v in request.query.items() if n not in NOTE},
        process=fleet.only or process(),
        token=token,
        refresh=asked.settings.refresh,
        note=noted(request.query),
        counts=fleet.badges,
        scope=fleet.scope,
        theme=theme_of(request),
    )
    return _html(render(frame, data), 200, *extra)


def failure(
    request: Request, status: int, text: str, *extra: tuple[str, str], link: str | None = None
) -> Response:
    """An answer that says why there is no other; ``link``: one of our pages that helps."""
    if wants_json(request):
        return as_json({"error": text, **({"see": link} if link else {})}, status, *extra)
    text = failure_page(quote(request.prefix), status, text, link, theme_of(request))
    return _html(text, status, *extra)


def _html(text: str, status: int, *extra: tuple[str, str]) -> Response:
    # A lone surrogate, which a job's text may hold, cannot be encoded.
    body = text.encode("utf-8", "backslashreplace")
    return Response(status, body, headers=(*security.HEADERS, *extra))


def as_json(data: Any, status: int = 200, *extra: tuple[str, str]) -> Response:
    body = json.dumps(data, allow_nan=False).encode()
    return Response(status, body, "application/json", (*security.HEADERS, *extra))


def redirect(request: Request, path: str, *extra: tuple[str, str]) -> Response:
    headers = (*security.HEADERS, ("Location", quote(request.prefix) + path), *extra)
    return Response(303, b"", "text/plain; charset=utf-8", headers)


def elsewhere(url: str) -> Response:
    """To wherever a guard sends its visitors."""
    return Response(303, b"", "text/plain; charset=utf-8", (*security.HEADERS, ("Location", url)))


def wants_json(request: Request) -> bool:
    """By the ending of the path, or because ``Accept`` ranks JSON above HTML."""
    if request.ending or request.path.endswith(".json"):
        return True
    weights = {"application/json": 0.0, "text/html": 0.0}
    for part in request.headers.get("accept", "").lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        if kind in weights:
            quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
            try:
                weights[kind] = float(quality)
            except ValueError:
                weights[kind] = 0.0
    return weights["application/json"] > weights["text/html"]
