"""Every server, stopped with work in its queues: what ran, what was reported, how it ended.

One scenario for all. Each process of the server is given short jobs, one that is not due and
one that never ends; then it is stopped. Afterwards every short job has run, the other two are
in the lost report, the deadline of one second has held, and the exit status is the one that
the host has without jobs. ``DIES`` lists what no library can help, as the README says.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from fleet import DEADLINE, HOSTS, SLACK, idle, load, start
from serving import APPS, LONG, Ledger, Server, eventually, require

pytestmark = pytest.mark.hosts

TERM, INT, QUIT = signal.SIGTERM, signal.SIGINT, signal.SIGQUIT
HUP, KILL, USR2 = signal.SIGHUP, signal.SIGKILL, signal.SIGUSR2


class Stop(NamedTuple):
    """One way to stop one host. ``status`` is the host's own, measured without any job."""

    host: str
    number: signal.Signals
    status: int
    group: bool = False

    def __str__(self) -> str:
        return f"{self.host}-{self.number.name}{'-group' if self.group else ''}"


DRAINS = [
    Stop("gunicorn-sync", TERM, 0),
    Stop("gunicorn-sync", INT, 0),
    Stop("gunicorn-sync", QUIT, 0),
    Stop("gunicorn-sync", KILL, -9),  # of the parent alone: its workers notice
    Stop("gunicorn-sync", TERM, 0, group=True),
    Stop("gunicorn-sync", INT, 0, group=True),
    Stop("gunicorn-sync-worker_exit", TERM, 0),
    Stop("gunicorn-sync-2", TERM, 0),
    Stop("gunicorn-sync-preload", TERM, 0),
    Stop("gunicorn-sync-preload", INT, 0),
    Stop("gunicorn-gthread", TERM, 0),
    Stop("gunicorn-gthread", INT, 0),
    Stop("gunicorn-gthread", QUIT, 0),
    Stop("gunicorn-gthread", TERM, 0, group=True),
    Stop("gunicorn-gthread", INT, 0, group=True),
    Stop("gunicorn-gthread-preload", TERM, 0),
    Stop("gunicorn-gthread-preload", INT, 0),
    Stop("gunicorn-gevent", TERM, 0),
    Stop("gunicorn-gevent", INT, 0),
    Stop("gunicorn-gevent", QUIT, 0),
    Stop("gunicorn-gevent", TERM, 0, group=True),
    Stop("gunicorn-gevent-preload", TERM, 0),
    Stop("gunicorn-gevent-preload", INT, 0),
    Stop("gunicorn-tornado", TERM, 0),
    Stop("gunicorn-asgi", TERM, 0),
    Stop("gunicorn-asgi", INT, 0),
    Stop("gunicorn-asgi", QUIT, 0),
    Stop("gunicorn-uvicorn", TERM, 0),
    Stop("gunicorn-uvicorn", TERM, 0, group=True),
    Stop("gunicorn-uvicorn", INT, 0, group=True),
    Stop("gunicorn-django", TERM, 0),
    Stop("uvicorn", TERM, -15),
    Stop("uvicorn", INT, 0),
    Stop("uvicorn", TERM, -15, group=True),
    Stop("uvicorn-wrap", TERM, -15),
    Stop("uvicorn-wrap", INT, 0),
    Stop("uvicorn-bare", INT, 0),
    Stop("uvicorn-django", TERM, -15),
    Stop("uvicorn-django", INT, 0),
    Stop("uvicorn-workers", TERM, 0),
    Stop("uvicorn-workers", INT, 0),
    Stop("uvicorn-workers", TERM, 0, group=True),
    Stop("uvicorn-workers", INT, 0, group=True),
    Stop("uvicorn-reload", TERM, 0),
    Stop("uvicorn-reload", INT, 0),
    Stop("uvicorn-reload", TERM, 0, group=True),
    Stop("uvicorn-reload", INT, 0, group=True),
    Stop("hypercorn", TERM, 0),
    Stop("hypercorn", INT, 0),
    Stop("hypercorn", INT, 0, group=True),
    Stop("hypercorn-in-process", TERM, 0),
    Stop("hypercorn-in-process", INT, 0),
    Stop("hypercorn-in-process", TERM, 0, group=True),
    Stop("hypercorn-signals", TERM, 0, group=True),
    Stop("hypercorn-signals", INT, 0, group=True),
    Stop("hypercorn-2-signals", TERM, 0),
    Stop("hypercorn-2-signals", INT, 0, group=True),
    Stop("granian-asgi", TERM, 0),
    Stop("granian-asgi", INT, 0),
    Stop("granian-asgi", TERM, 0, group=True),
    Stop("granian-wsgi", TERM, 0),
    Stop("granian-wsgi", INT, 0),
    Stop("granian-wsgi", TERM, 0, group=True),
    Stop("daphne", TERM, 0),
    Stop("daphne", INT, 0),
    Stop("daphne-wrap", TERM, 0),
    Stop("daphne-wrap", INT, 0),
    Stop("waitress", TERM, 0),  # it catches the SystemExit
    Stop("waitress", INT, 0),
    Stop("waitress-plain", INT, 0),
    Stop("wsgiref", TERM, 143),
    Stop("wsgiref", INT, -2),
    Stop("wsgiref-plain", INT, -2),
    Stop("flask-run", TERM, 143),
    Stop("flask-run", INT, 0),
    Stop("flask-run-plain", INT, 0),
    Stop("runserver", TERM, 143),
    Stop("runserver", INT, 0),
    Stop("runserver-plain", INT, 0),
    Stop("uwsgi", TERM, 0),
    Stop("uwsgi", INT, 0),
    Stop("uwsgi-lazy", TERM, 0),
    Stop("uwsgi-lazy", INT, 0),
    Stop("aiohttp", TERM, 0),
    Stop("aiohttp", INT, 0),
    Stop("quart", TERM, -15),
    Stop("tornado", TERM, 143),
    Stop("tornado", INT, -2),
    Stop("cherrypy", TERM, 0),
    Stop("cherrypy", INT, 0),
]

