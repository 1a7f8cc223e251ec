"""A slow body, and one without an end, from somebody who is refused: it holds nothing.

Under real servers with one worker, and two threads where they have threads.
"""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
from dashboard_client import SOON, needs, yes

from counterpunch import dashboard

SITE = """
from counterpunch import Job, dashboard


def no(request):
    return False


app = dashboard.wsgi(can_view=no, authorize=no, probes=dashboard.anyone)
asgi = dashboard.asgi(can_view=no, authorize=no, probes=dashboard.anyone)
"""
DJANGO = """
import django
from django.conf import settings

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="tests")
django.setup()

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.urls import path

import counterpunch.integrations.django
from counterpunch import dashboard


def no(request):
    return False


urls = counterpunch.integrations.django.dashboard.urls
urlpatterns = [path("", urls(can_view=no, authorize=no, probes=dashboard.anyone))]
app, asgi = get_wsgi_application(), get_asgi_application()
"""

SYNC = ["gunicorn", "-k", "sync", "-t", "3", "-b", "127.0.0.1:{port}"]
THREADS = ["gunicorn", "-k", "gthread", "--threads", "2", "-t", "3", "-b", "127.0.0.1:{port}"]
SERVERS = {
    "gunicorn sync": ([*SYNC, "plain_site:app"], True),
    "gunicorn gthread": ([*THREADS, "plain_site:app"], True),
    "waitress": (["waitress", "--threads=2", "--listen=127.0.0.1:{port}", "plain_site:app"], False),
    "uvicorn": (["uvicorn", "--port={port}", "plain_site:asgi"], True),
    "django, gunicorn sync": ([*SYNC, "django_mount:app"], True),
    "django, gunicorn gthread": ([*THREADS, "django_mount:app"], True),
    "django, uvicorn": (["uvicorn", "--port={port}", "django_mount:asgi"], False),
}


@pytest.fixture(params=SERVERS.values(), ids=SERVERS)
def server(request, tmp_path):
    """Port of a server with the mount, its process, and whether it answers before the end of a
    body: waitress, and Django under ASGI, take all of one before they ask the application."""
    command, at_once = request.param
    needs(command[0])
    if "django_mount" in command[-1]:
        needs("django")
    (tmp_path / "plain_site.py").write_text(SITE)
    (tmp_path / "django_mount.py").write_text(DJANGO)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    source = str(Path(dashboard.__file__).parents[2])
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *(part.format(port=port) for part in command)],
            env={
                **os.environ,
                "PYTHONPATH": f"{tmp_path}{os.pathsep}{source}",
                "HOME": str(tmp_path),
            },
            stdout=log,
            stderr=log,
        )
    try:
        give_up = time.monotonic() + 2 * SOON
        while True:
            try:
                pid(port)
                break
            except URLError:
                assert process.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < give_up
                time.sleep(0.05)
        yield port, at_once
    finally:
        process.terminate()
        try:
            process.wait(SOON)
        finally:
            process.kill()


def pid(port):
    """Of the process that answers."""
    import json

    try:
        with urlopen(f"http://127.0.0.1:{port}/live", timeout=SOON) as answer:
            return json.load(answer)["process"]["pid"]
    except HTTPError:
        return None


class Dripping(threading.Thread):
    """A client that never comes to the end of its body."""

    def __init__(self, port, path, stop, length):
        super().__init__(daemon=True)
        self.connection = socket.create_connection(("127.0.0.1", port), SOON)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n"
        self.connection.sendall(head.encode())
        self.stop = stop

    def run(self):
        try:
            while not self.stop.wait(0.1):
                self.connection.sendall(b"1\r\na\r\n")
        except OSError:
            pass  # it was sent away

    def status(self):
        self.connection.settimeout(SOON)
        return self.connection.makefile("rb").readline()


LENGTHS = ["Content-Length: 1000", "Content-Length: 100000000", "Transfer-Encoding: chunked"]


