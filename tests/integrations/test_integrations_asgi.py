"""The lifespan helper and the ASGI wrapper; the protocol by hand, then in the frameworks."""

from __future__ import annotations

import asyncio
import textwrap
import threading
import types
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from process import run

import counterpunch
from counterpunch import InvalidOption, Job, Status
from counterpunch.integrations.asgi import lifespan, wrap

pytest_plugins = ["pytester"]

LONG = 10.0  # seconds; turns a hang into a failure


class GatedJob(Job):
    """Waits until the test opens its gate."""

    workers = 1

    def perform(self, gate: threading.Event) -> str:
        assert gate.wait(LONG)
        return "performed"


class QuickJob(Job):
    def perform(self, number: int = 0) -> int:
        return number


class Server:
    """The server's side of one lifespan: what it says, and what it has heard."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.said: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.heard: list[str] = []
        self.answered = asyncio.Event()
        self.failure: BaseException | None = None
        self.task = asyncio.create_task(self.run())

    async def run(self) -> None:
        try:
            await self.app({"type": "lifespan"}, self.said.get, self.hear)
        except Exception as exc:
            self.failure = exc
        finally:
            self.answered.set()

    async def hear(self, message: dict[str, str]) -> None:
        self.heard.append(message["type"])
        self.answered.set()

    async def say(self, word: str) -> None:
        """Send a message and wait for the answer, or for the end of the app."""
        self.answered.clear()
        self.said.put_nowait({"type": f"lifespan.{word}"})
        await asyncio.wait_for(self.answered.wait(), LONG)

    async def end(self) -> None:
        await asyncio.wait_for(self.task, LONG)


def no_lifespan(scope: Any, receive: Any, send: Any) -> Any:
    raise ValueError(f"can only handle http, not {scope['type']}")


async def speaks_lifespan(scope: Any, receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def fails_to_start(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    QuickJob.perform_async(1)
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def leaves_after_startup(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})


async def raises_while_serving(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    raise RuntimeError("the background task of the lifespan broke")


def test_the_drain_waits_for_jobs_and_leaves_the_event_loop_free() -> None:
    gate = threading.Event()

    async def main() -> list[counterpunch.Handle[str]]:
        loop = asyncio.get_running_loop()
        async with lifespan():
            handles = [GatedJob.perform_async(gate) for _ in range(3)]
            # Opens the gate from the loop, which it could not if the drain blocked the loop.
            loop.call_later(0.05, gate.set)
        return handles

    handles = asyncio.run(asyncio.wait_for(main(), LONG))
    assert [handle.status for handle in handles] == [Status.SUCCEEDED] * 3


def test_jobs_are_drained_while_the_apps_own_resources_are_open() -> None:
    """One line in a lifespan of one's own; the drain comes before one's own cleanup."""
    gate, order = threading.Event(), []

    @asynccontextmanager
    async def own(app: object) -> AsyncIterator[dict[str, str]]:
        order.append("opened")
        try:
            async with lifespan(app):
                yield {"pool": "a pool"}
        finally:
            order.append("closed")

    async def main() -> None:
        async with own(None):
            handle = GatedJob.perform_async(gate)
            handle.add_done_callback(lambda _: order.append("performed"))
            asyncio.get_running_loop().call_later(0.02, gate.set)

    asyncio.run(asyncio.wait_for(main(), LONG))
    assert order == ["opened", "performed", "closed"]


def test_a_lifespan_whose_body_raises_still_drains() -> None:
    handles = []

    async def main() -> None:
        async with lifespan():
            handles.append(QuickJob.perform_async(7))
            raise RuntimeError("startup failed")

    with pytest.raises(RuntimeError, match="startup failed"):
        asyncio.run(main())
    assert handles[0].result(0) == 7


def test_the_drain_of_a_cancelled_lifespan_goes_on() -> None:
    """A server that gives up waiting cancels the task: the drain then ends by itself."""
    gate = threading.Event()

    async def main() -> counterpunch.Handle[str]:
        entered, handles = asyncio.Event(), []

        async def serve() -> None:
            async with lifespan():
                handles.append(GatedJob.perform_async(gate))
                entered.set()

        task = asyncio.create_task(serve())
        await entered.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()
        return handles[0]

    assert asyncio.run(asyncio.wait_for(main(), LONG)).result(LONG) == "performed"


@pytest.mark.parametrize(
    "app", [no_lifespan, speaks_lifespan, leaves_after_startup], ids=lambda app: app.__name__
)
def test_wrap_answers_both_messages_and_drains_in_between(app: Callable[..., Any]) -> None:
    gate = threading.Event()

    async def main() -> None:
        server = Server(wrap(app))
        await server.say("startup")
        handle = GatedJob.perform_async(gate)
        asyncio.get_running_loop().call_later(0.02, gate.set)
        assert server.heard == ["lifespan.startup.complete"]
        await server.say("shutdown")
        assert handle.done(), "answered before the drain"
        await server.end()
        assert server.failure is None
        assert server.heard == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    asyncio.run(asyncio.wait_for(main(), LONG))


def test_the_app_hears_of_the_shutdown_after_the_drain() -> None:
    """So that jobs still find what the app closes then."""
    done_before: list[bool] = []

    async def main() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            handle = QuickJob.perform_async(1)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            done_before.append(handle.done())
            await send({"type": "lifespan.shutdown.complete"})

        server = Server(wrap(app))
        await server.say("startup")
        await server.say("shutdown")
        await server.end()

    asyncio.run(asyncio.wait_for(main(), LONG))
    assert done_before == [True]


def test_a_startup_that_fails_is_passed_on_and_its_jobs_are_drained() -> None:
    async def main() -> None:
        server = Server(wrap(fails_to_start))
        await server.say("startup")
        await server.end()
        assert server.heard == ["lifespan.startup.failed"]
        assert counterpunch.stats().total.succeeded == 1

    asyncio.run(asyncio.wait_for(main(), LONG))


@pytest.mark.parametrize("way", ["startup", "shutdown"])
def test_what_an_app_raises_at_the_start_or_the_stop_is_passed_on(way: str) -> None:
    """After the drain: the server decides what becomes of it, as it does without us."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        handles.append(QuickJob.perform_async(1))
        if way == "startup":
            raise RuntimeError("broken")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise RuntimeError("broken")

    handles: list[counterpunch.Handle[int]] = []

    async def main() -> None:
        server = Server(wrap(app))
        await server.say("startup")
        if way == "shutdown":
            await server.say("shutdown")
        await server.end()
        assert str(server.failure) == "broken"
        assert server.heard == (["lifespan.startup.complete"] if way == "shutdown" else [])
        assert handles[0].result(0) == 1

    asyncio.run(asyncio.wait_for(main(), LONG))


