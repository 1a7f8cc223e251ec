"""README and guide: Python blocks run as a reader would paste them, and links lead somewhere."""

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

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
GUIDE = sorted((ROOT / "examples" / "guide").glob("*.md"))
TEXTS = {page.name if page != README else "README": page for page in [*GUIDE, README]}
TEXTS["the guide"] = ROOT / "examples" / "guide" / "README.md"
PAGES = {"README": README, **{page.stem: page for page in GUIDE if page.stem != "README"}}
HOSTS = (
    "flask", "fastapi", "django", "sqlalchemy", "starlette", "celery", "rq", "dramatiq",
    "opentelemetry", "structlog", "sentry_sdk", "httpx",
)  # fmt: skip


def _blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


#: What a reader has met before anything else.
FIRST = _blocks(README)[0]


def _hosts_of(block: str) -> list[str]:
    ours = r"counterpunch\.(backends|integrations)\."
    return [
        host for host in HOSTS if re.search(rf"^ *(from|import) ({ours})?{host}\b", block, re.M)
    ]


def test_the_readme_is_short_and_code_comes_early() -> None:
    """A stranger sees code by line 15, and reads to the end."""
    lines = README.read_text(encoding="utf-8").splitlines()
    assert lines.index("```python") < 15
    assert len(lines) <= 250


@pytest.fixture
def as_before(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a page registers or configures is taken back."""
    monkeypatch.chdir(ROOT)
    before = process.around_perform, process.around_enqueue, process.on_error
    yield
    process.around_perform, process.around_enqueue, process.on_error = before
    process.changed()


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_run(page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every block that needs no web framework runs, one after the other."""
    monkeypatch.setenv("DATABASE", str(tmp_path / "shop.sqlite3"))
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(FIRST, namespace)
    for number, block in enumerate(_blocks(PAGES[page])):
        if not _hosts_of(block):
            exec(compile(block, f"{page}, block {number}", "exec"), namespace)
    assert counterpunch.wait_idle(10)


def _lines() -> list[str]:
    """The code of the table of features, each piece by itself."""
    text = README.read_text(encoding="utf-8")
    table = text.split("| you want | write |\n|---|---|\n", 1)[1].split("\n\n", 1)[0]
    return [
        code for row in table.splitlines() for code in re.findall(r"`([^`]+)`", row.split("|")[2])
    ]


@pytest.mark.usefixtures("as_before")
def test_the_lines_of_the_feature_table_run() -> None:
    """Each as it stands: those that set an option, or define perform, inside a job class."""
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(FIRST, namespace)
    exec("import time; from counterpunch import *", namespace)

    class Session:
        def defer(self, commit: Callable[[], object], rollback: Callable[[], object]) -> bool:
            return False  # no transaction is open

    namespace.update(
        tracing=lambda handle: nullcontext(),
        report=lambda exc, handle, will_retry: None,
        lost=lambda handles: None,
        session=Session(),
    )
    lines = _lines()
    assert len(lines) >= 25
    try:
        for line in lines:
            in_a_class = re.match(rf"({'|'.join(DEFAULTS)})\b.* = |async def perform", line)
            if in_a_class:
                perform = "def perform(self, user_id=0): pass"
                text = f"class Feature(Job):\n    {perform}\n    {line}"
            elif line in ("True", "None", "await"):
                continue  # a word of the text
            else:
                text = line
            exec(compile(text, f"README table: {line}", "exec"), namespace)
        assert counterpunch.wait_idle(10)
    finally:
        counterpunch.configure(on_lost=None, shutdown_timeout=8.0, max_threads=None)


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
    page = ROOT / "examples" / "guide" / "frameworks.md"
    assert f"| `{line}`" in page.read_text(encoding="utf-8")
    written = (ROOT / "tests" / "hosts" / "apps" / app).read_text(encoding="utf-8")
    assert line in [row.partition("  #")[0].strip() for row in written.splitlines()]


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize(
    ("page", "number"),
    [
        (name, number)
        for name, page in PAGES.items()
        for number, block in enumerate(_blocks(page))
        if _hosts_of(block)
    ],
)
def test_blocks_for_a_framework_run(page: str, number: int) -> None:
    """The others run after the first one, wherever their framework is installed."""
    block = _blocks(PAGES[page])[number]
    for host in _hosts_of(block):
        pytest.importorskip(host)
    if "RedisBroker" in block:
        pytest.importorskip("redis")  # Dramatiq can be installed without
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(FIRST, namespace)
    exec(compile(block, f"{page}, block {number}", "exec"), namespace)


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name: str) -> None:
    """To a file of the repository, and to a heading that is there."""
    page = TEXTS[name]
    for text, target in re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"[{text}]({target})"
        assert not anchor or anchor in _anchors(file), f"[{text}]({target})"


def test_files_that_are_named_are_there() -> None:
    """Each claim names its test or benchmark."""
    for page in TEXTS.values():
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"`((?:tests|examples|src)/[\w/.-]+)`", text):
            assert (ROOT / name).exists(), f"{page.name}: {name}"


@pytest.mark.parametrize("page", [page.name for page in GUIDE if page.name != "README.md"])
def test_each_page_names_what_shows_it_and_is_linked(page: str) -> None:
    """A page without a test or a benchmark would be a page of claims."""
    text = (ROOT / "examples" / "guide" / page).read_text(encoding="utf-8")
    assert re.search(r"`tests/[\w/.-]+`|tests/benchmarks/", text)
    assert f"(examples/guide/{page})" in README.read_text(encoding="utf-8")
