"""The ASGI shell under a bare driver, and that it answers as the WSGI shell does."""

from __future__ import annotations

import asyncio
import threading

import pytest
from dashboard_client import SOON, Client, Page, yes

from counterpunch import dashboard
from counterpunch.dashboard import makers

PAGES = ("/", "/running", "/waiting", "/scheduled", "/failed", "/finished", "/periodic")
ROUTES = (*PAGES, "/threads", "/metrics", "/health", "/find?id=x", "/assets/style.css", "/nosuch")


def call(app, method, path, *, root_path="", query=b"", headers=(), body=(b"",), **scope):
    """One request; asserts the order of the messages."""
    sent = []
    parts = body if hasattr(body, "pop") else list(body)

    async def receive():
        if not parts:
            return {"type": "http.disconnect"}
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message):
        sent.append(message)

    full = scope_of(method, path, root_path, query, headers, **scope)
    asyncio.run(app(full, receive, send))
    if not sent:
        return None
    start, *rest = sent
    assert start["type"] == "http.response.start"
    assert [message["type"] for message in rest] == ["http.response.body"]
    for name, value in start["headers"]:
        assert isinstance(name, bytes)
        assert isinstance(value, bytes)
        assert name == name.lower()
    return start["status"], dict(start["headers"]), rest[0]["body"]


def scope_of(method, path, root_path="", query=b"", headers=(), **scope):
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": root_path,
        "query_string": query,
        "client": ("127.0.0.1", 50_000),
        "headers": [(b"host", b"localhost"), *headers],
        **scope,
    }


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_answers_as_under_wsgi(yard, route):
    """The same status, type and headers; HEAD has no body but the length of one."""
    path, _, query = route.partition("?")
    app = dashboard.asgi()
    status, headers, body = call(app, "GET", path, query=query.encode())
    wsgi = Client().get(route)
    assert status == wsgi.status
    assert {name.decode() for name in headers} == set(wsgi.headers)
    assert headers[b"content-type"].decode() == wsgi.headers["content-type"]
    assert int(headers[b"content-length"]) == len(body)
    status, headers, body = call(app, "HEAD", path, query=query.encode())
    assert (status, body) == (wsgi.status, b"")
    assert b"content-length" in headers


@pytest.mark.parametrize(
    ("root_path", "path"),
    [("/ops", "/ops/waiting"), ("/ops", "/waiting"), ("/ops/", "/ops/waiting")],
)
def test_the_mount_point_is_root_path(yard, root_path, path):
    """Inside the path, as the specification has it, or left out of it by older servers."""
    status, _, body = call(dashboard.asgi(), "GET", path, root_path=root_path)
    assert status == 200
    text = body.decode()
    assert f'href="/ops/job/{yard.waiting.id}"' in text
    assert 'href="/ops/assets/style.css"' in text
    assert "/ops/ops" not in text


def test_a_write_in_pieces(yard):
    """The body may come in parts, the cookies in several headers (HTTP/2)."""
    app = dashboard.asgi(authorize=yes)
    _, headers, body = call(app, "GET", "/waiting")
    cookie = headers[b"set-cookie"].partition(b";")[0]
    token = Page(body.decode()).form("Cancel Gated")["fields"]["token"].encode()
    sent = [
        (b"cookie", b"other=1"),
        (b"cookie", cookie),
        (b"Origin", b"http://localhost"),
        (b"Content-Type", b"application/x-www-form-urlencoded; charset=utf-8"),
    ]
    path = f"/job/{yard.waiting.id}/cancel"
    status, headers, _ = call(
        app, "POST", path, headers=sent, body=(b"tok", b"en=" + token, b"&back=%2Fwaiting")
    )
    assert (status, headers[b"location"]) == (303, b"/waiting?note=cancelled")
    assert yard.waiting.status == "cancelled"


WRITE = [
    (b"origin", b"http://localhost"),
    (b"cookie", b"counterpunch_token=" + b"0" * 32),
    (b"content-type", b"application/x-www-form-urlencoded"),
]


def test_a_body_without_end_is_cut_off(yard):
    """413: no more of it is taken than a form may have."""
    left = iter([b"a" * 10_000] * 1000)
    taken = []

    class Endless(list):
        def __iter__(self):
            return self

        def pop(self, index):
            taken.append(None)
            return next(left)

        def __bool__(self):
            return True

    app = dashboard.asgi(authorize=yes)
    status, _, _ = call(app, "POST", "/class/pause", headers=WRITE, body=Endless())
    assert status == 413
    assert len(taken) == 2


