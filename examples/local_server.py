"""What the examples are served with: the server of the standard library, a thread per request."""

import argparse
import json
import logging
import re
import socketserver
import sys
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import cast
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import WSGIApplication, WSGIEnvironment

import counterpunch

logger = logging.getLogger("http")
MAX_BODY = 64 * 1024  # bytes


class HTTPError(Exception):
    """Ends a request with this status, a message in JSON and extra headers."""

    def __init__(self, status: HTTPStatus, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers


def read_fields(environ: WSGIEnvironment) -> Mapping[str, object]:
    """Read the body, a form or a JSON object."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if not re.fullmatch("[0-9]{1,18}", length):
        raise HTTPError(HTTPStatus.BAD_REQUEST, "bad Content-Length")
    if int(length) > MAX_BODY:
        # Closing on unread bytes resets the connection, and the client would not see the answer.
        environ["wsgi.input"].read(min(int(length), 16 * MAX_BODY))
        too_large = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        raise HTTPError(too_large, f"the body is longer than {MAX_BODY} bytes")
    body = environ["wsgi.input"].read(int(length))
    try:
        if environ.get("CONTENT_TYPE", "").partition(";")[0].strip() != "application/json":
            return {key: values[-1] for key, values in parse_qs(body.decode()).items()}
        fields: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPError(HTTPStatus.BAD_REQUEST, f"cannot read the body: {error}") from error
    if not isinstance(fields, dict):
        raise HTTPError(HTTPStatus.BAD_REQUEST, "the JSON body is not an object")
    return cast("dict[str, object]", fields)


class Server(socketserver.ThreadingMixIn, WSGIServer):
    """Closing it waits for the requests under way."""

    request_queue_size = 128


class RequestHandler(WSGIRequestHandler):
    timeout = 2  # seconds; a browser's idle connection must not hold up the stop

    def handle(self) -> None:
        with suppress(TimeoutError, ConnectionError):  # such a connection, or a closed tab
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        logger.debug(format, *args)


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0 picks one (default: %(default)s)")
    return parser


def serve(app: WSGIApplication, host: str, port: int, *hints: str) -> None:
    """Serve until Ctrl-C or SIGTERM; each hint is printed with ``{url}`` filled in."""
    counterpunch.configure(signals=True)  # SIGTERM ends the process in order instead of at once
    with make_server(host, port, app, Server, RequestHandler) as server:
        for hint in ("listening on {url}", *hints):
            print(hint.format(url=f"http://{host}:{server.server_port}"), flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            sys.exit(130)  # as a shell reports Ctrl-C, without the traceback
