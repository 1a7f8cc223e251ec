"""A sign-up server that answers at once and sends the e-mail afterwards.

Standard library only, nothing to install:

    PYTHONPATH=src python3 examples/signup.py --port 8000

Open the address it prints, or try the curl line below it; the jobs are at ``/dashboard/``, for
browsers on this machine. Ctrl-C or SIGTERM stops it: requests
finish, then the accepted e-mails are sent, for up to 8 s. All of the environment is optional:

* ``SMTP_URL``: ``smtp://user:password@host:port``, ``smtps://...`` or ``smtp://...?starttls=1``.
  Unset, a sink on loopback prints each message and refuses every third, so a retry is seen.
* ``MAIL_FROM``: the sender; default ``hello@example.com``.
* ``DATABASE``: path of the SQLite file; default a temporary one.
* ``REMINDER_SECONDS``: delay of the reminder in seconds; default 30.
"""

import atexit
import json
import logging
import os
import re
import smtplib
import sqlite3
import ssl
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import datetime
from email.message import EmailMessage
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from wsgiref.types import StartResponse, WSGIEnvironment
from wsgiref.util import shift_path_info

from local_server import HTTPError, arguments, read_fields, serve
from mail_sink import start_mail_sink

import counterpunch
from counterpunch import Discard, Job, QueueFull, Retry, ShuttingDown, dashboard

logger = logging.getLogger("signup")

PAGE = Path(__file__).with_name("signup.html")
ADDRESS = re.compile(r"[\w.%+'-]+@[\w.-]+", re.ASCII)
REMINDER_SECONDS = float(os.environ.get("REMINDER_SECONDS", "30"))


class HelloEmailJob(Job):
    """Greets a new user. Five attempts; each wait is drawn from zero to 0.5, 1, 2 and 4 s."""

    workers = 4
    retry = Retry(max_attempts=5, on=(OSError, smtplib.SMTPException), wait=0.5)
    delayed_on_shutdown = "wait"  # a refused mail still gets its retry while the process drains

    # Jobs take the id, not the row: what they read is then as fresh as the moment they run.
    def perform(self, user_id: int) -> str:
        return self.send(user_id, "Welcome!", "good to have you here.")

    def send(self, user_id: int, subject: str, text: str) -> str:
        self.progress(0, 2, "reading the user")
        with closing(connect()) as db:
            row = db.execute("SELECT email, name FROM users WHERE id = ?", (user_id,)).fetchone()
        if row is None:
            raise Discard(f"user {user_id} is gone")
        email, name = row
        self.progress(1, 2, "sending")
        send_mail(email, subject, f"Hello {name}, {text}")
        self.progress(2, 2, "sent")
        return f"mailed {email}"

    def on_failure(self, exc: BaseException) -> None:
        self.logger.error("gave up on user %s: %s", self.handle.args[0], exc)


class ReminderEmailJob(HelloEmailJob):
    """Follows up some time later; inherits the retries and has a pool of its own."""

    workers = 1
    delayed_on_shutdown = "drop"  # not worth holding up a stop; the log says what was dropped

    def perform(self, user_id: int) -> str:
        return self.send(user_id, "Your account is waiting", "come and have a look.")


def connect() -> sqlite3.Connection:
    """Open the database; a connection belongs to the thread that opened it."""
    return sqlite3.connect(os.environ["DATABASE"], timeout=10)


def send_mail(to: str, subject: str, text: str) -> None:
    """Send one message to SMTP_URL; raises OSError or SMTPException, at the latest after 10 s."""
    message = EmailMessage()
    message["From"] = os.environ.get("MAIL_FROM", "hello@example.com")
    message["To"], message["Subject"] = to, subject
    message.set_content(text)
    url = urlsplit(os.environ["SMTP_URL"])
    host, port = url.hostname or "", url.port or 0  # 0: the protocol's own, 25 or 465
    with (
        smtplib.SMTP_SSL(host, port, timeout=10, context=ssl.create_default_context())
        if url.scheme == "smtps"
        else smtplib.SMTP(host, port, timeout=10)
    ) as smtp:
        if parse_qs(url.query).get("starttls") == ["1"]:
            smtp.starttls(context=ssl.create_default_context())
        if url.username:
            smtp.login(unquote(url.username), unquote(url.password or ""))
        smtp.send_message(message)