def test_a_body_that_does_not_come_is_waited_for_a_while(yard, monkeypatch):
    """408, and the loop was free meanwhile."""
    monkeypatch.setattr("counterpunch.dashboard.asgi_app.SECONDS", 0.05)

    async def run():
        sent = []

        async def receive():
            await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        scope = scope_of("POST", "/class/pause", headers=WRITE)
        await asyncio.wait_for(dashboard.asgi(authorize=yes)(scope, receive, send), SOON)
        return sent

    assert asyncio.run(run())[0]["status"] == 408


def test_a_client_that_leaves_gets_nothing():
    """Disconnected in the middle of the body."""
    app = dashboard.asgi(authorize=yes)
    assert call(app, "POST", "/class/pause", headers=WRITE, body=()) is None


@pytest.mark.parametrize(
    ("options", "path", "headers"),
    [
        ({"can_view": lambda request: False}, "/class/pause", WRITE),
        ({"can_view": yes, "authorize": lambda request: False}, "/class/pause", WRITE),
        ({"can_view": yes}, "/class/pause", WRITE),
        ({"authorize": yes}, "/nosuch", WRITE),
        ({"authorize": yes}, "/waiting", WRITE),
        ({"authorize": yes}, "/class/pause", [(b"host", b"evil.example"), *WRITE]),
        ({"authorize": yes}, "/class/pause", WRITE[1:]),
        ({"authorize": yes}, "/class/pause", [*WRITE, (b"content-length", b"99999999")]),
        ({"authorize": yes, "hosts": ["jobs.example.com"]}, "/class/pause", WRITE),
    ],
    ids=["viewer", "actor", "read-only", "route", "method", "host", "origin", "length", "name"],
)
def test_the_body_of_whoever_is_refused_is_never_read(yard, options, path, headers):
    """ASGI: it is answered without a look at what the client sends."""
    asked = []

    class Untouched(list):
        def __iter__(self):
            return self

        def pop(self, index):
            asked.append(None)
            return b""

    status, _, _ = call(dashboard.asgi(**options), "POST", path, headers=headers, body=Untouched())
    assert status in (403, 404, 405, 413)
    assert not asked


def test_pages_are_made_off_the_loop(yard):
    """authorize runs on another thread, so a slow one does not hold up the server."""
    seen = []

    def authorize(request):
        seen.append((threading.get_ident(), request.raw["type"]))
        return True

    call(dashboard.asgi(authorize=authorize), "GET", "/")
    ((ident, kind),) = seen
    assert ident != threading.get_ident()
    assert kind == "http"


def test_lifespan_and_websocket_are_answered():
    """As the only app of a server it starts and stops; a websocket is closed."""

    async def run(scope, incoming):
        sent = []

        async def receive():
            return {"type": incoming.pop(0)}

        async def send(message):
            sent.append(message["type"])

        await dashboard.asgi()(scope, receive, send)
        return sent

    found = asyncio.run(run({"type": "lifespan"}, ["lifespan.startup", "lifespan.shutdown"]))
    assert found == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    found = asyncio.run(run({"type": "websocket"}, ["websocket.connect"]))
    assert found == ["websocket.close"]


def test_the_apps_own_threads_do_not_wait_for_pages(yard):
    """Every page hangs in a guard; ``asyncio.to_thread`` of the app answers all the same, and of
    those who come on top of many the last are turned away."""
    gate = threading.Event()

    def hangs(request):
        return gate.wait(SOON)

    app = dashboard.asgi(can_view=hangs)

    async def page():
        sent = []

        async def send(message):
            sent.append(message)

        await app(scope_of("GET", "/threads"), None, send)
        return sent[0]["status"], dict(sent[0]["headers"])

    async def run():
        pages = [asyncio.create_task(page()) for _ in range(makers.MOST + 3)]
        refused, waiting = await asyncio.wait(pages, return_when=asyncio.FIRST_COMPLETED)
        while len(refused) < 3:
            more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            refused |= more
        for task in refused:
            status, headers = task.result()
            assert (status, headers[b"retry-after"]) == (503, b"1")
        assert await asyncio.wait_for(asyncio.to_thread(int), SOON) == 0
        names = {thread.name for thread in threading.enumerate()}
        assert len([name for name in names if name.startswith("counterpunch-page")]) == 4
        gate.set()
        answers = await asyncio.gather(*waiting)
        assert [status for status, _ in answers] == [200] * makers.MOST

    asyncio.run(run())
    assert call(app, "GET", "/threads")[0] == 200, "there is room again"


def test_a_scope_that_nobody_knows_is_an_error():
    """As the specification has it."""

    async def run():
        with pytest.raises(ValueError, match="webtransport"):
            await dashboard.asgi()({"type": "webtransport"}, None, None)

    asyncio.run(run())
