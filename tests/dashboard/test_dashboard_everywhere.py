"""With ``processes=True`` every page is about all processes, and every action reaches them."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest
from dashboard_client import Client, yes

import counterpunch
from counterpunch import Job, dashboard
from counterpunch.dashboard import beacons, fleet

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")

#: Another server process. Its class has the module of this file, as it would in an app.
CHILD = """
import logging, sys
import counterpunch
from counterpunch import Job, Retry, dashboard

logging.getLogger("counterpunch").setLevel(logging.CRITICAL)

class Send(Job):
    def perform(self, word):
        raise ConnectionError(f"no route for {word}")

class Later(Job):
    every = 3600
    def perform(self): ...

Send.__module__ = Later.__module__ = "shop.jobs"
Send.workers = Later.workers = 2  # works its plan out anew

class Other(Job):
    def perform(self): ...

Other.__qualname__ = "Local"
Other.__module__ = "crm.jobs"
Other.workers = 2

app = dashboard.wsgi(processes=sys.argv[1], **eval(sys.argv[2]))
failed = Send.perform_async("hunter2")
failed.exception(10)
delayed = Send.perform_in(3600, "later")
Other.perform_async().result(10)
if len(sys.argv) > 3:
    counterpunch.start()
print("ready", failed.id, delayed.id, flush=True)
for line in sys.stdin:
    word = line.strip()
    if word == "again":
        Send.perform_async("again")
        print("waiting", Send.stats().queued, flush=True)
    elif word == "phase":
        try:
            Send.perform_async("refused")
        except counterpunch.ShuttingDown:
            print("phase quiet", flush=True)
        else:
            print("phase open", flush=True)
    elif word == "ran":
        print("ran", Later.stats().accepted, flush=True)
"""


class Local(Job):
    def perform(self) -> None: ...


@pytest.fixture(autouse=True)
def quiet_log():
    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    yield
    Local.resume()  # a pause outlives the stop of a process's jobs
    logging.getLogger("counterpunch").setLevel(logging.NOTSET)


@pytest.fixture
def where(tmp_path):
    path = str(tmp_path / "s")
    yield path
    lit = beacons.beacons.get(path)
    if lit is not None:
        lit.put_out()


class Peer:
    """A child that answers a word with a line; a pytest timeout bounds each wait."""

    def __init__(self, where, options="{}", *more):
        source = Path(counterpunch.__file__).parents[1]
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, where, options, *more],
            env={**os.environ, "PYTHONPATH": str(source)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        _, self.failed, self.delayed = self._line().split()

    def says(self, word):
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return self._line()

    def _line(self):
        line = self.process.stdout.readline()
        assert line, "the child has ended"
        return line.strip()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def peer(where):
    with Peer(where) as made:
        yield made


def test_a_job_is_found_and_steered_where_it_is(where, peer):
    """Its page, its JSON, retry, run now, discard; a stranger's id is a 404."""
    client = Client(processes=where, authorize=yes)
    data = client.json(f"/job/{peer.failed}")
    assert data["process"]["pid"] == peer.pid
    assert data["arguments"] == "'hunter2'"
    assert client.get(f"/job/{peer.failed}.json").json["status"] == "failed"
    page = client.get(f"/job/{peer.failed}").page
    assert f"pid {peer.pid}" in page.text
    page = client.press(page, "Retry Send").page
    assert "Enqueued again, as a new job." in page.text
    again = client.json(f"/job/{peer.failed}")["retried_as"]
    assert client.json(f"/job/{again}")["process"]["pid"] == peer.pid
    page = client.press(client.get(f"/job/{peer.delayed}").page, "Run now Send").page
    assert "The job is due now." in page.text
    client.press(client.get(f"/job/{peer.failed}").page, "Discard Send")
    assert client.get(f"/job/{peer.failed}").status == 404
    assert client.get("/job/nosuch-1-1.json").status == 404


