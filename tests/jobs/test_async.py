"""``async def perform``: one loop thread of the library's own, bounded by ``workers``."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest

import counterpunch
from counterpunch import Cancelled, Job, Retry, Status, current_job, job
from counterpunch.core.process.in_force import accepting, current
from counterpunch.core.workers import attempt as attempt_module
from counterpunch.core.workers import loop as loop_module
from counterpunch.core.workers.loop import Loop
from counterpunch.testing import fake, inline

WAIT = 10.0
tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")


def test_all_async_jobs_run_on_one_thread() -> None:
    """Whatever their class; an ``@job`` function as well."""

    class OneLoopJob(Job):
        async def perform(self) -> tuple[str, int]:
            await asyncio.sleep(0)
            return threading.current_thread().name, threading.get_ident()

    class SameLoopJob(OneLoopJob):
        pass

    @job
    async def function() -> tuple[str, int]:
        return threading.current_thread().name, threading.get_ident()

    handles = [*OneLoopJob.perform_bulk([()] * 5), SameLoopJob.perform_async()]
    handles.append(function.perform_async())
    assert {handle.result(WAIT) for handle in handles} == {
        ("counterpunch-loop", handles[0].result()[1])
    }


def test_workers_bounds_how_many_run_at_once() -> None:
    """Three of nine at a time, all three together."""
    running = peak = 0

    class BoundedJob(Job):
        workers = 3

        async def perform(self) -> None:
            nonlocal running, peak
            running += 1
            peak = max(peak, running)
            if running == 3:
                together.set()
            assert await asyncio.to_thread(together.wait, WAIT)
            running -= 1

    together = threading.Event()
    handles = BoundedJob.perform_bulk([()] * 9)
    for handle in handles:
        handle.result(WAIT)
    assert peak == 3


def test_one_worker_is_serial() -> None:
    """``workers = 1``: in order, never two at once, although they await."""
    order: list[str] = []

    class SerialAsyncJob(Job):
        workers = 1

        async def perform(self, name: str) -> None:
            order.append(f"{name} begins")
            await asyncio.sleep(0)
            order.append(f"{name} ends")

    SerialAsyncJob.perform_bulk([("a",), ("b",)])
    assert counterpunch.wait_idle(WAIT)
    assert order == ["a begins", "a ends", "b begins", "b ends"]


def test_context_is_carried_and_kept_apart() -> None:
    """Each job sees its caller's variables, in its awaits, hooks and tasks, and only those."""
    seen: list[tuple[str, str]] = []

    class ContextJob(Job):
        workers = 8

        async def perform(self, name: str) -> None:
            await asyncio.sleep(0)
            seen.append((name, tenant.get()))
            task = asyncio.get_running_loop().create_task(self.child(name))
            await task
            tenant.set("changed by the job")

        async def child(self, name: str) -> None:
            assert current_job() is self.handle
            seen.append((name, tenant.get()))

        async def after(self) -> None:
            seen.append((self.handle.args[0], tenant.get()))

    for name in ("a", "b", "c"):
        tenant.set(name)
        ContextJob.perform_async(name)
    tenant.set("nobody")
    assert counterpunch.wait_idle(WAIT)
    for name in ("a", "b", "c"):
        mine = [value for key, value in seen if key == name]
        assert mine == [name, name, "changed by the job"]


def test_hooks_may_be_coroutines_and_run_in_order() -> None:
    """Plain and async hooks mix; one that raises is logged and changes nobody else's turn."""
    turns: list[str] = []

    class HookedAsyncJob(Job):
        retry = Retry(2, wait=0)

        async def before(self) -> None:
            await asyncio.sleep(0)
            turns.append("before")

        async def perform(self) -> str:
            turns.append("perform")
            if self.attempt == 1:
                raise OSError
            return "ok"

        async def on_error(self, exc: BaseException) -> None:
            await asyncio.sleep(0)
            turns.append("on_error")
            raise RuntimeError("in the hook")

        def on_success(self, result: str) -> None:
            turns.append(f"on_success {result}")

        async def after(self) -> None:
            turns.append("after")

    assert HookedAsyncJob.perform_async().result(WAIT) == "ok"
    assert turns == [
        *("before", "perform", "on_error", "after"),
        *("before", "perform", "on_success ok", "after"),
    ]


