"""What a write has to be, and what is said of one that could not be done."""

from __future__ import annotations

import contextlib
import logging

import pytest
from dashboard_client import SOON, Client, yes

import counterpunch
from counterpunch import Job

FORM = "application/x-www-form-urlencoded"


class Sending(Job):
    workers = 1

    def perform(self, number: int) -> None:
        raise ConnectionError(f"no route for {number}")


@pytest.fixture(autouse=True)
def quiet_log():
    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("counterpunch").setLevel(logging.NOTSET)


@pytest.fixture
def client():
    """Of somebody who may act, with three failed jobs before him."""
    Sending.perform_bulk([(n,) for n in range(3)])
    assert counterpunch.wait_idle(SOON)
    one = Client(authorize=yes)
    one.get("/")
    one.headers = {"X_CSRF_TOKEN": one.cookie.partition("=")[2], "origin": "http://example.com"}
    return one


@pytest.mark.parametrize(
    ("query", "body", "kind", "status"),
    [
        ("?job=Other", b"", FORM, 400),
        ("?job=Other", b"back=/failed", FORM, 400),
        ("", b'{"job": "Other"}', "application/json", 415),
        ("", b'{"job": "Other"}', FORM, 400),
        ("", b"job=Other", "text/plain", 415),
        ("", b'--x\r\nContent-Disposition: form-data; name="job"\r\n\r\nOther\r\n--x--\r\n',
         "multipart/form-data; boundary=x", 415),
        ("", b"class=Other", FORM, 400),
        ("", b"job=Other&pid=1", FORM, 400),
        ("", b"&".join(b"job=Other" for _ in range(60)), FORM, 415),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_not_done_to_all(client, query, body, kind, status):
    """Without its filter it would be about all jobs, without its process about all processes."""
    for path in ("/bulk/failed/discard", "/bulk/failed/retry", "/process/quiet"):
        answer = client.request("POST", path + query, body, CONTENT_TYPE=kind)
        assert answer.status == status, answer.text
    assert counterpunch.stats().total.accepted == len(counterpunch.jobs(status="failed")) == 3
    assert counterpunch.health(max_failures=100)


def test_an_enqueue_that_raises_is_a_refusal(client, caplog):
    """Of one job, and of many: that is said with what was done before it, and the log has it."""
    room = [2]

    @contextlib.contextmanager
    def one_fewer(handle):
        room[0] -= 1
        if room[0] < 0:
            raise LookupError("no tenant hunter2")
        yield

    remove = counterpunch.around_enqueue(one_fewer)
    logging.getLogger("counterpunch").setLevel(logging.ERROR)
    try:
        answer = client.request("POST", "/bulk/failed/retry", accept="application/json")
        assert (answer.status, answer.json["jobs"]) == (200, 2)
        (third,) = (one for one in counterpunch.jobs(status="failed") if one.args == (2,))
        for path in (f"/job/{third.id}/retry", "/bulk/failed/retry"):
            answer = client.request("POST", path, b"q=for+2", CONTENT_TYPE=FORM)
            assert answer.status == 409
            assert "raised LookupError" in answer.page.text
            assert "hunter2" not in answer.text
    finally:
        remove()
    said = [one for one in caplog.records if f"retry of {third.id} raised" in one.getMessage()]
    assert len(said) == 3, "one record for a press, however many fit"
    assert client.request("POST", f"/job/{third.id}/retry").status == 303
