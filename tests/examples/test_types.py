"""Both type checkers accept the README's Python blocks and the examples, in their strict modes.

Skipped where a checker is not installed; the extra stage of CI has both, and the hosts.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_readme import FIRST, README, ROOT, _blocks

EXAMPLES = [*sorted((ROOT / "examples").glob("*.py")), ROOT / "examples" / "guide" / "outbox.py"]

pytestmark = pytest.mark.timeout(180)  # a checker without a cache reads all that is imported


@pytest.fixture
def blocks(tmp_path: Path) -> Path:
    """Each block as a module, after what a reader has met before it."""
    for index, block in enumerate(_blocks(README)):
        text = block if block == FIRST else f"{FIRST}\n{block}"
        (tmp_path / f"block_{index}.py").write_text(text, encoding="utf-8")
    return tmp_path


def test_mypy(blocks: Path) -> None:
    """``mypy --strict``, without a plugin."""
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports"]
    command += ["--config-file=", "--cache-dir", str(blocks / "cache"), *map(str, EXAMPLES)]
    command += map(str, sorted(blocks.glob("block_*.py")))
    found = subprocess.run(
        command, capture_output=True, text=True, env=_with(MYPYPATH=_paths()), check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_pyright(blocks: Path) -> None:
    """Strict; but what it says of frameworks that bring no types is theirs."""
    pytest.importorskip("pyright")
    config = {
        "include": ["."],
        "typeCheckingMode": "strict",
        "extraPaths": _paths().split(":"),
        "reportMissingModuleSource": "none",
        "reportMissingTypeStubs": "none",
        "reportUnusedFunction": "none",
    }
    for example in EXAMPLES:
        (blocks / f"example_{example.name}").write_text(example.read_text("utf-8"), "utf-8")
    (blocks / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "-p", str(blocks)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("app", ["flask_app", "fastapi_app"])
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_the_apps_to_copy(app: str, checker: str, tmp_path: Path) -> None:
    """Each as its reader has it, in a directory of its own."""
    pytest.importorskip(checker)
    for host in ("flask", "fastapi", "sqlalchemy", "httpx"):
        pytest.importorskip(host)
    where = tmp_path / app
    shutil.copytree(ROOT / "examples" / app, where, ignore=shutil.ignore_patterns("__pycache__"))
    if checker == "mypy":
        files = [path.relative_to(where) for path in sorted(where.rglob("*.py"))]
        command = ["--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache")]
        command += [str(path) for path in files if path.name != "gunicorn.conf.py"]
    else:
        config = {
            "include": ["."],
            "exclude": ["tests"],  # the frameworks' test clients are not typed in full
            "typeCheckingMode": "strict",
            "extraPaths": [str(ROOT / "src")],
            "reportMissingTypeStubs": "none",
            "reportUnusedFunction": "none",
        }
        (where / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
        command = ["--pythonpath", sys.executable, "-p", str(where)]
    found = subprocess.run(
        [sys.executable, "-m", checker, *command],
        cwd=where,
        env=_with(MYPYPATH=str(ROOT / "src")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_the_django_app_to_copy(checker: str, tmp_path: Path) -> None:
    """With Django's stubs, which their own mypy plugin goes with; without them all is unknown."""
    pytest.importorskip(checker)
    pytest.importorskip("mypy_django_plugin")
    where = tmp_path / "django_app"
    ignored = shutil.ignore_patterns("__pycache__", "migrations")
    shutil.copytree(ROOT / "examples" / "django_app", where, ignore=ignored)
    if checker == "mypy":
        plugin = "[mypy]\nstrict = true\nplugins = mypy_django_plugin.main\n"
        plugin += "[mypy.plugins.django-stubs]\ndjango_settings_module = project.settings\n"
        (where / "mypy.ini").write_text(plugin, encoding="utf-8")
        command = ["--cache-dir", str(tmp_path / "cache"), "."]
    else:
        config = {
            "include": ["."],
            "typeCheckingMode": "strict",
            "extraPaths": [str(ROOT / "src")],
            "reportUnknownMemberType": "none",  # of a model's fields: that takes the plugin
            "reportUnknownVariableType": "none",
        }
        (where / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
        command = ["--pythonpath", sys.executable, "-p", str(where)]
    paths = f"{ROOT / 'src'}:{where}"
    found = subprocess.run(
        [sys.executable, "-m", checker, *command],
        cwd=where,
        env=_with(MYPYPATH=str(ROOT / "src"), PYTHONPATH=paths),
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr


def _paths() -> str:
    return f"{ROOT / 'src'}:{ROOT / 'examples'}"


def _with(**variables: str) -> dict[str, str]:
    import os

    return {**os.environ, **variables}
