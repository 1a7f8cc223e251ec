"""``loop = "app"``: the job is a task of the event loop that entered the lifespan."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import counterpunch
from counterpunch import Batch, CounterpunchError, InvalidOption, Job, Lost, Retry, Status, delay
from counterpunch.integrations.asgi import lifespan
from counterpunch.testing import fake, inline

WAIT = 10.0
tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")


def serve(body: Callable[[], Awaitable[Any]]) -> Any:
    """An application whose lifespan is open while the body runs."""

    async def main() -> Any:
        async with lifespan():
            return await body()

    return asyncio.run(main())


class Where(Job):
    loop = "app"

    async def perform(self, value: int = 0) -> tuple[Any, int, str, int]:
        await asyncio.sleep(0)
        return asyncio.get_running_loop(), threading.get_ident(), tenant.get(), value


class Plain(Job):
    loop = "app"

    def perform(self) -> int:
        return threading.get_ident()


def test_it_runs_on_the_loop_of_the_app() -> None:
    """In the caller's context variables; whichever way it was enqueued."""

    async def body() -> None:
        tenant.set("acme")
        here = (asyncio.get_running_loop(), threading.get_ident(), "acme")
        loop = asyncio.get_running_loop()
        handles = [
            Where.perform_async(1),
            Where.perform_in(0.001, 2),
            Where.perform_at(0, 3),
            *Where.perform_bulk([(4,), (5,)]),
            Where.using(priority=9).perform_async(6),
            await asyncio.to_thread(Where.perform_async, 7),
        ]
        assert await asyncio.gather(*handles) == [(*here, number) for number in range(1, 8)]
        assert await Plain.perform_async() != threading.get_ident(), "a def has its threads"
        assert asyncio.get_running_loop() is loop

    serve(body)


def test_to_stop_on_its_own_loop_says_that_the_jobs_cannot_end_meanwhile() -> None:
    """It still stops, at the deadline; on a thread, or idle, nothing is said."""

    async def body() -> None:
        gate = asyncio.Event()

        class Gated(Job):
            loop = "app"

            async def perform(self) -> None:
                await gate.wait()

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert counterpunch.shutdown(0.01).clean  # idle
            handle = Gated.perform_async()
            while handle.status is not Status.RUNNING:
                await asyncio.sleep(0.001)
            stop = asyncio.create_task(asyncio.to_thread(counterpunch.shutdown, WAIT))
            asyncio.get_running_loop().call_later(0.01, gate.set)
            assert (await stop).clean
        gate.clear()
        handle = Gated.perform_async()
        while handle.status is not Status.RUNNING:
            await asyncio.sleep(0.001)
        with pytest.warns(RuntimeWarning, match="loop='app'.*blocks the event.*to_thread") as said:
            assert counterpunch.shutdown(0.01).lost == [handle]
        assert [one.filename for one in said] == [__file__]

    serve(body)


def test_what_the_app_made_can_be_used_in_the_job() -> None:
    """A contended lock is bound to the loop that it was first waited for on."""
    order: list[str] = []

    async def body() -> None:
        lock = asyncio.Lock()

        class Locking(Job):
            loop = "app"

            async def perform(self) -> None:
                async with lock:
                    order.append("job")

        async with lock:
            handle = Locking.perform_async()
            await asyncio.sleep(0.01)
            order.append("app")
        async with asyncio.timeout(WAIT):
            await handle

    serve(body)
    assert order == ["app", "job"]


def test_workers_bounds_how_many_run_at_once() -> None:
    """As on a loop of ours."""
    running = peak = 0

    class Bounded(Job):
        loop, workers = "app", 2

        async def perform(self) -> None:
            nonlocal running, peak
            running += 1
            peak = max(peak, running)
            await asyncio.sleep(0.001)
            running -= 1

    async def body() -> None:
        await asyncio.wait(Bounded.perform_bulk([()] * 6))

    serve(body)
    assert peak == 2


