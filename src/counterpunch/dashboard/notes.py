"""What a page says of the action that led to it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .actions import NOTES

__all__ = ["NOTE", "noted"]

_COUNT = re.compile(r"\d{1,9}", re.ASCII)
_PLACES = re.compile(r"(\d{1,4})\.(\d{1,4})", re.ASCII)


#: The fields of an address that tell of the action before.
NOTE = ("note", "in", "n", "left")


def noted(query: Mapping[str, str]) -> str | None:
    """What a page says of the action before it, by the words in its address."""
    text = NOTES.get(query.get("note", ""))
    if text is None:
        return None
    if _COUNT.fullmatch(query.get("n", "")):
        text += f" {int(query['n']):,}."
        if _COUNT.fullmatch(query.get("left", "")):
            text += f" {int(query['left']):,} more fit: do it again for those."
    places = _PLACES.fullmatch(query.get("in", ""))
    if places:
        many = "process" if places[2] == "1" else "processes"
        text += f" Done in {int(places[1])} of {int(places[2])} {many}."
        if query["note"] == "paused":
            text += " A process that starts later is not paused."
    return text
