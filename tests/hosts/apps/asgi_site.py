"""A plain ASGI app that answers no lifespan, bare and wrapped."""

from __future__ import annotations

from typing import Any

import host_jobs

from counterpunch.integrations.asgi import wrap


async def bare(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise ValueError(f"can only handle http, not {scope['type']}")
    body = host_jobs.answer(scope["path"])
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


wrapped = wrap(bare)
