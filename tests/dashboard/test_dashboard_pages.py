"""What each page shows, as HTML and as JSON, and what its buttons do."""

from __future__ import annotations

import os
from urllib.parse import urlencode

import pytest
from dashboard_client import SOON, Client, yes

import counterpunch
from counterpunch import Job

LISTS = ("running", "waiting", "scheduled", "failed", "finished")
ROUTES = ("/", *(f"/{name}" for name in LISTS), "/periodic", "/threads")


@pytest.mark.parametrize("route", ROUTES)
def test_every_page_is_sound(yard, route):
    """wsgiref.validate has nothing to say; HEAD has the same head and no body; JSON exists."""
    client = Client(authorize=yes)
    answer = client.get(route)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text.startswith("<!doctype html>")
    head = client.request("HEAD", route)
    assert (head.status, head.body) == (200, b"")
    assert set(head.headers) == set(answer.headers)
    by_accept = client.json(route)
    by_ending = client.get(route.rstrip("/") + ("/overview" if route == "/" else "") + ".json")
    assert by_ending.headers["content-type"] == "application/json"
    assert by_ending.json.keys() == by_accept.keys()
    assert by_accept["process"]["pid"] == os.getpid()


def test_every_page_says_which_process_it_shows(yard):
    """Host, pid and start time; and that it is the only one shown."""
    client = Client()
    process = client.json("/")["process"]
    assert process["host"] == os.uname().nodename
    assert process["started_at"].endswith("+00:00")
    text = client.get("/").page.text
    assert f"{process['host']} · pid {os.getpid()} · since" in text
    assert "Only this process is shown" in text


def test_the_overview_has_a_row_per_class(yard, jobs):
    """Counts by status, workers, the last ten minutes; a link to each list behind a number."""
    client = Client(authorize=yes)
    data = client.json("/")
    rows = {row["job"]: row for row in data["classes"]}
    assert set(rows) == {"Gated", "Failing", "Retried"}
    gated = rows["Gated"]
    assert gated["status"]["queued"] == gated["status"]["running"] == 1
    assert gated["status"]["scheduled"] == gated["status"]["cancelled"] == 1
    assert gated["workers"] == {"total": 1, "busy": 1, "idle": 0}
    assert rows["Failing"]["recent"]["failed"] == 1
    assert sum(rows["Failing"]["chart"]["failed"]) == 1
    assert rows["Retried"]["recent"]["retries"] == 1
    assert data["total"]["accepted"] == sum(data["total"]["status"].values()) == 6
    page = client.get("/").page
    links = {attributes.get("href") for name, attributes in page.elements if name == "a"}
    long = {name: f"{cls.__module__}.{name}" for name, cls in jobs.items()}
    assert f"/class?job={long['Gated']}" in links
    assert f"/waiting?job={long['Gated']}" in links
    assert f"/running?job={long['Gated']}" in links
    assert f"/failed?job={long['Failing']}" in links
    charts = page.text  # their titles
    assert "Failing, last 10 minutes: 0 succeeded, 1 failed; at most 1 in 10 s" in charts
    assert "Failing, last 24 hours: 0 succeeded, 1 failed; at most 1 in 30 min" in charts
    queued = gated["chart"]["queued"]
    assert (queued[:58], queued[59]) == ([0] * 58, 1)  # ten seconds may have begun meanwhile
    assert "Gated, queue over the last 10 minutes: now 1, at most 1" in charts
    assert not [label for label in charts if label.startswith("Failing, queue")]


def test_the_overview_says_what_is_wrong(yard):
    """The reasons of health() stand on top; /health answers 503 with them."""
    client = Client(health=lambda: counterpunch.health(max_wait=0))
    assert "Needs attention" in client.get("/").page.text
    assert "Gated: the oldest queued job has waited" in client.get("/").page.text
    answer = client.get("/health")
    assert answer.status == 503
    assert answer.json["ok"] is False
    assert Client().get("/health").status == 200


