"""Tables: columns of cells, and the ways to sort them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .frame import Frame
from .markup import Html, tag

__all__ = ["Cell", "Row", "table"]

Row = Mapping[str, Any]

#: What stands in a row below the name of a column.
Cell = Callable[[Frame, Row], object]


def table(
    frame: Frame,
    caption: str,
    columns: Mapping[str, Cell],
    rows: Sequence[Row],
    kind: str,
    sorts: Mapping[str, str] | None = None,
) -> Html:
    """A table; on a narrow screen each row becomes a card, hence the label on each cell. The
    column without a name has the buttons, and is left out for those who may only look.

    Args:
        frame: Of the page.
        caption: For those who do not see it.
        columns: What stands in each, by name.
        rows: What they are made of.
        kind: Its classes for the style.
        sorts: The word in the address that sorts by a column.
    """
    shown = {name: cell for name, cell in columns.items() if name or frame.token is not None}
    head = [_head(frame, name, (sorts or {}).get(name)) for name in shown]
    body = []
    for row in rows:
        first, *rest = ((name, cell(frame, row)) for name, cell in shown.items())
        cells = [tag("th", first[1], scope="row")]
        for name, content in rest:
            cells.append(tag("td" if name else "td.actions", content, data_label=name or None))
        body.append(tag("tr", cells))
    return tag(
        f"table.{kind}",
        tag("caption.hidden", caption),
        tag("thead", tag("tr", head)),
        tag("tbody", body),
    )


def _head(frame: Frame, name: str, word: str | None) -> Html:
    """The name of a column; a link where it can be sorted by, and back to the usual order."""
    if word is None:
        return tag("th", name or tag("span.hidden", "Actions"), scope="col")
    now = frame.query.get("sort") == word
    others = {n: v for n, v in frame.query.items() if n not in ("sort", "page", "process")}
    path = frame.with_query(frame.path, {**others, "sort": "" if now else word})
    link = frame.link(path, name, title="usual order" if now else f"sort by {name.lower()}")
    return tag("th.sort", link, scope="col", aria_sort="other" if now else None)
