"""From a request to a response: which page, in which form, or why not."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from ..core.port import report
from ..observe.dump import dump
from ..observe.metrics import CONTENT_TYPE, metrics
from . import actions, security, source
from .frame import Frame, failure_page, threads_page
from .job_page import job_page
from .list_page import list_page
from .message import Request, Response
from .overview_page import overview_page
from .periodic_page import periodic_page
from .plain import clip
from .process import process
from .processes_page import processes_page
from .settings import Settings
from .snapshot import processes

__all__ = ["failure", "respond"]

_ASSETS = {
    "style.css": "text/css; charset=utf-8",
    "script.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_LENGTH = 200  # characters of an id, a class or a page in an address


class _Asked(NamedTuple):
    """A request, and what was found out about it so far."""

    request: Request
    settings: Settings
    parts: list[str]  # of the path, without the ending
    wants_json: bool
    writes: bool  # the one who asks may change things


def respond(request: Request, settings: Settings) -> Response:
    """Answer one request. Blocks on nothing, and never raises."""
    if settings.beacon is not None:
        settings.beacon.light()
    try:
        response = _respond(request, settings)
    except Exception as exc:
        report(logging.ERROR, "dashboard: %s failed", clip(request.path, 200), exc_info=exc)
        return failure(request, 500, "The page could not be made; the log says why.")
    return response


def failure(request: Request, status: int, text: str, *extra: tuple[str, str]) -> Response:
    """An answer that says why there is no other."""
    if _wants_json(request):
        return _json({"error": text}, status, *extra)
    return _html(failure_page(quote(request.prefix), status, text), status, *extra)


def _respond(request: Request, settings: Settings) -> Response:
    path = request.path.removesuffix(".json")
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["assets"]:  # nothing to hide, and the 403 page looks better with it
        return _asset(request, parts[1:])
    if not security.may_view(request, settings):
        return failure(request, 403, "You may not look at this page.")
    found = _route(parts)
    if found is None or (parts == ["processes"] and settings.beacon is None):
        return failure(request, 404, "There is no such page.")
    allowed, handler = found
    if request.method not in allowed:
        return failure(request, 405, f"Use {allowed[0]} here.", ("Allow", ", ".join(allowed)))
    writes = security.may_write(request, settings)
    if allowed == _WRITE:
        if not writes:
            why = "This page is read-only" if settings.authorize is None else "You may not do this"
            return failure(request, 403, f"{why}.")
        refusal = security.refusal(request)
        if refusal is not None:
            return failure(request, 403, refusal)
    return handler(_Asked(request, settings, parts, _wants_json(request), writes))


_READ, _WRITE = ("GET", "HEAD"), ("POST",)

Handler = Callable[[_Asked], Response]


def _route(parts: list[str]) -> tuple[tuple[str, ...], Handler] | None:
    match parts:
        case [] | ["overview"]:
            return _READ, _overview
        case [name] if name in source.LISTS:
            return _READ, _listing
        case ["job", _]:
            return _READ, _job
        case ["find" | "periodic" | "threads" | "health" | "metrics" | "processes" as name]:
            return _READ, _SINGLE[name]
        case ["job", _, action] if action in actions.JOB_ACTIONS:
            return _WRITE, _act
        case ["class", action] if action in actions.CLASS_ACTIONS:
            return _WRITE, _act
    return None


# Reading


def _overview(asked: _Asked) -> Response:
    data = source.overview(asked.settings.health())
    return _page(asked, data, lambda frame: overview_page(frame, data))


def _listing(asked: _Asked) -> Response:
    query = {name: value[:_LENGTH] for name, value in asked.request.query.items()}
    data = source.listing(asked.parts[0], query, asked.settings.arguments)
    return _page(asked, data, lambda frame: list_page(frame, data))


def _periodic(asked: _Asked) -> Response:
    data = source.periodic()
    return _page(asked, data, lambda frame: periodic_page(frame, data))


def _job(asked: _Asked) -> Response:
    data = source.job(asked.parts[1][:_LENGTH], asked.settings.arguments)
    if data is None:
        return failure(asked.request, 404, _NO_JOB)
    return _page(asked, data, lambda frame: job_page(frame, data))


_NO_JOB = (
    "This process knows of no such job: it has been forgotten, or another process has accepted it."
)


def _find(asked: _Asked) -> Response:
    id = asked.request.query.get("id", "").strip()[:_LENGTH]
    if not id:
        return _redirect(asked.request, "/")
    ending = ".json" if asked.request.path.endswith(".json") else ""
    return _redirect(asked.request, f"/job/{quote(id, safe='')}{ending}")


def _threads(asked: _Asked) -> Response:
    text = dump()
    if asked.wants_json:
        return _json({"process": process(), "threads": text})
    data = {"process": process(), "threads": text}
    return _page(asked, data, lambda frame: threads_page(frame, data))


def _health(asked: _Asked) -> Response:
    """For a load balancer: 200 or 503, as JSON."""
    found = asked.settings.health()
    data = {"process": process(), "ok": found.ok, "reasons": list(found.reasons)}
    return _json(data, 200 if found.ok else 503)


def _metrics(asked: _Asked) -> Response:
    if asked.request.path.endswith(".json"):
        text = "Metrics are text for Prometheus; overview.json has the numbers as JSON."
        return failure(asked.request, 404, text)
    return Response(200, metrics().encode(), CONTENT_TYPE, security.HEADERS)


def _processes(asked: _Asked) -> Response:
    settings = asked.settings
    problem = None if settings.beacon is None else settings.beacon.problem
    data = processes(settings.directory, settings.health(), problem)
    return _page(asked, data, lambda frame: processes_page(frame, data))


_SINGLE: dict[str, Handler] = {
    "find": _find,
    "periodic": _periodic,
    "threads": _threads,
    "health": _health,
    "metrics": _metrics,
    "processes": _processes,
}


def _asset(request: Request, parts: list[str]) -> Response:
    if len(parts) != 1 or parts[0] not in _ASSETS:
        return failure(request, 404, "There is no such page.")
    if request.method not in _READ:
        return failure(request, 405, "Use GET here.", ("Allow", ", ".join(_READ)))
    body = Path(__file__).with_name(parts[0]).read_bytes()
    return Response(200, body, _ASSETS[parts[0]], security.HEADERS)


# Writing


def _act(asked: _Asked) -> Response:
    """One action, and back to the page with the button on it."""
    request, parts = asked.request, asked.parts
    form = request.form
    try:
        if parts[0] == "job":
            note = actions.on_job(parts[1], parts[2])
        else:
            note = actions.on_class(form.get("job", ""), parts[1])
    except actions.Refused as exc:
        return failure(request, 409, str(exc))
    if note is None:
        return failure(request, 404, _NO_JOB if parts[0] == "job" else "There is no such class.")
    if asked.wants_json:
        return _json({"done": note, "text": actions.NOTES[note]})
    return _redirect(request, _back(form.get("back", "/"), note, parts))


def _back(address: str, note: str, parts: list[str]) -> str:
    """The address to return to: one of our own pages, whatever the form says."""
    try:
        split = urlsplit(address)
    except ValueError:
        split = urlsplit("/")
    below = [part for part in split.path.split("/") if part]
    found = _route(below)
    own = not split.scheme and not split.netloc and found is not None and found[0] == _READ
    if not own or (note == "removed" and below[:1] == ["job"]):
        below, split = ["failed"] if note == "removed" else [], urlsplit("/")
    query = [(name, value) for name, value in parse_qsl(split.query) if name != "note"]
    path = "/".join(quote(part, safe="") for part in below)
    return f"/{path}?{urlencode([*query, ('note', note)])}"


# Forms of an answer


def _page(asked: _Asked, data: Any, render: Callable[[Frame], str]) -> Response:
    if asked.wants_json:
        return _json(data)
    request = asked.request
    extra = []
    token = None
    if asked.writes:
        token = security.token_of(request)
        extra.append(security.cookie(request, token))
    query = urlencode([(n, v[:_LENGTH]) for n, v in request.query.items() if n != "note"])
    frame = Frame(
        prefix=quote(request.prefix),
        here=request.path + (f"?{query}" if query else ""),
        process=data["process"],
        token=token,
        refresh=asked.settings.refresh,
        note=actions.NOTES.get(request.query.get("note", "")),
        counts=source.badges(),
        together=asked.settings.beacon is not None,
    )
    return _html(render(frame), 200, *extra)


def _html(text: str, status: int = 200, *extra: tuple[str, str]) -> Response:
    # A lone surrogate, which a job's text may hold, cannot be encoded.
    body = text.encode("utf-8", "backslashreplace")
    return Response(status, body, headers=(*security.HEADERS, *extra))


def _json(data: Any, status: int = 200, *extra: tuple[str, str]) -> Response:
    body = json.dumps(data, allow_nan=False).encode()
    return Response(status, body, "application/json", (*security.HEADERS, *extra))


def _redirect(request: Request, path: str) -> Response:
    location = quote(request.prefix) + path
    headers = (*security.HEADERS, ("Location", location))
    return Response(303, b"", "text/plain; charset=utf-8", headers)


def _wants_json(request: Request) -> bool:
    """By the ending of the path, or because ``Accept`` ranks JSON above HTML."""
    if request.path.endswith(".json"):
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
