"""A page of a list, put together from the lists of all processes that were asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from heapq import merge
from typing import Any

from .fleet import Fleet, Told
from .list_data import SORTS
from .plain import clip
from .search import FILTER

__all__ = ["DEEPEST", "PAGE", "filter_of", "page_of"]

#: Jobs on one page of a list.
PAGE = 50
#: The last page of a list over several processes: each says in which order its jobs stand, up to
#: there. Whoever wants to see more looks at one process, or narrows the list.
DEEPEST = 200


def filter_of(query: Mapping[str, str]) -> dict[str, str]:
    """What of an address narrows a list or sorts it; only what is there."""
    found = {name: query[name] for name in FILTER if query.get(name)}
    if query.get("sort") in SORTS:
        found["sort"] = query["sort"]
    return found


def page_of(fleet: Fleet, name: str, query: Mapping[str, str]) -> dict[str, Any]:
    """One page of a list.

    Args:
        fleet: Whom to ask.
        name: Of ``list_data.LISTS``.
        query: ``job`` (a class), ``status``, ``tag``, ``error``, ``q`` (a text), ``sort`` and
            ``page`` (from 1) of the address.
    """
    page = _page(query.get("page", ""))
    asked: dict[str, Any] = {"name": name, "query": filter_of(query)}
    found = _found(fleet, asked, page)
    if not found.rows and found.total and page > 1:  # beyond the last one
        page = min(-(-found.total // PAGE), DEEPEST if len(found.told) > 1 else page)
        found = _found(fleet, asked, page)
    told = found.told
    looked = [one.answer["looked"] for one in told if one.answer["looked"] is not None]
    pages = max(1, -(-found.total // PAGE))
    return {
        "list": name,
        "filter": {field: clip(query.get(field, ""), 200) for field in FILTER},
        "sort": asked["query"].get("sort", ""),
        "classes": sorted(([title, long] for long, title in fleet.titles.items())),
        "total": found.total,
        "looked": sum(looked) if looked else None,
        "whole": sum(one.answer["whole"] for one in told),
        "page": page,
        "first": (page - 1) * PAGE + 1,
        "pages": min(pages, DEEPEST) if len(told) > 1 else pages,
        "jobs": found.rows,
    }


def _page(text: str) -> int:
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else 1


class _Found:
    def __init__(self, told: Sequence[Told], rows: list[dict[str, Any]]) -> None:
        self.told, self.rows = told, rows
        self.total = sum(one.answer["total"] for one in told)


def _found(fleet: Fleet, asked: Mapping[str, Any], page: int) -> _Found:
    """Which of the rows of each process are on the page is found out first; one needs no asking."""
    first = (page - 1) * PAGE
    if fleet.single:
        told = fleet.ask("listing", **asked, first=first, count=PAGE, keys=0)
        return _Found(told, [row for one in told for row in one.answer["jobs"]])
    keys = first + PAGE if page <= DEEPEST else 0
    told = fleet.ask("listing", **asked, first=0, count=PAGE if page == 1 else 0, keys=keys)
    order = [*merge(*(_numbered(place, one) for place, one in enumerate(told)))]
    if page == 1:
        return _Found(
            told, [told[place].answer["jobs"][number] for _, place, number in order[:PAGE]]
        )
    before, after = (Counter(place for _, place, _ in order[:end]) for end in (first, first + PAGE))
    wanted = {
        one.name: {**asked, "first": before[n], "count": after[n] - before[n], "keys": 0}
        for n, one in enumerate(told)
    }
    rows = {one.name: one.answer["jobs"] for one in fleet.ask_each("listing", wanted)}
    shown = []
    for _, place, number in order[first : first + PAGE]:
        there = rows.get(told[place].name, [])  # fewer than a moment ago, if jobs have left it
        shown += there[number - before[place] :][:1]
    return _Found(told, shown)


def _numbered(place: int, one: Told) -> list[tuple[Any, int, int]]:
    return [(key, place, number) for number, key in enumerate(one.answer["keys"])]
