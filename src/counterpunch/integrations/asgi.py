"""FastAPI, Starlette, Litestar and any other ASGI app: start and drain with the server.

uvicorn, alone or under gunicorn, ends with the very signal that stopped it: no exit hook of
Python runs there, and a lifespan is the one place where accepted jobs can still be finished.
``lifespan`` is for apps that take one, ``wrap`` for apps that answer none.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any, NoReturn

from ..core.port import leave, shutdown, start
from ..core.values.app_loop import entered, left
from ..core.values.blocking import in_trio, running_loop
from ..core.values.errors import InvalidOption
from ..core.values.hooks import report

__all__ = ["lifespan", "wrap"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
#: Each framework has its own types for the three.
AnyASGIApp = Callable[[Any, Any, Any], Awaitable[Any]]

STARTUP, SHUTDOWN = "lifespan.startup", "lifespan.shutdown"
STARTUP_COMPLETE, STARTUP_FAILED = f"{STARTUP}.complete", f"{STARTUP}.failed"
SHUTDOWN_COMPLETE, SHUTDOWN_FAILED = f"{SHUTDOWN}.complete", f"{SHUTDOWN}.failed"


#: One entry for each lifespan that is entered.
_open: set[object] = set()


def lifespan(app: object = None) -> AbstractAsyncContextManager[None]:
    """Call ``start()`` when the server starts, and drain when it stops.

    ``FastAPI(lifespan=lifespan)`` as it is; inside a lifespan of your own it is one line, and
    jobs are drained while what you opened before it is still open::

        @asynccontextmanager
        async def own(app):
            async with open_pool() as pool, lifespan(app):
                yield {"pool": pool}

    The drain takes ``configure(shutdown_timeout=...)`` seconds at most, on a thread of its
    own, so the event loop goes on. It runs too when the body raises. Entered again, as
    Starlette's ``TestClient`` does, jobs are accepted again. Of several apps in one process
    the last to stop drains: they share the pools.

    Args:
        app: Ignored; it is what frameworks pass to a lifespan.

    Raises:
        TypeError: At the server's start, from what ``lifespan=lifespan()`` handed over instead
            of the function.
    """
    return _Serving()


class _Serving(AbstractAsyncContextManager[None]):
    """One server between its start and its stop."""

    async def __aenter__(self) -> None:
        self._loop = None if in_trio() else running_loop()
        if self._loop is not None:
            entered(self._loop)  # first: what ``start`` arms may run on it
        try:
            start()
            _open.add(self)
        except BaseException:
            left(self._loop)
            raise

    async def __aexit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        """Once is enough: what has left already does not yield to the loop a second time."""
        if self not in _open:
            return
        _open.discard(self)
        # Not where another app of this process still serves; nor in a coroutine that is thrown
        # away, which may not wait.
        try:
            if not _open and kind is not GeneratorExit:
                await _drain()
            elif self._loop is not None and kind is not GeneratorExit:
                await leave(self._loop)
                self._loop = None
        finally:
            if self._loop is not None:
                left(self._loop)

    def __call__(self, app: object) -> NoReturn:
        raise TypeError(
            "a framework calls its lifespan with the app, and this one was called already: "
            "write lifespan=counterpunch.integrations.asgi.lifespan, without parentheses"
        )


def wrap(app: AnyASGIApp) -> ASGIApp:
    """An ASGI app that drains at the end of the lifespan, whether ``app`` answers one or not.

    For Django's ASGI app and plain ones: ``application = wrap(get_asgi_application())``. An
    app that has a lifespan gets every message, ``lifespan.shutdown`` after the drain, so
    that jobs still find what the app is about to close. What it raises at the start or at the
    stop is passed on, so a start-up that fails ends the server as it does without this. For an
    app that has none the messages are answered here. Of several apps in one process the last to
    stop drains, as with ``lifespan``.

    Raises:
        InvalidOption: If ``app`` cannot be called as an ASGI app is.
    """
    _check(app)

    async def wrapped(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _Lifespan(receive, send).run(app, scope)
        else:
            await app(scope, receive, send)

    return wrapped


def _check(app: AnyASGIApp) -> None:
    """A WSGI app is called with two arguments, which would show with the first request only."""
    try:
        inspect.signature(app).bind(None, None, None)
    except (TypeError, ValueError) as exc:
        if isinstance(exc, ValueError):
            return  # made in C: it says nothing about its arguments
        allowed = f"an ASGI app, called with scope, receive and send ({exc})"
        raise InvalidOption("wrap", "app", app, allowed) from None


class _Lifespan:
    """One lifespan between a server and an app: who has said what so far."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._received: set[str] = set()
        self._sent: set[str] = set()
        self._serving = _Serving()

    async def run(self, app: AnyASGIApp, scope: MutableMapping[str, Any]) -> None:
        try:
            await self._speak(app, scope)
        except BaseException as exc:
            # In the very step of a startup.failed, at which hypercorn looks once.
            await self._serving.__aexit__(type(exc))
            raise

    async def _speak(self, app: AnyASGIApp, scope: MutableMapping[str, Any]) -> None:
        failure = None
        try:
            await app(scope, self.receive, self.send)
        except Exception as exc:
            failed_to_start = STARTUP in self._received and STARTUP_COMPLETE not in self._sent
            if failed_to_start or SHUTDOWN in self._received:
                raise
            failure = exc
        if STARTUP_FAILED in self._sent:
            return
        # From here on: whatever the app has left unanswered.
        if STARTUP_COMPLETE not in self._sent:
            # By the specification it does not speak the protocol, and is served without.
            failure = None
            if STARTUP not in self._received:
                await self.receive()
            await self.send({"type": STARTUP_COMPLETE})
        elif failure is not None:
            report(logging.ERROR, "the app's lifespan raised", exc_info=failure)
        if SHUTDOWN not in self._received:
            await self.receive()
        if failure is not None:
            await self.send({"type": SHUTDOWN_FAILED, "message": repr(failure)})
        elif not self._sent & {SHUTDOWN_COMPLETE, SHUTDOWN_FAILED}:
            await self.send({"type": SHUTDOWN_COMPLETE})

    async def receive(self) -> Message:
        message = await self._receive()
        self._received.add(message["type"])
        if message["type"] == STARTUP:
            await self._serving.__aenter__()
        elif message["type"] == SHUTDOWN:
            await self._serving.__aexit__(None)
        return message

    async def send(self, message: Message) -> None:
        self._sent.add(message["type"])
        if message["type"] == STARTUP_FAILED:
            await self._serving.__aexit__(None)  # what the app enqueued before it failed
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
        with trio.CancelScope(shield=True):  # the drain ends by itself, see ``shutdown``
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