def test_a_server_that_looks_in_the_step_of_the_message_sees_the_end_of_the_app() -> None:
    """hypercorn raises from ``send`` and then looks once whether the app is through with it:
    an app that takes a further step of the loop is served although it has failed."""

    class Refused(Exception):
        pass

    async def main() -> list[bool]:
        looks: list[bool] = []
        told = asyncio.Event()

        async def receive() -> dict[str, str]:
            return {"type": "lifespan.startup"}

        async def send(message: dict[str, str]) -> None:
            assert message["type"] == "lifespan.startup.failed"
            assert counterpunch.stats().total.succeeded == 1, "told before the drain"
            told.set()
            raise Refused

        task = asyncio.create_task(wrap(fails_to_start)({"type": "lifespan"}, receive, send))
        await told.wait()
        looks.append(task.done())
        with pytest.raises(Refused):
            await task
        return looks

    assert asyncio.run(asyncio.wait_for(main(), LONG)) == [True]


def wrapped_serving() -> Any:
    """One app under ``wrap``, from its start to its stop."""

    @asynccontextmanager
    async def serve() -> AsyncIterator[None]:
        server = Server(wrap(speaks_lifespan))
        await server.say("startup")
        yield
        await server.say("shutdown")
        await server.end()

    return serve()


@pytest.mark.parametrize("first", [wrapped_serving, lifespan])
@pytest.mark.parametrize("second", [wrapped_serving, lifespan])
def test_of_several_apps_in_one_process_the_last_to_stop_drains(first: Any, second: Any) -> None:
    """However each of them is told: they share the pools."""

    async def main() -> None:
        one, other = first(), second()
        await one.__aenter__()
        await other.__aenter__()
        handle = QuickJob.perform_in(60)
        await one.__aexit__(None, None, None)
        assert handle.status == Status.SCHEDULED
        await other.__aexit__(None, None, None)
        assert handle.status == Status.LOST

    asyncio.run(asyncio.wait_for(main(), LONG))


