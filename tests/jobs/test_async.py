"""``async def perform``: one loop thread of the library's own, bounded by ``workers``."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import counterpunch
from counterpunch import Cancelled, Job, Retry, Status, current_job, job
from counterpunch import _execution as execution_module
from counterpunch import _loop as loop_module
from counterpunch._loop import Loop
from counterpunch._performing import Performing
from counterpunch._runtime import current
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
    (kept,) = runtime.loops()
    (slower,) = [loop for loop in made if loop.thread is not kept]
    slower.thread.join(WAIT)
    assert slower.loop.is_closed()
    assert runtime.loop_threads() == {kept.ident}
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


@pytest.mark.parametrize("place", ["may_start", "_judge"])
def test_a_defect_ends_the_job_and_not_the_worker(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is not the user's code, whoever wrote it: the job fails, and the next one runs."""
    owner: Any = execution_module if place == "_judge" else Performing
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
    first = Survivor.perform_async(place == "_judge")
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
