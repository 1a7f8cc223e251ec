"""The HTML of each page, from the plain values of ``source``. No script is needed to use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from .chart import chart
from .markup import DASH, NONE, Html, duration, join, tag, when

__all__ = ["Frame", "failure", "job", "listing", "overview", "periodic", "threads"]

_MENU = (
    ("", "Overview"),
    ("running", "Running"),
    ("waiting", "Waiting"),
    ("scheduled", "Scheduled"),
    ("failed", "Failed"),
    ("finished", "Finished"),
    ("periodic", "Periodic"),
)

_EMPTY = {
    "running": "No job is running.",
    "waiting": "No job waits for a worker.",
    "scheduled": "No job waits for its time, a retry or a transaction.",
    "failed": "No failed job is remembered.",
    "finished": "No finished job is remembered.",
}


@dataclass(frozen=True)
class Frame:
    """What all pages have around them.

    ``here`` is the address below ``prefix``; ``token`` is None if whoever asks may only
    look; ``note`` says what came of the last action.
    """

    prefix: str
    here: str
    process: Mapping[str, Any]
    token: str | None
    refresh: float
    note: str | None
    counts: Mapping[str, int]

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


def _document(frame: Frame, title: str, *content: object, beside: Html | None = None) -> str:
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
                "Only this process is shown; others on this or another host have their own jobs. ",
                frame.link("/threads", "Threads"),
                " ",
                frame.link("/health", "Health"),
                " ",
                frame.link("/metrics", "Metrics"),
            ),
        ),
    )


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
        f" · Python {process['python']}",
        None if phase == "open" else tag("strong", {"class": "phase"}, f" · {phase}"),
    ]


def _menu(frame: Frame, here: str) -> Html:
    items = []
    for path, text in _MENU:
        count = frame.counts.get(path)
        badge = tag("span", {"class": "badge"}, f"{count:,}") if count else None
        current = "page" if path == here or (not path and here == "overview") else None
        link = frame.link(f"/{path}", join(text, badge), **{"aria-current": current})
        items.append(tag("li", None, link))
    return tag("ul", None, items)


def _table(caption: str, columns: list[str], rows: list[list[object]], kind: str) -> Html:
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


# Overview


def overview(frame: Frame, data: Mapping[str, Any]) -> str:
    total, health = data["total"], data["health"]
    status = total["status"]
    delayed = status["scheduled"] + status["retrying"] + status["deferred"]
    workers = total["workers"]
    tiles = [
        ("Waiting", f"{status['queued']:,}", f"oldest {duration(total['oldest_wait'])}", ""),
        ("Running", f"{status['running']:,}", f"of {workers['total']} workers", ""),
        ("Scheduled", f"{delayed:,}", f"{status['retrying']:,} to be retried", ""),
        ("Done per minute", f"{total['per_minute']:,}", f"{status['succeeded']:,} succeeded", ""),
        (
            "Failed",
            f"{total['failed_recently']:,}",
            f"in 10 min, {status['failed'] + status['lost']:,} in all",
            "bad" if total["failed_recently"] else "",
        ),
    ]
    if health["ok"]:
        banner = None
    else:
        banner = tag(
            "div",
            {"class": "health bad"},
            tag("strong", None, "Needs attention"),
            tag("ul", None, [tag("li", None, reason) for reason in health["reasons"]]),
        )
    content = [
        banner,
        tag(
            "dl",
            {"class": "tiles"},
            [
                tag(
                    "div",
                    {"class": kind or None},
                    tag("dt", None, name),
                    tag("dd", None, tag("b", None, value), " ", tag("span", None, more)),
                )
                for name, value, more, kind in tiles
            ],
        ),
    ]
    if not data["classes"]:
        content.append(tag("p", {"class": "empty"}, "No job has been enqueued in this process."))
    else:
        content.append(_classes(frame, data["classes"]))
    chip = tag("span", {"class": "state succeeded"}, "healthy") if health["ok"] else None
    return _document(frame, "Overview", *content, beside=chip)


def _classes(frame: Frame, classes: list[Mapping[str, Any]]) -> Html:
    columns = [
        "Class", "Last 10 minutes", "Waiting", "Busy", "Delayed",
        "Done / min", "Failed", "Wait p50 · p95", "Run p50 · p95",
    ]  # fmt: skip
    if frame.token is not None:
        columns.append("")
    rows = []
    for row in classes:
        name, status, recent = row["job"], row["status"], row["recent"]
        query = "?" + urlencode({"job": name})
        delayed = status["scheduled"] + status["retrying"] + status["deferred"]
        full = row["max_jobs"] and status["queued"] >= 0.9 * row["max_jobs"]
        failed = recent["failed"] + recent["retries"]
        cells: list[object] = [
            join(
                frame.link(f"/finished{query}", name),
                tag("span", {"class": "state paused"}, "paused") if row["paused"] else None,
            ),
            chart(name, row["chart"]),
            join(
                _number(frame, status["queued"], f"/waiting{query}", "bad" if full else None),
                _small(f"oldest {duration(row['oldest_wait'])}") if row["oldest_wait"] else None,
            ),
            join(
                _number(frame, status["running"], f"/running{query}"), _small(f"of {row['size']}")
            ),
            _number(frame, delayed, f"/scheduled{query}"),
            f"{row['per_minute']:,}",
            join(
                _number(frame, recent["failed"], f"/failed{query}", "bad"),
                _small(f"{recent['retries']:,} retried") if failed and recent["retries"] else None,
            ),
            _pair(recent["wait_seconds"]),
            _pair(recent["run_seconds"]),
        ]
        if frame.token is not None:
            verb = "Resume" if row["paused"] else "Pause"
            cells.append(frame.button(f"/class/{verb.lower()}", verb, name, job=name))
        rows.append(cells)
    return _table("Job classes", columns, rows, "classes")


def _number(frame: Frame, count: int, path: str, kind: str | None = None) -> Html:
    if not count:
        return tag("span", {"class": "zero"}, "0")
    return frame.link(path, f"{count:,}", **{"class": kind})


def _small(text: str) -> Html:
    return tag("small", None, " " + text)


def _pair(times: Mapping[str, float | None]) -> Html:
    if times["p50"] is None:
        return NONE
    return join(
        duration(times["p50"]), tag("span", {"class": "dot"}, " · "), duration(times["p95"])
    )


# Lists


def listing(frame: Frame, data: Mapping[str, Any]) -> str:
    name = data["list"]
    title = next(text for path, text in _MENU if path == name)
    rows = data["jobs"]
    content = [_filters(frame, data)]
    if rows:
        columns, cells = _COLUMNS[name]
        if frame.token is not None:
            columns = [*columns, ""]
        table = []
        for row in rows:
            line = [_identity(frame, row), *cells(frame, row)]
            if frame.token is not None:
                line.append(_buttons(frame, row))
            table.append(line)
        content.append(_table(f"{title} jobs", columns, table, f"jobs {name}"))
        content.append(_pager(frame, data))
    else:
        filtered = any(data["filter"].values())
        text = "No job fits the filter." if filtered else _EMPTY[name]
        content.append(tag("p", {"class": "empty"}, text))
    return _document(frame, title, *content)


def _filters(frame: Frame, data: Mapping[str, Any]) -> Html:
    name, chosen = data["list"], data["filter"]
    names = data["classes"]
    statuses = {
        "scheduled": ("scheduled", "retrying", "deferred"),
        "finished": ("succeeded", "failed", "cancelled", "discarded", "lost"),
    }.get(name, ())
    parts = [
        tag("label", {"for": "job"}, "Class"),
        _select("job", chosen["job"], "all", names),
    ]
    if statuses:
        parts += [
            tag("label", {"for": "status"}, "Status"),
            _select("status", chosen["status"], "all", statuses),
        ]
    parts += [
        tag("label", {"for": "tag"}, "Tag"),
        tag("input", {"id": "tag", "name": "tag", "value": chosen["tag"] or None, "size": "12"}),
        tag("button", None, "Filter"),
    ]
    if any(chosen.values()):
        parts.append(frame.link(f"/{name}", "Clear"))
    return tag("form", {"class": "filters", "action": f"{frame.prefix}/{name}"}, parts)


def _select(name: str, chosen: str, none: str, values: Any) -> Html:
    return tag(
        "select",
        {"id": name, "name": name},
        tag("option", {"value": ""}, none),
        [tag("option", {"value": v, "selected": v == chosen}, v) for v in values],
    )


def _pager(frame: Frame, data: Mapping[str, Any]) -> Html:
    page, pages, total = data["page"], data["pages"], data["total"]
    first = data["first"]
    parts: list[object] = [f"{first:,}{DASH}{first + len(data['jobs']) - 1:,} of {total:,}"]
    kept = {name: value for name, value in data["filter"].items() if value}
    for text, number, rel in (("Newer", page - 1, "prev"), ("Older", page + 1, "next")):
        if data["list"] in ("running", "waiting", "scheduled"):
            text = "Previous" if rel == "prev" else "Next"
        if 1 <= number <= pages:
            query = urlencode({**kept, "page": number})
            parts += [" ", frame.link(f"/{data['list']}?{query}", text, rel=rel)]
    return tag("nav", {"class": "pager", "aria-label": "Pages of the list"}, parts)


def _identity(frame: Frame, row: Mapping[str, Any]) -> Html:
    return join(
        frame.link(f"/job/{quote(row['id'], safe='')}", row["job"]),
        tag("code", {"class": "id"}, row["id"]),
        [tag("span", {"class": "tag"}, name) for name in row["tags"][:10]],
    )


def _arguments(row: Mapping[str, Any]) -> Html:
    text = row["arguments"]
    if text is None:
        return tag("span", {"class": "zero"}, "hidden")
    return tag("code", {"class": "arguments"}, text)


def _attempt(row: Mapping[str, Any]) -> str:
    most = row["max_attempts"]
    return f"{row['attempt']} of {most}" if most and most > 1 else str(row["attempt"])


def _state(row: Mapping[str, Any]) -> Html:
    status = row["status"]
    return tag("span", {"class": f"state {status}"}, status)


def _progress(row: Mapping[str, Any]) -> Html:
    progress = row["progress"]
    parts: list[object] = []
    if row["cancelling"]:
        parts.append(tag("span", {"class": "state cancelled"}, "asked to stop"))
    if progress is not None:
        fraction = progress["fraction"]
        if fraction is not None:
            label = f"Progress of {row['job']} {row['id']}"
            bar = {"value": f"{fraction:.3f}", "max": "1", "aria-label": label}
            parts.append(tag("progress", bar, f"{fraction:.0%}"))
        done, total = progress["done"], progress["total"]
        parts.append(tag("small", None, f"{done}" if total is None else f"{done} of {total}"))
        if progress["message"]:
            parts.append(tag("small", {"class": "message"}, f" · {progress['message']}"))
    return join(parts) if parts else NONE


def _details(key: str, summary: object, text: str | None) -> Html:
    if not text:
        return NONE
    return tag(
        "details",
        {"data-key": key},
        tag("summary", None, summary),
        tag("pre", {"tabindex": "0"}, text),
    )


def _running_cells(frame: Frame, row: Mapping[str, Any]) -> list[object]:
    return [
        _arguments(row),
        _attempt(row),
        when(row["started_at"], duration(row["ran"])),
        _progress(row),
        _details(f"stack-{row['id']}", "Stack", row.get("stack")),
    ]


def _waiting_cells(frame: Frame, row: Mapping[str, Any]) -> list[object]:
    return [
        _arguments(row),
        when(row["enqueued_at"], duration(row["waited"])),
        str(row["priority"]),
        _attempt(row),
    ]


def _scheduled_cells(frame: Frame, row: Mapping[str, Any]) -> list[object]:
    return [
        _state(row),
        _arguments(row),
        when(row["run_at"], "in " + duration(row["due_in"])),
        _attempt(row),
        tag("span", {"class": "error"}, row["error"]) if row["error"] else NONE,
    ]


def _finished_cells(frame: Frame, row: Mapping[str, Any]) -> list[object]:
    return [
        _state(row),
        _arguments(row),
        _attempt(row),
        duration(row["waited"]),
        duration(row["ran"]),
        when(row["finished_at"], duration(row["finished_ago"]) + " ago"),
        tag("span", {"class": "error"}, row["error"]) if row["error"] else NONE,
    ]


def _failed_cells(frame: Frame, row: Mapping[str, Any]) -> list[object]:
    again = row["retried_as"]
    return [
        tag("span", {"class": "error"}, row["error"] or row["status"]),
        _arguments(row),
        _attempt(row),
        duration(row["ran"]),
        join(
            when(row["finished_at"], duration(row["finished_ago"]) + " ago"),
            tag("small", None, " retried as ", frame.link(f"/job/{again}", again))
            if again
            else None,
        ),
    ]


_COLUMNS: dict[str, tuple[list[str], Any]] = {
    "running": (["Job", "Arguments", "Attempt", "For", "Progress", "Stack"], _running_cells),
    "waiting": (["Job", "Arguments", "For", "Priority", "Attempts"], _waiting_cells),
    "scheduled": (["Job", "Status", "Arguments", "Due", "Attempts", "Error"], _scheduled_cells),
    "failed": (["Job", "Error", "Arguments", "Attempts", "Ran", "Ended"], _failed_cells),
    "finished": (
        ["Job", "Status", "Arguments", "Attempts", "Waited", "Ran", "Ended", "Error"],
        _finished_cells,
    ),
}


def _buttons(frame: Frame, row: Mapping[str, Any]) -> Html:
    """The actions that make sense in the job's state."""
    if frame.token is None:
        return Html("")
    path, subject = f"/job/{quote(row['id'], safe='')}", f"{row['job']} {row['id']}"
    status = row["status"]
    parts = []
    if status in ("scheduled", "retrying"):
        parts.append(frame.button(f"{path}/run", "Run now", subject))
    if status in ("failed", "lost", "cancelled", "discarded") and not row["retried_as"]:
        parts.append(frame.button(f"{path}/retry", "Retry", subject))
    if status in ("failed", "lost"):
        parts.append(frame.button(f"{path}/discard", "Discard", subject, "quiet"))
    if row["due_in"] is not None or (status == "running" and not row["cancelling"]):
        text = "Stop" if status == "running" else "Cancel"
        parts.append(frame.button(f"{path}/cancel", text, subject, "quiet"))
    return tag("div", {"class": "buttons"}, parts)


