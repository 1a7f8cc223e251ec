"""A report that takes its time, with a progress bar in the page: the statused worker.

Standard library only, nothing to install:

    PYTHONPATH=src python3 examples/report.py --port 8000

Open the address it prints and press the button. Each account has at most one report in the
making (``unique``): whoever asks meanwhile, in another tab too, is shown the same one. Without
JavaScript the page reloads itself. Environment, optional: ``ROW_SECONDS``, how long a row of
the report takes; default 0.05.
"""

import csv
import io
import json
import os
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from local_server import arguments, serve

from counterpunch import Job, QueueFull, ShuttingDown, Status

ROWS = 100
ROW_SECONDS = float(os.environ.get("ROW_SECONDS", "0.05"))


class ReportJob(Job):
    """The report of one account, as CSV text."""

    unique = "active"  # one waiting or running per account; a second click gets its handle

    @staticmethod
    def identity(account: int) -> int:
        return account

    def perform(self, account: int) -> str:
        text = io.StringIO()
        table, total = csv.writer(text), 0
        table.writerow(["month", "amount"])
        for month in self.track(range(1, ROWS + 1)):  # progress, and a look at the cancel token
            time.sleep(ROW_SECONDS)  # a slow query, in real life
            amount = account * month % 97
            total += amount
            table.writerow([month, amount])
            self.set_status(total=total)
        return text.getvalue()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    status, kind, body, headers = respond(environ["REQUEST_METHOD"], environ["PATH_INFO"])
    headers = {"Content-Type": f"{kind}; charset=utf-8", "Cache-Control": "no-store"} | headers
    start_response(f"{status.value} {status.phrase}", list(headers.items()))
    return [body.encode()]


Answer = tuple[HTTPStatus, str, str, dict[str, str]]


def respond(method: str, path: str) -> Answer:
    match method, path.strip("/").split("/"):
        case "GET", [""]:
            return page(PAGE.format(account=42, state="{}", value=0, refresh=""))
        case "GET", ["reports", account] if is_account(account):
            return show(int(account))
        case "POST", ["reports", account] if is_account(account):
            try:
                ReportJob.perform_async(int(account))
            except (QueueFull, ShuttingDown) as error:
                return plain(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
            return plain(HTTPStatus.SEE_OTHER, "", Location=f"/reports/{account}")
        case "POST", ["reports", account, "cancel"] if is_account(account):
            if handle := ReportJob.latest(int(account)):
                handle.cancel()
            return plain(HTTPStatus.SEE_OTHER, "", Location=f"/reports/{account}")
        case "GET", ["reports", account, "state"] if is_account(account):
            return HTTPStatus.OK, "application/json", json.dumps(state(int(account))), {}
        case "GET", ["reports", account, "file"] if is_account(account):
            handle = ReportJob.latest(int(account))
            if handle is None or handle.status is not Status.SUCCEEDED:
                return plain(HTTPStatus.NOT_FOUND, "the report is not ready")
            return HTTPStatus.OK, "text/csv", handle.result(), {}
        case _:
            return plain(HTTPStatus.NOT_FOUND, "no such page")


def is_account(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def state(account: int) -> dict[str, Any]:
    """What the page shows of the account's newest report; ``status`` is None before the first."""
    handle = ReportJob.latest(account)
    if handle is None:
        return {"status": None, "active": False}
    done, total, _ = handle.progress or (0, ROWS, "")
    return {
        "status": handle.status,
        "active": ReportJob.in_progress(account),
        "progress": [done, total],
        "data": handle.data,
    }


def show(account: int) -> Answer:
    now = state(account)
    refresh = '<noscript><meta http-equiv="refresh" content="1"></noscript>'
    value = now.get("progress", [0])[0]
    text = json.dumps(now)
    refresh = refresh if now["active"] else ""
    return page(PAGE.format(account=account, state=text, value=value, refresh=refresh))


def page(text: str) -> Answer:
    return HTTPStatus.OK, "text/html", text, {}


def plain(status: HTTPStatus, text: str, **headers: str) -> Answer:
    return status, "text/plain", text, headers


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Report {account}</title>{refresh}</head>
<body>
<h1>Report of account {account}</h1>
<form method="post" action="/reports/{account}"><button>Make the report</button></form>
<progress id="bar" max="100" value="{value}">{value} of 100</progress>
<p id="text"></p>
<form method="post" action="/reports/{account}/cancel"><button>Cancel</button></form>
<p><a href="/reports/{account}/file">The file</a>, once it has succeeded</p>
<script>
  let state = {state};
  const poll = async () => {{
    if (state.progress) [bar.value, bar.max] = state.progress;
    text.textContent = state.status || "";
    if (!state.active) return;
    await new Promise((wake) => setTimeout(wake, 250));
    state = await (await fetch("/reports/{account}/state")).json();
    poll();
  }};
  const [bar, text] = ["bar", "text"].map((id) => document.getElementById(id));
  poll();
</script>
</body></html>
"""


if __name__ == "__main__":
    given = arguments("A report with a progress bar.").parse_args()
    serve(application, given.host, given.port)
