"""From a request to a response: which page, in which form, or why not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from ..core.values.errors import shorten
from ..core.values.hooks import report
from ..observe.dump import dump
from ..observe.health import Health, live
from ..observe.metrics import CONTENT_TYPE, metrics
from . import actions, security
from .answers import LENGTH, Asked, as_json, elsewhere, failure, page, redirect, wants_json
from .body import unfit
from .frame import threads_page
from .guards import Answer, Redirect
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

__all__ = ["Accepted", "decide", "respond"]

_ASSETS = {
    "style.css": "text/css; charset=utf-8",
    "script.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


_READ, _WRITE = ("GET", "HEAD"), ("POST",)

Handler = Callable[[Asked], Response]


class Accepted(NamedTuple):
    """A write that may be carried out, once its body is here."""

    asked: Asked
    handler: Handler

    def carry_out(self, body: bytes) -> Response:
        """Answer it. Never raises."""
        asked = self.asked._replace(request=replace(self.asked.request, body=body))
        if security.outdated(asked.request):
            return failure(asked.request, 403, security.OUTDATED)
        return _answered(asked.request, lambda: self.handler(asked))


def decide(request: Request, settings: Settings) -> Response | Accepted:
    """The answer to a request without its body, or that it is a write that may have one.

    Blocks on nothing but a guard of the user's, and never raises.
    """
    return _answered(request, lambda: _decide(request, settings))


def respond(request: Request, settings: Settings) -> Response:
    """Answer a request that has its body."""
    found = decide(request, settings)
    return found.carry_out(request.body) if isinstance(found, Accepted) else found


R = TypeVar("R")


def _answered(request: Request, answer: Callable[[], R]) -> R | Response:
    try:
        return answer()
    except Exception as exc:
        report(logging.ERROR, "dashboard: %r failed", clip(request.path, 200), exc_info=exc)
        return failure(request, 500, "The page could not be made; the log says why.")


def _decide(request: Request, settings: Settings) -> Response | Accepted:
    if not security.answers_to(request, settings):
        return failure(request, 403, "There is no page under this name.")
    ending = ".json" if request.path.endswith(".json") else ""
    parts = [part for part in request.path.removesuffix(".json").split("/") if part]
    path = "/" + "/".join(parts)
    if path + ending != request.path and request.method in _READ:
        # A guard, or a rule of the server in front, knows each page by one address.
        query = urlencode(request.query)
        return redirect(request, quote(path) + ending + (f"?{query}" if query else ""))
    aliased = path + ending != request.path
    if parts == ["overview"]:
        path, parts = "/", []
    request = replace(request, path=path, ending=ending)
    if parts[:1] == ["assets"]:  # nothing to hide, and the 403 page looks better with it
        return _asset(request, parts[1:])
    answer = security.may_view(request, settings, probe=parts in _PROBES)
    if answer is not True:
        return _refused(request, answer, _NOT_LOCAL if settings.can_view is None else _NO_VIEW)
    if settings.beacon is not None:
        settings.beacon.light()
    found = None if aliased else _route(parts)
    if found is None or (parts == ["processes"] and settings.beacon is None):
        return failure(request, 404, "There is no such page.")
    allowed, handler = found
    if request.method not in allowed:
        return failure(request, 405, f"Use {allowed[0]} here.", ("Allow", ", ".join(allowed)))
    answer = parts not in _PROBES and security.may_write(request, settings)
    asked = Asked(request, settings, parts, wants_json(request), answer is True)
    if allowed == _READ:
        return handler(asked)
    if answer is not True:
        return _refused(request, answer, _READ_ONLY if settings.authorize is None else _NO_WRITE)
    refusal = unfit(request)
    if refusal is not None:
        return refusal
    why = security.foreign(request)
    return Accepted(asked, handler) if why is None else failure(request, 403, why)


_NO_VIEW = "You may not look at this page."
_NOT_LOCAL = (
    "Only a browser on this machine may look at this page, by the name localhost: its mount was "
    "not told who else may (can_view)."
)
_NO_WRITE, _READ_ONLY = "You may not do this.", "This page is read-only."


def _refused(request: Request, answer: Answer, why: str) -> Response:
    """The answer to somebody whom a guard has not let in."""
    return elsewhere(answer.url) if isinstance(answer, Redirect) else failure(request, 403, why)


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
    return redirect(asked.request, f"/job/{quote(id, safe='')}{asked.request.ending}")


def _threads(asked: Asked) -> Response:
    return page(asked, {"process": process(), "threads": dump()}, threads_page)


def _health(asked: Asked) -> Response:
    """Whether somebody should look: 200 or 503, as JSON."""
    return _verdict(asked.settings.health())


def _live(asked: Asked) -> Response:
    """For a platform's probe, whether a restart would help: 200 or 503, as JSON."""
    return _verdict(live())


def _verdict(found: Health) -> Response:
    data = {"process": process(), "ok": found.ok, "reasons": list(found.reasons)}
    return as_json(data, 200 if found.ok else 503)


def _metrics(asked: Asked) -> Response:
    if asked.request.ending:
        text = "Metrics are text for Prometheus; overview.json has the numbers as JSON."
        return failure(asked.request, 404, text)
    return Response(200, metrics().encode(), CONTENT_TYPE, security.HEADERS)


def _processes(asked: Asked) -> Response:
    settings = asked.settings
    problem = None if settings.beacon is None else settings.beacon.problem
    return page(asked, processes(settings.directory, settings.health(), problem), processes_page)


_PAGES: dict[str, Handler] = {
    **dict.fromkeys(LISTS, _listing),
    "find": _find,
    "periodic": lambda asked: page(asked, periodic(), periodic_page),
    "threads": _threads,
    "live": _live,
    "health": _health,
    "metrics": _metrics,
    "processes": _processes,
}
_PROBES = [["live"], ["health"], ["metrics"]]


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
    *_, subject, action = parts if parts[0] == "job" else ("", form.get("job", ""), parts[1])
    try:
        note = (actions.on_job if parts[0] == "job" else actions.on_class)(subject, action)
    except actions.Refused as exc:
        _note(asked, action, subject, "refused")
        return failure(request, 409, str(exc), link=exc.again and f"/job/{exc.again}")
    if note is None:
        return failure(request, 404, _NO_JOB if parts[0] == "job" else "There is no such class.")
    _note(asked, action, subject, note)
    if asked.wants_json:
        return as_json({"done": note, "text": actions.NOTES[note]})
    return redirect(request, _back(form.get("back", "/"), note, parts))


def _note(asked: Asked, action: str, subject: str, outcome: str) -> None:
    """Who did what: a record of each action, on a level that is seen without any set-up."""
    who = security.actor(asked.request, asked.settings)
    kind = asked.parts[0]
    extra = {"actor": who, "action": action, f"{kind}_id" if kind == "job" else "job": subject}
    message = "dashboard: %s: %s of %s %s: %s"
    report(
        logging.WARNING, message, who, action, kind, shorten(subject)[1:-1], outcome, extra=extra
    )


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
