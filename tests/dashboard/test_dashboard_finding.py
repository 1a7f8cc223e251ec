"""Search, order, errors by kind, and what is done to all jobs that a list shows."""

from __future__ import annotations

import logging
import threading
from urllib.parse import urlencode

import pytest
from dashboard_client import SOON, Client, yes

import counterpunch
from counterpunch import Cancelled, Job
from counterpunch.dashboard import bulk, search


class Shipping(Job):
    """Fails for what is odd; the others wait while it is paused."""

    tags = ("parcel",)

    def perform(self, number: int, city: str = "Bern") -> None:
        if number % 2:
            raise ConnectionError(f"order {number}: '{city}' does not answer, code 0x{number:x}")


class Secret(Job):
    redact = ("card",)

    def perform(self, card: str, name: str) -> None:
        raise ValueError("declined")


class Silent(Job):
    log_args = False

    def perform(self, word: str) -> None:
        raise ValueError("declined")


@pytest.fixture(autouse=True)
def quiet_log():
    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    yield
    Shipping.resume()  # a pause outlives the stop of a process's jobs
    logging.getLogger("counterpunch").setLevel(logging.NOTSET)


@pytest.fixture
def failed():
    """Five of one kind, one of another class."""
    Shipping.perform_bulk([(n, "Köln" if n == 9 else "Bern") for n in range(1, 11)])
    Secret.perform_async("4111", "Ada")
    Silent.perform_async("hunter2")
    assert counterpunch.wait_idle(SOON)


def ids(client, address):
    return [row["id"] for row in client.json(address)["jobs"]]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("köln", 1),  # an argument, in either case
        ("does NOT answer", 5),  # the error
        ("parcel", 5),  # a tag
        ("ada", 1),
        ("declined", 2),
        ("4111", 0),  # what redact hides
        ("hunter2", 0),  # what log_args hides
        ("nowhere", 0),
    ],
)
def test_a_text_is_looked_for_where_the_page_shows_it(failed, text, found):
    """In arguments, errors, tags and ids: what is hidden there cannot be found here."""
    data = Client().json(f"/failed?{urlencode({'q': text})}")
    assert (data["total"], len(data["jobs"]), data["looked"]) == (found, found, None)


def test_a_mount_that_hides_arguments_does_not_find_them(failed):
    client = Client(arguments=False)
    assert client.json("/failed?q=K%C3%B6ln")["total"] == 1, "its error tells of it"
    assert client.json("/failed?q=ada")["total"] == 0


def test_an_id_finds_its_job(failed):
    client = Client()
    (one, *_) = ids(client, "/failed")
    assert ids(client, f"/failed?q={one}") == [one]


def test_a_search_without_time_says_how_far_it_came(failed, monkeypatch):
    """The page is not the whole then, and an action that finds nothing says why."""
    monkeypatch.setattr(search, "SECONDS", -1.0)
    monkeypatch.setattr(bulk, "ACTING_SECONDS", -1.0)
    client = Client(authorize=yes)
    data = client.json("/failed?q=declined")
    assert (data["total"], data["looked"], data["whole"]) == (0, 0, 7)
    assert "Looked at 0 of 7 jobs" in client.get("/failed?q=declined").page.text
    token = client.cookie.partition("=")[2]
    answer = client.post("/bulk/failed/retry", {"token": token, "q": "declined"})
    assert answer.status == 409
    assert "narrow it" in answer.page.text


def test_lists_are_sorted_as_asked(failed):
    """Each column that can be sorted by links to it, and back; the pages keep it."""
    Shipping.pause()
    Shipping.perform_bulk([(n,) for n in range(60)])
    client = Client()
    usual = ids(client, "/waiting")
    oldest = ids(client, "/waiting?sort=oldest")
    newest = ids(client, "/waiting?sort=newest")
    assert oldest == usual
    assert newest[0] == ids(client, "/waiting?page=2")[-1]
    ran = [row["ran"] for row in client.json("/failed?sort=ran")["jobs"]]
    assert ran == sorted(ran, reverse=True)
    assert ids(client, "/waiting?sort=nonsense") == usual
    page = client.get("/waiting?sort=oldest").page
    links = [a["href"] for name, a in page.elements if name == "a" and "href" in a]
    assert "/waiting?sort=oldest&page=2" in links
    assert "/waiting?sort=attempts" in links
    assert "/waiting" in links, "the usual order again"
    assert [a for name, a in page.elements if name == "th" and a.get("aria-sort")]


def test_the_overview_is_sorted_as_asked(failed):
    client = Client()
    page = client.get("/?sort=failed").page
    names = [a["href"] for n, a in page.elements if n == "a" and "/class?" in a.get("href", "")]
    assert names[0].endswith("Shipping")
    page = client.get("/").page
    names = [a["href"] for n, a in page.elements if n == "a" and "/class?" in a.get("href", "")]
    assert names[0].endswith("Secret")


