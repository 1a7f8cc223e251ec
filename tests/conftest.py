"""What every test starts from and leaves behind: a fresh runtime, and no job of its own.

And how the scripts of a module run beside each other, see ``process.script``. The modules do so
as well: ``side_by_side.py``.
"""

from __future__ import annotations

import gc
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from process import LONG, Result, run

import counterpunch
from counterpunch.core.process.installed import installed
from counterpunch.core.values.config import config
from counterpunch.recurring.classes import periodic_classes

# A suite that a shell has started in the background ignores Ctrl-C, and so would its children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["side_by_side"]

#: Scripts that run side by side: so few that the times which they tell remain their own.
AT_A_TIME = 4


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "script(text, within): what the fixture result runs")


def pytest_collection_finish() -> None:
    """A collection of a test does not look through five thousand tests each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def own_host() -> Iterator[None]:
    """Two runs of the tests at a time have neither lock files nor sockets in common."""
    with (
        tempfile.TemporaryDirectory(prefix="tests-") as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("XDG_RUNTIME_DIR", folder)
        yield


@pytest.fixture(autouse=True)
def fresh_runtime() -> Iterator[None]:
    """Each test starts with zeroed counters; jobs it leaves behind are given up."""
    counterpunch.shutdown(timeout=0)
    installed.runtime = None  # stats() would show the stopped one until the first enqueue
    of_others = list(periodic_classes)
    periodic_classes.clear()  # a class of another module that nothing arms is no concern of it
    yield
    if installed.runtime is not None:  # a pause outlives the runtime
        for lane in list(installed.runtime.registry.lanes.values()):
            lane.gate.paused = False
    periodic_classes.clear()
    periodic_classes.update(of_others)
    counterpunch.configure(
        shutdown_timeout=8.0,
        max_threads=None,
        strict_args=None,
        history=1000,
        history_bytes=8 * 1024 * 1024,
        history_ttl=3600.0,
        log_args=True,
        starved_after=60.0,
        on_lost=None,
        signals=False,
        backend=None,
        application=None,
    )
    counterpunch.shutdown(timeout=0)
    config.pools = {}  # configure() takes no pool away, since jobs may be in it


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Result]]]:
    """How the scripts of this module's tests end, by the id of the test."""
    with ThreadPoolExecutor(AT_A_TIME) as side_by_side:
        ends = {}
        for item in request.session.items:
            mark = item.get_closest_marker("script")
            if mark is None or item.path != request.path:
                continue
            if any(skip.args[0] for skip in item.iter_markers("skipif")):
                continue
            text, within = mark.args
            call = getattr(item, "callspec", None)
            for name, value in call.params.items() if call is not None else ():
                text = text.replace(f"<{name}>", str(value))
            ends[item.nodeid] = side_by_side.submit(run, text, within=within)
        yield ends
        side_by_side.shutdown(cancel_futures=True)


@pytest.fixture
def result(request: pytest.FixtureRequest, results: dict[str, Future[Result]]) -> Result:
    """How the script of this test ended."""
    _, within = request.node.get_closest_marker("script").args
    return results[request.node.nodeid].result(LONG + within)  # after it has had its turn
