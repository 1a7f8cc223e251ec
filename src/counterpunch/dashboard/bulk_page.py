"""What is about to be done to many jobs, and the button that does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .bulk import MOST
from .frame import LISTS, Frame, document
from .markup import tag

__all__ = ["VERBS", "bulk_page"]

VERBS = {"retry": "Retry", "discard": "Discard", "cancel": "Cancel", "run": "Run now"}

_WHAT = {
    "retry": "Each is enqueued again, as a new job; those that were retried already are not.",
    "discard": "They are forgotten: neither their errors nor their arguments can be seen again.",
    "cancel": "Those that wait will never start; those that run are asked to stop.",
    "run": "They become due at once.",
}


_FIELDS = {"q": "search", "job": "class", "status": "status", "tag": "tag", "error": "error"}


def bulk_page(frame: Frame, data: Mapping[str, Any]) -> str:
    name, action, total = data["list"], data["action"], data["total"]
    verb = VERBS[action]
    back = frame.link(frame.with_query(f"/{name}", data["filter"]), "No, back to the list")
    if not total:
        return document(frame, f"{verb} jobs", tag("p", "No job fits the filter."), tag("p", back))
    jobs = "job" if total == 1 else "jobs"
    narrowed = [
        tag("li", f"{_FIELDS[n]}: {value}") for n, value in data["filter"].items() if n in _FIELDS
    ]
    bound = f" At most {MOST:,} at once in each process." if total > MOST or data["partly"] else ""
    list_of = frame.with_query(f"/{name}", data["filter"])
    button = frame.button(
        f"/bulk/{name}/{action}", f"{verb} {total:,} {jobs}", "", "strong", back=list_of,
        **data["filter"],
    )  # fmt: skip
    where = f" in {len(frame.scope['processes'])} processes" if frame.several else ""
    return document(
        frame,
        f"{verb} {total:,} {LISTS[name].lower()} {jobs}{where}?",
        tag("p", _WHAT[action] + bound),
        [tag("p", "Those that fit:"), tag("ul", narrowed)] if narrowed else
        tag("p", f"All of the list: {data['whole']:,}."),
        tag("div.buttons", button, tag("p", back)),
    )  # fmt: skip