def test_retries_hooks_and_the_soft_limit() -> None:
    """The whole pipeline, on that thread."""
    turns: list[tuple[str, int]] = []

    class Hooked(Job):
        loop, retry, timeout = "app", Retry(2, wait=0), 0.01

        async def before(self) -> None:
            turns.append(("before", threading.get_ident()))

        async def perform(self) -> str:
            if self.attempt == 1:
                raise OSError
            while not self.cancelled:
                await asyncio.sleep(0.001)
            return "told to stop"

        def after(self) -> None:
            turns.append(("after", threading.get_ident()))

    async def body() -> None:
        assert await Hooked.perform_async() == "told to stop"
        me = threading.get_ident()
        assert turns == [("before", me), ("after", me)] * 2

    serve(body)


def test_what_a_plain_function_gives_is_awaited_there() -> None:
    """A ``def`` that hands on a coroutine, a method of an object."""

    async def where() -> Any:
        return asyncio.get_running_loop()

    class Handing(Job):
        loop = "app"

        def perform(self) -> Any:
            return where()

    async def body() -> None:
        assert await Handing.perform_async() is asyncio.get_running_loop()

    serve(body)


def test_in_a_shared_pool() -> None:
    """Its threads bound it, the app's loop runs it."""
    counterpunch.configure(pools={"appmail": 1})

    class Pooled(Where):
        pool = "appmail"

    async def body() -> None:
        got = await Pooled.perform_async(8)
        assert got[0] is asyncio.get_running_loop()

    serve(body)


def enqueues(job: Any) -> list[Callable[[], Any]]:
    return [
        job.perform_async,
        lambda: job.perform_in(1),
        lambda: job.perform_at(0),
        lambda: job.perform_bulk([()]),
        lambda: job.using(priority=1).perform_async(),
        job.perform_now,
    ]


def test_without_a_lifespan_it_is_refused_at_the_enqueue() -> None:
    """Before, and after it; the message says what to pass. Nothing was accepted."""

    def refused() -> None:
        for job in (Where, Plain):
            for enqueue in enqueues(job):
                with pytest.raises(InvalidOption, match="lifespan"):
                    enqueue()
            assert job.stats().accepted == 0

    refused()
    serve(lambda: asyncio.sleep(0))
    refused()
    asyncio.run(asyncio.to_thread(refused))  # type: ignore[arg-type]


def test_jobs_are_drained_while_what_the_app_opened_is_still_open() -> None:
    """Running and queued ones end; the app closes its own afterwards."""
    log: list[str] = []

    class Using(Job):
        loop, workers = "app", 1

        async def perform(self, state: dict[str, bool], number: int) -> None:
            await asyncio.sleep(0.01)
            log.append(f"{number} {'open' if state['open'] else 'closed'}")

    @asynccontextmanager
    async def own() -> AsyncIterator[dict[str, bool]]:
        state = {"open": True}
        async with lifespan():
            yield state
        log.append("drained")
        state["open"] = False

    async def main() -> list[Any]:
        async with own() as state:
            return Using.perform_bulk([(state, 1), (state, 2), (state, 3)])

    handles = asyncio.run(main())
    assert [handle.status for handle in handles] == [Status.SUCCEEDED] * 3
    assert log == ["1 open", "2 open", "3 open", "drained"]


def test_at_the_deadline_it_is_cancelled_and_cleans_up() -> None:
    """Lost and reported as any; the app's loop goes on, and so does what is not ours."""
    counterpunch.configure(shutdown_timeout=0.05)
    cleaned: list[str] = []

    class Endless(Job):
        loop = "app"

        async def perform(self) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(0.001)
                cleaned.append("job")

    async def main() -> None:
        others = asyncio.create_task(asyncio.sleep(3600))
        async with lifespan():
            handle = Endless.perform_async()
            while handle.status is not Status.RUNNING:
                await asyncio.sleep(0.001)
        assert cleaned == ["job"]
        assert handle.status is Status.LOST
        with pytest.raises(Lost, match="still running"):
            await handle
        assert not others.done()
        assert asyncio.all_tasks() == {others, asyncio.current_task()}
        others.cancel()

    asyncio.run(main())