def test_failures_and_retries() -> None:
    """The job's own exception after the last attempt; a CancelledError nobody asked for is one."""

    class FailingAsyncJob(Job):
        retry = Retry(3, wait=0)

        async def perform(self) -> None:
            raise OSError(self.attempt)

    class LooseCancelJob(Job):
        async def perform(self) -> None:
            raise asyncio.CancelledError

    failing = FailingAsyncJob.perform_async()
    with pytest.raises(OSError, match="3"):
        failing.result(WAIT)
    loose = LooseCancelJob.perform_async()
    assert isinstance(loose.exception(WAIT), asyncio.CancelledError)
    assert loose.status is Status.FAILED
    assert LooseCancelJob.perform_async().exception(WAIT) is not None  # its worker lives


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_a_task_of_a_job_raises_does_not_end_the_loop(kind: type[BaseException]) -> None:
    """asyncio lets these two out of the loop itself; the attempt fails and no more."""

    class Splitting(Job):
        async def perform(self, fails: bool) -> str:
            async def part() -> str:
                if fails:
                    raise kind
                return "whole"

            return await asyncio.create_task(part())

    assert isinstance(Splitting.perform_async(True).exception(WAIT), kind)
    assert Splitting.perform_async(False).result(WAIT) == "whole"


def test_workers_that_a_job_cancelled_are_replaced() -> None:
    """A job may cancel every task that it finds on the loop, idle workers among them."""

    class Idle(Job):
        workers = 1

        async def perform(self) -> str:
            return "ran"

    class Sweeping(Job):
        async def perform(self) -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()

    Idle.perform_async().result(WAIT)
    assert counterpunch.wait_idle(WAIT)
    swept = Sweeping.perform_async()
    ended = threading.Event()
    swept.add_done_callback(lambda _: ended.set())
    assert ended.wait(WAIT)
    assert Idle.perform_async().result(WAIT) == "ran"
    assert counterpunch.wait_idle(WAIT)


def test_no_thread_for_a_job_on_a_running_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails and is over; it does not stay running for good."""

    class Direct(Job):
        async def perform(self) -> None: ...

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                Direct.perform_now()

    asyncio.run(main())
    assert Direct.stats().failed == 1
    assert Direct.stats().running == 0


def test_the_token_reaches_an_async_job() -> None:
    """``cancel()`` sets it; the job that looks ends as cancelled."""
    running = threading.Event()

    class PollingJob(Job):
        async def perform(self) -> None:
            running.set()
            for _ in range(2000):
                self.check_cancelled()
                await asyncio.sleep(0.005)

    handle = PollingJob.perform_async()
    assert running.wait(WAIT)
    assert handle.cancel() is False
    with pytest.raises(Cancelled):
        handle.result(WAIT)


def test_the_overrun_report_shows_where_the_task_waits(caplog: pytest.LogCaptureFixture) -> None:
    """Not the stack of the loop's thread, which is somewhere else by then."""

    class SlowAsyncJob(Job):
        timeout = 0.02

        async def perform(self) -> None:
            await self.a_named_place()

        async def a_named_place(self) -> None:
            for _ in range(2000):
                if "running for more than" in caplog.text:
                    return
                await asyncio.sleep(0.005)

    SlowAsyncJob.perform_async().result(WAIT)
    (report,) = [one for one in caplog.messages if "running for more than" in one]
    assert "perform" in report
    assert "a_named_place" in report


def test_an_async_job_in_a_shared_pool() -> None:
    """The pool's threads bound it, the loop's thread runs it; other classes share the pool."""
    counterpunch.configure(pools={"asyncmail": 1})
    tenant.set("shared")

    class SharedAsyncJob(Job):
        pool = "asyncmail"
        retry = Retry(2, wait=0)

        async def perform(self) -> tuple[str, str]:
            await asyncio.sleep(0)
            if self.attempt == 1:
                raise OSError
            return threading.current_thread().name, tenant.get()

    class GuestAsyncJob(Job):
        async def perform(self) -> str:
            return threading.current_thread().name

    class SharedPlainJob(Job):
        pool = "asyncmail"

        def perform(self) -> str:
            return threading.current_thread().name

    shared, plain = SharedAsyncJob.perform_async(), SharedPlainJob.perform_async()
    guest = GuestAsyncJob.using(pool="asyncmail").perform_async()
    assert shared.result(WAIT) == ("counterpunch-loop", "shared")
    assert plain.result(WAIT) == "counterpunch-asyncmail_0"
    assert guest.result(WAIT) == "counterpunch-loop"
    assert SharedAsyncJob.stats().attempts == 2
    tenant.set("nobody")


class EchoJob(Job):
    """For the modes below: fails once where a retry follows."""

    retry = Retry(2, wait=5, jitter=0)

    async def perform(self, value: int, fails: int = 0) -> tuple[int, str]:
        await asyncio.sleep(0)
        if self.attempt <= fails:
            raise OSError(self.attempt)
        return value, tenant.get()


