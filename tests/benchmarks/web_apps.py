"""The two applications that ``web.py`` puts under load: one route per way to run a job.

``/<way>/<work>``: ``way`` is none, counterpunch, pool or background; ``work`` is sleep (one
job that sleeps 1 ms), cpu (one of 5 ms) or many (ten of 0.5 ms).
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import counterpunch

__all__ = ["fast", "flask"]

_pool = ThreadPoolExecutor(max_workers=2)


def _spin(seconds: float) -> None:
    """Work for so much of the processor's time, whoever else runs."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def _sleep_job() -> None:
    time.sleep(0.001)


def _cpu_job() -> None:
    _spin(0.005)


def _short_job() -> None:
    _spin(0.0005)


WORK: dict[str, tuple[Callable[[], None], int]] = {
    "sleep": (_sleep_job, 1),
    "cpu": (_cpu_job, 1),
    "many": (_short_job, 10),
}


class WebJob(counterpunch.Job):
    max_jobs = None

    def perform(self, work: str) -> None:
        WORK[work][0]()


def _enqueue(way: str, work: str) -> None:
    fn, times = WORK[work]
    for _ in range(times):
        if way == "counterpunch":
            WebJob.perform_async(work)
        elif way == "pool":
            _pool.submit(fn)


def flask() -> Any:
    app = importlib.import_module("flask").Flask("benchmark")

    def index(way: str, work: str) -> str:
        _enqueue(way, work)
        return "ok"

    app.get("/<way>/<work>")(index)
    return app


def fast() -> Any:
    fastapi: Any = importlib.import_module("fastapi")
    app = fastapi.FastAPI()

    async def plain(way: str, work: str) -> str:
        _enqueue(way, work)
        return "ok"

    async def background(work: str, tasks: Any) -> str:
        fn, times = WORK[work]
        for _ in range(times):
            tasks.add_task(fn)
        return "ok"

    background.__annotations__["tasks"] = fastapi.BackgroundTasks
    background.__annotations__["work"] = plain.__annotations__["way"] = str
    plain.__annotations__["work"] = str
    app.get("/background/{work}")(background)
    app.get("/{way}/{work}")(plain)
    return app
