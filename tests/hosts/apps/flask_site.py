"""Flask with the extension."""

from __future__ import annotations

import host_jobs
from flask import Flask, Response

from counterpunch.integrations.flask import Counterpunch

app = Flask(__name__)
Counterpunch(app)


@app.route("/", defaults={"path": ""})
@app.route("/<path:path>")
def answer(path: str) -> Response:
    return Response(host_jobs.answer(f"/{path}"), mimetype="application/json")
