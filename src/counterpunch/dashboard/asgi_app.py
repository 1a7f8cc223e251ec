"""The ASGI shell: scope and messages in, messages out, no decision in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Unpack

from ..core.values.clock import monotonic
from .body import LINGER_BYTES, LINGER_SECONDS, answer, too_large
from .message import MAX_BODY, Request, Response, fields
from .settings import Options, Settings, settings_of

__all__ = ["asgi"]

# As the frameworks have them: a narrower type would not fit their ``mount()``.
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def asgi(**options: Unpack[Options]) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """The dashboard as an ASGI app; the mount point is ``root_path``.

    A page is made on a thread of the loop's executor, so ``authorize`` and ``can_view`` run
    there, and are plain functions.

    Args:
        options: See ``Settings``: ``authorize``, ``can_view``, ``arguments``, ``refresh``,
            ``health``, ``processes``.

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
            body = await _body(request, receive)
            if body is not None:  # the client has not left
                await _send(request, await _off_loop(request, body, settings), send)

    return app


async def _off_loop(request: Request, body: bytes | Response, settings: Settings) -> Response:
    """A page takes milliseconds; the loop's other requests need not wait for them."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return answer(request, body, settings)  # another kind of loop (trio): right here
    return await asyncio.to_thread(answer, request, body, settings)


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
        path="/" + path.lstrip("/"),
        prefix="" if prefix == "/" else prefix,
        query=fields(scope.get("query_string", b"").decode("latin-1")),
        headers=headers,
        scheme=scope.get("scheme", "http"),
        raw=scope,
    )


async def _body(request: Request, receive: Receive) -> bytes | Response | None:
    """The whole body, a refusal if it is too large, None if the client has left."""
    if request.method in ("GET", "HEAD"):
        return b""
    body, size = b"", 0
    end = monotonic() + LINGER_SECONDS
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part: bytes = message.get("body", b"")
        size += len(part)
        body = body + part if size <= MAX_BODY else b""
        over = size > MAX_BODY and (size > LINGER_BYTES or monotonic() > end)
        if over or not message.get("more_body", False):
            return body if size <= MAX_BODY else too_large(request)


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