# One job


def job(frame: Frame, data: Mapping[str, Any]) -> str:
    facts: list[tuple[str, object]] = [
        ("Id", tag("code", None, data["id"])),
        ("Attempt", _attempt(data) if data["attempt"] else "not started"),
        ("Arguments", _arguments(data)),
        ("Priority", str(data["priority"])),
        ("Tags", [tag("span", {"class": "tag"}, name) for name in data["tags"]] or NONE),
        ("Pool", data["options"]["pool"] or "its own"),
        ("Retry", tag("code", None, data["options"]["retry"] or "None")),
        ("Timeout", duration(data["options"]["timeout"])),
    ]
    if data["result"] is not None:
        facts.append(("Result", tag("code", {"class": "arguments"}, _value(data["result"]))))
    if data["retried_as"]:
        link = frame.link(f"/job/{data['retried_as']}", data["retried_as"])
        facts.append(("Retried as", link))
    content: list[object] = [
        tag("p", {"class": "lead"}, line) if (line := _progress_line(data)) else None,
        _buttons(frame, data),
        tag("h2", None, "Timings"),
        _story(data),
        tag("h2", None, "About"),
        _facts(facts),
    ]
    if data["data"]:
        rows: list[tuple[str, object]] = [
            (name, tag("code", {"class": "arguments"}, _value(value)))
            for name, value in data["data"].items()
        ]
        content += [tag("h2", None, "Status data"), _facts(rows)]
    if data["stack"]:
        content += [
            tag("h2", None, "Where it is"),
            tag("pre", {"tabindex": "0"}, data["stack"]),
        ]
    if data["traceback"]:
        title = "Error" if data["status"] in ("failed", "retrying") else "Reason"
        content += [tag("h2", None, title), tag("pre", {"tabindex": "0"}, data["traceback"])]
    return _document(frame, data["job"], *content, beside=_state(data))