DIES = [
    Stop("gunicorn-uvicorn", INT, 0),  # the worker is deaf to it, and killed in the end
    Stop("gunicorn-uvicorn", QUIT, 0),
    Stop("uvicorn-bare", TERM, -15),
    Stop("hypercorn", TERM, 0, group=True),
    Stop("hypercorn-2", TERM, 0),
    Stop("waitress-plain", TERM, -15),
    Stop("wsgiref-plain", TERM, -15),
    Stop("flask-run-plain", TERM, -15),
    Stop("flask-run-debug", TERM, 0),
    Stop("flask-run-debug", INT, 0, group=True),
    Stop("runserver-plain", TERM, -15),
    Stop("runserver-reload", TERM, 0),
    Stop("runserver-reload", INT, 0, group=True),
]

#: Ways to replace the processes of a server that goes on: a signal, a touched file, requests.
REPLACEMENTS = [
    ("gunicorn-sync", HUP),
    ("gunicorn-gthread", HUP),
    ("gunicorn-gevent", HUP),
    ("gunicorn-uvicorn", HUP),
    ("gunicorn-max-requests", None),
    ("hypercorn-max-requests", None),
    ("uvicorn-workers", HUP),
    ("granian-wsgi", HUP),
    ("uwsgi", HUP),
    ("uwsgi", QUIT),
    ("uwsgi-max-requests", None),
    ("uwsgi-lazy", HUP),
    ("uvicorn-reload", "fastapi_site.py"),
    ("flask-run-debug", "flask_site.py"),
    ("runserver-reload", "django_urls.py"),
]

#: Hosts that finish the requests they have begun before they stop.
GRACEFUL = [
    "aiohttp",
    "gunicorn-sync",
    "gunicorn-gthread",
    "gunicorn-gevent",
    "gunicorn-uvicorn",
    "uvicorn",
    "uvicorn-workers",
    "hypercorn",
    "granian-asgi",
]

#: Where nothing but the integration arms periodic jobs.
PERIODIC = [
    "gunicorn-gthread-preload",
    "flask-run-debug",
    "uvicorn",
    "uvicorn-wrap",
    "gunicorn-django",
    "runserver-reload",
    "daphne",
]


