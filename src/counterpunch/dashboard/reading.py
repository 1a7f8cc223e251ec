"""The pages that are looked at: which question each asks, and how the answers become one page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ..observe.health import Health, live
from ..observe.metrics import CONTENT_TYPE
from . import security
from .answers import LENGTH, Asked, as_json, failure, fleet_of, page, redirect
from .bulk_page import bulk_page
from .class_data import joined_class
from .class_page import class_page
from .failures import joined_failures
from .failures_page import failures_page
from .fleet import Fleet, Told
from .frame import threads_page
from .job_page import job_page
from .list_data import LISTS
from .list_page import list_page
from .lists import filter_of, page_of
from .message import Response
from .names import shown
from .overview_data import joined
from .overview_page import overview_page
from .periodic_data import joined_periodic
from .periodic_page import periodic_page
from .process import process
from .processes_page import processes_page
from .scrape import together

__all__ = ["NO_JOB", "PAGES", "PROBES", "clipped", "confirm", "find", "job", "overview"]

NO_JOB = (
    "No process that can be asked knows of such a job: it has been forgotten, or a process "
    "elsewhere has accepted it."
)

Answers = Sequence[Any]


def _put(
    fleet: Fleet, told: Sequence[Told], join: Callable[[Answers], dict[str, Any]]
) -> dict[str, Any]:
    """What they have answered, as one; without who answers what cannot be put together."""
    try:
        return join([one.answer for one in told])
    except (LookupError, TypeError, ValueError, AttributeError) as exc:
        own = [one for one in told if fleet.is_own(one)]
        if len(own) == len(told):
            raise
        fleet.problem = f"the others' answers cannot be put together: {exc!r}"
        return join([one.answer for one in own])


def overview(asked: Asked) -> Response:
    fleet = fleet_of(asked)
    told = fleet.ask("overview")
    if not told:
        return _nobody(asked, fleet)
    data = _put(fleet, told, joined)
    data["sort"] = asked.request.query.get("sort", "")
    return page(asked, fleet, data, overview_page)


def _nobody(asked: Asked, fleet: Fleet) -> Response:
    reasons = "; ".join(f"pid {one['pid']}: {one['reason']}" for one in fleet.silent)
    text = f"The process {fleet.chosen} does not answer. {reasons}" if reasons else (
        f"There is no process {fleet.chosen} of this user on this host."
    )  # fmt: skip
    return failure(asked.request, 503 if reasons else 404, text)


def _listing(asked: Asked) -> Response:
    fleet = fleet_of(asked)
    data = page_of(fleet, asked.parts[0], clipped(asked.request.query))
    if not fleet.answered:
        return _nobody(asked, fleet)
    return page(asked, fleet, data, list_page)


def clipped(query: Mapping[str, str]) -> dict[str, str]:
    """No field of an address is longer than makes sense."""
    most = {"error": 400}
    return {name: value[: most.get(name, LENGTH)] for name, value in query.items()}


def job(asked: Asked) -> Response:
    fleet = fleet_of(asked, everyone=True)
    found = fleet.find("job", alone=asked.wants_json, id=asked.parts[1][:LENGTH])
    if found is None:
        return failure(asked.request, 404, NO_JOB)
    data = dict(found.answer)
    data["job"] = shown(data.pop("names")).get(data["class"], data["job"])
    return page(asked, fleet, data, job_page)


def find(asked: Asked) -> Response:
    id = asked.request.query.get("id", "").strip()[:LENGTH]
    if not id:
        return redirect(asked.request, "/")
    return redirect(asked.request, f"/job/{quote(id, safe='')}{asked.request.ending}")


def _failures(asked: Asked) -> Response:
    fleet = fleet_of(asked)
    query = filter_of(clipped(asked.request.query))
    told = fleet.ask("failures", query=query)
    if not told:
        return _nobody(asked, fleet)
    data = _put(fleet, told, joined_failures)
    data["filter"] = {name: query.get(name, "") for name in ("job", "q")}
    return page(asked, fleet, data, failures_page)


def _class(asked: Asked) -> Response:
    fleet = fleet_of(asked)
    name = asked.request.query.get("job", "")[:LENGTH]
    told = [one for one in fleet.ask("class", name=name) if one.answer is not None]
    if not told:
        return failure(asked.request, 404, "No process that can be asked knows of such a class.")
    return page(asked, fleet, _put(fleet, told, joined_class), class_page)


def _periodic(asked: Asked) -> Response:
    fleet = fleet_of(asked)
    told = fleet.ask("periodic")
    if not told:
        return _nobody(asked, fleet)
    return page(asked, fleet, _put(fleet, told, joined_periodic), periodic_page)


def _threads(asked: Asked) -> Response:
    fleet = fleet_of(asked)
    told = fleet.ask("threads")
    if not told:
        return _nobody(asked, fleet)
    return page(asked, fleet, {"threads": "\n".join(one.answer for one in told)}, threads_page)


def confirm(asked: Asked) -> Response:
    """What is about to be done, before it is."""
    name, action = asked.parts[1:]
    if not asked.writes:
        return failure(asked.request, 403, "This page is for those who may change something.")
    fleet = fleet_of(asked)
    query = filter_of(clipped(asked.request.query))
    told = fleet.ask("counted", name=name, query=query)
    data = {
        "list": name,
        "action": action,
        "filter": query,
        "total": sum(one.answer["total"] for one in told),
        "whole": sum(one.answer["whole"] for one in told),
        "partly": any(one.answer["looked"] is not None for one in told),
    }
    return page(asked, fleet, data, bulk_page)


def _processes(asked: Asked) -> Response:
    fleet = fleet_of(asked, everyone=True)
    found = []
    for one in fleet.ask("summary"):
        row = {"process": dict(one.process), **one.answer, "own": fleet.is_own(one)}
        if _fits(row):
            found.append(row)
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


def _fits(row: Mapping[str, Any]) -> bool:
    """Whether a page can be made of what a peer has said of itself."""
    total, health = row.get("total"), row.get("health")
    if not isinstance(total, dict) or not isinstance(health, dict):
        return False
    counts = ("running", "queued", "delayed", "failed", "succeeded")
    workers = total.get("workers")
    return (
        all(type(total.get(name)) is int for name in counts)
        and type(total.get("oldest_wait")) in (int, float)
        and isinstance(workers, dict)
        and all(type(workers.get(name)) is int for name in ("total", "busy"))
        and isinstance(health.get("reasons"), list)
        and all(isinstance(reason, str) for reason in health["reasons"])
    )


def _metrics(asked: Asked) -> Response:
    if asked.request.ending:
        text = "Metrics are text for Prometheus; overview.json has the numbers as JSON."
        return failure(asked.request, 404, text)
    fleet = fleet_of(asked)
    told = fleet.ask("metrics")
    texts = [(str(one.process["pid"]), str(one.answer)) for one in told]
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


PAGES: Mapping[str, Callable[[Asked], Response]] = {
    **dict.fromkeys(LISTS, _listing),
    "errors": _failures,
    "class": _class,
    "find": find,
    "periodic": _periodic,
    "threads": _threads,
    "live": _live,
    "health": _health,
    "metrics": _metrics,
    "processes": _processes,
}
#: What machines look at; ``probes`` of the mount says which may.
PROBES = [["live"], ["health"], ["metrics"]]
