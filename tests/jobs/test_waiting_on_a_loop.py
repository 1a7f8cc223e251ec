"""Waiting for jobs where an event loop runs: ``await`` does it, and blocking says so."""

from __future__ import annotations

import asyncio
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

import counterpunch
from counterpunch import Batch, CounterpunchError, Handle, Job, QueueFull, Status, job
from counterpunch.testing import fake, inline

WAIT = 10.0
SOON = 0.02


class Gate(Job):
    """Waits until the test opens ``gate``."""

    workers = 4
    gate = threading.Event()
    said = threading.Event()
    patience = SOON

    def perform(self, value: int = 0) -> int:
        assert type(self).gate.wait(WAIT)
        return value


@pytest.fixture(autouse=True)
def gate() -> Iterator[threading.Event]:
    Gate.gate.clear()
    Gate.said.clear()
    yield Gate.gate
    Gate.said.set()
    Gate.gate.set()


@pytest.fixture
def caught(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str, int]]]:
    """The warnings: text, file and line. The first one opens the gate: the wait has begun."""
    monkeypatch.setattr(Gate, "patience", WAIT / 2)
    found: list[tuple[str, str, int]] = []

    def note(message: object, kind: type, file: str, line: int, *rest: object) -> None:
        assert kind is RuntimeWarning
        found.append((str(message), file, line))
        Gate.said.set()

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        monkeypatch.setattr(warnings, "showwarning", note)
        yield found


@job
def raising(exc: BaseException) -> None:
    raise exc


def opened_soon() -> None:
    patience = Gate.patience

    def open_it() -> None:
        Gate.said.wait(patience)
        Gate.gate.set()

    threading.Thread(target=open_it).start()


# Blocking


def blocked_batch() -> None:
    with Batch() as batch:
        Gate.perform_async()
    opened_soon()
    assert batch.wait(WAIT)


def result() -> None:
    handle = Gate.perform_async(3)
    opened_soon()
    assert handle.result(WAIT) == 3


def exception() -> None:
    handle = Gate.perform_async()
    opened_soon()
    assert handle.exception() is None


def future_result() -> None:
    future = Gate.perform_async(3).future()
    opened_soon()
    assert future.result(WAIT) == 3


def future_exception() -> None:
    future = Gate.perform_async().future()
    opened_soon()
    assert future.exception() is None


def idle() -> None:
    Gate.perform_async()
    opened_soon()
    assert counterpunch.wait_idle(WAIT)


def now() -> None:
    opened_soon()
    Gate.perform_now()


def room() -> None:
    class Full(Gate):
        workers, max_jobs, overflow, block_timeout = 1, 1, "block", 0.01

    running = Full.perform_async()
    while running.status is not Status.RUNNING:
        time.sleep(0.001)
    Full.perform_async()
    with pytest.raises(QueueFull):
        Full.perform_async()


def here_by_overflow() -> None:
    class Full(Gate):
        workers, max_jobs, overflow = 2, 1, "caller_runs"

    for _ in range(2):
        running = Full.perform_async()
        while running.status is not Status.RUNNING:
            time.sleep(0.001)
    Full.perform_async()
    opened_soon()
    Full.perform_async()


BLOCKING: list[Callable[[], None]] = [
    result, exception, future_result, future_exception, blocked_batch, idle, now, room,
    here_by_overflow,
]  # fmt: skip


@pytest.mark.parametrize("block", BLOCKING)
def test_to_block_the_thread_of_a_running_loop_warns_and_says_await(
    block: Callable[[], None], caught: list[tuple[str, str, int]]
) -> None:
    """It works all the same: a notebook runs on a loop. The warning is at the caller's line."""

    async def main() -> None:
        block()

    asyncio.run(main())
    ((text, file, line),) = caught
    assert "await" in text
    assert file == __file__
    assert block.__code__.co_firstlineno < line <= block.__code__.co_firstlineno + 13
    assert "Gate" in text or "Full" in text or block in (idle, blocked_batch)


@pytest.mark.parametrize("block", BLOCKING)
def test_without_a_loop_nothing_is_said(block: Callable[[], None]) -> None:
    """Nor on another thread than the loop's."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        block()
        Gate.gate.clear()
        asyncio.run(asyncio.to_thread(block))  # type: ignore[arg-type]


def test_what_does_not_block_is_not_warned_of() -> None:
    """A job that has ended, a look without a wait, an idle process, the test modes."""

    async def main() -> None:
        done = raising.perform_async(OSError())
        while not done.done():
            await asyncio.sleep(0.001)
        with pytest.raises(OSError):  # noqa: PT011
            done.result()
        handle = Gate.perform_async()
        with pytest.raises(TimeoutError):
            handle.result(0)
        with pytest.raises(TimeoutError):
            handle.exception(0)
        with pytest.raises(TimeoutError):
            handle.future().result(0)
        Gate.gate.set()
        await handle
        while not counterpunch.wait_idle(0):
            await asyncio.sleep(0.001)
        assert counterpunch.wait_idle(WAIT)
        with inline():
            assert Gate.perform_async(4).result() == 4
            assert counterpunch.wait_idle()
        with fake() as recorder, Batch() as batch:
            Gate.perform_async(5)
            recorder.drain()
        assert batch.wait()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(main())


def test_it_is_said_once_per_place(caught: list[tuple[str, str, int]]) -> None:
    """By Python's own filter: a loop around the line does not fill the log."""

    async def main() -> None:
        for _ in range(3):
            handle = Gate.perform_async()
            opened_soon()
            handle.result(WAIT)
            Gate.gate.clear()
            Gate.said.clear()
            Gate.patience = SOON

    asyncio.run(main())
    assert len(caught) == 1


