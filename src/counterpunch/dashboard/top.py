"""``python -m counterpunch top``: the processes of this user on this host, in the terminal.

It asks those that have a page with ``processes=True``, over their private sockets, and shows
numbers only: no argument, no error. On a terminal it changes in place; elsewhere it is text, once.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TextIO

from ..observe.health import Health
from . import local
from .peers import Gathered, gather
from .sockets import Unsafe, addresses, directory
from .summary import alike, summary

__all__ = ["main", "rows"]

INTERVAL = 2.0
HEADS = (
    "PID", "ROLE", "UP", "MEMORY", "BUSY", "RUNNING", "WAITING", "DELAYED", "OLDEST", "FAILED",
    "HEALTH", "PROGRAM",
)  # fmt: skip
_QUESTION = {"version": local.VERSION, "ask": "summary", "with": {}, "arguments": False}


def main(arguments: Sequence[str] | None = None, out: TextIO = sys.stdout) -> int:
    """Returns the exit status: 1 if no process answers, or the sockets cannot be had."""
    parser = argparse.ArgumentParser(
        prog="python -m counterpunch top",
        description="The processes of this user whose page is mounted with processes=True.",
    )
    parser.add_argument("--directory", help="of the sockets, as given to processes=")
    text = "seconds between two looks; default %(default)g"
    parser.add_argument("--interval", type=float, default=INTERVAL, metavar="SECONDS", help=text)
    parser.add_argument("--once", action="store_true", help="one look, as plain text")
    given = parser.parse_args(arguments)
    try:
        where = directory(given.directory)
    except (OSError, Unsafe) as exc:
        print(f"the processes cannot be seen: {exc}", file=sys.stderr)
        return 1
    if given.once or not out.isatty():
        found = _look(where)
        print("\n".join(_screen(found)), file=out)
        return 0 if found.answers else 1
    try:
        while True:
            width, height = shutil.get_terminal_size()
            lines = [line[:width] for line in _screen(_look(where))[: height - 1]]
            # From the top, each line to its end, and what is below: nothing flickers.
            out.write("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
            out.flush()
            time.sleep(max(0.1, given.interval))
    except KeyboardInterrupt:
        return 0


def _look(where: str) -> Gathered:
    question = json.dumps(_QUESTION).encode() + b"\n"
    found = gather(addresses(where), lambda address: question)
    fitting, ours = [], summary(Health(True, ()))
    for address, told in found.answers:
        if local.fits(told, address.pid) and alike(ours, told["answer"]):
            fitting.append((address, told))
        else:
            found.silent.append({"pid": address.pid, "reason": "it runs another version"})
    return found._replace(answers=fitting)


def _screen(found: Gathered) -> list[str]:
    told = sorted((told for _, told in found.answers), key=lambda one: one["process"]["pid"])
    now = datetime.now().astimezone()
    lines = _columns([HEADS, *rows(told, now.timestamp())])
    if not told:
        lines = ["no process answers: mount its page with processes=True, and enqueue a job"]
    lines += [f"pid {one['pid']}: {_plain(one['reason'])}" for one in found.silent]
    for one in told:
        reasons = one["answer"]["health"]["reasons"]
        lines += [f"pid {one['process']['pid']}: {_plain(reason)}" for reason in reasons]
    return lines


def rows(told: Sequence[Mapping[str, Any]], now: float) -> list[tuple[str, ...]]:
    """The cells of each process, by ``HEADS``.

    Args:
        told: Answers to the question for a summary.
        now: The wall clock, in seconds since the epoch.
    """
    found = []
    for one in told:
        process, total = one["process"], one["answer"]["total"]
        workers, memory = total["workers"], process["memory"]
        started = datetime.fromisoformat(process["started_at"]).timestamp()
        health = "ok" if one["answer"]["health"]["ok"] else "see below"
        found.append(
            (
                str(process["pid"]),
                process["role"] if process["phase"] == "open" else process["phase"],
                _span(now - started),
                f"{memory / 1e6:.0f} MB" if memory else "-",
                f"{workers['busy']}/{workers['total']}",
                *(f"{total[name]:,}" for name in ("running", "queued", "delayed")),
                _span(total["oldest_wait"]),
                f"{total['failed']:,}",
                health,
                process["program"],
            )
        )
    return [tuple(map(_plain, row)) for row in found]


def _columns(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def _span(seconds: float) -> str:
    """A time in its two largest units."""
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f}{unit} {seconds % size // part:.0f}{smaller}"
    if seconds >= 60:
        return f"{seconds // 60:.0f}m {seconds % 60:.0f}s"
    return f"{max(0.0, seconds):.1f}s" if seconds < 10 else f"{seconds:.0f}s"


def _plain(text: str) -> str:
    """Without what would move the cursor: another process has said it."""
    return "".join(char if char.isprintable() else "?" for char in text)
