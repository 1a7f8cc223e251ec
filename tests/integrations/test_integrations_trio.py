"""``await`` in trio, as it is and through anyio, and under asyncio through anyio."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from counterpunch import Batch, CounterpunchError, Job, job

anyio: Any = pytest.importorskip("anyio")
trio: Any = pytest.importorskip("trio")
BACKENDS = ["asyncio", "trio"]
if pytest.importorskip("uvloop"):
    BACKENDS.append("uvloop")


def run(backend: str, main: Any) -> Any:
    options = {"use_uvloop": backend == "uvloop"} if backend != "trio" else {}
    return anyio.run(main, backend=backend.replace("uvloop", "asyncio"), backend_options=options)


class Gate(Job):
    workers = 3

    def perform(self, gate: threading.Event, value: int = 0) -> int:
        assert gate.wait(10)
        return value


class FetchJob(Job):
    async def perform(self, value: int) -> int:
        return value


@job
def exiting() -> None:
    raise SystemExit(3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_handles_and_batches_are_awaited(backend: str) -> None:
    """A thread's job and an async one, many at once, one that has ended, a batch."""
    gate = threading.Event()

    async def main() -> None:
        got: list[int] = []

        async def collect(handle: Any) -> None:
            got.append(await handle)

        handles = Gate.perform_bulk([(gate, 1), (gate, 2)])
        async with anyio.create_task_group() as group:
            for handle in (*handles, FetchJob.perform_async(3)):
                group.start_soon(collect, handle)
            await anyio.sleep(0)
            gate.set()
        assert sorted(got) == [1, 2, 3]
        assert await handles[0] == 1
        async with Batch() as batch:
            Gate.perform_async(gate, 4)
        assert await batch is True

    run(backend, main)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_scope_that_is_cancelled_leaves_the_job_alone(backend: str) -> None:
    """And nothing remains of the wait."""
    gate = threading.Event()

    async def main() -> None:
        handle = Gate.perform_async(gate, 5)
        with anyio.move_on_after(0.01) as scope:
            await handle
        assert scope.cancelled_caught
        assert not handle.lane.keeper.watchers.table.get(handle)
        gate.set()
        with anyio.fail_after(10):
            assert await handle == 5

    run(backend, main)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_exit_in_a_job_does_not_end_the_loop(backend: str) -> None:
    """It is the cause of an ordinary exception."""

    async def main() -> str:
        with pytest.raises(CounterpunchError, match="SystemExit"):
            await exiting.perform_async()
        return "goes on"

    assert run(backend, main) == "goes on"


@pytest.mark.parametrize("backend", BACKENDS)
def test_to_block_it_warns(backend: str) -> None:
    """trio's thread is held up as any loop's."""

    def slow() -> None:
        time.sleep(0.02)

    async def main() -> None:
        with pytest.warns(RuntimeWarning, match="await"):
            job(slow).perform_async().result(10)

    run(backend, main)


def test_trio_as_a_guest_of_asyncio() -> None:
    """Both run on one thread: the task of trio sleeps as trio's do."""
    import asyncio

    async def guest() -> int:
        await trio.sleep(0)
        return await FetchJob.perform_async(6)

    async def host() -> Any:
        loop, done = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
        trio.lowlevel.start_guest_run(
            guest,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=done.set_result,
        )
        return (await done).unwrap(), await FetchJob.perform_async(7)

    assert asyncio.run(host()) == (6, 7)
