"""The README's handler in Flask: answer the sign-up now, greet the user in a thread.

    pip install counterpunch flask
    python examples/flask_app.py --port 5000

    curl -X POST http://127.0.0.1:5000/signup/42
    curl http://127.0.0.1:5000/jobs/<id from the answer>

Environment, both optional: ``JOB_SECONDS``, how long a job takes (default 0), and ``JOB_LEDGER``,
a file that gets one line per performed job.
"""

import argparse
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The Flask example on Flask's own server.")
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=5000, help="port (default: %(default)s)")
    args = parser.parse_args()
    # Flask's own server dies at once of SIGTERM; this makes it end in order, jobs included.
    counterpunch.configure(signals=True)
    app.run(host=args.host, port=args.port)
