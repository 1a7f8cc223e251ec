"""From a request to a response: which page, in which form, or why not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import quote, urlencode

from ..core.values.hooks import report
from . import security, theme
from .actions import CLASS_ACTIONS, JOB_ACTIONS, PROCESS_ACTIONS
from .answers import Asked, elsewhere, failure, redirect, wants_json
from .body import unfit
from .bulk import ACTIONS
from .fleet import Nobody
from .guards import Answer, Redirect
from .message import Request, Response
from .plain import clip, show
from .reading import PAGES, PROBES, confirm, job, overview
from .search import FILTER
from .settings import Settings
from .writing import back_of, on_class, on_job, on_list, on_process

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
        return _answered(asked.request, lambda: _misread(asked.request) or self.handler(asked))


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
    except Nobody as exc:
        return failure(request, exc.status, str(exc))
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
    answer = security.may_view(request, settings, probe=parts in PROBES)
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
    answer = parts not in PROBES and security.may_write(request, settings)
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


#: Of a form of these pages.
_FIELDS = {security.FIELD, "back", "process", "sort", *FILTER}


def _misread(request: Request) -> Response | None:
    """Why nothing is done about a write of which a part was not understood: without its filter it
    would be about all jobs, and without its process about all of them."""
    form = request.form
    if request.body and not form:
        return failure(request, 415, "The body is not a form (application/x-www-form-urlencoded).")
    unknown = next((name for name in form if name not in _FIELDS), None)
    if unknown is not None:
        return failure(request, 400, f"There is no field {show(unknown, 50)} here.")
    if request.query:
        return failure(request, 400, "The fields of a write stand in its body, as a form.")
    return None


def _route(parts: list[str]) -> tuple[tuple[str, ...], Handler] | None:
    match parts:
        case []:
            return _READ, overview
        case ["theme", name] if name in theme.THEMES:
            return _READ, _theme
        case [name] if name in PAGES:
            return _READ, PAGES[name]
        case ["job", _]:
            return _READ, job
        case ["job", _, action] if action in JOB_ACTIONS:
            return _WRITE, lambda asked: on_job(asked, _own)
        case ["class", action] if action in CLASS_ACTIONS or action == "run":
            return _WRITE, lambda asked: on_class(asked, _own)
        case ["process", action] if action in PROCESS_ACTIONS:
            return _WRITE, lambda asked: on_process(asked, _own)
        case ["confirm", name, action] if action in ACTIONS.get(name, ()):
            return _READ, confirm
        case ["bulk", name, action] if action in ACTIONS.get(name, ()):
            return _WRITE, lambda asked: on_list(asked, _own)
    return None


def _own(parts: list[str]) -> bool:
    """Whether an address is that of a page to come back to."""
    found = _route(parts)
    return found is not None and found[0] == _READ and parts[:1] not in (["theme"], ["confirm"])


def _theme(asked: Asked) -> Response:
    """Keep a choice of colours, and back to the page."""
    address = back_of(asked.request.query.get("back", "/"), {}, asked.parts, _own)
    chosen = theme.cookie(asked.request, asked.parts[1])
    return redirect(asked.request, address, chosen)


def _asset(request: Request, parts: list[str]) -> Response:
    if len(parts) != 1 or parts[0] not in _ASSETS:
        return failure(request, 404, "There is no such page.")
    if request.method not in _READ:
        return failure(request, 405, "Use GET here.", ("Allow", ", ".join(_READ)))
    body = Path(__file__).with_name(parts[0]).read_bytes()
    return Response(200, body, _ASSETS[parts[0]], security.HEADERS)
