"""An exception as text: for a handle, a page and the log. None of these raises."""

from __future__ import annotations

import traceback
from itertools import islice

from .matching import is_a, leaves, name_of
from .twin import FRAMES, linked

__all__ = [
    "error_text", "head_of", "headline", "message_of", "one_line", "printable", "traceback_of",
]  # fmt: skip

#: A text is cut to about so many characters: its beginning, with the message, and its end are kept.
ERROR_TEXT = 20_000
#: So many causes, contexts and members are followed, and so many members are named.
MOST_LINKED, MOST_NAMED = 1_000, 3

_TRACEBACK = "Traceback (most recent call last):"
_BEGINNINGS = (f"\n\n{_TRACEBACK}", f"\n\n  + Exception Group {_TRACEBACK}")
_MODULE = vars(type)["__module__"]
_LINKS = frozenset({"__cause__", "__class__", "__context__", "__suppress_context__", "exceptions"})


def error_text(exc: BaseException) -> str:
    """Type and message, whole, and then the traceback."""
    head = headline(exc)
    if len(head) > ERROR_TEXT // 2:
        head = head[: ERROR_TEXT // 2] + "..."
    try:
        text = traceback_of(exc)
    except BaseException as broken:  # an exception may bring anything with it
        text = f"{_TRACEBACK} (formatting it raised {name_of(type(broken))})"
    room = ERROR_TEXT - len(head)
    if len(text) > room:
        text = f"{_TRACEBACK}\n..." + text[-room:]
    return f"{head}\n\n{text}"


def head_of(text: str) -> str:
    """Type and message, out of what ``error_text`` gave; any other text as it is."""
    for beginning in _BEGINNINGS:
        text = text.partition(beginning)[0]
    return text


def traceback_of(exc: BaseException) -> str:
    """As Python prints it; by itself, if what it is linked to may have no end."""
    if printable(exc):
        text = "".join(traceback.format_exception(exc))
        return text if _TRACEBACK in text.partition("\n")[0] else f"{_TRACEBACK}\n{text}"
    frames = "".join(traceback.format_tb(FRAMES.__get__(exc)))
    return f"{_TRACEBACK}\n{frames}{headline(exc)}\n"


def printable(exc: BaseException) -> bool:
    """False if Python should not follow what it is linked to: there is too much of it, or its class
    makes it up each time it is asked."""
    for count, one in enumerate(linked(exc)):
        kinds = (kind for kind in type(one).__mro__ if _MODULE.__get__(kind) != "builtins")
        if count >= MOST_LINKED or any(_LINKS & vars(kind).keys() for kind in kinds):
            return False
    return True


def headline(exc: BaseException) -> str:
    """Type and message, whole; of a group, its first members as well."""
    text = message_of(exc).strip()
    head = f"{name_of(type(exc))}: {text}" if text else name_of(type(exc))
    if not is_a(exc, BaseExceptionGroup):
        return head
    found = list(islice(leaves(exc), MOST_NAMED + 1))
    named = [one_line(leaf) for leaf in found[:MOST_NAMED]] + ["..."] * (len(found) > MOST_NAMED)
    return f"{head}: {'; '.join(named)}"


def message_of(exc: BaseException) -> str:
    try:
        return str(exc)
    except BaseException:
        return "its __str__ failed"


def one_line(exc: BaseException) -> str:
    """Type and the first line of the message."""
    return headline(exc).split("\n", 1)[0][:500]
