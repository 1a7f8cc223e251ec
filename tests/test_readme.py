"""The README's Python blocks run, in order, in one namespace, as a reader would paste them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
HOSTS = ("flask", "fastapi", "django", "sqlalchemy", "starlette")


def _hosts_of(block: str) -> list[str]:
    return [host for host in HOSTS if re.search(rf"^(from|import) {host}\b", block, re.M)]


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


@pytest.mark.parametrize("block", [block for block in BLOCKS if _hosts_of(block)])
def test_blocks_for_a_framework_run(block: str) -> None:
    """The others run after the first one, wherever their framework is installed."""
    for host in _hosts_of(block):
        pytest.importorskip(host)
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(compile(BLOCKS[0], "README block 0", "exec"), namespace)
    exec(compile(block, "README block", "exec"), namespace)
