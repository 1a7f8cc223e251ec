"""``tests/side_by_side.py``: whatever happens to a test in another process is told as if here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="all in one process without fork")

TESTS = Path(__file__).parents[1]

MEETING = """
import os, time
from pathlib import Path
import pytest

def meet(own, other):
    "Both are at work at once, or neither comes to its end."
    Path(own).write_text(str(os.getpid()))
    end = time.monotonic() + 20
    while not Path(other).exists():
        assert time.monotonic() < end
        time.sleep(0.005)
"""

FILES = {
    "conftest.py": """
import os, pytest

@pytest.fixture(scope="session", autouse=True)
def session():
    yield
    open(f"torn-down-{os.getpid()}", "w").close()
""",
    "test_one.py": MEETING
    + """
import warnings

@pytest.fixture(scope="module")
def meeting():
    meet("one", "two")

def test_succeeds(meeting, tmp_path):
    warnings.warn("a warning of one")

def test_fails():
    print("printed before")
    left = 1
    assert left == 2

@pytest.mark.skip(reason="a reason to skip")
def test_skipped(): ...

@pytest.mark.xfail(reason="a reason to fail")
def test_expected():
    assert False
""",
    "test_two.py": MEETING
    + """
@pytest.fixture
def broken():
    yield
    raise OSError("a broken teardown")

def test_succeeds(tmp_path):
    meet("two", "one")

def test_teardown(broken): ...

@pytest.mark.timeout(0.2)
def test_too_long():
    time.sleep(30)

def test_goes():
    os._exit(3)

def test_after(): ...
""",
}


def run(
    folder: Path, *arguments: str, at_a_time: int = 2, **files: str
) -> subprocess.CompletedProcess[str]:
    """pytest with the plugin, over the files, in a process of its own."""
    for name, text in files.items():
        (folder / name.replace("_py", ".py")).write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p side_by_side -p no:cacheprovider\n")
    environ = {**os.environ, "TESTS_AT_A_TIME": str(at_a_time), "PYTHONPATH": str(TESTS)}
    environ.pop("PYTEST_ADDOPTS", None)
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--rootdir=.",
            f"--basetemp={folder / 'base'}",
            *arguments,
        ],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=50,
    )


def test_everything_is_told(tmp_path: Path) -> None:
    """Failures with their values and what was printed, skips and why, warnings, times, a test that
    takes too long, and one whose process is gone; to the terminal and to a file."""
    options = ("-rsx", "-vv", "--durations=3", "--junitxml=junit.xml")
    ended = run(tmp_path, *options, **{name.replace(".py", "_py"): t for name, t in FILES.items()})
    text = ended.stdout
    assert ended.returncode == 1, text + ended.stderr
    for wanted in (
        "3 failed, 3 passed, 1 skipped, 1 xfailed, 1 warning, 1 error",
        "test_one.py::test_succeeds PASSED",
        "test_two.py::test_succeeds PASSED",
        "assert 1 == 2",
        "printed before",
        "a reason to skip",
        "a reason to fail",
        "UserWarning: a warning of one",
        "OSError: a broken teardown",
        "Timeout",
        "slowest 3 durations",
        "test_two.py::test_goes FAILED",
        "The process that ran this test is gone",
    ):
        assert wanted in text, text
    assert "test_after" not in text.partition("FAILURES")[0]  # as it says of that file
    told = {
        case.get("name"): case
        for case in ElementTree.parse(tmp_path / "junit.xml").iter("testcase")
    }
    assert {child.tag for child in told["test_fails"]} >= {"failure"}
    assert {child.tag for child in told["test_goes"]} == {"failure"}
    assert (tmp_path / "one").read_text() != (tmp_path / "two").read_text()  # two processes
    assert len(list(tmp_path.glob("torn-down-*"))) == 1  # and one had its end


def test_a_run_that_is_to_stop_does_so_at_once(tmp_path: Path) -> None:
    """``-x``: the other process leaves its test as at Ctrl-C, and tidies up."""
    waits = MEETING + (
        "def test_waits():\n    try:\n        meet('one', 'two')\n        time.sleep(40)\n"
        "    finally:\n        Path('tidied').touch()\n"
    )
    fails = MEETING + "def test_fails():\n    meet('two', 'one')\n    assert not 1\n"
    files = {"conftest_py": FILES["conftest.py"], "test_one_py": waits, "test_two_py": fails}
    ended = run(tmp_path, "-x", **files)
    assert "stopping after 1 failures" in ended.stdout
    assert "1 failed in" in ended.stdout
    assert (tmp_path / "tidied").exists()
    assert len(list(tmp_path.glob("torn-down-*"))) == 2


def test_alone(tmp_path: Path) -> None:
    """One at a time, or one file: no other process."""
    one = f"def test_here():\n    import os\n    assert os.getppid() == {os.getpid()}\n"
    for at_a_time, arguments in ((1, ()), (2, ("test_one.py",))):
        files = {"test_one_py": one, "test_two_py": one}
        ended = run(tmp_path, *arguments, at_a_time=at_a_time, **files)
        assert ended.returncode == 0, ended.stdout
