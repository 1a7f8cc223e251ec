"""Quart has a lifespan of its own: the line that the README gives for it."""

from __future__ import annotations

import host_jobs
from quart import Quart, Response

from counterpunch.integrations import asgi

app = Quart(__name__)
app.asgi_app = asgi.wrap(app.asgi_app)  # type: ignore[method-assign]


@app.route("/", defaults={"path": ""})
@app.route("/<path:path>")
async def answer(path: str) -> Response:
    return Response(host_jobs.answer(f"/{path}"), mimetype="application/json")