#: Said with the first job on a server that SIGTERM ends at once.
DEAF = "knows nothing of SIGTERM: it ends the process at once"


class Stopped(NamedTuple):
    """How a stop went: the accepted jobs, how long it took, what was written and how it ended."""

    ids: list[str]
    seconds: float
    output: str
    status: int


def stopped(stop: Stop, ledger: Ledger) -> Stopped:
    """Start the server, give each of its processes work and stop it."""
    with start(stop.host, ledger) as server:
        ids = load(server, "mixed", HOSTS[stop.host].processes)
        idle(stop.host, server)
        before = time.monotonic()
        server.send(stop.number, stop.group)
        status = server.end()
        return Stopped(ids, time.monotonic() - before, server.output, status)


#: Small processes, which wait for their deadlines together.
SMALL = ["wsgiref", "wsgiref-plain", "aiohttp", "quart", "tornado", "cherrypy"]
TOGETHER = [stop for stop in DRAINS if stop.host in SMALL]


@pytest.fixture(scope="module")
def together(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Stop, tuple[Future[Stopped], Ledger]]]:
    """The stops of these hosts that are asked for, begun by the first of their tests."""
    with ThreadPoolExecutor(5) as pool:
        begun = {}
        for item in request.session.items:
            call = getattr(item, "callspec", None)
            stop = call.params.get("stop") if call is not None else None
            if stop in TOGETHER:
                ledger = Ledger(tmp_path_factory.mktemp("together") / "ledger")
                begun[stop] = pool.submit(stopped, stop, ledger), ledger
        yield begun


@pytest.mark.parametrize("stop", DRAINS, ids=str)
def test_a_stop_accounts_for_every_job_within_the_deadline(
    stop: Stop, ledger: Ledger, request: pytest.FixtureRequest
) -> None:
    if stop in TOGETHER:
        outcome, ledger = request.getfixturevalue("together")[stop]
        ids, seconds, output, status = outcome.result(2 * LONG)
    else:
        ids, seconds, output, status = stopped(stop, ledger)
    ran, lost = ledger.of("ran"), ledger.of("lost")
    assert sorted(ran + lost) == sorted(ids), f"ran {len(ran)}, lost {len(lost)}\n{output}"
    # Each process has one job that never ends, and one that is not due.
    assert len(lost) == 2 * len(ids) // 8
    assert seconds < DEADLINE + SLACK, output
    assert "Fatal Python error" not in output
    assert ("asgi.lifespan" in output) is (stop.host == "uvicorn-bare"), "warned without need"
    assert (DEAF in output) is stop.host.endswith("-plain"), "warned without need"
    assert status == stop.status, output


@pytest.mark.parametrize("stop", DIES, ids=str)
def test_what_no_library_can_help(stop: Stop, ledger: Ledger) -> None:
    """The host leaves, or is killed, without a word to Python: the queue goes with it.

    A drain that had been left alone would go on for longer than the test waits.
    """
    with start(stop.host, ledger, HOSTS_TIMEOUT="600") as server:
        ids = load(server, "mixed")
        server.send(stop.number, stop.group)
        status = server.end()
        assert len(ledger.of("ran")) <= len(ids) - 2
        assert ledger.of("lost") == []
        assert status == stop.status
        assert (DEAF in server.output) is stop.host.endswith("-plain")
        if stop.host == "uvicorn-bare":  # said with the first job, by name
            assert "counterpunch.integrations.asgi.lifespan" in server.output


def test_a_second_signal_may_cut_a_drain_short(ledger: Ledger) -> None:
    """Ctrl-C in a terminal reaches gunicorn's worker twice, and under gevent the second one
    ends the wait in the main thread: what has not ended by then is reported, and may end yet."""
    with start("gunicorn-gevent", ledger) as server:
        ids = load(server, "mixed")
        server.send(INT, group=True)
        assert server.end() == 0
        ran, lost = ledger.of("ran"), ledger.of("lost")
        assert {*ran, *lost} == set(ids)
        assert (len(ran), len(lost)) == (len({*ran}), len({*lost})), "none of it twice"