def test_an_app_that_fails_to_start_leaves_the_drain_to_one_that_serves() -> None:
    async def main() -> None:
        async with lifespan():
            handle = QuickJob.perform_in(60)
            server = Server(wrap(fails_to_start))
            await server.say("startup")
            await server.end()
            assert handle.status == Status.SCHEDULED
        assert handle.status == Status.LOST

    asyncio.run(asyncio.wait_for(main(), LONG))


@pytest.mark.parametrize("app", [speaks_lifespan, no_lifespan], ids=lambda app: app.__name__)
def test_a_cancelled_lifespan_of_a_wrapped_app_has_stopped(app: Callable[..., Any]) -> None:
    """It drains, and is not taken for an app that still serves."""

    async def main() -> None:
        server = Server(wrap(app))
        await server.say("startup")
        handle = QuickJob.perform_async(4)
        server.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await server.task
        assert handle.result(0) == 4
        async with lifespan():
            last = QuickJob.perform_in(60)
        assert last.status == Status.LOST

    asyncio.run(asyncio.wait_for(main(), LONG))


@types.coroutine
def suspended() -> Generator[None, None, None]:
    yield


async def serve_in_a_lifespan() -> None:
    async with lifespan():
        await suspended()


async def serve_wrapped() -> None:
    said = iter(["lifespan.startup"])

    async def receive() -> dict[str, str]:
        for message in said:
            return {"type": message}
        await suspended()
        raise AssertionError("it goes on")

    async def send(message: Any) -> None: ...

    await wrap(speaks_lifespan)({"type": "lifespan"}, receive, send)


@pytest.mark.parametrize("serve", [serve_in_a_lifespan, serve_wrapped], ids=["lifespan", "wrap"])
def test_a_lifespan_that_is_thrown_away_has_stopped_without_a_wait(serve: Any) -> None:
    """A loop that is gone closes its coroutines, which must not await any more."""
    coroutine = serve()
    coroutine.send(None)
    handle = QuickJob.perform_in(60)
    coroutine.close()  # else: RuntimeError, coroutine ignored GeneratorExit
    assert handle.status == Status.SCHEDULED

    async def main() -> None:
        async with lifespan():
            pass

    asyncio.run(main())
    assert handle.status == Status.LOST