def _progress_line(data: Mapping[str, Any]) -> Html | None:
    return _progress(data) if data["progress"] or data["cancelling"] else None


def _story(data: Mapping[str, Any]) -> Html:
    """Enqueued, due, started, ended: each with its time, and how long it took to get there."""
    due = data["due_in"]
    ran = f"after {duration(data['ran'])}"
    steps = [
        ("Enqueued", data["enqueued_at"], duration(data["age"]) + " ago"),
        ("Due", data["run_at"], "" if due is None or due <= 0 else f"in {duration(due)}"),
        (
            "Started",
            data["started_at"],
            "" if data["waited"] is None else f"waited {duration(data['waited'])}",
        ),
        (
            data["status"].capitalize() if data["finished_at"] else "Ended",
            data["finished_at"],
            ran if data["finished_at"] and data["ran"] is not None else "",
        ),
    ]
    if data["status"] == "running":
        steps[-1] = ("Running", None, f"for {duration(data['ran'])}")
    if data["run_at"] == data["enqueued_at"]:
        del steps[1]
    return tag(
        "ol",
        {"class": "story"},
        [
            tag(
                "li",
                {"class": None if moment or more else "open"},
                tag("b", None, name),
                " ",
                when(moment),
                " ",
                _small(more) if more else None,
            )
            for name, moment, more in steps
        ],
    )