@pytest.mark.parametrize("loop", [False, True], ids=["no loop", "inside a loop"])
def test_the_modes_run_async_jobs_with_and_without_a_running_loop(loop: bool) -> None:
    """perform_now, inline and fake: the whole pipeline, to the end, on either kind of caller."""

    def check() -> None:
        tenant.set("caller")
        assert EchoJob.perform_now(1) == (1, "caller")
        with pytest.raises(OSError, match="1"):
            EchoJob.perform_now(1, fails=1)  # final: no retry behind the caller's back
        with inline():
            assert EchoJob.perform_async(2, fails=1).result() == (2, "caller")
            with pytest.raises(OSError, match="2"):
                EchoJob.perform_async(2, fails=2)
        with fake() as recorder:
            handle = EchoJob.perform_async(3, fails=1)
            assert recorder.drain() == 1
            assert handle.status is Status.RETRYING
            assert recorder.advance(5) == 1
            assert handle.result() == (3, "caller")

    async def inside() -> None:
        check()

    if loop:
        asyncio.run(inside())
    else:
        contextvars.copy_context().run(check)


def test_two_threads_that_start_the_event_loop_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop of the slower one ends, is not counted, and is not stopped again with the other."""
    made: list[Loop] = []
    both = threading.Barrier(2)

    class Together(Loop):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)
            both.wait(WAIT)

    monkeypatch.setattr(loop_module, "Loop", Together)

    class First(Job):
        async def perform(self) -> None: ...

    class Second(Job):
        async def perform(self) -> None: ...

    threads = [threading.Thread(target=each.perform_async) for each in (First, Second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert counterpunch.wait_idle(WAIT)
    runtime = current()
    (kept,) = runtime.loops.threads()
    (slower,) = [loop for loop in made if loop.thread is not kept]
    slower.thread.join(WAIT)
    assert slower.loop.is_closed()
    assert runtime.loops.idents() == {kept.ident}
    assert counterpunch.shutdown(WAIT).clean
    assert [loop.loop.is_closed() for loop in made] == [True, True]


def handing_on(function: Callable[..., Any]) -> Callable[..., Any]:
    """A plain decorator: it gives what the function gives, a coroutine or not."""

    @functools.wraps(function)
    def around(*args: Any) -> Any:
        return function(*args)

    return around


def made_async(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def around(*args: Any) -> Any:
        return function(*args)

    return around


class MadeSync:
    """As asgiref's ``async_to_sync``: an object that runs the coroutine to its end."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function

    def __call__(self, *args: Any) -> Any:
        return asyncio.run(self.function(*args))

    def __get__(self, instance: object, owner: type) -> Callable[..., Any]:
        return functools.partial(self, instance)


def test_decorators_around_perform() -> None:
    """What a call of the decorated function gives counts, not how the innermost is written."""

    class Plain:
        def double(self, number: int) -> int:
            return 2 * number

        async def double_async(self, number: int) -> int:
            return 2 * number

    performs = [
        handing_on(Plain.double),
        handing_on(handing_on(Plain.double_async)),
        made_async(Plain.double),
        handing_on(made_async(Plain.double)),
        MadeSync(Plain.double_async),
    ]
    for perform in performs:
        job: Any = type("Decorated", (Job,), {"perform": perform})
        assert job.perform_async(21).result(WAIT) == 42
        assert job.perform_now(21) == 42
        with pytest.raises(TypeError, match="number"):
            job.perform_async()
        method: Any = counterpunch.delay(type("Holder", (), {"double": perform})())
        assert method.double(21).result(WAIT) == 42


@pytest.mark.parametrize("place", ["may_start", "judge"])
def test_a_defect_ends_the_job_and_not_the_worker(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is not the user's code, whoever wrote it: the job fails, and the next one runs."""
    owner: Any = attempt_module if place == "judge" else accepting()
    original = getattr(owner, place)

    def broken(*args: Any) -> Any:
        monkeypatch.setattr(owner, place, original)
        raise RuntimeError("a defect")

    class Survivor(Job):
        workers = 1
        timeout = 60.0

        async def perform(self, fails: bool) -> str:
            if fails:
                raise LookupError
            return "ran"

    monkeypatch.setattr(owner, place, broken)
    first = Survivor.perform_async(place == "judge")
    with pytest.raises(RuntimeError, match="a defect"):
        first.result(WAIT)
    assert first.status is Status.FAILED
    assert Survivor.perform_async(False).result(WAIT) == "ran"


def test_await_a_handle() -> None:
    """``await handle`` in another loop gives the result, or the job's exception."""

    async def main() -> int:
        value, _ = await EchoJob.perform_async(7)
        failing = EchoJob.using(retry=None).perform_async(7, fails=1)
        with pytest.raises(OSError, match="1"):
            await failing
        return value

    assert asyncio.run(main()) == 7