def test_metrics_are_served(yard):
    """The Prometheus text, with its content type."""
    answer = Client().get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'counterpunch_jobs{job_class="Gated",status="queued"} 1' in answer.text


def test_metrics_have_no_json(yard):
    """It is said, with the address of what has."""
    answer = Client().get("/metrics.json")
    assert answer.status == 404
    assert "overview.json" in answer.json["error"]


def test_each_list_holds_its_jobs(yard):
    """And says what there is to say of each: age, progress, stack, due in, error, attempts."""
    client = Client()
    (running,) = client.json("/running")["jobs"]
    assert running["id"] == yard.running.id
    assert running["progress"] == {"done": 3, "total": 12, "message": "rows", "fraction": 0.25}
    assert "self.gate.wait(10)" in running["stack"]
    assert "attempt.py" not in running["stack"]
    assert running["ran"] > 0
    assert running["arguments"] == "'first'"
    (waiting,) = client.json("/waiting")["jobs"]
    assert waiting["id"] == yard.waiting.id
    assert waiting["waited"] > 0
    scheduled = client.json("/scheduled")["jobs"]
    assert {row["id"] for row in scheduled} == {yard.scheduled.id, yard.retrying.id}
    assert all(3500 < row["due_in"] <= 3600 for row in scheduled)
    (failed,) = client.json("/failed")["jobs"]
    assert failed["error"] == "KeyError: 'nobody'"
    assert (failed["attempt"], failed["max_attempts"]) == (1, 1)
    finished = client.json("/finished")["jobs"]
    assert {row["status"] for row in finished} == {"failed", "cancelled"}
    text = client.get("/running").page.text
    assert "25% 3 of 12 · rows" in text


def test_a_job_has_a_page_with_its_whole_story(yard):
    """Flat JSON for the page that polls progress; HTML with timings, data, stack."""
    client = Client()
    data = client.json(f"/job/{yard.running.id}")
    assert data["status"] == "running"
    assert data["progress"]["done"] == 3
    assert data["data"] == {"table": "users"}
    assert data["tags"] == ["slow"]
    text = client.get(f"/job/{yard.running.id}").page.text
    for words in ("Enqueued", "Started", "Status data", "users", "Where it is", yard.running.id):
        assert words in text
    failed = client.get(f"/job/{yard.failed.id}").page.text
    assert "Traceback (most recent call last)" in failed
    yard.open()
    yard.running.result(SOON)
    done = client.json(f"/job/{yard.running.id}.json")
    assert (done["status"], done["result"], done["due_in"]) == ("succeeded", "first", None)


def test_find_leads_to_the_job(yard):
    """By id, from any page; an unknown one is a 404 that says why."""
    client = Client("/ops")
    answer = client.get(f"/find?id=%20{yard.waiting.id}")
    assert answer.status == 303
    assert answer.headers["location"] == f"/ops/job/{yard.waiting.id}"
    missing = client.get("/job/nosuch-1-1")
    assert missing.status == 404
    assert "a process elsewhere has accepted it" in missing.page.text
    assert "error" in client.get("/job/nosuch-1-1.json").json
    assert client.get("/find?id=../..//evil").headers["location"] == "/ops/job/..%2F..%2F%2Fevil"


def test_lists_are_filtered_and_paged(yard, jobs):
    """By class, status and tag; fifty to a page; a page beyond the last is the last."""
    jobs["Gated"].perform_bulk([(str(number),) for number in range(120)])
    client = Client()
    first = client.json("/waiting")
    assert (first["total"], first["pages"], len(first["jobs"])) == (121, 3, 50)
    last = client.json("/waiting?page=99")
    assert (last["page"], last["first"], len(last["jobs"])) == (3, 101, 21)
    assert last["jobs"][-1]["arguments"] == "'119'"
    assert client.json("/waiting?page=-1")["page"] == client.json("/waiting?page=x")["page"] == 1
    assert client.json("/waiting?job=Failing")["total"] == 0
    assert client.json("/waiting?tag=slow")["total"] == 121
    assert client.json("/waiting?tag=none")["total"] == 0
    jobs["Failing"].using(tags=("vip",)).perform_in(9, "k")
    assert client.json("/scheduled?tag=vip")["total"] == 1
    assert client.json("/scheduled?status=retrying")["total"] == 1
    page = client.get("/waiting?job=Gated&page=2").page
    links = [a.get("href") for name, a in page.elements if name == "a" and a.get("rel")]
    assert links == ["/waiting?job=Gated&page=1", "/waiting?job=Gated&page=3"]
    assert "51\N{EN DASH}100 of 121" in page.text


