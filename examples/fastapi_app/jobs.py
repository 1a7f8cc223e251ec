"""What happens after the answer, on the app's own event loop."""

import httpx
from database import Report
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from counterpunch import Job, Retry


class Shared:
    """What the lifespan opens, and jobs and handlers use: each belongs to the app's loop."""

    engine: AsyncEngine
    client: httpx.AsyncClient


class Crawl(Job):
    """Fetch a page some times over, and count how far it is in the row."""

    loop = "app"  # the client and the engine above are the app's
    workers = 20  # at once; they share the loop's one thread
    retry = Retry(max_attempts=3, on=(httpx.TransportError,))

    async def perform(self, report: int, times: int = 5) -> None:
        async with AsyncSession(Shared.engine, expire_on_commit=False) as session:
            row = await session.get_one(Report, report)
            row.total, row.state = times, "running"
            await session.commit()
            for row.done in range(1, times + 1):
                answer = await Shared.client.get(row.url)
                answer.raise_for_status()
                self.progress(row.done, times)  # for the page
                await session.commit()
            row.state = "done"
            await session.commit()

    async def on_failure(self, exc: BaseException) -> None:
        (report,) = self.handle.args
        async with AsyncSession(Shared.engine) as session:
            (await session.get_one(Report, report)).state = f"failed: {exc!r}"
            await session.commit()
