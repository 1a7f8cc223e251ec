"""Dashboard pages with 100,000 jobs waiting and 10,000 failed: milliseconds per page, best of
seven. The overview is to take less than 50, any page less than 100.

And what an enqueue costs while pages are made ten times a second on another thread, against
the same without: ratios of the median and of the 99th percentile.
"""

from __future__ import annotations

import logging
import statistics
import threading
import time

import counterpunch
from counterpunch import Job, dashboard

MANY = 100_000
FAILED = 10_000


class Bulk(Job):
    """Its one worker is held by the first job, the others wait."""

    workers = 1
    max_jobs = None
    gate = threading.Event()

    def perform(self, number: int) -> None:
        self.gate.wait()


class Broken(Job):
    """Fails in one of a hundred ways."""

    workers = 4
    max_jobs = None

    def perform(self, number: int) -> None:
        raise ConnectionError(f"{number % 100} of host {'abcdefghij'[number % 10]}: no answer")


SETTINGS = dashboard.Settings(can_view=dashboard.anyone, authorize=dashboard.anyone)


def page_seconds(path: str, query: dict[str, str]) -> tuple[float, float]:
    """By the clock, and of the processor: on a shared machine the second one is the page's."""
    taken, worked = [], []
    for _ in range(7):
        before, began = time.perf_counter(), time.thread_time()
        answer = dashboard.respond(dashboard.Request("GET", path, query=query), SETTINGS)
        worked.append(time.thread_time() - began)
        taken.append(time.perf_counter() - before)
        assert answer.status == 200, answer.body
    return min(taken), min(worked)


def enqueue_costs(seconds: float) -> tuple[float, float]:
    """The median and the 99th percentile, in nanoseconds, of calls a tenth of a millisecond
    apart."""
    clock, costs = time.perf_counter_ns, []
    end = clock() + int(seconds * 1e9)
    while clock() < end:
        before = clock()
        Bulk.perform_async(1)
        costs.append(clock() - before)
        time.sleep(0.0001)
    return statistics.median(costs), statistics.quantiles(costs, n=100)[98]


def pages(stop: threading.Event) -> None:
    while not stop.wait(0.1):
        dashboard.respond(dashboard.Request("GET", "/"), SETTINGS)


PAGES: list[tuple[str, dict[str, str]]] = [
    ("/", {}),
    ("/waiting", {}),
    ("/waiting", {"page": "2000"}),
    ("/waiting", {"sort": "oldest"}),
    ("/waiting", {"q": "99999"}),
    ("/waiting", {"tag": "none"}),
    ("/running", {}),
    ("/failed", {}),
    ("/failed", {"page": "200"}),
    ("/failed", {"sort": "ran"}),
    ("/failed", {"q": "host c"}),
    ("/finished", {}),
    ("/errors", {}),
    ("/class", {"job": f"{Bulk.__module__}.Bulk"}),
    ("/class", {"job": f"{Bulk.__module__}.Broken"}),
    ("/confirm/failed/retry", {"q": "host c"}),
    ("/confirm/waiting/cancel", {}),
    ("/metrics", {}),
]


def main() -> None:
    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    counterpunch.configure(history=FAILED)
    Broken.perform_bulk([(number,) for number in range(FAILED)])
    counterpunch.wait_idle(120)
    for number in range(MANY):
        Bulk.perform_async(number)
    late = []
    for path, query in PAGES:
        taken, worked = (seconds * 1000 for seconds in page_seconds(path, query))
        print(f"{path:24} {query or ''!s:44} {taken:6.1f} ms, of the processor {worked:6.1f} ms")
        if worked > (50 if path == "/" else 100):
            late.append(path)
    print(f"over the budget: {', '.join(late) or 'none'}")
    enqueue_costs(0.5)
    medians, tails = [], []
    for _ in range(7):
        alone = enqueue_costs(1.0)
        stop = threading.Event()
        thread = threading.Thread(target=pages, args=(stop,))
        thread.start()
        beside = enqueue_costs(1.0)
        stop.set()
        thread.join()
        medians.append(beside[0] / alone[0])
        tails.append(beside[1] / alone[1])
    print(
        f"an enqueue while pages are made / without: p50 {statistics.median(medians):.2f}, "
        f"p99 {statistics.median(tails):.2f}"
    )
    Bulk.gate.set()
    Bulk.cancel_all()


if __name__ == "__main__":
    main()
