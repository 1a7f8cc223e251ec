"""The ways in which a deployment starts and stops a server, as processes with the same signals.

What is common is in ``test_hosts``: systemd with ``KillMode=mixed``, Docker with an init and
Kubernetes signal the first process alone; systemd by itself and Heroku signal all of them.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest
from fleet import DEADLINE, HOSTS, SLACK, idle, load, start
from serving import APPS, Ledger, Server, eventually, require

pytestmark = pytest.mark.hosts

TERM = signal.SIGTERM
UNSHARE = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"]


def first_of_a_container(name: str, ledger: Ledger, **environ: str) -> Server:
    """The server as process 1 of its own world, as under ``docker run`` without ``--init``."""
    host = HOSTS[name]
    require(*host.needs)
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare")
    environ = {"HOSTS_TIMEOUT": str(DEADLINE), **host.environ, **environ}
    return Server([*UNSHARE, *host.argv()], ledger, APPS, **environ)


def child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


@pytest.mark.parametrize(
    ("name", "status"),
    [("wsgiref", 143), ("gunicorn-sync", 0), ("uvicorn", 0), ("hypercorn", 0), ("granian-asgi", 0)],
)
def test_a_server_as_process_1_of_a_container(name: str, status: int, ledger: Ledger) -> None:
    """For which the kernel knows no default action of a signal: what has a handler still drains."""
    with first_of_a_container(name, ledger) as server:
        ids = load(server, "mixed")
        idle(name, server)
        before = time.monotonic()
        os.kill(child(server.pid), TERM)
        assert server.end() == status, server.output
        assert time.monotonic() - before < DEADLINE + SLACK
        assert sorted(ledger.of("ran") + ledger.of("lost")) == sorted(ids)


def test_process_1_without_a_handler_is_deaf_and_says_so(ledger: Ledger) -> None:
    """It goes on until the platform kills it: nothing of it is reported then."""
    with first_of_a_container("wsgiref-plain", ledger) as server:
        load(server, "mixed")
        os.kill(child(server.pid), TERM)
        eventually(lambda: len(ledger.of("ran")) == 6, "the short jobs")
        assert server.get("/")["pid"] == 1
        assert "knows nothing of SIGTERM" in server.output


@pytest.mark.parametrize(
    "name", ["gunicorn-sync-2", "uvicorn-workers", "hypercorn-2-signals", "granian-asgi"]
)
def test_the_main_process_alone_and_then_the_rest_is_killed(name: str, ledger: Ledger) -> None:
    """systemd with ``Type=notify`` and ``KillMode=mixed``: TERM to the main process, and SIGKILL to
    what is left once that has gone."""
    notified = str(ledger.path.parent / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(notified)
        with start(name, ledger, NOTIFY_SOCKET=notified) as server:
            ids = load(server, "mixed", HOSTS[name].processes)
            server.send(TERM)
            server.wait()
            with suppress(ProcessLookupError):
                server.send(signal.SIGKILL, group=True)
            server.end()
            assert sorted(ledger.of("ran") + ledger.of("lost")) == sorted(ids), server.output
        if name.startswith("gunicorn"):
            assert manager.recv(100).startswith(b"READY=1")


@pytest.mark.parametrize("name", ["gunicorn-sync", "gunicorn-gthread", "uvicorn", "granian-asgi"])
def test_sigterm_to_all_again_and_again(name: str, ledger: Ledger) -> None:
    """As Heroku and a systemd unit do it that is stopped twice: the drain goes on."""
    with start(name, ledger) as server:
        ids = load(server, "mixed")
        for _ in range(3):
            server.send(TERM, group=True)
            time.sleep(0.1)  # a supervisor's pause, and shorter than the drain
        server.end()
        assert sorted(ledger.of("ran") + ledger.of("lost")) == sorted(ids), server.output
