"""FastAPI, Starlette, Litestar and any other ASGI app: start and drain with the server.

uvicorn, alone or under gunicorn, ends with the very signal that stopped it: no exit hook of
Python runs there, and a lifespan is the one place where accepted jobs can still be finished.
``lifespan`` is for apps that take one, ``wrap`` for apps that answer none.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from .._hooks import report
from .._lifecycle import shutdown, start

__all__ = ["lifespan", "wrap"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


@asynccontextmanager
async def lifespan(app: object = None) -> AsyncIterator[None]:
    """Call ``start()`` when the server starts, and drain when it stops.

    ``FastAPI(lifespan=lifespan)`` as it is; inside a lifespan of your own it is one line, and
    jobs are drained while what you opened before it is still open::

        @asynccontextmanager
        async def own(app):
            async with open_pool() as pool, lifespan(app):
                yield {"pool": pool}

    The drain takes ``configure(shutdown_timeout=...)`` seconds at most, on a thread of its
    own, so the event loop goes on. It runs too when the body raises. Entered again, as
    Starlette's ``TestClient`` does, jobs are accepted again.

    Args:
        app: Ignored; it is what frameworks pass to a lifespan.
    """
    start()
    try:
        yield
    finally:
        await _drain()


def wrap(app: ASGIApp) -> ASGIApp:
    """An ASGI app that drains at the end of the lifespan, whether ``app`` answers one or not.

    For Django's ASGI app and plain ones: ``application = wrap(get_asgi_application())``. An
    app that has a lifespan gets every message, ``lifespan.shutdown`` after the drain, so
    that jobs still find what the app is about to close. Its failures are passed on. For an
    app that has none the messages are answered here.
    """

    async def wrapped(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _Lifespan(receive, send).run(app, scope)
        else:
            await app(scope, receive, send)

    return wrapped


class _Lifespan:
    """One lifespan between a server and an app: who has said what so far."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._received: set[str] = set()
        self._sent: set[str] = set()

    async def run(self, app: ASGIApp, scope: MutableMapping[str, Any]) -> None:
        try:
            await app(scope, self.receive, self.send)
        except Exception as exc:
            if "lifespan.startup.complete" in self._sent or "lifespan.startup.failed" in self._sent:
                await _drain()  # nothing to do if the shutdown message did it
                raise
            # By the specification it does not speak the protocol: the server is to go on.
            if self._received:  # but this one had begun to, so its author wants to know
                message = "the app raised during lifespan.startup; it is served without a lifespan"
                report(logging.WARNING, message, exc_info=exc)
        if "lifespan.startup.failed" in self._sent:
            await _drain()
            return
        # Whatever the app has left unanswered.
        if "lifespan.startup" not in self._received:
            await self.receive()
        if "lifespan.startup.complete" not in self._sent:
            await self.send({"type": "lifespan.startup.complete"})
        if "lifespan.shutdown" not in self._received:
            await self.receive()
        if not self._sent & {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
            await self.send({"type": "lifespan.shutdown.complete"})

    async def receive(self) -> Message:
        message = await self._receive()
        self._received.add(message["type"])
        if message["type"] == "lifespan.startup":
            start()
        elif message["type"] == "lifespan.shutdown":
            await _drain()
        return message

    async def send(self, message: Message) -> None:
        self._sent.add(message["type"])
        await self._send(message)


async def _drain() -> None:
    """``shutdown()`` without blocking the event loop.

    On a thread of its own: the loop's default executor may be full of the app's own work.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        trio: Any = sys.modules.get("trio")
        if trio is None:
            raise
        await trio.to_thread.run_sync(shutdown)
        return
    ended = asyncio.Event()

    def run() -> None:
        try:
            shutdown()
        finally:
            try:
                loop.call_soon_threadsafe(ended.set)
            except RuntimeError:
                pass  # the server has given up waiting and closed its loop

    # Not a daemon: a server that stops waiting leaves it to the interpreter to wait for it.
    threading.Thread(target=run, name="counterpunch-drain").start()
    await ended.wait()