@pytest.mark.parametrize("number", [TERM, INT])
@pytest.mark.parametrize("name", ["uwsgi", "uwsgi-lazy"])
def test_uwsgi_signalled_as_a_group_may_be_killed(
    name: str, number: signal.Signals, ledger: Ledger
) -> None:
    """A worker is signalled twice, by us and by its master. If the second signal finds the
    drain begun it is killed there, be it in the midst of the report; else it is kept."""
    with start(name, ledger) as server:
        ids = load(server, "mixed")
        server.send(number, group=True)
        assert server.end() == 0
        ran, lost = ledger.of("ran"), ledger.of("lost")
        assert len(ran + lost) == len({*ran, *lost}), "none twice, whenever it was killed"
        assert {*ran, *lost} <= set(ids)


def test_uwsgi_may_end_on_the_thread_of_a_job(ledger: Ledger) -> None:
    """Of two signals at once the second is handled on another thread than the main one, where
    that one has not got round to the first: the interpreter ends there."""
    with start("uwsgi-lazy", ledger) as server:
        ids = load(server, "mixed")
        idle("uwsgi-lazy", server)
        eventually(lambda: len(ledger.of("ran")) == len(ids) - 2, "the short jobs")
        worker = server.get("/")["pid"]
        thread = min(int(one) for one in os.listdir(f"/proc/{worker}/task") if int(one) != worker)
        ctypes.CDLL(None).tgkill(worker, thread, INT)
        eventually(lambda: not Path(f"/proc/{worker}").exists(), "the end of the worker")
        assert sorted(ledger.of("ran") + ledger.of("lost")) == sorted(ids)


def test_a_busy_worker_of_uwsgi_is_killed(ledger: Ledger) -> None:
    """With the request it is at, and with the queue: nothing of Python runs any more."""
    with start("uwsgi", ledger) as server, ThreadPoolExecutor(1) as client:
        ids = load(server, "mixed")
        answer = client.submit(server.get, "/slow")
        eventually(lambda: ledger.of("waiting"), "a request in flight")
        server.send(TERM)
        server.end()
        assert isinstance(answer.exception(LONG), OSError)
        assert len(ledger.of("ran")) + len(ledger.of("lost")) < len(ids)


@pytest.mark.parametrize(
    ("name", "by"), REPLACEMENTS, ids=[f"{name}-{by}" for name, by in REPLACEMENTS]
)
def test_a_replaced_process_accounts_for_its_jobs(
    name: str, by: signal.Signals | str | None, ledger: Ledger, tmp_path: Path
) -> None:
    """A reload on a signal, on a changed file, or after so many requests."""
    apps = tmp_path / "apps"
    shutil.copytree(APPS, apps)
    with start(name, ledger, apps) as server:
        old = server.get("/")["pid"]
        ids = load(server, "mixed", HOSTS[name].processes)
        if isinstance(by, signal.Signals):
            idle(name, server)
            server.send(by)
        changes = [0.0]

        def change() -> None:
            """Again after a while: a reloader may first look at a file after its change."""
            if isinstance(by, str) and time.monotonic() - changes[-1] > 5.0:
                changes.append(time.monotonic())
                with (apps / by).open("a") as file:
                    file.write("# changed\n")

        def accounted() -> bool:
            return sorted(ledger.of("ran") + ledger.of("lost")) == sorted(ids)

        def answers_anew() -> bool:
            change()
            try:
                return server.get("/")["pid"] != old
            except OSError:
                return False  # a development server does not listen while it restarts

        if by is QUIT:  # which kills a worker that the next request finds first
            eventually(accounted, f"all of {len(ids)} jobs in the ledger")
        eventually(answers_anew, "an answer from a new process")
        eventually(accounted, f"all of {len(ids)} jobs in the ledger")
        assert len(ledger.of("lost")) == 2 * len(ids) // 8


def answers(server: Server) -> bool:
    try:
        return bool(server.get("/"))
    except OSError:
        return False


