"""A plain WSGI app; as a script, on wsgiref or waitress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import host_jobs


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    body = host_jobs.answer(environ["PATH_INFO"])
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]


if __name__ == "__main__":
    server, port = sys.argv[1], int(sys.argv[2])
    if server == "wsgiref":
        from wsgiref.simple_server import make_server

        make_server("127.0.0.1", port, application).serve_forever()
    else:
        import waitress

        waitress.serve(application, host="127.0.0.1", port=port)
