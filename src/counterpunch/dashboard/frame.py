"""What stands around each page: the head, the menu, whom it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from .markup import Html, join, tag, when
from .theme import THEMES

__all__ = ["LISTS", "Frame", "document", "failure_page", "threads_page"]

#: The lists by their address.
LISTS = {
    "running": "Running",
    "waiting": "Waiting",
    "scheduled": "Scheduled",
    "failed": "Failed",
    "finished": "Finished",
}
MENU = {
    "": "Overview",
    **{name: LISTS[name] for name in ("running", "waiting", "scheduled", "failed")},
    "errors": "Errors",
    "finished": "Finished",
    "periodic": "Periodic",
}


@dataclass(frozen=True)
class Frame:
    """What all pages have around them.

    Attributes:
        prefix: The mount point.
        path: The address below it, and ``query`` what follows the question mark.
        process: The one that answers.
        token: For forms; None if whoever asks may only look.
        refresh: Seconds between two looks.
        note: What came of the last action.
        counts: The numbers in the menu.
        scope: Whom the page is about, see ``Fleet.scope``.
        theme: The choice of colours.
    """

    prefix: str
    path: str
    query: Mapping[str, str]
    process: Mapping[str, Any]
    token: str | None
    refresh: float
    note: str | None
    counts: Mapping[str, int]
    scope: Mapping[str, Any]
    theme: str

    @property
    def here(self) -> str:
        """The address of the page."""
        return self.with_query(self.path, self.query)

    @property
    def several(self) -> bool:
        """The page is about more than one process."""
        return len(self.scope["processes"]) > 1

    def with_query(self, path: str, query: Mapping[str, object]) -> str:
        """An address; what is empty is left out."""
        shown = urlencode({name: value for name, value in query.items() if value not in ("", None)})
        return f"{path}?{shown}" if shown else path

    def link(self, path: str, text: object, /, **attributes: Any) -> Html:
        """A link to one of our own pages, about the same processes as this one."""
        chosen = self.scope["chosen"]
        if chosen and not path.startswith(("/job/", "/theme/", "/processes")):
            path += f"{'&' if '?' in path else '?'}process={chosen}"
        return tag("a", text, href=self.prefix + path, **attributes)

    def kept(self, *but: str) -> list[Html]:
        """The fields of the address for another form, without those that it has itself."""
        fields = {"process": self.scope["chosen"]} if "process" not in but else {}
        return [tag("input", type="hidden", name=n, value=v) for n, v in fields.items() if v]

    def button(self, path: str, text: str, subject: str, kind: str = "", **hidden: str) -> Html:
        """A form of one button, or nothing for those who may only look.

        ``subject`` completes the label for those who do not see what the button stands by.
        """
        if self.token is None:
            return Html("")
        fields = {"token": self.token, "back": self.here, "process": self.scope["chosen"], **hidden}
        inputs = [tag("input", type="hidden", name=n, value=v) for n, v in fields.items() if v]
        button = tag("button", text, class_=kind or None, aria_label=f"{text} {subject}")
        return tag("form", inputs, button, method="post", action=self.prefix + path)


def document(frame: Frame, title: str, *content: object, beside: Html | None = None) -> str:
    here = frame.path.strip("/").removesuffix(".json")
    main = tag(
        "main",
        tag("p.note", frame.note, role="status") if frame.note else None,
        _missing(frame) if here != "processes" else None,
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
        tag("footer", tag("p", _scope(frame), ways), _themes(frame)),
        data_refresh=f"{frame.refresh:g}",
    )
    process = frame.process
    about = f"pid {frame.scope['chosen'] or process['pid']}"
    if frame.several:
        about = f"{len(frame.scope['processes'])} processes"
    return page(frame.prefix, f"{title} · {process['host']} · {about}", body, frame.theme)


def _missing(frame: Frame) -> Html | None:
    """Who has not answered: what a page says of all is not the whole then."""
    problem, silent = frame.scope["problem"], frame.scope["silent"]
    if not problem and not silent:
        return None
    lines = [problem] if problem else []
    lines += [f"Not shown: pid {one['pid']}: {one['reason']}" for one in silent]
    return tag("div.note warn", [tag("div", line) for line in lines])


def _scope(frame: Frame) -> str:
    if not frame.scope["together"]:
        return "Only this process is shown; others on this or another host have their own jobs."
    if frame.scope["chosen"]:
        return f"Only the process {frame.scope['chosen']} is shown."
    return (
        "Shown are the processes of this user on this host that were told so; "
        "on other hosts there may be more."
    )


def _themes(frame: Frame) -> Html:
    """Light, dark, or as the system has it; a link each, which needs no script."""
    parts: list[object] = ["Colours:"]
    for theme in THEMES:
        query = urlencode({"back": frame.here})
        current = "true" if theme == frame.theme else None
        parts += [" ", frame.link(f"/theme/{theme}?{query}", theme, aria_current=current)]
    return tag("p.themes", parts)


def page(prefix: str, title: str, body: Html, theme: str) -> str:
    """A whole document."""
    assets = f"{prefix}/assets"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark" if theme == "system" else theme),
        tag("meta", name="robots", content="noindex"),
        tag("title", title),
        tag("link", rel="icon", href=f"{assets}/icon.svg", type="image/svg+xml"),
        tag("link", rel="stylesheet", href=f"{assets}/style.css"),
        tag("script", src=f"{assets}/script.js", defer=True),
    )
    chosen = None if theme == "system" else theme
    return "<!doctype html>\n" + tag("html", head, body, lang="en", data_theme=chosen)


def _bar(frame: Frame) -> Html:
    field = {"id": "id", "name": "id", "placeholder": "Job id"}
    return tag(
        "div.bar",
        frame.link("/", "counterpunch", class_="brand"),
        _about(frame),
        _chooser(frame) if len(frame.scope["pids"]) > 1 else None,
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


def _about(frame: Frame) -> Html:
    process = frame.process
    if frame.several:
        many = f" · {len(frame.scope['processes'])} processes"
        return tag("p.process", tag("b", process["host"]), many)
    phase = process["phase"]
    return tag(
        "p.process",
        tag("b", process["host"]),
        f" · pid {process['pid']} · since ",
        when(process["started_at"]),
        tag("span.wide", f" · Python {process['python']}"),
        None if phase == "open" else tag("strong.phase", f" · {phase}"),
    )


def _chooser(frame: Frame) -> Html:
    """All processes, or one: the same page about another."""
    chosen = frame.scope["chosen"]
    pids = [str(pid) for pid in frame.scope["pids"]]
    options = [tag("option", f"pid {pid}", value=pid, selected=pid == chosen) for pid in pids]
    everyone = tag("option", f"all {len(pids)} processes", value="")
    fields = {name: value for name, value in frame.query.items() if name not in ("process", "page")}
    path = "/" if frame.path.startswith(("/job/", "/confirm/", "/processes")) else frame.path
    return tag(
        "form.chooser",
        tag("label.hidden", "Processes to show", for_="process"),
        [tag("input", type="hidden", name=n, value=v) for n, v in fields.items() if path != "/"],
        tag("select", everyone, options, id="process", name="process"),
        tag("button", "Show"),
        action=frame.prefix + path,
    )


def _menu(frame: Frame, here: str) -> Html:
    items = []
    pages = {**MENU, "processes": "Processes"} if frame.scope["together"] else MENU
    for path, text in pages.items():
        count = frame.counts.get(path)
        badge = tag("span.badge", f"{count:,}") if count else None
        current = "page" if path == here or (not path and here == "overview") else None
        items.append(tag("li", frame.link(f"/{path}", join(text, badge), aria_current=current)))
    return tag("ul", items)


def threads_page(frame: Frame, data: Mapping[str, Any]) -> str:
    return document(frame, "Threads", tag("pre", data["threads"], tabindex="0"))


def failure_page(prefix: str, status: int, text: str, link: str | None, theme: str) -> str:
    """The page of an error; it tells nothing about the process."""
    way = tag("p", tag("a", "Overview", href=prefix + "/"))
    see = tag("p", tag("a", link, href=prefix + link)) if link else None
    main = tag("main.failure", tag("h1", str(status)), tag("p", text), see, way)
    return page(prefix, str(status), tag("body", main), theme)
