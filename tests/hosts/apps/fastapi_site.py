"""FastAPI with the lifespan helper."""

from __future__ import annotations

import host_jobs
from fastapi import FastAPI, Response

from counterpunch.integrations.asgi import lifespan

app = FastAPI(lifespan=lifespan)


@app.get("/{path:path}")
def answer(path: str) -> Response:
    return Response(host_jobs.answer(f"/{path}"), media_type="application/json")