def test_lists_and_sums_are_of_all(where, peer):
    """Each row says where it is; one process can be chosen, and keeps being chosen."""
    Local.perform_async().result(10)
    client = Client(processes=where)
    (row,) = client.json("/failed")["jobs"]
    assert (row["pid"], row["class"]) == (peer.pid, "shop.jobs.Send")
    assert client.json("/finished")["total"] == 3
    overview = client.json("/")
    assert overview["total"]["accepted"] == 4
    assert sorted(overview["scope"]["processes"]) == sorted([os.getpid(), peer.pid])
    here = client.json(f"/?process={os.getpid()}")
    assert here["total"]["accepted"] == 1
    assert client.json(f"/failed?process={os.getpid()}")["total"] == 0
    there = client.get(f"/?process={peer.pid}").page
    assert f"pid {peer.pid} · since" in there.text
    links = [a["href"] for name, a in there.elements if name == "a" and "href" in a]
    assert f"/failed?process={peer.pid}" in links
    assert client.get("/?process=1").status == 404
    assert client.get("/failed?process=1").status == 404


def test_pages_of_lists_go_through_all_of_them(where, peer):
    """In one order, none twice and none left out."""
    Local.pause()
    Local.perform_bulk([()] * 70)
    client = Client(processes=where)
    peer.says("again")
    first, second = client.json("/finished"), client.json("/waiting?page=2")
    assert first["total"] == 2 + 1
    waiting = client.json("/waiting")
    rows = [row["id"] for row in [*waiting["jobs"], *second["jobs"]]]
    assert len(rows) == len(set(rows)) == waiting["total"]
    assert client.json("/waiting?page=99")["page"] == 2


def test_a_name_means_the_same_class_everywhere(where, peer):
    """Two processes have used another ``Local`` each: both have the long name, and a button for
    one of them leaves the other alone."""
    Local.perform_async().result(10)
    client = Client(processes=where, authorize=yes)
    names = {row["job"]: row["class"] for row in client.json("/")["classes"]}
    ours = f"{Local.__module__}.Local"
    assert names == {ours: ours, "crm.jobs.Local": "crm.jobs.Local", "Send": "shop.jobs.Send"}
    page = client.press(client.get("/").page, "Pause crm.jobs.Local").page
    assert "Paused: jobs are accepted and wait. Done in 1 of 2 processes. A pro" in page.text
    rows = {row["class"]: row["paused"] for row in client.json("/")["classes"]}
    assert rows == {ours: False, "crm.jobs.Local": True, "shop.jobs.Send": False}
    token = client.cookie.partition("=")[2]
    client.post("/class/resume", {"token": token, "job": "crm.jobs.Local"})
    assert not any(row["paused_in"] for row in client.json("/")["classes"])


def test_a_class_is_paused_before_it_is_used(where):
    """In a process that has not enqueued one yet, the next one waits."""
    with Peer(where) as first, Peer(where) as second:
        client = Client(processes=where, authorize=yes)
        page = client.press(client.get("/").page, "Pause Send").page
        assert "in 2 of 3 processes." in page.text
        rows = {row["job"]: row for row in client.json("/")["classes"]}
        assert (rows["Send"]["paused"], rows["Send"]["processes"]) == (True, 2)
        assert first.says("again") == second.says("again") == "waiting 1"
        unused = type("Unused", (Job,), {"__module__": "shop.jobs", "perform": lambda self: None})
        answer = client.post(
            "/class/pause",
            {"token": client.cookie.partition("=")[2], "job": "shop.jobs.Unused"},
            accept="application/json",
        )
        assert answer.json["processes"] == {"done": 1, "of": 3}
        assert unused.perform_async().status == "queued"


def test_a_process_is_quieted_and_resumed(where, peer):
    """By the button beside it, from another process."""
    client = Client(processes=where, authorize=yes)
    page = client.press(client.get("/processes").page, f"Quiet pid {peer.pid}").page
    assert "Quiet: the process refuses new jobs" in page.text
    assert peer.says("phase") == "phase quiet"
    page = client.press(client.get("/processes").page, f"Resume pid {peer.pid}").page
    assert "accepts new jobs again" in page.text
    assert peer.says("phase") == "phase open"
    again = client.post(
        "/process/resume",
        {"token": client.cookie.partition("=")[2], "process": str(peer.pid)},
    )
    assert again.status == 409


def test_a_periodic_class_runs_once_when_it_is_told_to(where):
    """In one of the processes that have it armed, whichever was asked."""
    with Peer(where, "{}", "start") as one:
        client = Client(processes=where, authorize=yes)
        (row,) = client.json("/periodic")["periodic"]
        assert (row["job"], row["latest"]) == ("Later", None)
        page = client.press(client.get("/periodic").page, "Run now Later").page
        assert "Enqueued, beside its schedule." in page.text
        assert one.says("ran") == "ran 1"
        (row,) = client.json("/periodic")["periodic"]
        assert row["latest"]["id"]


