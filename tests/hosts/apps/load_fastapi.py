"""A sign-up in FastAPI whose jobs take ``JOB_SECONDS`` and write a line into ``JOB_LEDGER``."""

import os
import time

from fastapi import FastAPI, HTTPException

import counterpunch
from counterpunch import Job, Retry
from counterpunch.integrations.asgi import lifespan


class HelloEmailJob(Job):
    workers = 4
    retry = Retry(max_attempts=5, on=(OSError,))

    def perform(self, user_id: int, *, greeting: str = "hi") -> str:
        time.sleep(float(os.environ.get("JOB_SECONDS", "0")))
        message = f"{greeting}, user {user_id}"
        if ledger := os.environ.get("JOB_LEDGER"):
            with open(ledger, "a", encoding="utf-8") as file:
                file.write(f"{message}\n")
        return message


# uvicorn ends with the signal that stopped it, so the drain happens at the end of the lifespan.
app = FastAPI(lifespan=lifespan)


@app.post("/signup/{user_id}", status_code=202)
async def signup(user_id: int) -> dict[str, str]:
    handle = HelloEmailJob.perform_async(user_id)
    return {"id": handle.id}


@app.get("/jobs/{job_id}")
async def job_status(job_id: str) -> dict[str, str | int]:
    handle = counterpunch.find(job_id)
    if handle is None:
        raise HTTPException(404, "no such job")
    return {"id": handle.id, "status": handle.status, "attempt": handle.attempt}
