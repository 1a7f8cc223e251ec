"""The ASGI shell: scope and messages in, messages out, no decision in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Unpack

from ..core.values.blocking import running_loop
from ..core.values.clock import monotonic
from .answers import failure
from .body import SECONDS, too_large, too_slow
from .makers import Busy, makers
from .message import MAX_BODY, Request, Response, fields
from .routes import decide
from .settings import Options, Settings, settings_of

__all__ = ["asgi"]

# As the frameworks have them: a narrower type would not fit their ``mount()``.
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def asgi(**options: Unpack[Options]) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """The dashboard as an ASGI app; the mount point is ``root_path``.

    A page is made on one of a few threads of its own, so the guards run there, and are plain
    functions. Where too many wait for one, the answer is a 503.

    Args:
        options: See ``Settings``: ``can_view``, ``authorize``, ``probes``, ``actor``, ``hosts``,
            ``arguments``, ``refresh``, ``health``, ``processes``.

    Raises:
        InvalidOption: For an option that is not allowed.
        TypeError: For one that does not exist.
    """
    settings = settings_of(options)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "http":
            request = _request(scope)
            response = await _response(request, receive, settings)
            if response is not None:  # the client has not left
                await _send(request, response, send)
        else:
            raise ValueError(f"dashboard: there is nothing here for {scope['type']!r}")

    # Python's error for a wrong mount begins with it.
    app.__qualname__ = (
        "dashboard.asgi(...) (under WSGI it is dashboard.wsgi, in a URLconf of Django "
        "counterpunch.integrations.django.dashboard.urls)"
    )
    return app


async def _response(request: Request, receive: Receive, settings: Settings) -> Response | None:
    """A page takes milliseconds; the loop's other requests need not wait for them."""
    try:
        found = await makers.run(lambda: decide(request, settings))
        if isinstance(found, Response):
            return found
        body = await _body(request, receive)
        if body is None or isinstance(body, Response):
            return body
        return await makers.run(lambda: found.carry_out(body))
    except Busy:
        retry = ("Retry-After", "1")
        return failure(request, 503, "Too many pages are asked for at once.", retry)


def _request(scope: Scope) -> Request:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope.get("headers", ()):
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        joint = "; " if name == "cookie" else ", "  # HTTP/2 may send cookies one by one
        headers[name] = f"{headers[name]}{joint}{value}" if name in headers else value
    prefix = "/" + scope.get("root_path", "").strip("/")
    path: str = scope["path"]
    # The specification has the mount point inside the path; older servers leave it out.
    if prefix != "/" and (path == prefix or path.startswith(prefix + "/")):
        path = path[len(prefix) :]
    return Request(
        method=scope["method"].upper(),
        path="/" + path.removeprefix("/"),
        prefix="" if prefix == "/" else prefix,
        query=fields(scope.get("query_string", b"").decode("latin-1")),
        headers=headers,
        scheme=scope.get("scheme", "http"),
        raw=scope,
        peer=(scope.get("client") or ("",))[0] or "",
    )


async def _body(request: Request, receive: Receive) -> bytes | Response | None:
    """The whole body, why it is refused, or None if the client has left."""
    body: bytes = b""
    end = monotonic() + SECONDS
    while True:
        message = await _within(end - monotonic(), receive)
        if message is None:
            return too_slow(request)
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            return too_large(request)
        if not message.get("more_body"):
            return body


async def _within(seconds: float, receive: Receive) -> MutableMapping[str, Any] | None:
    """The next message; None if it does not come in time."""
    if running_loop() is None:
        return await receive()  # another kind of loop
    import asyncio

    try:
        return await asyncio.wait_for(receive(), max(0.0, seconds))
    except TimeoutError:
        return None


async def _send(request: Request, response: Response, send: Send) -> None:
    headers = [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in response.all_headers]
    start = {"type": "http.response.start", "status": response.status, "headers": headers}
    await send(start)
    body = b"" if request.method == "HEAD" else response.body
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