# Without can_view only a browser on this machine may look; whoever may do so may act.
jobs_page = dashboard.wsgi(authorize=dashboard.anyone)


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"].split("/")[1:]
    if path[:1] == ["dashboard"]:
        shift_path_info(environ)  # the mount point goes to SCRIPT_NAME
        return jobs_page(environ, start_response)
    status, kind, headers = HTTPStatus.OK, "application/json", dict[str, str]()
    try:
        match environ["REQUEST_METHOD"], path:
            case "GET", [""]:
                kind, text = "text/html", PAGE.read_text(encoding="utf-8")
            case "POST", ["signup"]:
                status, text = HTTPStatus.ACCEPTED, json.dumps(signup(read_fields(environ)))
            case "GET", ["jobs", job_id]:
                text = json.dumps(job_status(job_id), default=datetime.isoformat)
            case _, [""] | ["signup"] | ["jobs", _]:
                allowed = "POST" if path == ["signup"] else "GET"
                raise HTTPError(HTTPStatus.METHOD_NOT_ALLOWED, f"use {allowed}", Allow=allowed)
            case _:
                raise HTTPError(HTTPStatus.NOT_FOUND, "no such page")
    except HTTPError as error:
        status, text, headers = error.status, json.dumps({"error": str(error)}), error.headers
    body = text.encode()
    headers |= {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body))}
    start_response(f"{status.value} {status.phrase}", list(headers.items()))
    return [body]


def signup(fields: Mapping[str, object]) -> dict[str, Any]:
    """Store the user, enqueue the e-mail and the reminder."""
    email, name = fields.get("email"), fields.get("name") or "friend"
    if not email:
        raise HTTPError(HTTPStatus.BAD_REQUEST, "email is missing")
    if not (isinstance(email, str) and ADDRESS.fullmatch(email)):
        raise HTTPError(HTTPStatus.BAD_REQUEST, "email is not an address like ada@example.com")
    if not (isinstance(name, str) and name.isprintable()):
        raise HTTPError(HTTPStatus.BAD_REQUEST, "name is not plain text")
    with closing(connect()) as db, db:
        insert = "INSERT INTO users (email, name) VALUES (?, ?) RETURNING id"
        [user_id] = db.execute(insert, (email, name)).fetchone()
    # Enqueued after the commit: a worker may look for the row before this line is over.
    try:
        hello = HelloEmailJob.perform_async(user_id)
        reminder = ReminderEmailJob.perform_in(REMINDER_SECONDS, user_id)
    except (QueueFull, ShuttingDown) as error:
        raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, f"user {user_id}: {error}") from error
    return {"user_id": user_id, "job_id": hello.id, "reminder_id": reminder.id}


def job_status(job_id: str) -> dict[str, Any]:
    """Say what a page that polls wants to know; ``error`` is its last line."""
    handle = counterpunch.find(job_id)
    if handle is None:
        raise HTTPError(HTTPStatus.NOT_FOUND, "no such job")
    keys = ("id", "status", "attempt", "progress")
    times = ("enqueued_at", "run_at", "started_at", "finished_at")
    error = (handle.error or "").strip().rpartition("\n")[2] or None
    state = {key: getattr(handle, key) for key in keys + times}
    return state | {"done": handle.done(), "error": error}


def log_drained() -> None:
    report = counterpunch.shutdown()  # the library has drained by now; this reads its report
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items() if count)
    logger.info("drained in %.1f s: %s", report.seconds, counts or "nothing was waiting")


def main() -> None:
    parser = arguments("A sign-up server with jobs in its own process.")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    atexit.register(log_drained)
    if not os.environ.get("DATABASE"):
        directory = tempfile.TemporaryDirectory(prefix="signup-")
        atexit.register(directory.cleanup)  # no ``with``: jobs read it while the process drains
        os.environ["DATABASE"] = os.path.join(directory.name, "users.db")
    with closing(connect()) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, email, name)")
    smtp_url = os.environ.get("SMTP_URL") or start_mail_sink()
    if urlsplit(smtp_url).scheme not in ("smtp", "smtps"):
        parser.error("SMTP_URL must begin with smtp:// or smtps://")
    os.environ["SMTP_URL"] = smtp_url
    curl = "try: curl -d email=ada@example.com -d name=Ada {url}/signup"
    serve(app, given.host, given.port, "jobs: {url}/dashboard/", curl)


if __name__ == "__main__":
    main()