def test_a_server_that_ends_after_so_many_requests(ledger: Ledger) -> None:
    """uvicorn by itself has nobody to start it again."""
    with start("uvicorn-max-requests", ledger) as server:
        ids = load(server, "mixed")
        eventually(lambda: not answers(server), "the limit")
        assert server.end() == 0
        assert sorted(ledger.of("ran") + ledger.of("lost")) == sorted(ids)
        assert len(ledger.of("lost")) == 2


def test_the_upgrade_of_a_running_gunicorn(ledger: Ledger) -> None:
    """USR2 starts a second one beside it; then the first is told to stop."""
    with start("gunicorn-script", ledger) as server:
        ids = load(server, "mixed")
        old = server.get("/")["pid"]
        server.send(USR2)
        eventually(lambda: server.get("/")["pid"] != old, "an answer from the second one")
        server.send(TERM)
        eventually(
            lambda: sorted(ledger.of("ran") + ledger.of("lost")) == sorted(ids),
            f"all of {len(ids)} jobs in the ledger",
        )
        assert len(ledger.of("lost")) == 2
        assert server.get("/")["pid"] != old


def test_gunicorn_with_one_worker_more_and_one_less(ledger: Ledger) -> None:
    """TTIN and TTOU; the worker that has to go accounts for its jobs."""
    with start("gunicorn-sync", ledger) as server:
        server.send(signal.SIGTTIN)
        ids = load(server, "mixed", processes=2)
        server.send(signal.SIGTTOU)
        eventually(lambda: len(ledger.of("lost")) == 2, "the report of one worker")
        server.send(TERM)
        assert server.end() == 0
        assert sorted(ledger.of("ran") + ledger.of("lost")) == sorted(ids)
        assert len(ledger.of("lost")) == 4


def test_hypercorn_signalled_as_a_group_with_the_handler(ledger: Ledger) -> None:
    """Each worker is signalled twice, by us and, after its drain or during it, by its parent."""
    with start("hypercorn-2-signals", ledger) as server:
        ids = load(server, "mixed", 2)
        server.send(TERM, group=True)
        # -15: the second signal came after the worker's Python had ended.
        assert server.end() in (0, 256 - TERM)
        assert sorted(ledger.of("ran") + ledger.of("lost")) == sorted(ids)


@pytest.mark.parametrize("name", GRACEFUL)
def test_a_request_in_flight_is_finished_and_its_jobs_too(name: str, ledger: Ledger) -> None:
    """It enqueues after the signal has come."""
    with start(name, ledger) as server, ThreadPoolExecutor(1) as client:
        answer = client.submit(server.get, "/slow")
        eventually(lambda: ledger.of("waiting"), "a request in flight")
        server.send(TERM)
        ids = answer.result(LONG)["ids"]
        server.end()
        assert ids
        assert sorted(ledger.of("ran")) == sorted(ids)


@pytest.mark.parametrize("name", PERIODIC)
def test_periodic_jobs_run_in_the_serving_process_only(name: str, ledger: Ledger) -> None:
    """Not in a preloading master or a reloader's parent, which import the app as well."""
    with start(name, ledger, HOSTS_PERIODIC="1") as server:
        serving = str(server.get("/")["pid"])
        eventually(lambda: len(ledger.of("tick")) >= 4, "four ticks")
        assert set(ledger.of("tick")) == {serving}


def test_periodic_jobs_do_not_run_in_commands(ledger: Ledger) -> None:
    """``manage.py`` imports the same jobs for ``check``, ``migrate`` and a shell."""
    require("django")
    for command in (["check"], ["migrate", "-v", "0"], ["shell", "-c", SHELL]):
        done = subprocess.run(
            [sys.executable, "django_site.py", *command],
            cwd=APPS,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(APPS), *sys.path]),
                "HOSTS_LEDGER": str(ledger.path),
                "HOSTS_PERIODIC": "1",
            },
            capture_output=True,
            text=True,
            timeout=LONG,
        )
        assert done.returncode == 0, done.stderr
    assert "imported" in done.stdout
    assert ledger.of("tick") == []


#: Long enough for ten ticks, had they been armed.
SHELL = "import host_jobs, threading; threading.Event().wait(1); print('imported')"