def test_a_lifespan_that_breaks_while_serving_still_ends_with_a_drain(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        server = Server(wrap(raises_while_serving))
        await server.say("startup")
        handle = QuickJob.perform_async(3)
        await server.say("shutdown")
        await server.end()
        assert handle.result(0) == 3
        assert server.heard == ["lifespan.startup.complete", "lifespan.shutdown.failed"]

    asyncio.run(asyncio.wait_for(main(), LONG))
    assert "the background task of the lifespan broke" in caplog.text


def test_other_scopes_go_straight_to_the_app() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    async def main() -> None:
        await wrap(app)({"type": "http"}, None, None)  # type: ignore[arg-type]
        await wrap(app)({"type": "websocket"}, None, None)  # type: ignore[arg-type]

    asyncio.run(main())
    assert seen == ["http", "websocket"]


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    return [b""]


@pytest.mark.parametrize("app", [None, "fastapi_app:app", wsgi_app, lambda scope: None])
def test_wrapping_what_is_no_asgi_app_is_an_error_at_the_call(app: Any) -> None:
    with pytest.raises(InvalidOption, match=r"wrap: app=.* is not valid.*an ASGI app"):
        wrap(app)


def test_an_asyncio_program_drains_as_it_ends() -> None:
    """Without any helper: what ``asyncio.run`` leaves behind is drained at the exit."""
    result = run(
        textwrap.dedent("""
        import asyncio, time
        from counterpunch import Job

        class SlowJob(Job):
            workers = 1
            def perform(self, number):
                time.sleep(0.05)
                print("ran", number, flush=True)

        async def main():
            assert await SlowJob.perform_async(0) is None
            for number in (1, 2, 3):
                SlowJob.perform_async(number)
            raise SystemExit(7)

        asyncio.run(main())
        """)
    )
    assert result.status == 7, result
    assert result.lines() == ["ran 0", "ran 1", "ran 2", "ran 3"]


# In the frameworks


def test_fastapi_with_several_test_clients_in_one_process() -> None:
    """Each client runs the lifespan: each end drains, and the next start accepts again."""
    pytest.importorskip("fastapi")
    pytest.importorskip("httpx")
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    app = FastAPI(lifespan=lifespan)
    handles: list[counterpunch.Handle[int]] = []

    @app.post("/{number}")
    async def enqueue(number: int) -> None:
        handles.append(QuickJob.perform_async(number))

    for number in range(3):
        with TestClient(app) as client:
            assert client.post(f"/{number}").status_code == 200
        assert handles[-1].result(0) == number


def test_starlette_context_variables_reach_the_job() -> None:
    """Of an async and of a sync endpoint, the latter in a thread of the framework."""
    pytest.importorskip("starlette")
    pytest.importorskip("httpx")
    from contextvars import ContextVar

    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route
    from starlette.testclient import TestClient

    trace: ContextVar[str] = ContextVar("trace")

    class TracedJob(Job):
        def perform(self) -> str:
            return trace.get("none")

    async def in_the_loop(request: Any) -> JSONResponse:
        trace.set("async")
        return JSONResponse(await TracedJob.perform_async())

    def in_a_thread(request: Any) -> JSONResponse:
        trace.set("sync")
        return JSONResponse(TracedJob.perform_async().result(LONG))

    routes = [Route("/async", in_the_loop), Route("/sync", in_a_thread)]
    with TestClient(Starlette(routes=routes, lifespan=lifespan)) as client:
        assert client.get("/async").json() == "async"
        assert client.get("/sync").json() == "sync"


def test_a_lifespan_with_parentheses_says_so() -> None:
    """``lifespan=lifespan()`` hands over what a lifespan gives; the server does not start."""
    with pytest.raises(TypeError, match=r"integrations\.asgi\.lifespan, without parentheses"):
        lifespan()(object())  # type: ignore[operator]


@pytest.mark.parametrize("framework", ["starlette.applications:Starlette", "fastapi:FastAPI"])
def test_a_framework_shows_the_error_of_a_lifespan_with_parentheses(framework: str) -> None:
    pytest.importorskip("httpx")
    testclient = pytest.importorskip("starlette.testclient")
    module, _, name = framework.partition(":")
    app = getattr(pytest.importorskip(module), name)(lifespan=lifespan())
    with pytest.raises(TypeError, match="without parentheses"), testclient.TestClient(app):
        raise AssertionError("it serves")


def test_litestar_takes_the_lifespan() -> None:
    pytest.importorskip("litestar")
    from litestar import Litestar, post
    from litestar.testing import TestClient

    handles: list[counterpunch.Handle[int]] = []

    @post("/", sync_to_thread=False)
    def enqueue() -> None:
        handles.append(QuickJob.perform_async(5))

    with TestClient(Litestar([enqueue], lifespan=[lifespan])) as client:
        assert client.post("/").status_code == 201
    assert handles[0].result(0) == 5


def test_trio_can_drain_too() -> None:
    trio = pytest.importorskip("trio")

    async def main() -> counterpunch.Handle[int]:
        async with lifespan():
            return QuickJob.perform_async(9)

    assert trio.run(main).result(0) == 9


def test_under_pytest_asyncio_and_anyio(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Coroutine tests of both plugins enqueue and await, one event loop after the other."""
    pytest.importorskip("pytest_asyncio")
    pytest.importorskip("anyio")
    monkeypatch.setenv("PYTHONPATH", str(Path(counterpunch.__file__).parents[1]))
    pytester.makepyfile(
        """
        import pytest
        from counterpunch import Job
        from counterpunch.integrations.asgi import lifespan

        class AddJob(Job):
            def perform(self, a, b):
                return a + b

        @pytest.mark.asyncio
        @pytest.mark.parametrize("n", range(3))
        async def test_asyncio(n):
            async with lifespan():
                assert await AddJob.perform_async(n, 1) == n + 1

        @pytest.mark.anyio
        @pytest.mark.parametrize("n", range(3))
        async def test_anyio(n, anyio_backend):
            async with lifespan():
                assert await AddJob.perform_async(n, 1) == n + 1

        @pytest.fixture
        def anyio_backend():
            return "asyncio"
        """
    )
    result = pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-o", "asyncio_mode=strict", timeout=30
    )
    result.assert_outcomes(passed=6)
