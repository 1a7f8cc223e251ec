"""Finding a job by its id, wherever it is, and what the history remembers."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref
from typing import Any

import pytest
from doors import LONG, Door
from doors import door as door

import counterpunch
from counterpunch import Job, Status, testing
from counterpunch.core.places.history import History
from counterpunch.core.places.lane import Lane
from counterpunch.core.values.hooks import process
from counterpunch.core.workers.whereabouts import Whereabouts

# find, history


def test_find_in_each_state(door: Door) -> None:
    """Live jobs are always found, wherever they wait; finished ones as long as remembered."""
    running = door.enter()
    queued = door.job.perform_async()
    scheduled = door.job.perform_in(60)
    for handle in (running, queued, scheduled):
        assert counterpunch.find(handle.id) is handle
    door.open.set()
    queued.result(LONG)
    assert counterpunch.find(queued.id) is queued
    prefix, _, number = scheduled.id.rpartition("-")
    unknown_ids = ["", "x", "a-b-c", running.id + "0", "0-0-0", running.id[:-1] + "zz"]
    unknown_ids += [f"{prefix}-{also}" for also in ("0x" + number, "+" + number, "0" + number)]
    for unknown in unknown_ids:
        assert counterpunch.find(unknown) is None
    assert counterpunch.find(None) is None  # type: ignore[arg-type]


def test_find_on_the_way_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that has stopped running and is not remembered yet is found all the same."""
    seen: list[object] = []
    ids: list[str] = []

    class Ending(Job):
        timeout = 60.0  # one that goes the long way, past ``keep``

        @staticmethod
        def identity(go: threading.Event) -> str:
            return "the only one"

        def perform(self, go: threading.Event) -> None:
            assert go.wait(LONG)

    def look(context: contextvars.Context) -> None:
        seen.append(counterpunch.find(ids[0]))
        seen.append(Ending.latest("the only one"))
        seen.extend(counterpunch.jobs(Ending))

    monkeypatch.setattr(process, "keep", look)
    go = threading.Event()
    contextvars.ContextVar[str]("one makes a context").set("that is kept")
    handle = Ending.perform_async(go)
    ids.append(handle.id)
    go.set()
    handle.result(LONG)
    assert seen == [handle] * 3


def test_a_job_that_starts_while_one_looks_for_it_is_seen(
    monkeypatch: pytest.MonkeyPatch, door: Door
) -> None:
    """It leaves the queue before the queue is looked at; once, whichever way it goes."""
    queued_calls = Lane.queued_calls
    hold = threading.Event()
    first = door.enter()
    second = door.job.perform_async(lambda job: hold.wait(LONG))

    def start_first(lane: Lane) -> list[Any]:
        monkeypatch.setattr(Lane, "queued_calls", queued_calls)
        door.open.set()
        assert door.inside.acquire(timeout=LONG)
        return queued_calls(lane)

    monkeypatch.setattr(Lane, "queued_calls", start_first)
    found = counterpunch.jobs(door.job)
    assert found.count(second) == 1
    assert second.status is Status.RUNNING
    assert found.count(first) == 1
    hold.set()


def test_latest_and_in_progress_put_nothing_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look through the class, however many jobs it has."""

    def refused(_: object) -> None:
        raise AssertionError("everything was put in order")

    class Named(Job):
        @staticmethod
        def identity(name: str) -> str:
            return name

        def perform(self, name: str) -> None: ...

    with testing.fake() as recorder:
        old = Named.perform_async("a")
        recorder.drain()
        handles = [Named.perform_in(60 - index, "a") for index in range(3)]
        Named.perform_in(1, "b")
        with monkeypatch.context() as patch:
            patch.setattr(Whereabouts, "live", refused)
            patch.setattr(History, "remembered", refused)
            assert Named.latest("a") is handles[-1]
            assert Named.in_progress("a")
            assert Named.status("a") is handles[-1].status
            for handle in handles:
                handle.cancel()
            assert not Named.in_progress("a")
            assert Named.latest("a") is handles[-1]
            assert Named.latest("c") is None
        assert old.done()


def test_history_is_bounded_by_count(door: Door) -> None:
    """``configure(history=n)`` remembers the newest n; 0 none at all."""
    door.open.set()
    counterpunch.configure(history=3)
    handles = [door.job.perform_async() for _ in range(10)]
    for handle in handles:
        handle.result(LONG)
    assert counterpunch.wait_idle(LONG)
    assert [h for h in handles if counterpunch.find(h.id)] == handles[-3:]
    counterpunch.configure(history=1)
    assert [h for h in handles if counterpunch.find(h.id)] == handles[-1:]
    counterpunch.configure(history=0)
    assert counterpunch.find(handles[-1].id) is None
    last = door.enter()
    last.result(LONG)
    assert counterpunch.wait_idle(LONG)  # until then its worker has it in hand
    assert counterpunch.find(last.id) is None


def test_history_is_bounded_by_age() -> None:
    """``configure(history_ttl=s)`` forgets what ended longer ago; None has no such limit."""

    class Aged(Job):
        def perform(self) -> None: ...

    counterpunch.configure(history_ttl=100)
    with testing.fake() as recorder:
        old = Aged.perform_async()
        recorder.drain()
        recorder.advance(60)
        young = Aged.perform_async()
        recorder.drain()
        recorder.advance(39)
        assert counterpunch.jobs(Aged) == [young, old]
        recorder.advance(2)
        assert counterpunch.find(old.id) is None
        assert counterpunch.jobs(Aged) == [young]
        counterpunch.configure(history_ttl=None)
        recorder.advance(10_000)
        assert counterpunch.find(young.id) is young


def test_what_is_too_old_is_let_go_at_the_next_ending(door: Door) -> None:
    """Age is not only a filter: the memory is given back while other jobs end."""
    door.open.set()
    counterpunch.configure(history_ttl=0)
    gone = weakref.ref(door.enter())
    assert counterpunch.wait_idle(LONG)
    door.enter()
    assert counterpunch.wait_idle(LONG)
    gc.collect()
    assert gone() is None


def test_the_newest_of_an_identity_is_known_though_unique_was_switched() -> None:
    """Jobs that were enqueued while it was on are no newer than those that came after."""

    class Switched(Job):
        identity = staticmethod(lambda number: number)
        unique: Any = "active"

        def perform(self, number: int) -> None: ...

    with testing.fake() as recorder:
        for unique in ("active", None, "queued", None):
            Switched.unique = unique
            recorder.advance(1)
            newest = Switched.perform_async(1)
            assert Switched.latest(1) is newest
            assert Switched.status(1) is Status.QUEUED
            recorder.drain()
            assert Switched.latest(1) is newest
