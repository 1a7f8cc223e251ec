"""``python -m pytest`` in this directory."""

from email.message import EmailMessage
from http.client import HTTPMessage
from urllib.error import HTTPError

import jobs
import pytest
import store
from flask.testing import FlaskClient

from counterpunch import testing


def test_a_sign_up_is_answered_and_the_mail_is_enqueued(
    client: FlaskClient, counterpunch_fake: testing.Fake
) -> None:
    answer = client.post("/signup", data={"email": "ada@example.com"})
    assert answer.status_code == 202
    counterpunch_fake.assert_enqueued(jobs.WelcomeMail, args=(answer.get_json()["user"],))
    assert client.get("/mail").get_json() == {"status": "queued", "attempt": 0}


def test_the_mail_goes_to_the_user(
    client: FlaskClient, counterpunch_inline: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[EmailMessage] = []
    monkeypatch.setattr(jobs, "send", sent.append)
    client.post("/signup", data={"email": "ada@example.com"})
    assert [message["To"] for message in sent] == ["ada@example.com"]
    assert client.get("/mail").get_json() == {"status": "succeeded", "attempt": 1}


def test_a_mail_server_that_is_down_is_tried_again(
    client: FlaskClient, counterpunch_fake: testing.Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[BaseException | None] = [OSError("down"), OSError("down"), None]

    def send(message: EmailMessage) -> None:
        if exc := answers.pop(0):
            raise exc

    monkeypatch.setattr(jobs, "send", send)
    client.post("/signup", data={"email": "ada@example.com"})
    counterpunch_fake.drain()
    counterpunch_fake.advance(3600)
    assert client.get("/mail").get_json() == {"status": "succeeded", "attempt": 3}


@pytest.mark.parametrize(
    ("code", "asked", "wait"),
    [(429, "17", 17.0), (503, None, 8.0), (404, None, None)],
)
def test_the_partner_says_how_long_to_wait(
    code: int, asked: str | None, wait: float | None
) -> None:
    headers = HTTPMessage()
    if asked:
        headers["Retry-After"] = asked
    assert jobs.as_asked(3, HTTPError("http://partner", code, "no", headers, None)) == wait


def test_old_sign_ups_are_forgotten(client: FlaskClient) -> None:
    with store.connect() as database:
        database.execute("INSERT INTO users (email, created) VALUES ('old@example.com', 0)")
    client.post("/signup", data={"email": "ada@example.com"})
    assert jobs.CleanUp.perform_now() == 1


def test_the_page_is_for_whoever_has_logged_in(client: FlaskClient) -> None:
    away = client.get("/jobs/")
    assert (away.status_code, away.headers["Location"]) == (303, "/login")
    assert client.post("/login", data={"password": "guess"}).status_code == 403
    client.post("/login", data={"password": "let me in"})
    assert client.get("/jobs/").status_code == 200
