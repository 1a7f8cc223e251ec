"""What every test starts from and leaves behind: a fresh runtime, and no job of its own."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

import counterpunch
from counterpunch._config import config
from counterpunch._installed import installed

# A suite that a shell has started in the background ignores Ctrl-C, and so would its children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def fresh_runtime() -> Iterator[None]:
    """Each test starts with zeroed counters; jobs it leaves behind are given up."""
    counterpunch.shutdown(timeout=0)
    installed.runtime = None  # stats() would show the stopped one until the first enqueue
    yield
    counterpunch.configure(
        shutdown_timeout=8.0,
        max_threads=None,
        strict_args=None,
        history=1000,
        history_ttl=3600.0,
        log_args=True,
        starved_after=60.0,
        on_lost=None,
        signals=False,
        backend=None,
    )
    counterpunch.shutdown(timeout=0)
    config.pools = {}  # configure() takes no pool away, since jobs may be in it
