"""``loop = "app"`` in each framework of the README, by its line there: the job is a task of the
server's loop, may use what the app has made on it, and ends before the app closes that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from counterpunch import Job, Status
from counterpunch.integrations import asgi

LONG = 10.0  # seconds; turns a hang into a failure


class Client:
    """Remembers its loop, as those of databases and HTTP do."""

    def __init__(self) -> None:
        self.lock, self.open = asyncio.Lock(), True
        self.loop = asyncio.get_running_loop()

    async def get(self, number: int) -> int:
        assert asyncio.get_running_loop() is self.loop
        assert self.open
        async with self.lock:
            await asyncio.sleep(0.001)
        return number


class Ping(Job):
    loop, workers = "app", 1

    async def perform(self, client: Client, number: int) -> int:
        return await client.get(number)


class Seen:
    """What a handler has done, for who looks at it after the stop."""

    def __init__(self) -> None:
        self.client: Client | None = None
        self.left: list[Any] = []


async def handle(client: Client, seen: Seen) -> str:
    """The handler of each app: the lock is contended as the job asks for it."""
    seen.client = client
    async with client.lock:
        first = Ping.perform_async(client, 1)
        await asyncio.sleep(0.002)
    assert await first == 1
    seen.left = Ping.perform_bulk([(client, number) for number in range(5)])
    return "pong"


@asynccontextmanager
async def opened(seen: Seen) -> AsyncIterator[Client]:
    client = Client()
    try:
        yield client
    finally:
        client.open = False
        assert [one.status for one in seen.left] == [Status.SUCCEEDED] * 5


async def ask_asgi(app: Any) -> str:
    """A server with one request, between a start and a stop of the lifespan."""
    httpx = pytest.importorskip("httpx")
    said: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    heard: asyncio.Queue[Any] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    task = asyncio.create_task(app(scope, said.get, heard.put))
    said.put_nowait({"type": "lifespan.startup"})
    assert (await heard.get())["type"] == "lifespan.startup.complete"
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        text: str = (await client.get("/ping")).text
    said.put_nowait({"type": "lifespan.shutdown"})
    assert (await heard.get())["type"] == "lifespan.shutdown.complete"
    await task
    return text


async def fastapi(seen: Seen) -> str:
    module = pytest.importorskip("fastapi")

    @asynccontextmanager
    async def own(app: Any) -> AsyncIterator[None]:
        async with opened(seen) as app.client, asgi.lifespan(app):
            yield

    app = module.FastAPI(lifespan=own)

    @app.get("/ping", response_class=module.responses.PlainTextResponse)
    async def ping() -> str:
        return await handle(app.client, seen)

    return await ask_asgi(app)


async def starlette(seen: Seen) -> str:
    pytest.importorskip("starlette")
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def ping(request: Any) -> PlainTextResponse:
        return PlainTextResponse(await handle(client, seen))

    app = Starlette(lifespan=asgi.lifespan, routes=[Route("/ping", ping)])
    async with opened(seen) as client:
        return await ask_asgi(app)


async def litestar(seen: Seen) -> str:
    module = pytest.importorskip("litestar")

    @module.get("/ping")
    async def ping() -> str:
        return await handle(client, seen)

    app = module.Litestar([ping], lifespan=[asgi.lifespan], openapi_config=None)
    async with opened(seen) as client:
        return await ask_asgi(app)


async def quart(seen: Seen) -> str:
    module = pytest.importorskip("quart")
    app = module.Quart(__name__)
    app.asgi_app = asgi.wrap(app.asgi_app)
    holder: dict[str, Any] = {}

    @app.while_serving
    async def own() -> AsyncIterator[None]:
        async with opened(seen) as holder["client"]:
            yield

    @app.route("/ping")
    async def ping() -> str:
        return await handle(holder["client"], seen)

    return await ask_asgi(app)


async def aiohttp(seen: Seen) -> str:
    pytest.importorskip("aiohttp")
    from aiohttp import test_utils, web

    key: Any = web.AppKey("client", Client)

    async def own(app: Any) -> AsyncIterator[None]:
        async with opened(seen) as app[key]:
            yield

    async def ping(request: Any) -> web.Response:
        return web.Response(text=await handle(request.app[key], seen))

    app = web.Application()
    app.cleanup_ctx.append(own)
    app.cleanup_ctx.append(asgi.lifespan)
    app.router.add_get("/ping", ping)
    async with test_utils.TestClient(test_utils.TestServer(app)) as client:
        return await (await client.get("/ping")).text()


async def tornado(seen: Seen) -> str:
    pytest.importorskip("tornado")
    from tornado.httpclient import AsyncHTTPClient
    from tornado.httpserver import HTTPServer
    from tornado.testing import bind_unused_port
    from tornado.web import Application, RequestHandler

    class Ping(RequestHandler):
        async def get(self) -> None:
            self.finish(await handle(client, seen))

    app = Application([("/ping", Ping)])
    socket, port = bind_unused_port()
    async with opened(seen) as client, asgi.lifespan(app):
        server = HTTPServer(app)
        server.add_socket(socket)
        answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/ping")
        server.stop()
        text: str = answer.body.decode()
        return text


@pytest.mark.parametrize("serve", [fastapi, starlette, litestar, quart, aiohttp, tornado])
def test_a_job_runs_on_the_loop_of_the_server(serve: Callable[[Seen], Awaitable[str]]) -> None:
    """It shares the app's client, and what was enqueued last ends before that is closed."""
    seen = Seen()

    async def main() -> str:
        async with asyncio.timeout(LONG):
            return await serve(seen)

    assert asyncio.run(main()) == "pong"
    assert seen.client is not None
    assert not seen.client.open
    assert [one.status for one in seen.left] == [Status.SUCCEEDED] * 5


def test_one_test_client_inside_another() -> None:
    """A fixture's client and one of the test: jobs go to the app that started last, and back."""
    testclient = pytest.importorskip("starlette.testclient")
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    class Loop(Job):
        loop, workers = "app", 1

        async def perform(self) -> int:
            return id(asyncio.get_running_loop())

    async def same(request: Any) -> JSONResponse:
        return JSONResponse(await Loop.perform_async() == id(asyncio.get_running_loop()))

    def client() -> Any:
        return testclient.TestClient(Starlette(lifespan=asgi.lifespan, routes=[Route("/", same)]))

    with client() as outer:
        assert outer.get("/").json() is True
        with client() as inner:
            assert inner.get("/").json() is True
            assert inner.get("/").json() is True
        assert outer.get("/").json() is True