def test_a_body_that_does_not_end_holds_nothing(server):
    """More slow clients than threads: others are served as ever, by the same process."""
    port, at_once = server
    before, stop = pid(port), threading.Event()
    slow = [
        Dripping(port, path, stop, LENGTHS[n % 3])
        for n, path in enumerate(["/class/pause", "/job/x/cancel", "/nosuch", "/"] * 2)
    ]
    for client in slow:
        client.start()
    try:
        began = time.monotonic()
        for _ in range(5):
            assert pid(port) == before
        assert time.monotonic() - began < 3
        if at_once:
            for client in slow:
                assert b" 403 " in client.status()
        # Longer than gunicorn lets a worker that does nothing live.
        assert not stop.wait(3.5)
        assert pid(port) == before
    finally:
        stop.set()
        for client in slow:
            client.connection.close()
            client.join(SOON)


class Watched(io.RawIOBase):
    """The body of a request under WSGI: who reads of it is noted."""

    reads = 0

    def read(self, size=-1):
        self.reads += 1
        return b"a"


WRITE = {
    "HTTP_HOST": "localhost",
    "HTTP_ORIGIN": "http://localhost",
    "HTTP_COOKIE": "counterpunch_token=" + "0" * 32,
    "CONTENT_TYPE": "application/x-www-form-urlencoded",
    "REMOTE_ADDR": "127.0.0.1",
}


@pytest.mark.parametrize(
    ("options", "path", "environ"),
    [
        ({"can_view": lambda request: False}, "/class/pause", {}),
        ({"can_view": lambda request: dashboard.redirect("/login")}, "/class/pause", {}),
        ({"can_view": yes, "authorize": lambda request: None}, "/class/pause", {}),
        ({"can_view": yes}, "/class/pause", {}),
        ({"authorize": yes}, "/nosuch", {}),
        ({"authorize": yes}, "/waiting", {}),
        ({"authorize": yes}, "/assets/style.css", {}),
        ({"authorize": yes}, "/class/pause", {"REMOTE_ADDR": "10.0.0.1"}),
        ({"authorize": yes}, "/class/pause", {"HTTP_ORIGIN": "http://evil.example"}),
        ({"authorize": yes}, "/class/pause", {"HTTP_COOKIE": ""}),
        ({"authorize": yes}, "/class/pause", {"CONTENT_LENGTH": "20000"}),
        ({"authorize": yes}, "/class/pause", {"CONTENT_LENGTH": "x"}),
        ({"authorize": yes}, "/class/pause", {"HTTP_TRANSFER_ENCODING": "chunked"}),
        ({"authorize": yes, "hosts": ["jobs.example.com"]}, "/class/pause", {}),
    ],
)
def test_the_body_of_whoever_is_refused_is_never_read(options, path, environ):
    """WSGI: not one byte."""
    body, statuses = Watched(), []
    given = {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": path, "CONTENT_LENGTH": "1000",
        "wsgi.input": body, **WRITE, **environ,
    }  # fmt: skip
    dashboard.wsgi(**options)(given, lambda status, headers: statuses.append(int(status[:3])))
    assert statuses[0] in (303, 400, 403, 404, 405, 411, 413)
    assert body.reads == 0


def test_a_body_that_drips_is_waited_for_a_while(monkeypatch):
    """408: the clock is looked at with every byte, whoever sends it."""
    now = [0.0]
    monkeypatch.setattr("counterpunch.dashboard.body.monotonic", lambda: now[0])

    class Dripping(Watched):
        def read(self, size=-1):
            now[0] += 0.5
            return super().read(size)

    body, statuses = Dripping(), []
    given = {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/class/pause",
        "CONTENT_LENGTH": "1000", "wsgi.input": body, **WRITE,
    }  # fmt: skip
    app = dashboard.wsgi(authorize=yes)
    app(given, lambda status, headers: statuses.append(status))
    assert statuses == ["408 Request Timeout"]
    assert body.reads == 11


def test_a_body_that_does_not_come_is_waited_for_a_while(monkeypatch):
    """408, where the server gives its socket: a worker that waits for ever would be killed."""
    monkeypatch.setattr("counterpunch.dashboard.body.SECONDS", 0.01)
    server, client = socket.socketpair()

    class Stream:
        def read(self, size):
            return server.recv(size)

    statuses = []
    given = {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/class/pause",
        "CONTENT_LENGTH": "20", "wsgi.input": Stream(), "gunicorn.socket": server, **WRITE,
    }  # fmt: skip
    with server, client:
        client.sendall(b"job=")
        dashboard.wsgi(authorize=yes)(given, lambda status, headers: statuses.append(status))
        assert statuses == ["408 Request Timeout"]
        assert server.gettimeout() is None, "the server has it back as it was"
