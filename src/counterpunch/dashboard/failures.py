"""Failed jobs by what went wrong: how often, since when, and when last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.port import current
from .job_data import iso
from .list_data import chosen
from .names import known
from .search import error_line, kind_of

__all__ = ["failures", "joined_failures"]

#: Groups that one process tells of, the most frequent ones.
MOST = 200


def failures(arguments: bool, query: Mapping[str, str]) -> dict[str, Any]:
    """The remembered failures of this process that fit a filter, by class and error."""
    calls, _, looked = chosen("failed", query, arguments)
    names = {cls: name for name, cls in known().items()}
    lines: dict[str, str] = {}
    groups: dict[tuple[Any, str], list[Any]] = {}
    for call in calls:  # the latest first
        error = call.error or call.state.value
        kind = lines.get(error)
        if kind is None:
            kind = lines[error] = kind_of(error_line(error))
        group = groups.get((call.job, kind))
        if group is None:
            groups[call.job, kind] = [1, call, call]
        else:
            group[0] += 1
            group[2] = call
    most = sorted(groups.items(), key=lambda item: -item[1][0])[:MOST]
    return {
        "total": len(calls),
        "looked": looked,
        "groups": [
            {
                "class": names.get(job, job.__qualname__),
                "job": job.__qualname__,
                "kind": kind,
                "count": count,
                "error": error_line(last.error or last.state.value),
                "last": last.id,
                "first_at": iso(first.finished_at),
                "last_at": iso(last.finished_at),
                "last_ago": current().clock.monotonic() - (last.finished or 0.0),
            }
            for (job, kind), (count, last, first) in most
        ],
    }


def joined_failures(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The same of several processes, the latest first."""
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for one in found:
        for row in one["groups"]:
            key = row["class"], row["kind"]
            known = groups.get(key)
            if known is None:
                groups[key] = {**row, "processes": 1}
                continue
            later = row if row["last_ago"] < known["last_ago"] else known
            groups[key] = {
                **later,
                "count": known["count"] + row["count"],
                "first_at": min(known["first_at"], row["first_at"]),
                "processes": known["processes"] + 1,
            }
    return {
        "total": sum(one["total"] for one in found),
        "groups": sorted(groups.values(), key=lambda row: float(row["last_ago"])),
    }