def test_to_wait_for_it_on_its_own_loop_is_refused() -> None:
    """It would never end; the message names the job and says ``await``. On a thread it works."""

    async def body() -> None:
        gate = asyncio.Event()

        class Gated(Job):
            loop, workers, max_jobs, overflow = "app", 1, 1, "block"

            async def perform(self) -> int:
                await gate.wait()
                return 1

        with Batch() as batch:
            handle = Gated.perform_async()
        ways: list[Callable[[], Any]] = [
            handle.result,
            lambda: handle.result(0.01),
            handle.exception,
            lambda: handle.exception(5),
            handle.future().result,
            lambda: handle.future().result(0.01),
            handle.future().exception,
            batch.wait,
            lambda: batch.wait(5),
            counterpunch.wait_idle,
            Gated.perform_now,
        ]
        for way in ways:
            with pytest.raises(CounterpunchError, match="await"):
                way()
        with pytest.raises(CounterpunchError, match="Gated"):
            handle.result()
        with pytest.raises(TimeoutError):
            handle.result(0)
        while handle.status is not Status.RUNNING:
            await asyncio.sleep(0.001)
        second = Gated.perform_async()
        with pytest.raises(CounterpunchError, match="Gated, whose queue is full"):
            Gated.perform_async()
        assert not batch.wait(0)
        gate.set()
        assert await asyncio.to_thread(handle.result, WAIT) == 1
        assert await asyncio.to_thread(second.result, WAIT) == 1
        assert await asyncio.to_thread(counterpunch.wait_idle, WAIT)
        assert batch.wait()
        assert handle.result() == 1

    serve(body)


def test_perform_now_on_a_thread_runs_on_the_loop_of_the_app() -> None:
    """A handler written with ``def`` runs on such a thread; the test modes do the same."""

    async def body() -> None:
        def handler() -> None:
            tenant.set("of the thread")
            assert Where.perform_now(1)[:3] == (loop, me, "of the thread")
            with inline():
                assert Where.perform_async(2).result()[:2] == (loop, me)
            with fake() as recorder:
                handle = Where.perform_async(3)
                recorder.drain()
                assert handle.result()[:2] == (loop, me)

        loop, me = asyncio.get_running_loop(), threading.get_ident()
        await asyncio.to_thread(handler)

    serve(body)


def test_the_test_modes_need_no_app() -> None:
    """There it runs on a loop of its own."""
    with inline():
        assert Where.perform_async(4).result()[3] == 4
    with fake() as recorder:
        handle = Where.perform_async(5)
        recorder.drain()
        assert handle.result()[3] == 5


def test_an_explicit_stop_within_the_lifespan() -> None:
    """The next enqueue starts afresh, on the same loop."""

    async def body() -> None:
        await Where.perform_async()
        assert (await asyncio.to_thread(counterpunch.shutdown, WAIT)).clean
        assert (await Where.perform_async(6))[0] is asyncio.get_running_loop()

    serve(body)


def test_one_app_after_the_other() -> None:
    """As a test client does it: each has its own loop."""
    for number in range(3):

        async def body(number: int = number) -> None:
            assert (await Where.perform_async(number))[0] is asyncio.get_running_loop()

        serve(body)


