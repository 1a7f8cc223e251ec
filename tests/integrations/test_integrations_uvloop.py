"""On uvloop: what holds for async jobs on asyncio's own loop."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from loop_harms import HARMS, Harm, check
from process import Result, script

import counterpunch
from counterpunch import Job
from counterpunch.core.process.in_force import current

uvloop: Any = pytest.importorskip("uvloop")

LONG = 10.0  # seconds; turns a hang into a failure


@pytest.fixture(autouse=True)
def everywhere() -> Iterator[None]:
    """As ``uvloop.install()``, and undone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        yield
        counterpunch.shutdown(timeout=0)
        asyncio.set_event_loop_policy(None)


class Ping(Job):
    async def perform(self, number: int) -> int:
        await asyncio.sleep(0)
        return number


def test_jobs_run_on_it_and_are_awaited_from_it() -> None:
    """The library's loop is what the policy makes; ``await`` works from one like it."""

    async def main() -> list[int]:
        handles = Ping.perform_bulk([(1,), (2,)])
        return [await handles[0], *await asyncio.gather(handles[1], Ping.perform_async(3))]

    assert asyncio.run(main()) == [1, 2, 3]
    assert type(current().loops.event_loop().loop).__module__.partition(".")[0] == "uvloop"


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_a_job_harms_itself_only(harm: Harm) -> None:
    """As on asyncio's own."""
    check(harm)


@script("""
import asyncio, threading, time, uvloop, warnings, counterpunch
from counterpunch import Job
warnings.simplefilter("ignore")
uvloop.install()
counterpunch.configure(shutdown_timeout=0.3)
running = threading.Event()
class Blocking(Job):
    async def perform(self):
        await asyncio.to_thread(lambda: (running.set(), time.sleep(3600)))
Blocking.perform_async()
assert running.wait(10)
print(f"mark={time.monotonic()}")
""")
def test_the_deadline_holds_with_a_blocked_thread_in_a_job(result: Result) -> None:
    """``asyncio.to_thread`` in a job: the process leaves when its time is up all the same."""
    assert result.status == 0
    assert result.since("mark") < 3.0
    assert "jobs lost: 1" in result.stderr


def test_threads_for_jobs_end_with_the_loop() -> None:
    """An explicit stop leaves none of them."""

    class Threaded(Job):
        async def perform(self) -> threading.Thread:
            return await asyncio.to_thread(threading.current_thread)

    thread = Threaded.perform_async().result(LONG)
    counterpunch.shutdown(LONG)
    thread.join(LONG)
    assert not thread.is_alive()