def test_cancel_and_stop(yard):
    """A waiting job never starts; a running one is asked to stop, and shows that it was."""
    client = Client(authorize=yes)
    page = client.press(client.get("/waiting").page, "Cancel Gated").page
    assert "Cancelled: the job will not start." in page.text
    assert yard.waiting.status == "cancelled"
    page = client.press(client.get("/running").page, "Stop Gated").page
    assert "it was asked to stop" in page.text
    assert client.json("/running")["jobs"][0]["cancelling"]
    yard.open()
    assert counterpunch.wait_idle(SOON)
    assert yard.running.status == "cancelled"


def test_retry_and_discard_of_a_failed_job(yard):
    """Retry enqueues it again and links the new job; Discard takes it off the list."""
    client = Client(authorize=yes)
    page = client.press(client.get("/failed").page, "Retry Failing").page
    assert "Enqueued again, as a new job." in page.text
    again = client.json(f"/job/{yard.failed.id}")["retried_as"]
    assert isinstance(counterpunch.find(again).exception(SOON), KeyError)
    rows = {row["id"]: row for row in client.json("/failed")["jobs"]}
    assert rows[yard.failed.id]["retried_as"] == again
    assert set(rows) == {yard.failed.id, again}
    client.press(client.get(f"/job/{yard.failed.id}").page, "Discard Failing")
    assert [row["id"] for row in client.json("/failed")["jobs"]] == [again]
    assert counterpunch.find(yard.failed.id) is None


def test_a_scheduled_job_is_brought_forward(yard):
    """Run now queues it."""
    client = Client(authorize=yes)
    page = client.get(f"/job/{yard.scheduled.id}").page
    assert "The job is due now." in client.press(page, "Run now Gated").page.text
    assert yard.scheduled.status == "queued"


def test_pause_and_resume_a_class(yard, jobs):
    """From the overview, and from the page of periodic jobs."""
    client = Client(authorize=yes)
    page = client.press(client.get("/").page, "Pause Failing").page
    assert "Paused: jobs are accepted and wait." in page.text
    held = jobs["Failing"].perform_async("held")
    assert client.json("/waiting?job=Failing")["total"] == 1
    assert {r["job"]: r["paused"] for r in client.json("/")["classes"]}["Failing"] is True
    client.press(client.get("/").page, "Resume Failing")
    held.exception(SOON)
    rows = {row["job"]: row for row in client.json("/periodic")["periodic"]}
    assert rows["Hourly"]["every"] == 3600
    assert len(rows["Hourly"]["next_runs"]) == 5
    client.press(client.get("/periodic").page, "Pause Hourly")
    rows = {row["job"]: row for row in client.json("/periodic")["periodic"]}
    assert rows["Hourly"]["paused"] is True


def test_cancel_all_of_a_class(yard):
    """By a client without a page: JSON, with the token of the cookie in a header."""
    client = Client(authorize=yes)
    client.get("/")
    token = client.cookie.partition("=")[2]
    answer = client.post(
        "/class/cancel-all", {"job": "Gated"}, accept="application/json", x_csrf_token=token
    )
    assert (answer.status, answer.json["done"]) == (200, "all-cancelled")
    assert yard.waiting.status == yard.scheduled.status == "cancelled"


