"""Serves a dashboard over a few jobs for the browser's test; prints its port, ends with stdin.

Its argument is the directory for the sockets of the pages. A second process beside it, which is
this script with the word ``peer``, has jobs of its own.
"""

from __future__ import annotations

import logging
import socketserver
import subprocess
import sys
import threading
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import counterpunch
from counterpunch import Job, Retry, dashboard


class LongReport(Job):
    workers = 1
    gate = threading.Event()

    def perform(self, name: str) -> None:
        self.progress(40, 100, "pages")
        self.set_status(rows=40)
        while not self.cancelled:
            self.gate.wait(0.05)
        self.check_cancelled()


class Mail(Job):
    retry = Retry(max_attempts=4, on=(OSError,), wait=600, jitter=0, max_wait=600)

    def perform(self, user: int) -> None:
        if user == 1:
            raise ValueError("no such user")
        if user == 2:
            raise OSError("421 too busy")


class Hostile(Job):
    def perform(self, *args: str) -> None:
        self.set_status(html="<img src=x onerror=alert(1)>")
        raise RuntimeError("<script>alert(2)</script>")


class Nightly(Job):
    cron = "15 3 * * *"

    def perform(self) -> None: ...


class Charge(Job):
    """The class of the other process."""

    retry = Retry(max_attempts=2, on=(OSError,), wait=600, jitter=0)

    def perform(self, order: int, lines: list[str]) -> None:
        raise ValueError(f"order {order} was declined")


def peer() -> None:
    counterpunch.start()
    dashboard.wsgi(processes=sys.argv[1])
    for order in range(5):
        Charge.perform_async(order, [f"line {number}" for number in range(40)]).exception(10)
    Charge.perform_in(3600, 9, [])
    print("ready", flush=True)
    sys.stdin.read()
    counterpunch.shutdown(timeout=1)


class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Silent(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def main() -> None:
    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    if "peer" in sys.argv:
        peer()
        return
    other = subprocess.Popen(
        [sys.executable, __file__, sys.argv[1], "peer"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    other.stdout.readline()
    counterpunch.start()
    LongReport.perform_bulk([("one",), ("two",), ("three",)])
    Mail.perform_bulk([(user,) for user in range(60)])  # more than a page
    Mail.perform_in(3600, 5)
    Hostile.perform_async("<b>bold</b>", "</td><script>alert(3)</script>")
    app = dashboard.wsgi(authorize=lambda request: True, refresh=0.5, processes=sys.argv[1])

    def mounted(environ, start_response):
        if not environ["PATH_INFO"].startswith("/jobs"):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b""]
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/jobs", environ["PATH_INFO"][5:]
        return app(environ, start_response)

    server = make_server("127.0.0.1", 0, mounted, server_class=Server, handler_class=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
    other.communicate(timeout=20)
    counterpunch.shutdown(timeout=1)


main()
