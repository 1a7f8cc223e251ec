"""The tables of the guide's page on options, made from the docstrings; ``--write`` puts them there.

``python tests/examples/options_tables.py --write``
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import counterpunch
from counterpunch.core.values.config import Config
from counterpunch.define.options import DEFAULTS

PAGE = Path(__file__).parents[2] / "examples" / "guide" / "options.md"
#: Between these the page is made.
BEGIN, END = "<!-- {}: made from the docstring -->", "<!-- end -->"


def described(doc: str, section: str) -> dict[str, str]:
    """The names of a docstring's section, and what it says of each."""
    body = inspect.cleandoc(doc).split(f"\n{section}\n", 1)[1]
    found: dict[str, str] = {}
    name = ""
    for line in body.splitlines():
        if line and not line.startswith("    "):
            break
        if match := re.match(r"    (\w+): (.*)", line):
            name = match[1]
            found[name] = match[2]
        elif line.strip():
            found[name] += " " + line.strip()
    return found


def table(meanings: Mapping[str, str], defaults: Mapping[str, Any]) -> str:
    rows = ["| option | default | meaning |", "|---|---|---|"]
    for name, meaning in meanings.items():
        text = re.sub(r" Default [^.]*(\.\d+)?[^.]*\.$| Default .*$", "", meaning)
        text = text.replace("``", "`").replace("|", "\\|")
        rows.append(f"| `{name}` | `{defaults.get(name, '?')!r}` | {text} |")
    return "\n".join(rows)


def tables() -> dict[str, str]:
    job = described(counterpunch.Job.__doc__ or "", "Options, as class attributes of a job:")
    process = described(counterpunch.configure.__doc__ or "", "Args:")
    config = Config()
    return {
        "options of a class": table(job, DEFAULTS),
        "options of the process": table(process, {name: getattr(config, name) for name in process}),
    }


def made(text: str, pieces: Iterable[tuple[str, str]]) -> str:
    for title, piece in pieces:
        begin = BEGIN.format(title)
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{piece}\n{END}{rest.partition(END)[2]}"
    return text


if __name__ == "__main__" and "--write" in sys.argv:
    PAGE.write_text(made(PAGE.read_text(encoding="utf-8"), tables().items()), encoding="utf-8")
