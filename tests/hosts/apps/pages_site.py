"""The dashboard over all processes of a server, as a WSGI app and as an ASGI app.

``HOSTS_SOCKETS`` is the directory of the sockets. ``/go`` enqueues a job that fails, whose id is
in the answer, and ``/hold`` says whether the class is paused here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.util import shift_path_info

from counterpunch import Job, dashboard
from counterpunch.integrations.asgi import wrap


class Charge(Job):
    def perform(self, number: int) -> None:
        raise ConnectionError(f"no answer for {number}")


options: dashboard.Options = {
    "can_view": dashboard.anyone,
    "authorize": dashboard.anyone,
    "processes": os.environ["HOSTS_SOCKETS"],
}
wsgi_pages, asgi_pages = dashboard.wsgi(**options), dashboard.asgi(**options)


def answer(path: str) -> bytes:
    found: dict[str, Any] = {"pid": os.getpid()}
    if path == "/go":
        handle = Charge.perform_async(os.getpid())
        found["id"] = handle.id
    elif path == "/hold":
        # The class as a page of this very process has it, without the others.
        rows = dashboard.respond(
            dashboard.Request("GET", "/overview.json"),
            dashboard.Settings(can_view=dashboard.anyone),
        )
        classes = json.loads(rows.body)["classes"]
        found["paused"] = any(row["paused"] for row in classes if row["job"] == "Charge")
    return json.dumps(found).encode()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"].startswith("/jobs/"):
        shift_path_info(environ)
        return wsgi_pages(environ, start_response)
    body = answer(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise ValueError(f"can only handle http, not {scope['type']}")
    if scope["path"].startswith("/jobs/"):
        await asgi_pages({**scope, "root_path": "/jobs"}, receive, send)
        return
    body = answer(scope["path"])
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


site = wrap(_asgi)
