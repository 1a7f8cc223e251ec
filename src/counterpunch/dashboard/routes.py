"""From a request to a response: which page, in which form, or why not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from ..core.values.hooks import report
from ..observe.dump import dump
from ..observe.metrics import CONTENT_TYPE, metrics
from . import actions, security
from .answers import LENGTH, Asked, as_json, failure, page, redirect, wants_json
from .frame import threads_page
from .job_data import job
from .job_page import job_page
from .list_data import LISTS, listing
from .list_page import list_page
from .message import Request, Response
from .overview_data import overview
from .overview_page import overview_page
from .periodic_data import periodic
from .periodic_page import periodic_page
from .plain import clip
from .process import process
from .processes_page import processes_page
from .settings import Settings
from .snapshot import processes

__all__ = ["respond"]

_ASSETS = {
    "style.css": "text/css; charset=utf-8",
    "script.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


def respond(request: Request, settings: Settings) -> Response:
    """Answer one request. Blocks on nothing, and never raises."""
    if settings.beacon is not None:
        settings.beacon.light()
    try:
        return _respond(request, settings)
    except Exception as exc:
        report(logging.ERROR, "dashboard: %s failed", clip(request.path, 200), exc_info=exc)
        return failure(request, 500, "The page could not be made; the log says why.")


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
    return handler(Asked(request, settings, parts, wants_json(request), writes))


_READ, _WRITE = ("GET", "HEAD"), ("POST",)

Handler = Callable[[Asked], Response]


def _route(parts: list[str]) -> tuple[tuple[str, ...], Handler] | None:
    match parts:
        case []:
            return _READ, _overview
        case [name] if name in _PAGES:
            return _READ, _PAGES[name]
        case ["job", _]:
            return _READ, _job
        case ["job", _, action] if action in actions.JOB_ACTIONS:
            return _WRITE, _act
        case ["class", action] if action in actions.CLASS_ACTIONS:
            return _WRITE, _act
    return None


# Reading


def _overview(asked: Asked) -> Response:
    return page(asked, overview(asked.settings.health()), overview_page)


def _listing(asked: Asked) -> Response:
    query = {name: value[:LENGTH] for name, value in asked.request.query.items()}
    return page(asked, listing(asked.parts[0], query, asked.settings.arguments), list_page)


def _job(asked: Asked) -> Response:
    data = job(asked.parts[1][:LENGTH], asked.settings.arguments)
    return failure(asked.request, 404, _NO_JOB) if data is None else page(asked, data, job_page)


_NO_JOB = (
    "This process knows of no such job: it has been forgotten, or another process has accepted it."
)


def _find(asked: Asked) -> Response:
    id = asked.request.query.get("id", "").strip()[:LENGTH]
    if not id:
        return redirect(asked.request, "/")
    ending = ".json" if asked.request.path.endswith(".json") else ""
    return redirect(asked.request, f"/job/{quote(id, safe='')}{ending}")


def _threads(asked: Asked) -> Response:
    return page(asked, {"process": process(), "threads": dump()}, threads_page)


def _health(asked: Asked) -> Response:
    """For a load balancer: 200 or 503, as JSON."""
    found = asked.settings.health()
    data = {"process": process(), "ok": found.ok, "reasons": list(found.reasons)}
    return as_json(data, 200 if found.ok else 503)


def _metrics(asked: Asked) -> Response:
    if asked.request.path.endswith(".json"):
        text = "Metrics are text for Prometheus; overview.json has the numbers as JSON."
        return failure(asked.request, 404, text)
    return Response(200, metrics().encode(), CONTENT_TYPE, security.HEADERS)


def _processes(asked: Asked) -> Response:
    settings = asked.settings
    problem = None if settings.beacon is None else settings.beacon.problem
    return page(asked, processes(settings.directory, settings.health(), problem), processes_page)


_PAGES: dict[str, Handler] = {
    "overview": _overview,
    **dict.fromkeys(LISTS, _listing),
    "find": _find,
    "periodic": lambda asked: page(asked, periodic(), periodic_page),
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


def _act(asked: Asked) -> Response:
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
        return as_json({"done": note, "text": actions.NOTES[note]})
    return redirect(request, _back(form.get("back", "/"), note, parts))


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
