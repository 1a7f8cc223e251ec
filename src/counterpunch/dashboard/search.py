"""Whether a job fits what somebody looks for: its class, status, tag, error, and any text.

A text is looked for in the id, the tags, the error and the arguments as the pages show them: what
is hidden there cannot be found here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..core.values.arguments import hidden, shown_arguments
from ..core.values.clock import monotonic
from ..core.values.handle import Handle
from ..core.values.short import clean
from .names import class_of
from .plain import clip, show

__all__ = ["ACTING_SECONDS", "FILTER", "Search", "error_line", "kind_of"]

#: The fields of a filter, as they stand in an address.
FILTER = ("job", "status", "tag", "error", "q")
#: Characters of an error in a list.
ERROR_LINE = 300
#: Seconds that one look through a list may take, for a page and for an action; what is left then
#: is said.
SECONDS, ACTING_SECONDS = 0.04, 0.5

_PLAIN = frozenset(map(id, (float, bool, type(None))))
MOST = 10**18  # of a number
#: What differs from one failure to the next of the same kind: texts in quotes, numbers, ids.
_PARTICULAR = re.compile(r"'[^']*'|\"[^\"]*\"|\b(?:0x)?[0-9a-fA-F]*\d[0-9a-fA-F]*\b")


class Search:
    """One look through jobs, for as long as its time lasts.

    Args:
        query: Of ``FILTER``; a missing or empty one fits every job.
        arguments: Whether arguments may be shown, and so found.
        seconds: How long it may take.
    """

    def __init__(
        self, query: Mapping[str, str], arguments: bool, seconds: float | None = None
    ) -> None:
        wanted = {name: query.get(name, "") for name in FILTER}
        self.job = class_of(wanted["job"]) if wanted["job"] else None
        self.nothing = bool(wanted["job"]) and self.job is None
        self._status, self._tag, self._error = wanted["status"], wanted["tag"], wanted["error"]
        self._text = wanted["q"].lower()
        self._arguments = arguments
        self._seconds = SECONDS if seconds is None else seconds
        self._slow = bool(self._text or self._error)
        #: How many of the list it looked at, if its time was up before the end.
        self.looked: int | None = None

    def through(self, calls: list[Handle[Any]]) -> list[Handle[Any]]:
        """Those that fit, in the same order."""
        if self.nothing:
            return []
        if self._status:
            status = self._status
            calls = [call for call in calls if call.state == status]
        if self._tag:
            calls = _tagged(calls, self._tag)
        if not self._slow:
            return calls
        found = []
        end = monotonic() + self._seconds
        for number, call in enumerate(calls):
            if not number & 63 and monotonic() > end:
                self.looked = number
                break
            if self._fits(call):
                found.append(call)
        return found

    def _fits(self, call: Handle[Any]) -> bool:
        error = call.error
        if self._error and (error is None or kind_of(error_line(error)) != self._error):
            return False
        text = self._text
        if not text:
            return True
        if (error is not None and text in error.lower()) or text in _arguments(
            call, self._arguments
        ):
            return True
        return text in call.id or any(text in tag.lower() for tag in call.tags)


def _tagged(calls: list[Handle[Any]], tag: str) -> list[Handle[Any]]:
    """Most have no tags but those of their class."""
    of_lanes = {lane: tag in lane.options.tags for lane in {call.lane for call in calls}}
    return [
        call
        for call in calls
        if of_lanes[call.lane] or (call.more is not None and tag in call.tags)
    ]


def _arguments(call: Handle[Any], allowed: bool) -> str:
    """As a page shows them, in small letters; most are plain, and that is quick."""
    if not allowed:
        return ""
    if not hidden(call) and not call.described and not call.named and _light(call.args):
        return repr(call.args).lower()
    return (shown_arguments(call, _short, 20) or "").lower()


def _light(args: tuple[Any, ...]) -> bool:
    """Whether their repr is quickly made, and as long as what a page shows."""
    return all(
        id(kind) in _PLAIN
        or (kind is str and len(value) < 200)
        or (kind is int and -MOST < value < MOST)
        for value, kind in zip(args, map(type, args), strict=True)
    )


def _short(value: object) -> str:
    return show(value, 200)


def error_line(error: str) -> str:
    """What names the exception: the first line of a text that begins with it, else the last line
    of a traceback that is not indented."""
    if not error.startswith("Traceback "):
        return clip(error.lstrip().partition("\n")[0], ERROR_LINE)
    lines = [line for line in error.strip().splitlines() if line and not line[0].isspace()]
    return clip(lines[-1] if lines else error.strip(), ERROR_LINE)


def kind_of(line: str) -> str:
    """The error without what is particular to this one: the same for all of its kind. It travels
    in addresses and forms, and so has no control characters."""
    return clip(clean(_PARTICULAR.sub("…", line)), ERROR_LINE)
