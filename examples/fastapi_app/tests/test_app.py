"""``python -m pytest`` in this directory."""

from collections.abc import Iterator
from pathlib import Path

import app
import httpx
import pytest
from fastapi.testclient import TestClient
from jobs import Crawl, Shared

from counterpunch import testing


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[TestClient]:
    monkeypatch.setenv("DATABASE", f"sqlite+aiosqlite:///{tmp_path}/app.sqlite3")
    monkeypatch.setenv("ADMIN_TOKEN", "let me in")
    with TestClient(app.app) as client:
        yield client


def answers(monkeypatch: pytest.MonkeyPatch, *codes: int) -> None:
    """What the pages that are fetched answer, one after the other, and the last one for ever."""
    left = list(codes)

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(left.pop(0) if len(left) > 1 else left[0], request=request)

    transport = httpx.MockTransport(answer)
    monkeypatch.setattr(Shared, "client", httpx.AsyncClient(transport=transport))


def test_a_report_is_made_and_can_be_followed(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, 200)
    report = client.post("/reports", params={"url": "http://page"}).json()["id"]
    with client.stream("GET", f"/reports/{report}/events") as events:
        lines = [line for line in events.iter_lines() if line]
    assert lines[-1] == "data: 5 of 5, done"
    expected = {"done": 5, "total": 5, "state": "done"}
    assert client.get(f"/reports/{report}").json() == expected


def test_a_page_that_is_not_there_ends_the_report(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, 200, 404)
    report = client.post("/reports", params={"url": "http://page"}).json()["id"]
    with client.stream("GET", f"/reports/{report}/events") as events:
        last = [line for line in events.iter_lines() if line][-1]
    assert last.startswith("data: 1 of 5, failed: ")


def test_the_job_is_enqueued_after_the_commit(
    client: TestClient, counterpunch_fake: testing.Fake
) -> None:
    report = client.post("/reports", params={"url": "http://page"}).json()["id"]
    counterpunch_fake.assert_enqueued(Crawl, args=(report,))


def test_only_the_admin_sees_the_jobs(client: TestClient) -> None:
    assert client.get("/jobs/").status_code == 403
    assert client.get("/metrics").status_code == 403
    admin = {"Authorization": "Bearer let me in"}
    assert client.get("/jobs/", headers=admin).status_code == 200
    assert "counterpunch_jobs_accepted_total" in client.get("/metrics", headers=admin).text