# Awaiting


@pytest.mark.parametrize("exc", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError("x")])
def test_what_would_end_the_loop_or_the_task_comes_as_the_cause(exc: BaseException) -> None:
    """``await``, ``gather`` and a wrapped future: nobody was cancelled, and the loop goes on."""

    async def main() -> None:
        handle = raising.perform_async(exc)
        ways: list[Callable[[], Awaitable[Any]]] = [
            lambda: handle,
            lambda: asyncio.gather(handle),
            lambda: asyncio.wait_for(handle, WAIT),
            lambda: asyncio.wrap_future(handle.future()),
        ]
        for way in ways:
            with pytest.raises(CounterpunchError, match=type(exc).__name__) as caught:
                await way()
            assert type(caught.value.__cause__) is type(exc)
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        assert type(handle.exception()) is type(exc)

    asyncio.run(main())


def test_in_a_group_the_task_fails_and_does_not_vanish() -> None:
    """A TaskGroup forgets a child that ends by CancelledError; here it fails."""

    async def main() -> None:
        async def child() -> None:
            await raising.perform_async(asyncio.CancelledError())

        async with asyncio.TaskGroup() as group:
            group.create_task(child())

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(main())
    assert isinstance(caught.value.exceptions[0], CounterpunchError)


def test_a_cancel_of_who_awaits_leaves_the_job_alone() -> None:
    """And nothing remains of the wait."""

    async def main() -> Handle[int]:
        handle = Gate.perform_async(6)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(handle, 0.001)
        assert not handle.lane.keeper.watchers.table.get(handle)
        Gate.gate.set()
        assert await handle == 6
        return handle

    assert asyncio.run(main()).status is Status.SUCCEEDED


def test_to_await_outside_of_a_task_says_where_it_works() -> None:
    """A coroutine that is driven by hand has no loop."""

    async def main() -> None:
        await Gate.perform_async()

    coroutine = main()
    with pytest.raises(RuntimeError, match="asyncio or of trio"):
        coroutine.send(None)


def test_asyncio_wait_takes_handles() -> None:
    """All three ways; what is done and what is not are the handles themselves."""

    async def main() -> None:
        one, two = Gate.perform_async(1), Gate.perform_async(2)
        done, pending = await asyncio.wait([one, two], timeout=0.001)
        assert (done, pending) == (set(), {one, two})
        assert not one.lane.keeper.watchers.table.get(one)
        failed = raising.perform_async(OSError())
        done, pending = await asyncio.wait([one, failed], return_when=asyncio.FIRST_EXCEPTION)
        assert (done, pending) == ({failed}, {one})
        done, _ = await asyncio.wait([one, failed], return_when=asyncio.FIRST_COMPLETED)
        assert done == {failed}
        opened_soon()
        done, pending = await asyncio.wait([one, two, failed])
        assert (done, pending) == ({one, two, failed}, set())

    asyncio.run(main())


def test_a_done_callback_can_be_taken_back() -> None:
    """Before it was called; afterwards there is nothing to take."""
    told: list[object] = []
    handle = Gate.perform_async()
    handle.add_done_callback(told.append)
    handle.add_done_callback(told.append)
    handle.remove_done_callback(told.append)
    ended: Future[int] = handle.future()
    Gate.gate.set()
    assert ended.result(WAIT) == 0
    assert told == [handle]
    handle.remove_done_callback(told.append)


def test_await_batch() -> None:
    """True once it is complete, its callbacks enqueued; without blocking the loop."""
    told: list[str] = []

    @job
    def complete(batch: str) -> None:
        told.append(batch)

    async def main() -> None:
        async with Batch(on_complete=complete) as batch:
            Gate.perform_bulk([(1,), (2,)])
            with Batch():
                Gate.perform_async(3)
            await asyncio.sleep(0)
            with pytest.raises(CounterpunchError, match="still open"):
                await batch
        assert not batch.done()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(batch, 0.001)
        opened_soon()
        assert await asyncio.gather(batch, batch) == [True, True]
        assert batch.progress == (3, 3)
        assert await batch is True
        await batch.callbacks[0]
        assert told == [batch.id]
        with pytest.raises(CounterpunchError, match="never opened"):
            await Batch()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(main())


def test_a_batch_whose_async_block_is_left_by_an_exception() -> None:
    """As a plain ``with``: it completes, and did not succeed."""

    @job
    def never(batch: str) -> None: ...

    async def main() -> None:
        batch = Batch(on_success=never)
        with pytest.raises(OSError):  # noqa: PT011
            async with batch:
                raise OSError
        assert await batch
        assert batch.callbacks == []

    asyncio.run(main())


def test_an_empty_batch_is_awaited_at_once() -> None:
    """It completed as its block was left."""

    async def main() -> bool:
        async with Batch() as batch:
            pass
        return await batch

    assert asyncio.run(main()) is True
