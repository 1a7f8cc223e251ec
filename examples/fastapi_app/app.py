"""Reports in FastAPI: async jobs on the app's loop, progress as JSON and as server-sent events.

pip install path/to/counterpunch -r requirements.txt
uvicorn app:app --workers 2

curl -X POST 'http://127.0.0.1:8000/reports?url=http://127.0.0.1:8000/ping'
curl -N http://127.0.0.1:8000/reports/1/events
"""

import asyncio
import hmac
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
from database import Report, opened, session_of
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import Response, StreamingResponse
from jobs import Crawl, Shared
from sqlalchemy.ext.asyncio import AsyncSession

import counterpunch
from counterpunch import dashboard
from counterpunch.integrations import asgi

Session = Annotated[AsyncSession, Depends(session_of)]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Opened before, closed after the jobs have ended."""
    app.state.engine = Shared.engine = await opened()
    async with httpx.AsyncClient(timeout=10) as Shared.client, asgi.lifespan(app):
        yield
    await Shared.engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.post("/reports", status_code=202)
async def begin(url: str, session: Session) -> dict[str, int]:
    report = Report(url=url)
    session.add(report)
    await session.flush()
    # After the commit: the job finds the row, and none is enqueued for one that is rolled back.
    Crawl.using(after_commit=session).perform_async(report.id)
    await session.commit()
    return {"id": report.id}


async def progress_of(report: int, session: AsyncSession) -> dict[str, int | str]:
    row = await session.get(Report, report, populate_existing=True)
    if row is None:
        raise HTTPException(404, "no such report")
    return {"done": row.done, "total": row.total, "state": row.state}


@app.get("/reports/{report}")
async def progress(report: int, session: Session) -> dict[str, int | str]:
    return await progress_of(report, session)


@app.get("/reports/{report}/events")
async def events(report: int, session: Session) -> StreamingResponse:
    """The same, each time that it changes, until the report is done."""
    first = await progress_of(report, session)

    async def stream() -> AsyncIterator[str]:
        said, now = None, first
        while True:
            if now != said:
                said = now
                yield f"data: {now['done']} of {now['total']}, {now['state']}\n\n"
            if str(now["state"]).startswith(("done", "failed")):
                return
            await asyncio.sleep(0.2)
            await session.rollback()  # a new transaction sees what was committed
            now = await progress_of(report, session)

    return StreamingResponse(stream(), media_type="text/event-stream")


@app.get("/live")
async def live() -> dict[str, bool]:
    """For the platform's probe."""
    return {"ok": True}


def is_admin(request: Request) -> bool:
    token = os.environ.get("ADMIN_TOKEN", "")
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(given.encode(), token.encode())


@app.get("/metrics")
async def metrics(request: Request) -> Response:
    if not is_admin(request):
        raise HTTPException(403)
    return Response(counterpunch.metrics(), media_type="text/plain")


def may_look(request: dashboard.Request) -> bool:
    return is_admin(Request(request.raw))


page = dashboard.asgi(can_view=may_look, authorize=may_look, processes=True)
app.mount("/jobs", page)
