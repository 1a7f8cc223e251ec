"""Jobs of which the history has only a description, as the pages show them."""

from __future__ import annotations

import pytest
from dashboard_client import SOON, Client, yes

import counterpunch
from counterpunch import Job

BIG = 2_000_000


class Thumbnail(Job):
    def perform(self, name: str, content: bytes, *, fail: bool = False) -> bytes:
        if fail:
            raise KeyError(name)
        return content


@pytest.fixture(autouse=True)
def nothing_large_is_held(caplog):
    """And nothing is logged: pytest keeps the records, and those keep frames with the handle."""
    caplog.set_level(1000, "counterpunch")
    counterpunch.configure(history_bytes=0)


def ended(**options):
    """The id of a job that was given, and has given, something large."""
    id = Thumbnail.perform_async("a.png", bytes(BIG), **options).id
    assert counterpunch.wait_idle(SOON)
    assert counterpunch.find(id).described
    return id


def test_the_page_shows_what_there_was():
    """In place of the large values."""
    id = ended()
    client = Client(authorize=yes)
    row = client.json(f"/job/{id}")
    assert row["arguments"].startswith("'a.png', b'\\x00")
    assert row["arguments"].endswith("(2,000,000 bytes)")
    assert row["result"].endswith("(2,000,000 bytes)")
    assert "(2,000,000 bytes)" in client.get(f"/job/{id}").page.text
    (row,) = client.json("/finished")["jobs"]
    assert row["arguments"].endswith("(2,000,000 bytes)")


def test_retry_is_refused_and_says_why():
    """Its arguments are not there any more; the rest of the page is."""
    id = ended(fail=True)
    client = Client(authorize=yes)
    answer = client.press(client.get(f"/job/{id}").page, "Retry Thumbnail")
    assert "it cannot be retried" in answer.text
    assert "history_bytes" in answer.text
    assert "KeyError: &#x27;a.png&#x27;" in client.get(f"/job/{id}").text
    client.press(client.get(f"/job/{id}").page, "Discard Thumbnail")
    assert counterpunch.find(id) is None


def test_what_is_hidden_stays_so(monkeypatch):
    """By name; and a function that wants the value hides what is not there."""
    id = ended()
    monkeypatch.setattr(Thumbnail, "redact", ("content",))
    assert Client().json(f"/job/{id}")["arguments"] in (None, "'a.png', [hidden]")
    client = Client(authorize=yes)
    assert client.json(f"/job/{id}")["arguments"] == "'a.png', [hidden]"
    monkeypatch.setattr(Thumbnail, "redact", lambda name, value: value[:2])
    assert client.json(f"/job/{id}")["arguments"] == "'a.', [hidden]"


def test_one_that_was_retried_still_says_by_which(monkeypatch):
    """After the history has let go of it."""
    counterpunch.configure(history_bytes=10 * BIG)
    id = Thumbnail.perform_async("a.png", bytes(BIG), fail=True).id
    assert counterpunch.wait_idle(SOON)
    client = Client(authorize=yes)
    client.press(client.get(f"/job/{id}").page, "Retry Thumbnail")
    again = client.json(f"/job/{id}")["retried_as"]
    assert counterpunch.wait_idle(SOON)
    counterpunch.configure(history_bytes=0)
    assert counterpunch.find(id).described
    assert client.json(f"/job/{id}")["retried_as"] == again
