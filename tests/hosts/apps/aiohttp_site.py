"""aiohttp by itself: the line that the README gives for it."""

from __future__ import annotations

import sys

import host_jobs
from aiohttp import web

from counterpunch.integrations import asgi

app = web.Application()
app.cleanup_ctx.append(asgi.lifespan)


async def answer(request: web.Request) -> web.Response:
    return web.Response(body=host_jobs.answer(request.path), content_type="application/json")


app.router.add_get("/{path:.*}", answer)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]))