def test_failures_are_grouped_by_what_went_wrong(failed):
    """Numbers, ids and quoted texts are particular to one; how often, first, last, which."""
    client = Client(authorize=yes)
    data = client.json("/errors")
    assert data["total"] == 7
    groups = {(row["job"], row["kind"]): row for row in data["groups"]}
    kind = "ConnectionError: order …: … does not answer, code …"
    assert set(groups) == {
        ("Shipping", kind),
        ("Secret", "ValueError: declined"),
        ("Silent", "ValueError: declined"),
    }
    row = groups["Shipping", kind]
    assert row["count"] == 5
    assert row["first_at"] <= row["last_at"]
    assert row["last"] in ids(client, "/failed")
    query = urlencode({"job": row["class"], "error": kind})
    assert client.json(f"/failed?{query}")["total"] == 5
    page = client.get("/errors").page
    hrefs = {a.get("href") for name, a in page.elements if name == "a"}
    assert {f"/failed?{query}", f"/confirm/failed/retry?{query}"} <= hrefs
    assert client.json("/errors?q=declined")["total"] == 2


def test_many_are_retried_after_a_page_that_asks(failed):
    """What the filter shows, each once, however often it is pressed."""
    client = Client(authorize=yes)
    Shipping.pause()
    page = client.get("/failed?q=does+not+answer").page
    links = [a["href"] for name, a in page.elements if "/confirm/" in a.get("href", "")]
    retry, discard = links
    assert retry == "/confirm/failed/retry?q=does+not+answer"
    page = client.get(retry).page
    assert "Retry 5 failed jobs?" in page.text
    assert "search: does not answer" in page.text
    assert client.json("/waiting")["total"] == 0, "nothing is done by looking"
    page = client.press(page, "Retry 5 jobs").page
    assert "Enqueued again, as new jobs: 5." in page.text
    assert client.json("/waiting?job=Shipping")["total"] == 5
    again = client.press(client.get(retry).page, "Retry 5 jobs")
    assert again.status == 409
    assert client.json("/waiting?job=Shipping")["total"] == 5
    page = client.press(client.get(discard).page, "Discard 5 jobs").page
    assert "Removed from the list: 5." in page.text
    assert client.json("/failed")["total"] == 2


def test_an_error_of_any_text_is_acted_upon():
    """Colours of a terminal, marks that turn a text around, markup, and as long as it gets."""

    class Coloured(Job):
        def perform(self, text: str) -> None:
            raise RuntimeError(text)

    texts = ["\x1b[31mno\u202e route\x85\r", "<b>&amp;\"'\x00 + %41", "\u2066" * 400]
    failed = [Coloured.perform_async(text) for text in texts]
    assert counterpunch.wait_idle(SOON)
    client = Client(authorize=yes)
    for row in client.json("/errors")["groups"]:
        query = urlencode({"job": row["class"], "error": row["kind"]})
        page = client.get(f"/confirm/failed/discard?{query}").page
        assert "Removed from the list: 1." in client.press(page, "Discard 1 job").page.text
    assert not [one for one in failed if counterpunch.find(one.id)]


def test_one_press_changes_so_many_at_most(monkeypatch):
    """And says how many more there are."""
    monkeypatch.setattr(bulk, "MOST", 30)
    Shipping.pause()
    Shipping.perform_bulk([(n,) for n in range(100)])
    client = Client(authorize=yes)
    page = client.get("/confirm/waiting/cancel?job=Shipping").page
    page = client.press(page, "Cancel 100 jobs").page
    assert "Cancelled, or asked to stop: 30. 70 more fit" in page.text
    assert Shipping.stats().cancelled == 30


def test_running_and_scheduled_jobs_are_cancelled_and_brought_forward():
    entered, gate = threading.Semaphore(0), threading.Event()

    class Held(Job):
        workers = 2

        def perform(self) -> None:
            entered.release()
            gate.wait(SOON)
            self.check_cancelled()

    held = Held.perform_bulk([()] * 2)
    assert entered.acquire(timeout=SOON)
    assert entered.acquire(timeout=SOON)
    Shipping.pause()
    for number in range(3):
        Shipping.perform_in(3600, number)
    client = Client(authorize=yes)
    page = client.press(client.get("/confirm/scheduled/run").page, "Run now 3 jobs").page
    assert "Due now: 3." in page.text
    assert client.json("/waiting?job=Shipping")["total"] == 3
    client.press(client.get("/confirm/running/cancel").page, "Cancel 2 jobs")
    gate.set()
    for handle in held:
        with pytest.raises(Cancelled):
            handle.result(SOON)


def test_who_may_only_look_is_not_asked(failed):
    """No links to the page that asks, and no page."""
    client = Client()
    assert "/confirm/" not in client.get("/failed").text
    assert client.get("/confirm/failed/retry").status == 403
    assert Client(authorize=yes).get("/confirm/failed/cancel").status == 404
    assert Client(authorize=yes).get("/confirm/finished/retry").status == 404
