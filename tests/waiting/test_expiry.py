"""A job that has expired is in nobody's way: not its key, nor its room, nor its place in a rate."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import counterpunch
from counterpunch import Discarded, Job, Rate, Status
from counterpunch.testing import Fake, fake

WAIT = 10.0


@pytest.fixture
def recorder() -> Iterator[Fake]:
    with fake() as made:
        yield made


def later(recorder: Fake, seconds: float) -> None:
    """Time passes, and nobody has looked yet at what is due."""
    clock = recorder._runtime.clock
    clock.move_to(clock.monotonic() + seconds)  # type: ignore[attr-defined]


@pytest.mark.parametrize("looked", [False, True])
@pytest.mark.parametrize("answer", ["existing", "discard", "raise", "replace"])
@pytest.mark.parametrize("scope", ["queued", "active"])
def test_an_expired_job_has_no_key(recorder: Fake, scope: str, answer: str, looked: bool) -> None:
    """The newer one is accepted and runs, whatever is said to duplicates."""

    class Sync(Job):
        identity = staticmethod(lambda user: user)
        unique, on_duplicate, expires_in = scope, answer, 60

        def perform(self, user: int) -> None: ...

    Sync.pause()
    stale = Sync.perform_async(7)
    if looked:
        recorder.advance(61)
    else:
        later(recorder, 61)
    fresh = Sync.perform_async(7)
    assert stale.status is Status.DISCARDED
    Sync.resume()
    recorder.drain()
    assert fresh.status is Status.SUCCEEDED


@pytest.mark.parametrize("policy", ["raise", "discard", "discard_oldest", "block", "caller_runs"])
def test_an_expired_job_takes_no_room(recorder: Fake, policy: str) -> None:
    """For a new job, whatever the overflow policy is: it is queued."""

    class Small(Job):
        max_jobs, overflow, expires_in = 3, policy, 60

        def perform(self) -> None: ...

    stale = [Small.perform_async() for _ in range(3)]
    later(recorder, 61)
    assert Small.perform_async().status is Status.QUEUED
    assert {handle.status for handle in stale} == {Status.DISCARDED}
    assert {handle.error for handle in stale} == {"waited 61 s, expires_in=60"}


def test_an_expired_job_takes_no_room_from_one_that_falls_due(recorder: Fake) -> None:
    """Nor from one that fell due before and has waited for room since."""

    class Due(Job):
        max_jobs, overflow, block_timeout = 1, "block", None

        def perform(self) -> None: ...

    Due.pause()
    stale = Due.using(expires_in=60).perform_async()
    waits, due = Due.perform_in(10), Due.perform_in(100)
    recorder.advance(59)
    assert (stale.status, waits.status) == (Status.QUEUED, Status.SCHEDULED)
    recorder.advance(2)
    assert (stale.status, waits.status) == (Status.DISCARDED, Status.QUEUED)
    recorder.advance(60)
    assert due.status is Status.SCHEDULED


def test_who_waits_for_room_expires_as_well(recorder: Fake) -> None:
    """He has waited longer than he may, whatever it was for."""

    class Room(Job):
        max_jobs, overflow, block_timeout = 1, "block", None

        def perform(self) -> None: ...

    Room.pause()
    Room.perform_async()
    waits = Room.using(expires_in=5, delay=10).perform_async()
    recorder.advance(14)
    assert waits.status is Status.SCHEDULED
    recorder.advance(2)
    assert waits.status is Status.DISCARDED


def test_an_expired_job_has_no_place_in_the_line(recorder: Fake) -> None:
    """Those of a low priority, who never come to its head, end at their instant all the same."""

    class Ranked(Job):
        rate = Rate(1, per=10)

        def perform(self) -> None: ...

    low = Ranked.using(expires_in=15).perform_bulk([()] * 3)
    high = [Ranked.using(priority=9).perform_async() for _ in range(5)]
    recorder.advance(16)
    assert {handle.status for handle in low} == {Status.DISCARDED}
    recorder.advance(40)
    assert {handle.status for handle in high} == {Status.SUCCEEDED}


def test_one_that_was_to_start_and_expires_leaves_its_place(recorder: Fake) -> None:
    """It was in the queue of a paused class, with the only place there is."""

    class Only(Job):
        rate = Rate(1, per=1000)

        def perform(self) -> None: ...

    Only.pause()
    stale = Only.using(expires_in=5).perform_async()
    next_one = Only.perform_async()
    assert (stale.status, next_one.status) == (Status.QUEUED, Status.SCHEDULED)
    recorder.advance(6)
    assert (stale.status, next_one.status) == (Status.DISCARDED, Status.QUEUED)


def test_each_expires_at_its_own_instant(recorder: Fake) -> None:
    """However they came, and by whatever they expire; one moved to later has its time anew."""

    class Mixed(Job):
        expires_in = 30

        def perform(self) -> None: ...

    Mixed.pause()
    usual, short = Mixed.perform_async(), Mixed.using(expires_in=5).perform_async()
    moved, never = Mixed.perform_async(), Mixed.using(expires_in=None).perform_async()
    assert moved.reschedule(20)
    ended: list[tuple[Any, float]] = []
    for name, handle in {"usual": usual, "short": short, "moved": moved}.items():
        handle.add_done_callback(
            lambda call, name=name: ended.append((name, call.finished - usual.enqueued))
        )
    recorder.advance(1000)
    assert [(name, pytest.approx(when)) for name, when in ended] == [
        ("short", 5.0),
        ("usual", 30.0),
        ("moved", 50.0),
    ]
    assert never.status is Status.QUEUED
    assert Mixed.stats().discards.expired == 3


def test_a_job_expires_behind_a_stuck_worker() -> None:
    """Whoever waits for it hears so at that instant, and a producer that waits for room gets it."""
    begun, go_on = threading.Event(), threading.Event()

    class Stuck(Job):
        workers, max_jobs, overflow, block_timeout = 1, 1, "block", WAIT
        expires_in = 0.1

        def perform(self, stuck: bool = False) -> None:
            if stuck:
                begun.set()
                assert go_on.wait(WAIT)

    first = Stuck.using(expires_in=None).perform_async(True)
    assert begun.wait(WAIT)
    stale = Stuck.perform_async()
    fresh = Stuck.using(expires_in=None).perform_async()  # blocks until there is room
    with pytest.raises(Discarded, match=r"expires_in=0\.1"):
        stale.result(WAIT)
    assert first.running()
    go_on.set()
    assert fresh.result(WAIT) is None
    assert counterpunch.wait_idle(WAIT)


def test_a_full_queue_of_a_stuck_class_empties_itself() -> None:
    """The jobs came the short way, and no worker ever looks at them."""
    begun, go_on, gone = threading.Event(), threading.Event(), threading.Event()

    class Held(Job):
        workers, expires_in = 1, 0.05

        def perform(self, held: bool = False) -> None:
            if held:
                begun.set()
                assert go_on.wait(WAIT)

    Held.using(expires_in=None).perform_async(True)
    assert begun.wait(WAIT)
    handles = [Held.perform_async() for _ in range(5)]
    handles[-1].add_done_callback(lambda _: gone.set())
    assert gone.wait(WAIT)
    assert [handle.status for handle in handles] == [Status.DISCARDED] * 5
    go_on.set()


@pytest.mark.parametrize("before", [None, 3600.0])
def test_a_changed_expires_in_counts_for_those_that_wait(before: float | None) -> None:
    """From then on: who has waited longer gives up its room, others do so at their instant."""

    class Changed(Job):
        max_jobs, expires_in = 2, before

        def perform(self) -> None: ...

    with fake() as recorder:
        Changed.pause()
        old = Changed.perform_async()
        recorder.advance(100)
        new = Changed.perform_async()
        Changed.expires_in = 60
        assert (old.status, new.status) == (Status.DISCARDED, Status.QUEUED)
        recorder.advance(30)
        newest = Changed.perform_async()
        recorder.advance(31)
        assert new.status is Status.DISCARDED
        Changed.expires_in = None
        recorder.advance(3600)
        assert newest.status is Status.QUEUED