def test_of_two_apps_the_latest_runs_them_and_leaves_the_rest_to_the_other() -> None:
    """What waits goes over; what runs may end; what does not within the time is lost."""
    counterpunch.configure(shutdown_timeout=0.1)
    opened, close = threading.Event(), threading.Event()
    loops: dict[str, Any] = {}

    async def first() -> None:
        async with lifespan():
            loops["first"] = asyncio.get_running_loop()
            opened.set()
            await asyncio.to_thread(close.wait, WAIT)

    class Some(Job):
        loop, workers = "app", 1

        async def perform(self, seconds: float) -> Any:
            await asyncio.sleep(seconds)
            return asyncio.get_running_loop()

    class Idle(Some):
        pass

    async def second() -> list[Any]:
        async with lifespan():
            loops["second"] = asyncio.get_running_loop()
            assert await Idle.perform_async(0) is loops["second"]
            ends = Some.perform_async(0.02)
            while ends.status is not Status.RUNNING:
                await asyncio.sleep(0.001)
            waits = Some.perform_async(0)
        return [ends, waits]

    async def third() -> Any:
        async with lifespan():
            handle = Some.perform_async(3600)
            while handle.status is not Status.RUNNING:
                await asyncio.sleep(0.001)
        return handle

    thread = threading.Thread(target=asyncio.run, args=(first(),))
    thread.start()
    try:
        assert opened.wait(WAIT)
        ends, waits = asyncio.run(second())
        assert ends.result(WAIT) is loops["second"]
        assert waits.result(WAIT) is loops["first"]
        assert Idle.perform_async(0).result(WAIT) is loops["first"]
        lost = asyncio.run(third())
        assert "has stopped" in str(lost.exception(WAIT))
        assert lost.status is Status.LOST
        assert Some.perform_async(0).result(WAIT) is loops["first"]
    finally:
        close.set()
        thread.join(WAIT)


def test_of_two_lifespans_on_one_loop_the_last_drains() -> None:
    """An app mounted in another: the loop goes on, and the jobs with it."""

    async def body() -> None:
        async with lifespan():
            handle = Where.perform_in(0.01, 7)
        assert (await handle)[3] == 7
        assert (await Where.perform_async(8))[3] == 8

    serve(body)


def test_a_periodic_class() -> None:
    """Its runs are tasks of the app's loop as well."""
    seen: list[Any] = []

    class Tick(Job):
        loop, every, once_per = "app", 0.01, "process"

        async def perform(self) -> None:
            seen.append(asyncio.get_running_loop())

    async def body() -> None:
        while not seen:
            await asyncio.sleep(0.001)
        assert seen[0] is asyncio.get_running_loop()

    try:
        serve(body)
    finally:
        Tick.every = None


def test_what_does_not_go_with_it_is_refused() -> None:
    """Where it is written: a wrong word, a policy that would need the caller's thread, a change of
    a class in use."""
    with pytest.raises(InvalidOption, match="'own', 'app'"):
        type("Wrong", (Where,), {"loop": "mine"})
    with pytest.raises(InvalidOption, match="caller_runs"):
        type("Wrong", (Where,), {"overflow": "caller_runs"})

    class Used(Job):
        async def perform(self) -> None: ...

    Used.perform_async().result(WAIT)
    with pytest.raises(InvalidOption, match="in use"):
        Used.loop = "app"
    assert Used.loop == "own"
    Used.perform_async().result(WAIT)


def test_a_method_by_delay_runs_on_ours() -> None:
    """``delay`` has no class to say otherwise."""

    class Service:
        async def call(self) -> Any:
            return asyncio.get_running_loop()

    async def body() -> None:
        assert await delay(Service()).call() is not asyncio.get_running_loop()

    serve(body)


def test_a_coroutine_that_a_plain_perform_gives_is_awaited_there() -> None:
    """From a worker, and from a thread that performs it now."""

    class Hidden(Job):
        loop = "app"

        def perform(self) -> Any:
            async def where() -> int:
                return threading.get_ident()

            return where()

    async def body() -> None:
        here = threading.get_ident()
        assert await Hidden.perform_async() == here
        assert await asyncio.to_thread(Hidden.perform_now) == here

    serve(body)
