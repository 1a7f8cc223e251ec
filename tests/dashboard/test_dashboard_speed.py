"""A queue of 100,000 costs the pages about as much as one of fifty, and the enqueues nothing."""

from __future__ import annotations

import gc
import threading
import time

import pytest
from dashboard_client import SOON

import counterpunch
from counterpunch import Job, dashboard

MANY = 100_000


class Bulk(Job):
    workers = 1
    max_jobs = None
    gate = threading.Event()

    def perform(self, number: int) -> None:
        self.gate.wait(SOON)


@pytest.fixture
def crowd():
    Bulk.gate.clear()
    Bulk.pause()
    for number in range(MANY):
        Bulk.perform_async(number)
    yield
    Bulk.gate.set()
    Bulk.cancel_all()
    Bulk.resume()


def seconds(address):
    """The best of a few: what the machine does besides is not what is measured."""
    path, _, query = address.partition("?")
    fields = dict(part.split("=") for part in query.split("&")) if query else {}
    settings = dashboard.Settings(authorize=lambda request: True)
    request = dashboard.Request("GET", path, query=fields)
    taken = []
    for _ in range(7):
        before = time.perf_counter()
        answer = dashboard.respond(request, settings)
        taken.append(time.perf_counter() - before)
        assert answer.status == 200
    return min(taken)


def test_pages_stay_fast_with_100_000_waiting(crowd):
    """The overview under 50 ms; filters and the last page of the list as well."""
    assert counterpunch.stats().total.queued == MANY
    for address in (
        "/",
        "/waiting",
        "/waiting?page=2000",
        "/waiting?job=Bulk&tag=none",
        "/running",
    ):
        assert seconds(address) < 0.05, address


def test_the_page_of_one_job_stays_fast(crowd):
    """Found by its id among 100,000."""
    handle = Bulk.perform_async(-1)
    assert seconds(f"/job/{handle.id}") < 0.05


def test_looking_does_not_slow_enqueues(crowd):
    """Enqueues right after a page was made take as long as those before: nothing is left behind."""

    def rate():
        before = time.perf_counter()
        for number in range(2000):
            Bulk.perform_async(number)
        return time.perf_counter() - before

    settings = dashboard.Settings()
    rate()
    alone, after = [], []
    gc.disable()  # a collection in one of the two is not what is compared
    try:
        for _ in range(15):
            alone.append(rate())
            assert dashboard.respond(dashboard.Request("GET", "/"), settings).status == 200
            after.append(rate())
    finally:
        gc.enable()
    assert min(after) / min(alone) < 1.5
