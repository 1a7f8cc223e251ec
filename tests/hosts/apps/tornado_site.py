"""Tornado by itself, on asyncio: the line that the README gives for it, in ``main``."""

from __future__ import annotations

import asyncio
import sys

import host_jobs
from tornado.web import Application, RequestHandler

from counterpunch.integrations import asgi


class Answer(RequestHandler):
    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(host_jobs.answer(self.request.path))


async def main() -> None:
    app = Application([(r"/.*", Answer)])
    app.listen(int(sys.argv[1]), "127.0.0.1")
    async with asgi.lifespan(app):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