def _facts(rows: list[tuple[str, object]]) -> Html:
    return tag(
        "dl",
        {"class": "facts"},
        [tag("div", None, tag("dt", None, name), tag("dd", None, value)) for name, value in rows],
    )


def _value(value: Any) -> str:
    """A plain value as text: a text as it is, the rest as Python would write it."""
    return value if isinstance(value, str) else repr(value)


# What comes again, threads, failures


def periodic(frame: Frame, data: Mapping[str, Any]) -> str:
    rows = data["periodic"]
    if not rows:
        text = "No periodic job is armed in this process: start() arms classes with every or cron."
        return _document(frame, "Periodic", tag("p", {"class": "empty"}, text))
    columns = ["Class", "Schedule", "Next", "Then", "Runs in", "Latest"]
    if frame.token is not None:
        columns.append("")
    table = []
    for row in rows:
        name, latest = row["job"], row["latest"]
        schedule = f"every {duration(row['every'])}" if row["every"] else row["cron"]
        cells: list[object] = [
            join(
                frame.link("/finished?" + urlencode({"job": name}), name),
                tag("span", {"class": "state paused"}, "paused") if row["paused"] else None,
            ),
            join(tag("code", None, schedule), None if row["every"] else _small(row["timezone"])),
            when(row["next_runs"][0], "in " + duration(row["next_in"])),
            tag("ul", {"class": "plain"}, [tag("li", None, when(m)) for m in row["next_runs"][1:]]),
            f"one process per {row['once_per']}" if row["once_per"] == "host" else "each process",
            _latest(frame, latest),
        ]
        if frame.token is not None:
            verb = "Resume" if row["paused"] else "Pause"
            cells.append(frame.button(f"/class/{verb.lower()}", verb, name, job=name))
        table.append(cells)
    return _document(frame, "Periodic", _table("Periodic classes", columns, table, "jobs periodic"))


def _latest(frame: Frame, latest: Mapping[str, Any] | None) -> Html:
    if latest is None:
        return NONE
    return frame.link(f"/job/{quote(latest['id'], safe='')}", _state(latest))


def threads(frame: Frame, data: Mapping[str, Any]) -> str:
    return _document(frame, "Threads", tag("pre", {"tabindex": "0"}, data["threads"]))


def failure(prefix: str, status: int, text: str) -> str:
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
