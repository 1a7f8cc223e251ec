"""A sign-up in Flask whose jobs take ``JOB_SECONDS`` and write a line into ``JOB_LEDGER``."""

import os
import time

from flask import Flask
from flask.typing import ResponseReturnValue

import counterpunch
from counterpunch import Job, Retry
from counterpunch.integrations.flask import Counterpunch


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


app = Flask(__name__)
Counterpunch(app)


@app.post("/signup/<int:user_id>")
def signup(user_id: int) -> ResponseReturnValue:
    handle = HelloEmailJob.perform_async(user_id)
    return {"id": handle.id}, 202


@app.get("/jobs/<job_id>")
def job_status(job_id: str) -> ResponseReturnValue:
    handle = counterpunch.find(job_id)
    if handle is None:
        return {"error": "no such job"}, 404
    return {"id": handle.id, "status": handle.status, "attempt": handle.attempt}
