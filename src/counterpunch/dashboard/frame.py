"""What stands around each page: the head, the menu, which process it is; and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .markup import Html, join, tag, when

__all__ = ["LISTS", "Cell", "Frame", "Row", "document", "failure_page", "table", "threads_page"]

Row = Mapping[str, Any]

#: The lists by their address.
LISTS = {
    "running": "Running",
    "waiting": "Waiting",
    "scheduled": "Scheduled",
    "failed": "Failed",
    "finished": "Finished",
}
MENU = {"": "Overview", **LISTS, "periodic": "Periodic"}


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
        return tag("a", text, href=self.prefix + path, **attributes)

    def button(self, path: str, text: str, subject: str, kind: str = "", **hidden: str) -> Html:
        """A form of one button, or nothing for those who may only look.

        ``subject`` completes the label for those who do not see what the button stands by.
        """
        if self.token is None:
            return Html("")
        fields = {"token": self.token, "back": self.here, **hidden}
        inputs = [tag("input", type="hidden", name=n, value=v) for n, v in fields.items()]
        button = tag("button", text, class_=kind or None, aria_label=f"{text} {subject}")
        return tag("form", inputs, button, method="post", action=self.prefix + path)


def document(frame: Frame, title: str, *content: object, beside: Html | None = None) -> str:
    here = frame.here.partition("?")[0].strip("/").removesuffix(".json")
    process = frame.process
    main = tag(
        "main",
        tag("p.note", frame.note, role="status") if frame.note else None,
        tag("div.title", tag("h1", title), beside),
        *content,
        id="main",
        tabindex="-1",
    )
    nav = tag("nav", _menu(frame, here), aria_label="Pages", id="menu")
    ways = [(" ", frame.link(f"/{way.lower()}", way)) for way in ("Threads", "Health", "Metrics")]
    body = tag(
        "body",
        tag("a.skip", "Skip to the content", href="#main"),
        tag("header", _bar(frame), nav),
        main,
        tag("footer", _scope(here), ways),
        data_refresh=f"{frame.refresh:g}",
    )
    return _page(frame.prefix, f"{title} · {process['host']} · pid {process['pid']}", body)


def _scope(here: str) -> str:
    if here == "processes":
        return (
            "Shown are the processes of this user on this host that serve their numbers; "
            "on other hosts there may be more."
        )
    return "Only this process is shown; others on this or another host have their own jobs."


def _page(prefix: str, title: str, body: Html) -> str:
    assets = f"{prefix}/assets"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="robots", content="noindex"),
        tag("title", title),
        tag("link", rel="icon", href=f"{assets}/icon.svg", type="image/svg+xml"),
        tag("link", rel="stylesheet", href=f"{assets}/style.css"),
        tag("script", src=f"{assets}/script.js", defer=True),
    )
    return "<!doctype html>\n" + tag("html", head, body, lang="en")


def _bar(frame: Frame) -> Html:
    process = frame.process
    phase = process["phase"]
    field = {"id": "id", "name": "id", "placeholder": "Job id"}
    return tag(
        "div.bar",
        frame.link("/", "counterpunch", class_="brand"),
        tag(
            "p.process",
            tag("b", process["host"]),
            f" · pid {process['pid']} · since ",
            when(process["started_at"]),
            tag("span.wide", f" · Python {process['python']}"),
            None if phase == "open" else tag("strong.phase", f" · {phase}"),
        ),
        tag(
            "form.find",
            tag("label.hidden", "Find a job by its id", for_="id"),
            tag("input", **field, autocomplete="off", spellcheck="false"),
            tag("button", "Find"),
            role="search",
            action=frame.prefix + "/find",
        ),
        # Shown by the script, which is what it steers.
        tag("button", "Live", id="live", type="button", aria_pressed="true", hidden=True),
    )


def _menu(frame: Frame, here: str) -> Html:
    items = []
    pages = {**MENU, "processes": "Processes"} if frame.together else MENU
    for path, text in pages.items():
        count = frame.counts.get(path)
        badge = tag("span.badge", f"{count:,}") if count else None
        current = "page" if path == here or (not path and here == "overview") else None
        items.append(tag("li", frame.link(f"/{path}", join(text, badge), aria_current=current)))
    return tag("ul", items)


#: What stands in a row below the name of a column.
Cell = Callable[[Frame, Row], object]


def table(
    frame: Frame, caption: str, columns: Mapping[str, Cell], rows: list[Row], kind: str
) -> Html:
    """A table; on a narrow screen each row becomes a card, hence the label on each cell. The
    column without a name has the buttons, and is left out for those who may only look."""
    shown = {name: cell for name, cell in columns.items() if name or frame.token is not None}
    head = [tag("th", name or tag("span.hidden", "Actions"), scope="col") for name in shown]
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


def threads_page(frame: Frame, data: Mapping[str, Any]) -> str:
    return document(frame, "Threads", tag("pre", data["threads"], tabindex="0"))


def failure_page(prefix: str, status: int, text: str, link: str | None) -> str:
    """The page of an error; it tells nothing about the process."""
    way = tag("p", tag("a", "Overview", href=prefix + "/"))
    see = tag("p", tag("a", link, href=prefix + link)) if link else None
    main = tag("main.failure", tag("h1", str(status)), tag("p", text), see, way)
    return _page(prefix, str(status), tag("body", main))
