"""The stop of the event loop: what is waited for, what is cancelled and cleans up."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import counterpunch
from counterpunch import Job, Status

WAIT = 10.0


def test_what_still_runs_at_the_deadline_is_cancelled_and_cleans_up() -> None:
    """Its ``finally`` runs to the end, awaits included, before ``shutdown`` returns."""
    running, cleaned = threading.Event(), []

    class EndlessJob(Job):
        workers = 2

        async def perform(self, name: str) -> None:
            running.set()
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(0.01)
                cleaned.append(name)

    handles = EndlessJob.perform_bulk([("a",), ("b",), ("queued",)])
    assert running.wait(WAIT)
    report = counterpunch.shutdown(0.05)
    assert sorted(cleaned) == ["a", "b"]
    assert [handle.status for handle in handles] == [Status.LOST] * 3
    assert sorted(report.lost) == sorted(handles)
    loops = [thread for thread in threading.enumerate() if thread.name == "counterpunch-loop"]
    assert loops == []


async def background(
    name: str, cleaned: list[str], running: threading.Semaphore | None = None
) -> None:
    """What a job starts: it cleans up when it is cancelled, with an ``await``."""
    if running is not None:
        running.release()
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        cleaned.append(name)


def test_a_task_that_a_job_left_running_is_cancelled_and_cleans_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its job has ended long ago, with nobody to wait for it, and no worker need be busy."""
    cleaned: list[str] = []
    tasks: list[asyncio.Task[None]] = []

    class LeavingJob(Job):
        async def perform(self) -> None:
            tasks.append(asyncio.create_task(background("left behind", cleaned)))

    LeavingJob.perform_async().result(WAIT)
    assert counterpunch.shutdown(WAIT).clean
    assert cleaned == ["left behind"]
    assert tasks[0].cancelled()
    gc.collect()
    assert not [text for text in caplog.messages if "destroyed" in text]


def test_a_task_that_is_started_by_a_cleanup_is_cancelled_too() -> None:
    """What the end of one task begins does not stay behind either."""
    cleaned: list[str] = []
    tasks: list[asyncio.Task[None]] = []

    async def chain() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            tasks.append(asyncio.create_task(background("second", cleaned)))

    class ChainJob(Job):
        async def perform(self) -> None:
            tasks.append(asyncio.create_task(chain()))
            await asyncio.sleep(0)

    ChainJob.perform_async().result(WAIT)
    counterpunch.shutdown(WAIT)
    assert [task.cancelled() for task in tasks] == [True, True]


def test_tasks_that_a_running_job_waits_for_are_cancelled_once() -> None:
    """In a group, in ``gather``, awaited: a second cancel would break off their cleanup."""
    running, cleaned = threading.Semaphore(0), list[str]()

    class WaitingJob(Job):
        workers = 3

        async def perform(self, kind: str) -> None:
            one, two = (background(f"{kind} {n}", cleaned, running) for n in (1, 2))
            if kind == "group":
                async with asyncio.TaskGroup() as group:
                    group.create_task(one)
                    group.create_task(two)
            elif kind == "gather":
                await asyncio.gather(one, two)
            else:
                two.close()
                await asyncio.create_task(one)

    WaitingJob.perform_bulk([("group",), ("gather",), ("await",)])
    for _ in range(5):
        assert running.acquire(timeout=WAIT)
    assert len(counterpunch.shutdown(0).lost) == 3
    assert sorted(cleaned) == ["await 1", "gather 1", "gather 2", "group 1", "group 2"]


def test_a_task_that_will_not_end_does_not_hold_up_the_stop() -> None:
    """It goes on after its cancel; the loop ends without it, within its grace."""
    stubborn = threading.Event()

    async def refuse() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                stubborn.set()

    class StubbornJob(Job):
        async def perform(self) -> None:
            self.task = asyncio.create_task(refuse())
            await asyncio.sleep(0)

    StubbornJob.perform_async().result(WAIT)
    counterpunch.shutdown(WAIT)
    assert stubborn.is_set()
    assert all(thread.name != "counterpunch-loop" for thread in threading.enumerate())


def test_a_stop_waits_for_async_jobs_and_the_next_enqueue_has_a_new_loop() -> None:
    """Within the deadline they end by themselves; afterwards all starts afresh."""

    class EndingJob(Job):
        async def perform(self) -> int:
            await asyncio.sleep(0.01)
            return threading.get_ident()

    handle = EndingJob.perform_async()
    assert counterpunch.shutdown(WAIT).clean
    assert handle.status is Status.SUCCEEDED
    assert EndingJob.perform_async().result(WAIT)


EXIT = """
import asyncio, threading, counterpunch
counterpunch.configure(shutdown_timeout=0.3)
running = threading.Event()
class EndlessJob(counterpunch.Job):
    async def perform(self):
        running.set()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.01)
            print("cleaned up", flush=True)
EndlessJob.perform_async()
running.wait(10)
"""


def test_the_exit_of_the_interpreter_runs_finally_blocks() -> None:
    """In a real process that ends with an async job still running."""
    source = Path(counterpunch.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", EXIT],
        env={"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        timeout=WAIT,
    )
    assert (done.returncode, done.stdout) == (0, "cleaned up\n")


def test_a_job_lost_on_its_way_from_a_shared_pool_to_the_loop_ends_once() -> None:
    """Its pool's thread has given it to the loop, which is busy until the stop is over."""
    counterpunch.configure(pools={"shared": 2})
    go, holding = threading.Event(), threading.Event()
    loop_thread: list[threading.Thread] = []

    class Holding(Job):
        async def perform(self) -> None:
            loop_thread.append(threading.current_thread())
            holding.set()
            go.wait(WAIT)

    class Handed(Job):
        pool = "shared"

        async def perform(self) -> None: ...

    Holding.perform_async()
    assert holding.wait(WAIT)
    handed = Handed.perform_async()
    pause = threading.Event()
    for _ in range(int(WAIT / 0.002)):  # nothing tells
        if Handed.stats().running:
            break
        pause.wait(0.002)
    assert counterpunch.shutdown(0.0).lost.count(handed) == 1
    go.set()
    loop_thread[0].join(WAIT)
    assert handed.status is Status.LOST
    assert Handed.stats().lost == 1