def test_many_jobs_in_all_processes(where, peer):
    """One press retries what the filter shows, wherever it is."""
    client = Client(processes=where, authorize=yes)
    page = client.get("/confirm/failed/retry?q=no+route").page
    assert "Retry 1 failed job in 2 processes?" in page.text
    assert "Enqueued again, as new jobs: 1." in client.press(page, "Retry 1 job").page.text


def test_metrics_say_of_which_process(where, peer):
    """Each family once, each sample with the label."""
    Local.perform_async().result(10)
    text = Client(processes=where).get("/metrics").text
    for pid in (os.getpid(), peer.pid):
        assert f'counterpunch_healthy{{process="{pid}"}} ' in text
        assert f'counterpunch_jobs_accepted_total{{process="{pid}",' in text
    assert text.count("# HELP counterpunch_jobs_accepted_total ") == 1
    lines = text.splitlines()
    heads = [line.split()[2] for line in lines if line.startswith("# TYPE ")]
    assert len(heads) == len(set(heads))
    assert "process=" not in Client().get("/metrics").text


@pytest.mark.parametrize(("here", "there"), [("True", "False"), ("False", "True")])
def test_what_either_mount_hides_is_hidden(where, here, there):
    """Arguments, on the page and to a search, whoever is asked."""
    with Peer(where, f"{{'arguments': {there}}}") as one:
        client = Client(processes=where, arguments=here == "True")
        assert client.json(f"/job/{one.failed}")["arguments"] is None
        assert client.json("/failed")["jobs"][0]["arguments"] is None
        assert client.json("/scheduled?q=later")["total"] == 0


def test_the_page_of_a_class_is_about_all_that_have_it(where, peer):
    """Whichever process has used it, or has it failed."""
    client = Client(processes=where, authorize=yes)
    data = client.json("/class?job=shop.jobs.Send")
    assert data["numbers"]["processes"] == 1
    assert [row["pid"] for row in data["failed"]] == [peer.pid]
    assert data["failures"][0]["kind"] == "ConnectionError: no route for hunter2"
    page = client.get("/class?job=shop.jobs.Send").page
    assert "no route for hunter2" in page.text
    assert f"pid {peer.pid}" in page.text
    Local.perform_async().result(10)
    query = urlencode({"job": f"{Local.__module__}.Local"})
    assert client.json(f"/class?{query}")["numbers"]["status"]["succeeded"] == 1


def test_who_does_not_answer_is_named_on_every_page(where, peer, monkeypatch):
    """The page comes in time, about those who did answer; an action says where it was not done."""
    monkeypatch.setattr(fleet, "PATIENCE", 0.1)
    monkeypatch.setattr("counterpunch.dashboard.writing.ACTING", 0.1)
    Local.perform_async().result(10)
    peer.process.send_signal(signal.SIGSTOP)
    os.waitpid(peer.pid, os.WUNTRACED)
    client = Client(processes=where, authorize=yes)
    said = f"Not shown: pid {peer.pid}: no answer within 0.1 s"
    query = urlencode({"job": f"{Local.__module__}.Local"})
    for path in ("/", "/failed", "/errors", "/periodic", "/threads", f"/class?{query}"):
        assert said in client.get(path).page.text, path
        assert client.json(path)["scope"]["silent"][0]["pid"] == peer.pid
    page = client.press(client.get("/").page, "Pause Local").page
    assert "in 1 of 2 processes." in page.text
    assert client.get(f"/job/{peer.failed}").status == 404
    for path in ("/", "/failed", "/threads"):
        assert client.get(f"{path}?process={peer.pid}").status == 503
    assert counterpunch.stats().total.accepted == 1
    peer.process.send_signal(signal.SIGCONT)


def test_a_mount_that_was_not_told_shows_this_process_only(where, peer):
    """Though it has a beacon, for another mount."""
    dashboard.wsgi(processes=where)
    client = Client()
    assert client.json("/failed")["total"] == 0
    assert client.get(f"/job/{peer.failed}").status == 404
    assert client.get("/?process=1").status == 200
