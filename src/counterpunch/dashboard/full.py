"""A value as a text of many lines, for the page of one job: all of it, up to a size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from ..core.values.short import short

__all__ = ["ROOM", "Full"]

#: Characters of all arguments of a job together.
ROOM = 50_000
#: Containers within containers.
DEPTH = 8
#: What fits stays in one line.
LINE = 88
#: Characters of a value that is no plain container, text or bytes.
OTHER = 2000

_ENDS: dict[type, str] = {list: "[]", tuple: "()", set: "{}", dict: "{}"}


class Full:
    """Writes one value after the other, as long as there is room; never raises.

    ``full(value)`` gives the text of a value as Python would write it, an entry to a line where
    it is long.
    """

    def __init__(self, room: int = ROOM) -> None:
        self.room = room

    def __call__(self, value: object) -> str:
        """The text; the end says if there was no room for more."""
        return self._text(value, "", DEPTH)

    def _text(self, value: Any, indent: str, depth: int) -> str:
        kind = type(value)
        if kind is str or kind is bytes:
            return self._taken(self._cut(value))
        ends = _ENDS.get(kind)
        if ends is None or not depth or not value:
            return self._taken(short(value, max(1, min(OTHER, self.room))))
        line = short(value, LINE + 1, "...")
        if len(line) <= LINE and "..." not in line:
            return self._taken(line)
        inner = indent + "    "
        if kind is dict:
            return self._lines(
                ends, indent, value.items(), lambda pair: self._pair(pair, inner, depth)
            )
        return self._lines(ends, indent, value, lambda one: self._text(one, inner, depth - 1))

    def _pair(self, pair: tuple[Any, Any], inner: str, depth: int) -> str:
        return f"{self._taken(short(pair[0], 200))}: {self._text(pair[1], inner, depth - 1)}"

    def _lines(
        self, ends: str, indent: str, entries: Iterable[Any], write: Callable[[Any], str]
    ) -> str:
        lines = []
        try:
            # Not to the end: it may grow meanwhile.
            for entry in islice(entries, ROOM):
                if self.room <= 0:
                    lines.append(f"{indent}    …")
                    break
                lines.append(f"{indent}    {write(entry)},")
                self.room -= len(indent) + 6
        except RuntimeError:  # the job changes it just now
            lines.append(f"{indent}    … changing")
        return "\n".join([ends[0], *lines, indent + ends[1]])

    def _cut(self, value: Any) -> str:
        room = max(1, self.room)
        more = f"… ({len(value):,} in all)" if len(value) > room else ""
        return repr(value[:room]) + more

    def _taken(self, text: str) -> str:
        self.room -= len(text)
        return text
