"""Dashboard pages with 100,000 jobs waiting: milliseconds per page, best of seven.

And whether enqueues right after a page take longer than those before it: a ratio.
"""

from __future__ import annotations

import gc
import time

from counterpunch import Job, dashboard

MANY = 100_000


class Bulk(Job):
    max_jobs = None

    def perform(self, number: int) -> None:
        pass


def page_seconds(path: str, query: dict[str, str]) -> float:
    settings = dashboard.Settings()
    taken = []
    for _ in range(7):
        before = time.perf_counter()
        dashboard.respond(dashboard.Request("GET", path, query=query), settings)
        taken.append(time.perf_counter() - before)
    return min(taken)


def enqueue_seconds() -> float:
    before = time.perf_counter()
    for number in range(2000):
        Bulk.perform_async(number)
    return time.perf_counter() - before


def main() -> None:
    Bulk.pause()
    for number in range(MANY):
        Bulk.perform_async(number)
    pages: list[tuple[str, dict[str, str]]] = [
        ("/", {}),
        ("/waiting", {}),
        ("/waiting", {"page": "2000"}),
        ("/running", {}),
    ]
    for path, query in pages:
        print(f"{path:10} {query or ''!s:20} {page_seconds(path, query) * 1000:6.1f} ms")
    enqueue_seconds()
    alone, after = [], []
    gc.disable()  # a collection in one of the two is not what is compared
    for _ in range(15):
        alone.append(enqueue_seconds())
        page_seconds("/", {})
        after.append(enqueue_seconds())
    print(f"enqueues after a page / before: {min(after) / min(alone):.2f}")
    Bulk.cancel_all()


if __name__ == "__main__":
    main()
