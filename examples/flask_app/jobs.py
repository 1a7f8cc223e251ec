"""What happens after the answer: mail, a partner's webhook, a nightly clean-up."""

import json
import logging
import os
import smtplib
import urllib.request
from email.message import EmailMessage
from urllib.error import HTTPError

import store

from counterpunch import Job, Retry

log = logging.getLogger(__name__)


def send(message: EmailMessage) -> None:
    """By the server of ``SMTP_HOST``; without one, for development, into the log."""
    host = os.environ.get("SMTP_HOST")
    if host is None:
        log.info("would send to %s: %s", message["To"], message["Subject"])
        return
    with smtplib.SMTP(host, int(os.environ.get("SMTP_PORT", "25")), timeout=10) as server:
        server.send_message(message)


class WelcomeMail(Job):
    """One mail at a time: the provider asks for that. Retried within an hour."""

    workers = 1
    retry = Retry(max_attempts=10, on=(OSError, smtplib.SMTPException), max_elapsed=3600.0)
    discard_on = (LookupError,)  # the user is gone meanwhile: nobody to write to

    def perform(self, user: int) -> None:
        message = EmailMessage()
        message["From"], message["To"] = "shop@example.com", store.email_of(user)
        message["Subject"] = "Welcome"
        message.set_content("Glad that you are here.")
        send(message)


def as_asked(attempt: int, exc: BaseException) -> float | None:
    """Seconds to wait: what the partner's server says, else twice as long each time. None, to give
    up, if it will not have the request at all."""
    if isinstance(exc, HTTPError) and exc.code not in (429, 502, 503, 504):
        return None
    asked = exc.headers.get("Retry-After") if isinstance(exc, HTTPError) else None
    return float(asked) if asked and asked.isdigit() else min(300.0, 2.0**attempt)


class TellPartner(Job):
    retry = Retry(max_attempts=8, on=(OSError,), delay=as_asked)
    timeout = 30.0  # reported, with the stack, if it takes longer

    def perform(self, user: int) -> None:
        url = os.environ.get("PARTNER_URL")
        if url is None:
            return
        body = json.dumps({"user": user}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, body, headers)
        with urllib.request.urlopen(request, timeout=10):
            pass


class CleanUp(Job):
    """Every night, in one process of the host."""

    cron, timezone = "15 3 * * *", "Europe/Berlin"

    def perform(self) -> int:
        return store.forget_unconfirmed(older_than=7 * 86400.0)
