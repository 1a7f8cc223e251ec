"""Every server of these tests: how it is started, and what it needs."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import NamedTuple

from serving import APPS, Ledger, Server, eventually, program, require

#: Seconds that the drain may take (``shutdown_timeout``), and that a host may take besides: a
#: sync worker of gunicorn looks for its parent every half ``--timeout``.
DEADLINE, SLACK = 1.0, 8.0


class Host(NamedTuple):
    """How to start one server.

    ``command``: ``{port}`` is filled in; a first word without a slash is a module to run.
    ``needs``: what must be installed. ``processes``: how many serve. ``idle``: what it logs
    once a worker has done with the request for the jobs, or is ready, if that matters.
    """

    command: str
    needs: tuple[str, ...] = ()
    environ: dict[str, str] = {}  # noqa: RUF012  (never changed)
    processes: int = 1
    idle: str = ""

    def argv(self) -> list[str]:
        first, *rest = self.command.split()
        if first.startswith("bin/"):
            return [str(program(first.removeprefix("bin/"))), *rest]
        return [sys.executable, *([] if first.endswith(".py") else ["-m"]), first, *rest]


GUNICORN = "gunicorn -b 127.0.0.1:{port} --graceful-timeout 5 --timeout 10 "
UWSGI = (
    "bin/uwsgi --master --die-on-term --enable-threads --need-app --http-socket 127.0.0.1:{port} "
    f"--home {sys.prefix} --wsgi-file wsgi_site.py"
)
HOSTS = {
    "gunicorn-sync": Host(GUNICORN + "wsgi_site:application", ("gunicorn",)),
    "gunicorn-sync-worker_exit": Host(
        GUNICORN + "-c gunicorn_conf.py wsgi_site:application", ("gunicorn",)
    ),
    "gunicorn-sync-timeout": Host(GUNICORN + "--timeout 2 wsgi_site:application", ("gunicorn",)),
    "gunicorn-sync-worker_abort": Host(
        GUNICORN + "--timeout 2 -c gunicorn_conf.py wsgi_site:application", ("gunicorn",)
    ),
    "gunicorn-sync-graceful-1": Host(
        GUNICORN + "--graceful-timeout 1 wsgi_site:application", ("gunicorn",)
    ),
    "gunicorn-post_worker_init": Host(
        GUNICORN + "-w 2 -c gunicorn_conf.py flask_site:app", ("gunicorn", "flask"), {}, 2
    ),
    "gunicorn-post_worker_init-preload": Host(
        GUNICORN + "-w 2 --preload -c gunicorn_conf.py flask_site:app",
        ("gunicorn", "flask"),
        {},
        2,
    ),
    "gunicorn-sync-2": Host(GUNICORN + "-w 2 wsgi_site:application", ("gunicorn",), {}, 2),
    "gunicorn-sync-preload": Host(
        GUNICORN + "-w 2 --preload wsgi_site:application", ("gunicorn",), {}, 2
    ),
    "gunicorn-asgi": Host(GUNICORN + "-k asgi fastapi_site:app", ("gunicorn", "fastapi")),
    "gunicorn-gthread": Host(
        GUNICORN + "-k gthread --threads 4 flask_site:app", ("gunicorn", "flask")
    ),
    "gunicorn-gthread-preload": Host(
        GUNICORN + "-k gthread --threads 4 --preload flask_site:app", ("gunicorn", "flask")
    ),
    "gunicorn-gevent": Host(GUNICORN + "-k gevent wsgi_site:application", ("gunicorn", "gevent")),
    "gunicorn-gevent-preload": Host(
        GUNICORN + "-k gevent --preload wsgi_site:application", ("gunicorn", "gevent")
    ),
    "gunicorn-tornado": Host(
        GUNICORN + "-k tornado wsgi_site:application", ("gunicorn", "tornado")
    ),
    # Started again with "-m", as USR2 does, it would take its own package for the standard one.
    "gunicorn-script": Host("bin/" + GUNICORN + "wsgi_site:application", ("bin/gunicorn",)),
    "gunicorn-uvicorn": Host(
        GUNICORN + "-k uvicorn_worker.UvicornWorker fastapi_site:app",
        ("gunicorn", "uvicorn_worker", "fastapi"),
    ),
    "uvicorn": Host("uvicorn --port {port} fastapi_site:app", ("uvicorn", "fastapi")),
    "uvicorn-wrap": Host("uvicorn --port {port} asgi_site:wrapped", ("uvicorn",)),
    "uvicorn-bare": Host("uvicorn --port {port} asgi_site:bare", ("uvicorn",)),
    "uvicorn-workers": Host(
        "uvicorn --port {port} --workers 2 fastapi_site:app", ("uvicorn", "fastapi"), {}, 2
    ),
    "uvicorn-reload": Host(
        "uvicorn --port {port} --reload fastapi_site:app", ("uvicorn", "fastapi")
    ),
    "uvicorn-max-requests": Host(
        "uvicorn --port {port} --limit-max-requests 4 fastapi_site:app", ("uvicorn", "fastapi")
    ),
    "waitress": Host("wsgi_site.py waitress {port}", ("waitress",), {"HOSTS_SIGNALS": "1"}),
    "waitress-plain": Host("wsgi_site.py waitress {port}", ("waitress",)),
    "hypercorn": Host("hypercorn -b 127.0.0.1:{port} fastapi_site:app", ("hypercorn", "fastapi")),
    "hypercorn-in-process": Host(
        "hypercorn -w 0 -b 127.0.0.1:{port} fastapi_site:app", ("hypercorn", "fastapi")
    ),
    "hypercorn-signals": Host(
        "hypercorn -b 127.0.0.1:{port} fastapi_site:app",
        ("hypercorn", "fastapi"),
        {"HOSTS_SIGNALS": "1"},
    ),
    "hypercorn-2-signals": Host(
        "hypercorn -w 2 -b 127.0.0.1:{port} fastapi_site:app",
        ("hypercorn", "fastapi"),
        {"HOSTS_SIGNALS": "1"},
        2,
    ),
    "hypercorn-max-requests": Host(
        "hypercorn --max-requests 4 -b 127.0.0.1:{port} fastapi_site:app", ("hypercorn", "fastapi")
    ),
    "gunicorn-max-requests": Host(
        GUNICORN + "--max-requests 4 wsgi_site:application", ("gunicorn",)
    ),
    "hypercorn-2": Host(
        "hypercorn -w 2 -b 127.0.0.1:{port} fastapi_site:app", ("hypercorn", "fastapi"), {}, 2
    ),
    "granian-asgi": Host(
        "bin/granian --host 127.0.0.1 --port {port} --interface asgi fastapi_site:app",
        ("granian", "fastapi"),
    ),
    "granian-wsgi": Host(
        "bin/granian --host 127.0.0.1 --port {port} --interface wsgi wsgi_site:application",
        ("granian",),
    ),
    "flask-run": Host("flask -A flask_site:app run -p {port}", ("flask",), {"HOSTS_SIGNALS": "1"}),
    "flask-run-plain": Host("flask -A flask_site:app run -p {port}", ("flask",)),
    "flask-run-debug": Host("flask -A flask_site:app run --debug -p {port}", ("flask",)),
    "runserver": Host(
        "django_site.py runserver --noreload {port}", ("django",), {"HOSTS_SIGNALS": "1"}
    ),
    "runserver-plain": Host("django_site.py runserver --noreload {port}", ("django",)),
    "runserver-reload": Host("django_site.py runserver {port}", ("django",)),
    "daphne": Host("daphne -b 127.0.0.1 -p {port} django_site:bare", ("daphne", "django")),
    "daphne-wrap": Host("daphne -b 127.0.0.1 -p {port} django_site:wrapped", ("daphne", "django")),
    "gunicorn-django": Host(GUNICORN + "django_site:application", ("gunicorn", "django")),
    "uvicorn-django": Host("uvicorn --port {port} django_site:wrapped", ("uvicorn", "django")),
    "uwsgi": Host(UWSGI, ("bin/uwsgi",), idle="GET /jobs/"),
    "uwsgi-lazy": Host(UWSGI + " --lazy-apps", ("bin/uwsgi",), idle="GET /jobs/"),
    "uwsgi-max-requests": Host(
        UWSGI + " --max-requests 4 --min-worker-lifetime 1", ("bin/uwsgi",), idle="GET /jobs/"
    ),
    "aiohttp": Host("aiohttp_site.py {port}", ("aiohttp",)),
    "quart": Host("uvicorn --port {port} quart_site:app", ("uvicorn", "quart")),
    "tornado": Host("tornado_site.py {port}", ("tornado",), {"HOSTS_SIGNALS": "1"}),
    "cherrypy": Host("cherrypy_site.py {port}", ("cherrypy",), idle="Bus STARTED"),
    "wsgiref": Host("wsgi_site.py wsgiref {port}", (), {"HOSTS_SIGNALS": "1"}, idle="GET /jobs/"),
    "wsgiref-plain": Host("wsgi_site.py wsgiref {port}", idle="GET /jobs/"),
}


def start(name: str, ledger: Ledger, cwd: Path = APPS, **environ: str) -> Server:
    """Start a server; its ``with`` waits until it answers."""
    host = HOSTS[name]
    require(*host.needs)
    environ = {"HOSTS_TIMEOUT": str(DEADLINE), **host.environ, **environ}
    return Server(host.argv(), ledger, cwd, **environ)


def load(server: Server, kind: str, processes: int = 1) -> list[str]:
    """Enqueue in every process of the server; the ids of the accepted jobs."""
    ids: list[str] = []
    seen: set[int] = set()

    def all_have_some() -> bool:
        answer = server.get(f"/jobs/{kind}")
        ids.extend(answer["ids"])
        seen.add(answer["pid"])
        return len(seen) >= processes

    eventually(all_have_some, f"an answer from each of {processes} processes")
    return ids


def idle(name: str, server: Server) -> None:
    """uWSGI kills a worker that is at a request, see below, wsgiref swallows whatever a signal
    raises there, and CherryPy gives up where it has not quite started. They log it a moment
    before it is over."""
    if HOSTS[name].idle:
        eventually(lambda: HOSTS[name].idle in server.output, "an idle worker")
        threading.Event().wait(0.1)
