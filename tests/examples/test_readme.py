"""The README's Python blocks run, in order, in one namespace, as a reader would paste them."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import counterpunch
from counterpunch.core.values.hooks import process
from counterpunch.define.options import DEFAULTS

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
HOSTS = (
    "flask", "fastapi", "django", "sqlalchemy", "starlette", "celery", "rq", "dramatiq"
)  # fmt: skip


def _hosts_of(block: str) -> list[str]:
    ours = r"counterpunch\.backends\."
    return [host for host in HOSTS if re.search(rf"^(from|import) ({ours})?{host}\b", block, re.M)]


def test_code_comes_early() -> None:
    """A stranger sees code by line 15."""
    lines = README.read_text(encoding="utf-8").splitlines()
    assert lines.index("```python") < 15


def test_python_blocks_run() -> None:
    """Every block that needs no web framework runs, one after the other."""
    namespace: dict[str, Any] = {"__name__": "readme"}
    ran = 0
    for number, block in enumerate(BLOCKS):
        if not _hosts_of(block):
            exec(compile(block, f"README block {number}", "exec"), namespace)
            ran += 1
    assert ran >= 3


def _lines() -> list[str]:
    """The code of the table of features, each piece by itself."""
    text = README.read_text(encoding="utf-8")
    table = text.split("| you want | write |\n|---|---|\n", 1)[1].split("\n\n", 1)[0]
    return [
        code for row in table.splitlines() for code in re.findall(r"`([^`]+)`", row.split("|")[2])
    ]


def test_the_lines_of_the_feature_table_run() -> None:
    """Each as it stands: those that set an option, or define perform, inside a job class."""
    namespace: dict[str, Any] = {"__name__": "readme"}
    for number, block in enumerate(BLOCKS):
        if not _hosts_of(block):
            exec(compile(block, f"README block {number}", "exec"), namespace)
    exec("from counterpunch import *", namespace)

    class Session:
        def defer(self, commit: Callable[[], object], rollback: Callable[[], object]) -> bool:
            return False  # no transaction is open

    namespace.update(
        tracing=lambda handle: nullcontext(), report=lambda *args: None, session=Session()
    )
    lines = _lines()
    assert len(lines) >= 30
    before = process.around_perform, process.around_enqueue, process.on_error
    try:
        for line in lines:
            in_a_class = re.match(rf"({'|'.join(DEFAULTS)})\b.* = |async def perform", line)
            if in_a_class:
                perform = "def perform(self, user_id=0): pass"
                text = f"class Feature(Job):\n    {perform}\n    {line}"
            elif line == "True" or line.startswith("raise "):
                continue  # a value, and a line for the inside of perform
            else:
                text = line
            exec(compile(text, f"README table: {line}", "exec"), namespace)
        assert counterpunch.wait_idle(10)
    finally:
        process.around_perform, process.around_enqueue, process.on_error = before
        process.changed()


@pytest.mark.parametrize(
    ("line", "app"),
    [
        ("app.asgi_app = asgi.wrap(app.asgi_app)", "quart_site.py"),
        ("app.cleanup_ctx.append(asgi.lifespan)", "aiohttp_site.py"),
        ("async with asgi.lifespan(app):", "tornado_site.py"),
    ],
)
def test_the_line_for_a_framework_is_the_one_its_server_runs_with(line: str, app: str) -> None:
    """In the tests of real servers, which are not at hand everywhere."""
    assert f"| `{line}`" in README.read_text(encoding="utf-8")
    written = (README.parent / "tests" / "hosts" / "apps" / app).read_text(encoding="utf-8")
    assert line in [row.partition("  #")[0].strip() for row in written.splitlines()]


@pytest.mark.parametrize("block", [block for block in BLOCKS if _hosts_of(block)])
def test_blocks_for_a_framework_run(block: str) -> None:
    """The others run after the first one, wherever their framework is installed."""
    for host in _hosts_of(block):
        pytest.importorskip(host)
    if "RedisBroker" in block:
        pytest.importorskip("redis")  # Dramatiq can be installed without
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(compile(BLOCKS[0], "README block 0", "exec"), namespace)
    exec(compile(block, "README block", "exec"), namespace)
