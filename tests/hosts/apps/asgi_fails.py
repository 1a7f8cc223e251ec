"""ASGI apps that do not come up, each bare and wrapped."""

from __future__ import annotations

from typing import Any

import asgi_site

from counterpunch.integrations.asgi import wrap


async def failing(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """As Starlette says it: the message, then the exception."""
    if scope["type"] != "lifespan":
        await asgi_site.bare(scope, receive, send)
        return
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
    raise RuntimeError("no database")


async def quiet(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The message alone."""
    if scope["type"] != "lifespan":
        await asgi_site.bare(scope, receive, send)
        return
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def raising(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The exception alone."""
    if scope["type"] != "lifespan":
        await asgi_site.bare(scope, receive, send)
        return
    await receive()
    raise RuntimeError("no database")


wrapped_failing, wrapped_quiet, wrapped_raising = wrap(failing), wrap(quiet), wrap(raising)
