"""What a job may do to the event loop that it shares with others, and what they then must not see.

Each of ``HARMS`` is an ``async def`` over the job. They are run on asyncio's own loop and, in the
extra stage, on uvloop.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import counterpunch
from counterpunch import Job
from counterpunch.core.process.in_force import current

__all__ = ["HARMS", "check"]

WAIT = 10.0
Harm = Callable[[], Awaitable[None]]


async def stop() -> None:
    asyncio.get_running_loop().stop()


async def stop_soon() -> None:
    loop = asyncio.get_running_loop()
    loop.call_soon(loop.stop)
    loop.call_soon_threadsafe(loop.stop)
    await asyncio.sleep(0)


async def close() -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(RuntimeError):  # a loop that runs refuses
        loop.close()
    loop.stop()


async def close_from_a_thread() -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(RuntimeError):
        await asyncio.to_thread(loop.close)


async def set_a_dead_executor() -> None:
    with ThreadPoolExecutor(1) as dead:
        asyncio.get_running_loop().set_default_executor(dead)
        assert await asyncio.to_thread(threading.get_ident)


async def shut_the_executor() -> None:
    await asyncio.to_thread(threading.get_ident)
    await asyncio.get_running_loop().shutdown_default_executor()


async def set_a_handler_that_raises() -> None:
    def handler(loop: object, context: object) -> None:
        raise SystemExit("of the handler")

    asyncio.get_running_loop().set_exception_handler(handler)


async def set_a_factory_that_raises() -> None:
    def factory(loop: object, coroutine: Any, **options: object) -> Any:
        coroutine.close()
        raise RuntimeError("of the factory")

    asyncio.get_running_loop().set_task_factory(factory)


async def cancel_all_tasks() -> None:
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0)


async def await_all_tasks() -> None:
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)


async def cancel_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def forget_the_loop() -> None:
    asyncio.set_event_loop(None)


async def leave_tasks_behind() -> None:
    async def endless() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass

    async def failing(exc: BaseException) -> None:
        raise exc

    loop = asyncio.get_running_loop()
    left.append(loop.create_task(endless()))
    for exc in (ValueError(), SystemExit(), KeyboardInterrupt()):
        left.append(loop.create_task(failing(exc)))


async def leave_a_generator_behind() -> None:
    async def numbers() -> Any:
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(3600)

    async for _ in numbers():
        break


async def raise_in_a_callback() -> None:
    def fail(exc: BaseException) -> None:
        raise exc

    for exc in (ValueError(), SystemExit(), KeyboardInterrupt()):
        asyncio.get_running_loop().call_soon(fail, exc)


left: list[asyncio.Task[Any]] = []
HARMS: list[Harm] = [
    stop, stop_soon, close, close_from_a_thread, set_a_dead_executor, shut_the_executor,
    set_a_handler_that_raises, set_a_factory_that_raises, cancel_all_tasks, await_all_tasks,
    cancel_itself, forget_the_loop, leave_tasks_behind, leave_a_generator_behind,
    raise_in_a_callback,
]  # fmt: skip


def check(harm: Harm) -> None:
    """A job that runs meanwhile, one that waits for a worker of the class, and one that comes
    afterwards see nothing of it; nor does the stop."""
    go, running = threading.Event(), threading.Event()

    class Bystander(Job):
        workers = 1

        async def perform(self, waits: bool) -> list[int]:
            running.set()
            if waits:
                while not go.is_set():
                    await asyncio.sleep(0.001)
            parts = [self.part(number) for number in (1, 2)]
            assert await asyncio.to_thread(threading.get_ident) != threading.get_ident()
            return await asyncio.gather(*parts)

        async def part(self, number: int) -> int:
            await asyncio.sleep(0)
            return number

    class Idle(Job):
        async def perform(self) -> str:
            return "ran"

    class Harmful(Job):
        async def perform(self) -> None:
            await harm()

    Idle.perform_async().result(WAIT)
    (loop,) = (current().loops.threads(),)
    beside, behind = Bystander.perform_async(True), Bystander.perform_async(False)
    assert running.wait(WAIT)
    harmful = Harmful.perform_async()
    harmful.exception(WAIT)
    go.set()
    assert beside.result(WAIT) == behind.result(WAIT) == [1, 2]
    assert Bystander.perform_async(False).result(WAIT) == [1, 2]
    assert Idle.perform_async().result(WAIT) == "ran"
    assert current().loops.threads() == loop, "the loop goes on"
    assert counterpunch.health().ok
    assert counterpunch.wait_idle(WAIT)
    assert counterpunch.shutdown(WAIT).seconds < WAIT / 2
    del left[:]
    gc.collect()  # what asyncio says of these tasks is not for a later test
