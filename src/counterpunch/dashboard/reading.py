"""The pages that are looked at: which question each asks, and how the answers become one page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from ..core.values.short import shorten
from ..observe.health import Health, live
from ..observe.metrics import CONTENT_TYPE
from . import security
from .answers import LENGTH, Asked, as_json, failure, fleet_of, page, redirect
from .bulk_page import bulk_page
from .class_data import joined_class
from .class_page import class_page
from .failures import joined_failures
from .failures_page import failures_page
from .fleet import Fleet, Nobody
from .frame import Frame, threads_page
from .job_page import job_page
from .list_data import LISTS
from .list_page import list_page
from .lists import filter_of, page_of
from .message import Response
from .overview_data import joined
from .overview_page import overview_page
from .periodic_data import joined_periodic
from .periodic_page import periodic_page
from .process import process
from .processes_page import processes_page
from .scrape import together
from .summary import alike, summary

__all__ = ["NO_JOB", "PAGES", "PROBES", "clipped", "confirm", "find", "job", "overview"]

NO_JOB = (
    "No process that can be asked knows of such a job: it has been forgotten, or a process "
    "elsewhere has accepted it."
)

#: A page of those whom a request is about.
Page = Callable[[Asked, Fleet], Response]


def _of(make: Page, everyone: bool = False) -> Callable[[Asked], Response]:
    """Without the others, if no page can be made of what they have answered."""

    def answer(asked: Asked) -> Response:
        fleet = fleet_of(asked, everyone)
        try:
            return make(asked, fleet)
        except Nobody:
            raise
        except Exception as exc:
            if fleet.single and fleet.here:
                raise
            problem = f"no page can be made of the others' answers: {shorten(exc)}"
            return make(asked, fleet.alone(problem))

    return answer


def _joined(
    word: str,
    join: Callable[[list[Any]], dict[str, Any]],
    render: Callable[[Frame, Mapping[str, Any]], str],
) -> Callable[[Asked], Response]:
    """The page of what all have answered to a question without more."""

    def make(asked: Asked, fleet: Fleet) -> Response:
        data = join([one.answer for one in fleet.ask(word)])
        return page(asked, fleet, data, render)

    return _of(make)


def _listing(asked: Asked, fleet: Fleet) -> Response:
    data = page_of(fleet, asked.parts[0], clipped(asked.request.query))
    return page(asked, fleet, data, list_page)


def clipped(query: Mapping[str, str]) -> dict[str, str]:
    """No field of an address is longer than makes sense."""
    most = {"error": 400}
    return {name: value[: most.get(name, LENGTH)] for name, value in query.items()}


def _job(asked: Asked, fleet: Fleet) -> Response:
    found = fleet.find("job", alone=asked.wants_json, id=asked.parts[1][:LENGTH])
    if found is None:
        return failure(asked.request, 404, NO_JOB)
    return page(asked, fleet, found.answer, job_page)


def find(asked: Asked) -> Response:
    id = asked.request.query.get("id", "").strip()[:LENGTH]
    if not id:
        return redirect(asked.request, "/")
    return redirect(asked.request, f"/job/{quote(id, safe='')}{asked.request.ending}")


def _failures(asked: Asked, fleet: Fleet) -> Response:
    query = filter_of(clipped(asked.request.query))
    data = joined_failures([one.answer for one in fleet.ask("failures", query=query)])
    data["filter"] = {name: query.get(name, "") for name in ("job", "q")}
    return page(asked, fleet, data, failures_page)


def _class(asked: Asked, fleet: Fleet) -> Response:
    name = asked.request.query.get("job", "")[:LENGTH]
    told = [one.answer for one in fleet.ask("class", name=name) if one.answer is not None]
    if not told:
        return failure(asked.request, 404, "No process that can be asked knows of such a class.")
    return page(asked, fleet, joined_class(told), class_page)


def _confirm(asked: Asked, fleet: Fleet) -> Response:
    """What is about to be done, before it is."""
    name, action = asked.parts[1:]
    if not asked.writes:
        return failure(asked.request, 403, "This page is for those who may change something.")
    query = filter_of(clipped(asked.request.query))
    told = [one.answer for one in fleet.ask("counted", name=name, query=query)]
    data = {
        "list": name,
        "action": action,
        "filter": query,
        "total": sum(one["total"] for one in told),
        "whole": sum(one["whole"] for one in told),
        "partly": any(one["looked"] is not None for one in told),
    }
    return page(asked, fleet, data, bulk_page)


def _processes(asked: Asked, fleet: Fleet) -> Response:
    found, ours = [], summary(asked.settings.health())
    for one in fleet.ask("summary"):
        if alike(ours, one.answer):
            found.append({"process": dict(one.process), **one.answer, "own": fleet.is_own(one)})
        else:
            why = "its answer is no summary of this version"
            fleet.silent.append({"pid": one.process["pid"], "reason": why})
    data = {
        "process": process(),
        "directory": fleet.path,
        "problem": fleet.problem,
        "processes": found,
        "silent": fleet.silent,
    }
    return page(asked, fleet, data, processes_page)


def _metrics(asked: Asked, fleet: Fleet) -> Response:
    if asked.request.ending:
        text = "Metrics are text for Prometheus; overview.json has the numbers as JSON."
        return failure(asked.request, 404, text)
    texts = [(str(one.process["pid"]), str(one.answer)) for one in fleet.ask("metrics")]
    text = together(texts) if fleet.together else texts[0][1]
    return Response(200, text.encode(), CONTENT_TYPE, security.HEADERS)


def _health(asked: Asked) -> Response:
    """Whether somebody should look: 200 or 503, as JSON."""
    return _verdict(asked.settings.health())


def _live(asked: Asked) -> Response:
    """For a platform's probe, whether a restart would help: 200 or 503, as JSON."""
    return _verdict(live())


def _verdict(found: Health) -> Response:
    data = {"process": process(), "ok": found.ok, "reasons": list(found.reasons)}
    return as_json(data, 200 if found.ok else 503)


overview = _joined("overview", joined, overview_page)
job = _of(_job, everyone=True)
confirm = _of(_confirm)
PAGES: Mapping[str, Callable[[Asked], Response]] = {
    **dict.fromkeys(LISTS, _of(_listing)),
    "errors": _of(_failures),
    "class": _of(_class),
    "find": find,
    "periodic": _joined("periodic", joined_periodic, periodic_page),
    "threads": _joined("threads", lambda told: {"threads": "\n".join(told)}, threads_page),
    "live": _live,
    "health": _health,
    "metrics": _of(_metrics),
    "processes": _of(_processes, everyone=True),
}
#: What machines look at; ``probes`` of the mount says which may.
PROBES = [["live"], ["health"], ["metrics"]]
