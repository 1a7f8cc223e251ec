"""Where a host sets the limit: what is lost then, what still tells of it, and what helps."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fleet import DEADLINE, SLACK, load, start
from serving import LONG, Ledger, eventually

from counterpunch.integrations.sigterm import REPEAT_SECONDS

pytestmark = pytest.mark.hosts


@pytest.mark.parametrize(
    ("host", "seconds", "reported"),
    [
        ("gunicorn-sync-timeout", "0.5", True),
        ("gunicorn-sync-timeout", "30", False),
        ("gunicorn-sync-worker_abort", "30", True),
    ],
    ids=["short shutdown_timeout", "long shutdown_timeout", "worker_abort"],
)
def test_a_worker_that_gunicorn_has_given_up(
    host: str, seconds: str, reported: bool, ledger: Ledger
) -> None:
    """A request past ``--timeout``: SIGABRT, and SIGKILL about a second later. The jobs that
    end in between are kept; the lost report only if the drain is over by then."""
    with start(host, ledger, HOSTS_TIMEOUT=seconds) as server, ThreadPoolExecutor(1) as client:
        ids = load(server, "mixed")
        old = server.get("/")["pid"]
        answer = client.submit(server.get, "/block")
        eventually(lambda: ledger.of("blocked"), "a request that blocks the worker")
        assert isinstance(answer.exception(LONG), OSError)
        assert server.get("/")["pid"] != old, "the one worker has been replaced"
        ran, lost = ledger.of("ran"), ledger.of("lost")
        assert len(ran) == len(ids) - 2
        assert (sorted(ran + lost) == sorted(ids)) is reported
        assert (lost == []) is not reported


def test_a_drain_beyond_graceful_timeout_is_killed_without_a_report(ledger: Ledger) -> None:
    """So ``shutdown_timeout`` has to be the smaller of the two."""
    with start("gunicorn-sync-graceful-1", ledger, HOSTS_TIMEOUT="30") as server:
        ids = load(server, "mixed")
        before = time.monotonic()
        server.send(signal.SIGTERM)
        assert server.end() == 0
        assert time.monotonic() - before < 1 + SLACK
        assert len(ledger.of("ran")) == len(ids) - 2, "what ended in time was kept"
        assert ledger.of("lost") == []


def test_a_drain_at_a_reload_is_bounded_by_timeout(ledger: Ledger) -> None:
    """Not by ``graceful_timeout``. Its SIGABRT cuts the drain short, and the report follows."""
    with start("gunicorn-sync-timeout", ledger, HOSTS_TIMEOUT="600") as server:
        ids = load(server, "mixed")
        old = server.get("/")["pid"]
        server.send(signal.SIGHUP)
        eventually(lambda: not alive(old), "the end of the old worker")
        assert server.get("/")["pid"] != old
        assert sorted(ledger.of("ran") + ledger.of("lost")) == sorted(ids)
        assert len(ledger.of("lost")) == 2


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(
    not os.environ.get("COUNTERPUNCH_REQUIRE_HOSTS"),
    reason="two seconds for the real server; test_exit_signals.py has it by an injected clock",
)
def test_a_sigterm_that_wsgiref_swallows_is_repeated(ledger: Ledger) -> None:
    """It catches whatever is raised while it is at a request, and serves on."""
    with start("wsgiref", ledger) as server, ThreadPoolExecutor(1) as client:
        ids = load(server, "mixed")
        answer = client.submit(server.get, "/slow")
        eventually(lambda: ledger.of("waiting"), "a request in flight")
        server.send(signal.SIGTERM)
        with pytest.raises(ConnectionError, match=r"^500: "):
            answer.result(LONG)
        assert server.get("/")["pid"] == server.pid, "it goes on as if nothing had been said"
        threading.Event().wait(REPEAT_SECONDS)
        before = time.monotonic()
        server.send(signal.SIGTERM)
        assert server.end() == 143
        assert sorted(ledger.of("ran") + ledger.of("lost")) == sorted(ids)
        assert time.monotonic() - before < DEADLINE + SLACK


@pytest.mark.parametrize("host", ["gunicorn-post_worker_init", "gunicorn-post_worker_init-preload"])
def test_periodic_jobs_can_be_armed_before_the_first_request(host: str, ledger: Ledger) -> None:
    """By the line that the README gives for gunicorn; in each worker, not in its parent."""
    server = start(host, ledger, HOSTS_PERIODIC="1")
    try:  # without the "with", which would ask it for an answer
        eventually(lambda: len(set(ledger.of("tick"))) == 2, "ticks of both workers")
        assert str(server.pid) not in ledger.of("tick")
    finally:
        server.__exit__(None, None, None)
