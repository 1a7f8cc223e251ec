"""The page of a class, all arguments of a job, periodic jobs, colours, and quiet."""

from __future__ import annotations

import logging
from datetime import datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
from dashboard_client import SOON, Client, yes

import counterpunch
from counterpunch import Job, Retry
from counterpunch.dashboard.full import ROOM, Full
from counterpunch.recurring.classes import periodic_classes


class Parcel(Job):
    workers = 3
    retry = Retry(max_attempts=2, on=(OSError,), wait=0.0)

    def perform(self, number: int, **options: object) -> None:
        if number < 0:
            raise ValueError(f"no parcel {number}")


class Hidden(Job):
    redact = ("card",)

    def perform(self, card: object, rest: object) -> None: ...


class Nightly(Job):
    cron = "30 3 * * *"
    timezone = "Europe/Berlin"

    def perform(self) -> None: ...


@pytest.fixture(autouse=True)
def quiet_log():
    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    yield
    Nightly.resume()  # a pause outlives the stop of a process's jobs
    logging.getLogger("counterpunch").setLevel(logging.NOTSET)


@pytest.fixture
def armed():
    """``start()`` arms the periodic class of this file as well."""
    periodic_classes.add(Nightly)
    counterpunch.start()


def address(cls):
    return f"/class?{urlencode({'job': f'{cls.__module__}.{cls.__qualname__}'})}"


def test_a_class_has_a_page_with_all_there_is_to_say(monkeypatch):
    """Numbers, both charts, how long its jobs take, what failed, its options, its buttons."""
    Parcel.perform_bulk([(n,) for n in range(8)])
    Parcel.perform_async(-1)
    Parcel.perform_async(-2)
    assert counterpunch.wait_idle(SOON)
    Parcel.perform_in(3600, 1)
    client = Client(authorize=yes)
    data = client.json(address(Parcel))
    numbers = data["numbers"]
    assert (numbers["status"]["succeeded"], numbers["status"]["failed"]) == (8, 2)
    for name in ("wait_seconds", "run_seconds"):
        found = data["histograms"][name]
        assert sum(found["counts"]) == 10
        assert len(found["counts"]) == len(found["bounds"])
    assert sum(numbers["day"]["succeeded"]) == 8
    assert len(data["failed"]) == 2
    assert [row["count"] for row in data["failures"]] == [2]
    options = {one["name"]: one for one in data["options"]}
    assert options["workers"] == {"name": "workers", "value": "3", "set": True}
    assert not options["max_jobs"]["set"]
    page = client.get(address(Parcel)).page
    for words in ("Last 10 minutes", "Last 24 hours", "Waited", "Ran", "Failed last", "no parcel"):
        assert words in page.text
    page = client.press(page, "Pause Parcel").page
    assert "Paused: jobs are accepted and wait." in page.text
    assert page.form("Resume Parcel")
    confirm = f"/confirm/scheduled/cancel?{urlencode({'job': data['class']})}"
    page = client.press(client.get(confirm).page, "Cancel 1 job").page
    assert "Cancelled, or asked to stop: 1." in page.text
    Parcel.resume()  # a pause is the class's own, and outlasts the runtime


def test_a_class_without_jobs_and_one_that_there_is_not(armed):
    """One that is only armed has a page; an unknown one has none."""
    assert "No job of it has been enqueued." in Client().get(address(Nightly)).page.text
    assert Client().get("/class?job=no.such").status == 404
    assert Client().get("/class").status == 404


def test_a_short_name_that_only_one_has_will_do():
    """An older link, or one that a person has written."""
    Parcel.perform_async(1).result(SOON)
    assert Client().json("/class?job=Parcel")["class"] == f"{__name__}.Parcel"
    assert Client().json("/finished?job=Parcel")["total"] == 1


def test_a_jobs_page_has_all_of_its_arguments():
    """In a list they are cut; here each entry has its line, and the result is in full."""
    rows = [{"sku": f"A-{n}", "count": n} for n in range(25)]
    handle = Parcel.perform_async(1, rows=rows, note="z" * 900)
    handle.result(SOON)
    client = Client()
    data = client.json(f"/job/{handle.id}")
    assert "A-24" not in data["arguments"]
    assert "'sku': 'A-24'" in data["full_arguments"]
    assert "z" * 900 in data["full_arguments"]
    assert data["full_arguments"].count("\n") >= 26
    assert "A-24" in client.get(f"/job/{handle.id}").page.text
    assert client.json("/finished")["jobs"][0].get("full_arguments") is None


