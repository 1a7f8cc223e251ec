"""What stands around each page: the head, the menu, which process it is; and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .markup import Html, join, tag, when

__all__ = ["MENU", "Frame", "document", "failure_page", "table", "threads_page"]

MENU = (
    ("", "Overview"),
    ("running", "Running"),
    ("waiting", "Waiting"),
    ("scheduled", "Scheduled"),
    ("failed", "Failed"),
    ("finished", "Finished"),
    ("periodic", "Periodic"),
)


@dataclass(frozen=True)
class Frame:
    """What all pages have around them.

    ``here`` is the address below ``prefix``; ``token`` is None if whoever asks may only
    look; ``note`` says what came of the last action; ``together``: there is a page over all
    processes.
    """

    prefix: str
    here: str
    process: Mapping[str, Any]
    token: str | None
    refresh: float
    note: str | None
    counts: Mapping[str, int]
    together: bool = False

    def link(self, path: str, text: object, **attributes: Any) -> Html:
        """A link to one of our own pages."""
        return tag("a", {"href": self.prefix + path, **attributes}, text)

    def button(self, path: str, text: str, subject: str, kind: str = "", **hidden: str) -> Html:
        """A form of one button, or nothing for those who may only look.

        ``subject`` completes the label for those who do not see what the button stands by.
        """
        if self.token is None:
            return Html("")
        fields = {"token": self.token, "back": self.here, **hidden}
        return tag(
            "form",
            {"method": "post", "action": self.prefix + path},
            [tag("input", {"type": "hidden", "name": n, "value": v}) for n, v in fields.items()],
            tag("button", {"class": kind or None, "aria-label": f"{text} {subject}"}, text),
        )


def document(frame: Frame, title: str, *content: object, beside: Html | None = None) -> str:
    here = frame.here.partition("?")[0].strip("/").removesuffix(".json")
    process = frame.process
    where = f"{process['host']} · pid {process['pid']}"
    return "<!doctype html>\n" + tag(
        "html",
        {"lang": "en"},
        _head(frame.prefix, f"{title} · {where}"),
        tag(
            "body",
            {"data-refresh": f"{frame.refresh:g}"},
            tag("a", {"href": "#main", "class": "skip"}, "Skip to the content"),
            tag(
                "header",
                None,
                tag(
                    "div",
                    {"class": "bar"},
                    frame.link("/", "counterpunch", **{"class": "brand"}),
                    tag("p", {"class": "process"}, *_process(process)),
                    tag(
                        "form",
                        {"class": "find", "role": "search", "action": frame.prefix + "/find"},
                        tag("label", {"for": "id", "class": "hidden"}, "Find a job by its id"),
                        tag(
                            "input",
                            {
                                "id": "id",
                                "name": "id",
                                "placeholder": "Job id",
                                "autocomplete": "off",
                                "spellcheck": "false",
                            },
                        ),
                        tag("button", None, "Find"),
                    ),
                    # Shown by the script, which is what it steers.
                    tag(
                        "button",
                        {"id": "live", "type": "button", "aria-pressed": "true", "hidden": True},
                        "Live",
                    ),
                ),
                tag("nav", {"aria-label": "Pages", "id": "menu"}, _menu(frame, here)),
            ),
            tag(
                "main",
                {"id": "main", "tabindex": "-1"},
                tag("p", {"class": "note", "role": "status"}, frame.note) if frame.note else None,
                tag("div", {"class": "title"}, tag("h1", None, title), beside),
                *content,
            ),
            tag(
                "footer",
                None,
                _scope(frame, here),
                " ",
                frame.link("/threads", "Threads"),
                " ",
                frame.link("/health", "Health"),
                " ",
                frame.link("/metrics", "Metrics"),
            ),
        ),
    )


def _scope(frame: Frame, here: str) -> str:
    if here == "processes":
        return (
            "Shown are the processes of this user on this host that serve their numbers; "
            "on other hosts there may be more."
        )
    return "Only this process is shown; others on this or another host have their own jobs."


def _head(prefix: str, title: str) -> Html:
    assets = f"{prefix}/assets"
    return tag(
        "head",
        None,
        tag("meta", {"charset": "utf-8"}),
        tag("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        tag("meta", {"name": "color-scheme", "content": "light dark"}),
        tag("meta", {"name": "robots", "content": "noindex"}),
        tag("title", None, title),
        tag("link", {"rel": "icon", "href": f"{assets}/icon.svg", "type": "image/svg+xml"}),
        tag("link", {"rel": "stylesheet", "href": f"{assets}/style.css"}),
        tag("script", {"src": f"{assets}/script.js", "defer": True}, ""),
    )


def _process(process: Mapping[str, Any]) -> list[object]:
    phase = process["phase"]
    return [
        tag("b", None, process["host"]),
        f" · pid {process['pid']} · since ",
        when(process["started_at"]),
        tag("span", {"class": "wide"}, f" · Python {process['python']}"),
        None if phase == "open" else tag("strong", {"class": "phase"}, f" · {phase}"),
    ]


def _menu(frame: Frame, here: str) -> Html:
    items = []
    pages = (*MENU, ("processes", "Processes")) if frame.together else MENU
    for path, text in pages:
        count = frame.counts.get(path)
        badge = tag("span", {"class": "badge"}, f"{count:,}") if count else None
        current = "page" if path == here or (not path and here == "overview") else None
        link = frame.link(f"/{path}", join(text, badge), **{"aria-current": current})
        items.append(tag("li", None, link))
    return tag("ul", None, items)


def table(caption: str, columns: list[str], rows: list[list[object]], kind: str) -> Html:
    """A table; on a narrow screen each row becomes a card, hence the label on each cell."""
    head = [tag("th", {"scope": "col"}, text or tag("span", {"class": "hidden"}, "Actions"))
            for text in columns]  # fmt: skip
    body = []
    for row in rows:
        cells = [tag("th", {"scope": "row"}, row[0])]
        cells += [
            tag("td", {"data-label": name or None, "class": None if name else "actions"}, cell)
            for name, cell in zip(columns[1:], row[1:], strict=True)
        ]
        body.append(tag("tr", None, cells))
    return tag(
        "table",
        {"class": kind},
        tag("caption", {"class": "hidden"}, caption),
        tag("thead", None, tag("tr", None, head)),
        tag("tbody", None, body),
    )


def threads_page(frame: Frame, data: Mapping[str, Any]) -> str:
    return document(frame, "Threads", tag("pre", {"tabindex": "0"}, data["threads"]))


def failure_page(prefix: str, status: int, text: str) -> str:
    """The page of an error; it tells nothing about the process."""
    return "<!doctype html>\n" + tag(
        "html",
        {"lang": "en"},
        _head(prefix, str(status)),
        tag(
            "body",
            None,
            tag(
                "main",
                {"class": "failure"},
                tag("h1", None, str(status)),
                tag("p", None, text),
                tag("p", None, tag("a", {"href": prefix + "/"}, "Overview")),
            ),
        ),
    )
