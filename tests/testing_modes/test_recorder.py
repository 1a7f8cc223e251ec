"""A recorder after its block, and waits that nothing would end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from counterpunch import Batch, CounterpunchError, Handle, Job, Rate, Retry, Status
from counterpunch.testing import Fake, fake


class Mail(Job):
    retry = Retry(2, wait=30, jitter=0)

    def perform(self, to: str) -> None:
        if to == "nobody":
            raise OSError


class Other(Job):
    def perform(self) -> None: ...


def test_what_still_waited_can_be_read_and_asserted() -> None:
    """In its order, with its due times; what ran is not among it."""
    with fake() as recorder:
        ran = Mail.perform_async("first")
        retrying = Mail.perform_async("nobody")
        recorder.drain()
        later = Mail.perform_in(60, "later")
        queued = Mail.perform_async("ada")
    assert recorder.jobs == [queued, retrying, later]
    assert recorder.assert_enqueued(Mail, args=("ada",)) is queued
    assert recorder.assert_enqueued(Mail, args=("later",), within=60) is later
    with pytest.raises(AssertionError, match=r"not enqueued: .*Mail args=.*later.* within=59"):
        recorder.assert_enqueued(Mail, args=("later",), within=59)
    recorder.assert_not_enqueued(Other)
    with pytest.raises(AssertionError, match="enqueued, but should not be"):
        recorder.assert_not_enqueued(Mail)
    assert ran.status is Status.SUCCEEDED
    assert queued.status is Status.LOST


@pytest.mark.parametrize(
    "call",
    [Fake.drain, Fake.perform_one, Fake.clear, lambda recorder: recorder.advance(1)],
    ids=["drain", "perform_one", "clear", "advance"],
)
def test_nothing_runs_after_the_block(call: Callable[[Fake], object]) -> None:
    with fake() as recorder:
        Mail.perform_async("ada")
    with pytest.raises(CounterpunchError, match="block of this recorder has ended"):
        call(recorder)
    assert len(recorder.jobs) == 1


def test_a_block_that_raises_leaves_its_recording() -> None:
    recorders = []

    def fails() -> None:
        with fake() as recorder:
            recorders.append(recorder)
            Mail.perform_async("ada")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    recorders[0].assert_enqueued(Mail, args=("ada",))


def awaits(handle: Any) -> None:
    async def main() -> None:
        await handle

    asyncio.run(main())


WAITS: dict[str, Callable[[Handle[Any]], object]] = {
    "result": lambda handle: handle.result(timeout=1),
    "result without limit": lambda handle: handle.result(),
    "exception": lambda handle: handle.exception(timeout=1),
    "await": awaits,
    "future": lambda handle: handle.future().result(),
    "future's exception": lambda handle: handle.future().exception(timeout=1),
}


@pytest.mark.parametrize("wait", WAITS)
def test_a_wait_that_cannot_end_is_a_timeout(wait: str) -> None:
    """What the code under test would get, and may handle, with a word about what is missing."""
    with fake() as recorder:
        handle = Mail.perform_async("ada")
        for kind in (TimeoutError, CounterpunchError):
            with pytest.raises(kind, match=r"waits in testing.fake\(\).*call drain\(\)"):
                WAITS[wait](handle)
        recorder.drain()
        WAITS[wait](handle)


def test_so_is_that_for_a_batch() -> None:
    with fake() as recorder:
        with Batch() as batch:
            Mail.perform_async("ada")
        with pytest.raises(TimeoutError, match=r"call drain\(\)"):
            batch.wait()
        recorder.drain()
        assert batch.wait(1)


@pytest.mark.parametrize("limit", [None, Rate(1, per=100), Rate(2, per=10)])
@pytest.mark.parametrize("seed", range(4))
def test_jobs_are_in_the_order_in_which_they_run(seed: int, limit: Rate | None) -> None:
    """By priority where they are due at one instant, by the rate, and after a retry as well."""
    random, ran = Random(seed), list[Handle[Any]]()

    class Ordered(Job):
        rate = limit
        retry = Retry(2, wait=30, jitter=0)

        def perform(self, number: int) -> None:
            ran.append(self.handle)
            if failing and number % 3 == 0:
                raise OSError

    failing = True
    with fake() as recorder:
        for number in range(12):
            delay, priority = random.choice([0, 0, 50, 60, 60, 120]), random.choice([0, 0, 1, 5])
            Ordered.using(delay=delay, priority=priority).perform_async(number)
            if random.random() < 0.2:
                with contextlib.suppress(OSError):
                    recorder.advance(random.choice([0, 5, 30]))
        ran.clear()
        failing, expected = False, recorder.jobs
        recorder.advance(10_000)
        assert ran == expected