def test_what_is_hidden_is_hidden_in_full_as_well():
    handle = Hidden.perform_async({"number": "4111"}, ["x" * 100] * 9)
    handle.result(SOON)
    data = Client().json(f"/job/{handle.id}")
    assert data["full_arguments"].startswith("[hidden],\n[")
    assert "4111" not in data["full_arguments"]
    assert Client(arguments=False).json(f"/job/{handle.id}")["full_arguments"] is None


class Broken:
    def __repr__(self) -> str:
        raise ValueError


def test_the_full_text_is_bounded_and_never_raises():
    """A million entries, a text of megabytes, what contains itself, a broken repr."""
    again: list = [1] * 40
    again.append(again)
    values = [
        list(range(1_000_000)),
        {n: n for n in range(300_000)},
        set(range(300_000)),
        "x" * 10_000_000,
        b"x" * 10_000_000,
        again,
        [Broken()] * 50,
        {"a": {"b": {"c": [list(range(50))] * 3}}},
    ]
    for value in values:
        full = Full()
        text = full(value)
        assert len(text) < 2 * ROOM
        assert full.room > -ROOM
    full = Full()
    assert full({"a": 1}) == "{'a': 1}"
    assert full(()) == "()"
    assert sum(len(full(value)) for value in values * 20) < 3 * ROOM


def nightly(client):
    return next(r for r in client.json("/periodic")["periodic"] if r["job"] == "Nightly")


def test_periodic_jobs_by_the_clock_of_their_zone(armed):
    """And run at once by a button; not while the last one is at it."""
    client = Client(authorize=yes)
    row = nightly(client)
    due = datetime.fromisoformat(row["local_runs"][0])
    assert (due.hour, due.minute) == (3, 30)
    assert due == datetime.fromisoformat(row["next_runs"][0])
    assert due.utcoffset() == due.astimezone(ZoneInfo("Europe/Berlin")).utcoffset()
    page = client.get("/periodic").page
    assert f"{row['local_runs'][0][:10]} 03:30 Europe/Berlin" in page.text
    Nightly.pause()
    page = client.press(page, "Run now Nightly").page
    assert "Enqueued, beside its schedule." in page.text
    assert Nightly.stats().queued == 1
    again = client.press(client.get("/periodic").page, "Run now Nightly")
    assert again.status == 409
    assert "has not ended yet" in again.page.text
    after = nightly(client)
    assert after["next_runs"] == row["next_runs"], "the schedule stays as it is"
    assert after["latest"]["status"] == "queued"
    fields = {"token": client.cookie.partition("=")[2], "job": "Parcel"}
    assert client.post("/class/run", fields).status == 404


def test_light_and_dark_by_choice():
    """A link each, kept in a cookie; what is no theme is no page."""
    client = Client("/ops")
    page = client.get("/failed?q=x").page
    assert [a for n, a in page.elements if n == "html"] == [{"lang": "en"}]
    links = [a["href"] for n, a in page.elements if n == "a" and "/theme/" in a.get("href", "")]
    answer = client.get(links[2].removeprefix("/ops"))
    assert (answer.status, answer.headers["location"]) == (303, "/ops/failed?q=x")
    assert "counterpunch_theme=dark" in answer.headers["set-cookie"]
    elements = client.get("/", cookie="counterpunch_theme=dark").page.elements
    assert ("html", {"lang": "en", "data-theme": "dark"}) in elements
    elements = client.get("/", cookie="counterpunch_theme=x%22onload").page.elements
    assert ("html", {"lang": "en"}) in elements
    assert client.get("/theme/pink").status == 404
    outside = client.get("/theme/light?back=https%3A%2F%2Fevil.example%2Fx")
    assert outside.headers["location"] == "/ops/"


def test_the_process_is_quieted_without_others():
    """Where no other is known the action is about this one."""
    Parcel.perform_async(1).result(SOON)
    client = Client(authorize=yes)
    client.get("/")
    fields = {"token": client.cookie.partition("=")[2]}
    answer = client.post("/process/quiet", fields, accept="application/json")
    assert answer.json["done"] == "quieted"
    with pytest.raises(counterpunch.ShuttingDown):
        Parcel.perform_async(1)
    assert client.post("/process/quiet", fields).status == 409
    client.post("/process/resume", fields)
    Parcel.perform_async(1).result(SOON)
