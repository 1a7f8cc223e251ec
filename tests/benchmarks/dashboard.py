"""Dashboard pages with 100,000 jobs waiting: milliseconds per page, best of seven.

And what an enqueue costs while pages are made ten times a second on another thread, against
the same without: ratios of the median and of the 99th percentile.
"""

from __future__ import annotations

import statistics
import threading
import time

from counterpunch import Job, dashboard

MANY = 100_000


class Bulk(Job):
    """Its one worker is held by the first job, the others wait."""

    workers = 1
    max_jobs = None
    gate = threading.Event()

    def perform(self, number: int) -> None:
        self.gate.wait()


def page_seconds(path: str, query: dict[str, str]) -> float:
    settings = dashboard.Settings()
    taken = []
    for _ in range(7):
        before = time.perf_counter()
        dashboard.respond(dashboard.Request("GET", path, query=query), settings)
        taken.append(time.perf_counter() - before)
    return min(taken)


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
    settings = dashboard.Settings()
    while not stop.wait(0.1):
        dashboard.respond(dashboard.Request("GET", "/"), settings)


def main() -> None:
    for number in range(MANY):
        Bulk.perform_async(number)
    shown: list[tuple[str, dict[str, str]]] = [
        ("/", {}),
        ("/waiting", {}),
        ("/waiting", {"page": "2000"}),
        ("/running", {}),
    ]
    for path, query in shown:
        print(f"{path:10} {query or ''!s:20} {page_seconds(path, query) * 1000:6.1f} ms")
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
