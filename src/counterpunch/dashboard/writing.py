"""What the buttons lead to: who is told to do it, what came of it, and back to the page."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from ..core.values.errors import shorten
from ..core.values.hooks import report
from . import security
from .answers import Asked, as_json, failure, fleet_of, redirect
from .fleet import ACTING, Fleet, Told
from .lists import filter_of
from .message import Response
from .notes import NOTE, noted
from .reading import NO_JOB, clipped

__all__ = ["back_of", "on_class", "on_job", "on_list", "on_process"]

#: Says whether an address is that of a page that is looked at.
Own = Callable[[list[str]], bool]

_NO_CLASS = "No process that can be asked knows of such a class."


def on_job(asked: Asked, own: Own) -> Response:
    """In the process that has the job."""
    _, id, action = asked.parts
    fleet = fleet_of(asked, everyone=True)
    found = fleet.find("on_job", patience=ACTING, id=id[:200], action=action)
    outcome = None if found is None else found.answer
    if outcome is None:
        return failure(asked.request, 404, f"{NO_JOB} {_silent(fleet)}".strip())
    if "refused" in outcome:
        _log(asked, id, "refused")
        again = outcome.get("again")
        link = f"/job/{quote(str(again), safe='')}" if again else None
        return failure(asked.request, 409, str(outcome["refused"]), link=link)
    _log(asked, id, outcome["done"])
    return _done(asked, own, {"note": outcome["done"]})


def on_class(asked: Asked, own: Own) -> Response:
    """In every process that knows the class, or in the one that the page was about."""
    action, name = asked.parts[1], asked.request.form.get("job", "")
    if action == "run":
        return _run(asked, own, name)
    fleet = fleet_of(asked)
    told = fleet.ask("on_class", patience=ACTING, name=name[:200], action=action)
    return _of_all(asked, own, fleet, told, name)


def _run(asked: Asked, own: Own, name: str) -> Response:
    """Once, in a process that has the class armed."""
    found = fleet_of(asked).first("run", name=name[:200])
    if found is None:
        return failure(asked.request, 404, "No process that can be asked has such a class armed.")
    if "refused" in found.answer:
        _log(asked, name, "refused")
        return failure(asked.request, 409, str(found.answer["refused"]))
    _log(asked, name, "ran")
    return _done(asked, own, {"note": "ran"}, id=found.answer["id"])


def on_process(asked: Asked, own: Own) -> Response:
    """In the one that the button stands by, or in all."""
    fleet = fleet_of(asked)
    told = fleet.ask("on_process", patience=ACTING, action=asked.parts[1])
    return _of_all(asked, own, fleet, told, fleet.chosen or "all")


def _of_all(asked: Asked, own: Own, fleet: Fleet, told: list[Told], subject: str) -> Response:
    """Done in some of them at least, or refused by all of them, for one reason or another."""
    outcomes = [one.answer for one in told if one.answer is not None]
    done = [outcome["done"] for outcome in outcomes if "done" in outcome]
    if not done:
        text = str(outcomes[0]["refused"]) if outcomes else _NO_CLASS
        if outcomes:
            _log(asked, subject, "refused")
        return failure(asked.request, 409 if outcomes else 404, f"{text} {_silent(fleet)}".strip())
    note, where = {"note": done[0]}, ""
    if fleet.together:
        places = len(told) + len(fleet.silent)
        note["in"] = f"{len(done)}.{places}"
        where = f" in {len(done)} of {places} processes"
    _log(asked, subject, done[0] + where)
    return _done(asked, own, note)


def on_list(asked: Asked, own: Own) -> Response:
    """To all jobs that a list shows with its filter, some at a time, in each process."""
    _, name, action = asked.parts
    fleet = fleet_of(asked)
    query = filter_of(clipped(asked.request.form))
    told = fleet.ask("on_list", patience=ACTING, name=name, query=query, action=action)
    done = sum(one.answer["done"] for one in told)
    why = next((str(one.answer["why"]) for one in told if one.answer["why"]), "")
    if not done:
        text = f"Nothing was changed. {why}" if why else "No job fits the filter any more."
        return failure(asked.request, 409, f"{text} {_silent(fleet)}".strip())
    word = {"retry": "several-retried", "discard": "several-removed", "run": "several-run"}
    note = {"note": word.get(action, "several-cancelled"), "n": str(done)}
    _log(asked, f"{name} {urlencode(query)}".strip(), f"{done} jobs")
    left = sum(one.answer["left"] for one in told)
    if left:
        note["left"] = str(left)
    return _done(asked, own, note)


def _log(asked: Asked, subject: str, outcome: str) -> None:
    """Who did what: a record of each action, on a level that is seen without any set-up."""
    who = security.actor(asked.request, asked.settings)
    kind, action = asked.parts[0], asked.parts[-1]
    extra = {"actor": who, "action": action, "job_id" if kind == "job" else "job": subject}
    message = "dashboard: %s: %s of %s %s: %s"
    report(
        logging.WARNING, message, who, action, kind, shorten(subject)[1:-1], outcome, extra=extra
    )


def _silent(fleet: Fleet) -> str:
    silent = "; ".join(f"pid {one['pid']}, {one['reason']}" for one in fleet.silent)
    return silent and f"Not asked: {silent}"


def _done(asked: Asked, own: Own, note: Mapping[str, str], **more: Any) -> Response:
    if asked.wants_json:
        places = note.get("in")
        if places:
            done, _, of = places.partition(".")
            more["processes"] = {"done": int(done), "of": int(of)}
        if "n" in note:
            more["jobs"] = int(note["n"])
        return as_json({"done": note["note"], "text": noted(note), **more})
    address = asked.request.form.get("back", "/")
    return redirect(asked.request, back_of(address, note, asked.parts, own))


def back_of(address: str, note: Mapping[str, str], parts: list[str], own: Own) -> str:
    """The address to return to: one of our own pages, whatever the form says."""
    try:
        split = urlsplit(address)
    except ValueError:
        split = urlsplit("/")
    below = [part for part in split.path.split("/") if part]
    is_own = not split.scheme and not split.netloc and own(below)
    removed = note.get("note") == "removed"
    if not is_own or (removed and below[:1] == ["job"]):
        below, split = ["failed"] if removed else [], urlsplit("/")
    query = [(name, value) for name, value in parse_qsl(split.query) if name not in NOTE]
    path = "/".join(quote(part, safe="") for part in below)
    search = urlencode([*query, *note.items()])
    return f"/{path}?{search}" if search else f"/{path}"