def test_an_action_that_no_longer_fits_is_a_conflict(yard):
    """The job has ended meanwhile: 409, with the reason, and nothing changes."""
    client = Client(authorize=yes)
    page = client.get("/waiting").page
    yard.waiting.cancel()
    assert yard.waiting.status == "cancelled"
    answer = client.press(page, "Cancel Gated")
    assert answer.status == 409
    assert "already ended" in answer.page.text
    fields = page.form("Cancel Gated")["fields"]
    for action in ("retry", "discard"):
        assert client.post(f"/job/{yard.running.id}/{action}", fields).status == 409
    assert client.post(f"/job/{yard.failed.id}/run", fields).status == 409
    assert client.post("/job/nosuch-1-1/cancel", fields).status == 404
    assert client.post("/class/pause", {**fields, "job": "NoSuch"}).status == 404


def test_a_class_whose_definition_was_refused_is_in_nobodys_way(yard):
    """Somebody still holds it: it is no class that could be paused, and hides no other."""
    with pytest.raises(counterpunch.InvalidOption) as refused:

        class Refused(Job):
            workers = 0

            def perform(self): ...

    held = refused.value.__traceback__
    assert held is not None
    client = Client(authorize=yes)
    fields = client.get("/waiting").page.form("Cancel Gated")["fields"]
    assert client.post("/class/pause", {**fields, "job": "NoSuch"}).status == 404
    assert client.post("/class/pause", {**fields, "job": "Refused"}).status == 404


def test_an_empty_process_has_pages_too():
    """Nothing was ever enqueued."""
    counterpunch.start()
    client = Client()
    assert "No job has been enqueued in this process." in client.get("/").page.text
    for name in LISTS:
        data = client.json(f"/{name}")
        assert (data["total"], data["pages"], data["jobs"]) == (0, 1, [])
        assert 'class="empty"' in client.get(f"/{name}").text


def test_pages_use_no_inline_script_or_style(yard):
    """So the content security policy need not allow any."""
    client = Client(authorize=yes)
    for route in (*ROUTES, f"/job/{yard.running.id}"):
        for name, attributes in client.get(route).page.elements:
            assert "style" not in attributes
            assert not any(attribute.startswith("on") for attribute in attributes), attributes
            assert name != "style"
            assert name != "script" or attributes.get("src")


def test_every_input_has_a_label_and_every_page_one_heading(yard):
    """What can be checked without a browser; the rest is in the browser's test."""
    client = Client(authorize=yes)
    for route in (*ROUTES, f"/job/{yard.running.id}"):
        elements = client.get(route).page.elements
        labelled = {a.get("for") for name, a in elements if name == "label"}
        ids = [a["id"] for _, a in elements if "id" in a]
        assert len(ids) == len(set(ids))
        for name, attributes in elements:
            if name in ("input", "select") and attributes.get("type") != "hidden":
                assert attributes.get("id") in labelled
        assert [name for name, _ in elements].count("h1") == 1


def test_however_many_classes_of_one_name_there_are_each_is_shown_and_steered():
    """An app factory that ran four times, say: the page has the names of ``stats()``."""

    def make():
        class Made(Job):
            def perform(self, number: int) -> None: ...

        return Made

    everyone = [make() for _ in range(4)]
    for number, cls in enumerate(everyone, 1):
        cls.perform_bulk([(n,) for n in range(number)])
    assert counterpunch.wait_idle(SOON)
    client = Client(authorize=yes)
    rows = {row["job"]: row["status"]["succeeded"] for row in client.json("/")["classes"]}
    assert rows == {name: counts.succeeded for name, counts in counterpunch.stats().jobs.items()}
    assert sorted(rows.values()) == [1, 2, 3, 4]
    for name, succeeded in rows.items():
        query = urlencode({"job": name})
        assert client.json(f"/finished?{query}")["total"] == succeeded
    everyone[2].pause()
    paused = [row for row in client.json("/")["classes"] if row["paused"]]
    assert [row["status"]["succeeded"] for row in paused] == [3]
