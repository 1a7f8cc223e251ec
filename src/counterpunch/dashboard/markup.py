"""HTML from nested calls, escaped by default: there is no other way to put text in."""

from __future__ import annotations

from html import escape
from typing import Any

__all__ = ["DASH", "NONE", "Html", "duration", "join", "tag", "when"]

DASH = "\N{EN DASH}"

_VOID = frozenset({"input", "link", "meta", "wbr"})


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Child = Any  # None, str, Html, int, float, or a list of such


def tag(name: str, /, *children: Child, **attributes: Any) -> Html:
    """One element: ``tag("p.lead", "text", id="first")``.

    What follows the dot is its class. An attribute that is None or False is left out, True has
    no value; its name is written as Python allows: ``for_``, ``aria_label``.
    """
    name, _, kind = name.partition(".")
    parts = [f"<{name}"]
    for key, value in {"class": kind or None, **attributes}.items():
        if value is True:
            parts.append(f" {key}")
        elif value is not None and value is not False:
            key = key.rstrip("_").replace("_", "-")
            parts.append(f' {key}="{_text(str(value))}"')
    parts.append(">")
    if name not in _VOID:
        parts += [join(*children), f"</{name}>"]
    return Html("".join(parts))


#: What moves the cursor of a terminal into which a page is copied, or turns the text around it.
_CONTROLS = dict.fromkeys(
    {*range(32), *range(127, 160), 0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F),
     *range(0x2066, 0x206A)} - {9, 10},
    "\N{REPLACEMENT CHARACTER}",
)  # fmt: skip


def _text(text: str) -> str:
    return escape(text if text.isprintable() else text.translate(_CONTROLS))


def join(*children: Child) -> Html:
    """Children one after the other."""
    parts: list[str] = []
    for child in children:
        if isinstance(child, Html):
            parts.append(child)
        elif isinstance(child, (list, tuple)):
            parts.append(join(*child))
        elif child is not None:
            parts.append(_text(str(child)))
    return Html("".join(parts))


#: In place of a value that there is not.
NONE = tag("span.zero", DASH)


def duration(seconds: float | None) -> str:
    """Seconds as people say them: two figures, the unit that fits."""
    if seconds is None:
        return DASH
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs" if seconds else "0 s"
    if seconds < 1:
        return f"{seconds * 1000:.2g} ms" if seconds < 0.0995 else f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def when(moment: str | None, text: str | None = None) -> Html:
    """A moment (ISO) as a ``time`` element: ``text``, or the clock in UTC."""
    if moment is None:
        return NONE
    shown = text if text is not None else f"{moment[:10]} {moment[11:19]} UTC"
    return tag("time", shown, datetime=moment, title=moment)
