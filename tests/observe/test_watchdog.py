"""The watchdog: jobs that starve are reported once each, queue depths are noted, and an idle
process, or one with threads to spare, is left alone."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

import counterpunch
from counterpunch import InvalidOption, Job
from counterpunch.core.places.timings import SLOTS
from counterpunch.core.process.in_force import current
from counterpunch.observe import chart
from counterpunch.observe import watchdog as _watchdog

SOON = 10.0  # bound of every wait, in seconds


class Stuck(Job):
    """One worker, held until the gate opens."""

    workers = 1
    gate = threading.Event()
    entered = threading.Semaphore(0)

    def perform(self, hold: bool = True) -> None:
        if hold:
            self.wait_for_the_gate()

    def wait_for_the_gate(self) -> None:
        self.entered.release()
        self.gate.wait(SOON)


@pytest.fixture
def stuck():
    Stuck.gate.clear()
    Stuck.entered = threading.Semaphore(0)
    handle = Stuck.perform_async()
    assert Stuck.entered.acquire(timeout=SOON)
    yield handle
    Stuck.gate.set()
    counterpunch.wait_idle(SOON)


@pytest.fixture
def told(monkeypatch):
    """The watchdog looks when the test tells it to, and at no other time: a look of its own
    at the same moment could be the one that reports."""
    monkeypatch.setattr(_watchdog.Watchdog, "_look_at", lambda self, due: None)


def records(caplog):
    return [record for record in caplog.records if "starved_after" in record.getMessage()]


def eventually_awake(watchdog):
    """A helper wakes it where the scheduler's thread is to be started for it."""
    deadline = time.monotonic() + SOON
    while watchdog.asleep:
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


def test_a_starving_job_is_reported_once_with_the_stack_it_waits_for(told, stuck, caplog):
    """The record names the class, the wait, the job; it shows where the worker is."""
    counterpunch.configure(starved_after=0.0)
    waiting = Stuck.perform_async(False)
    watchdog = current().watchdog
    watchdog.look()
    (record,) = records(caplog)
    text = record.getMessage()
    assert record.levelname == "WARNING"
    assert text.startswith("Stuck: 1 queued for more than starved_after=0 s, the oldest for ")
    assert waiting.id in text
    assert f"counterpunch-Stuck_0: Stuck {stuck.id} attempt 1 for " in text
    assert "in wait_for_the_gate" in text
    assert (record.job_id, record.job, record.attempt) == (waiting.id, "Stuck", 0)

    watchdog.look()
    assert len(records(caplog)) == 1, "once each"
    second = Stuck.perform_async(False)
    watchdog.look()
    assert len(records(caplog)) == 2
    assert second.id in records(caplog)[1].getMessage()
    assert waiting.id not in records(caplog)[1].getMessage()


def test_many_starving_jobs_are_one_record(told, stuck, caplog):
    """Ten are named, the rest counted."""
    counterpunch.configure(starved_after=0.0)
    handles = Stuck.perform_bulk([(False,)] * 25)
    current().watchdog.look()
    (record,) = records(caplog)
    assert "Stuck: 25 queued" in record.getMessage()
    assert [handle.id in record.getMessage() for handle in handles] == [True] * 10 + [False] * 15
    assert "and 15 more" in record.getMessage()


def test_who_waits_less_or_on_purpose_is_not_reported(told, stuck, caplog):
    """Within the limit, in a paused class, or with the limit off."""
    Stuck.perform_async(False)
    watchdog = current().watchdog
    watchdog.look()
    counterpunch.configure(starved_after=None)
    watchdog.look()
    counterpunch.configure(starved_after=0.0)
    Stuck.pause()
    watchdog.look()
    assert records(caplog) == []
    Stuck.resume()
    watchdog.look()
    assert len(records(caplog)) == 1


def test_it_wakes_with_the_last_worker_and_sleeps_when_all_do(stuck):
    """Busy: it looks. Idle again: it does not, and the next job wakes it."""
    watchdog = current().watchdog
    eventually_awake(watchdog)
    watchdog.look()
    assert not watchdog.asleep, "there is still a job"
    Stuck.gate.set()
    assert counterpunch.wait_idle(SOON)
    watchdog.look()
    assert watchdog.asleep
    Stuck.perform_async(False).result(SOON)
    assert not watchdog.asleep


def test_a_worker_to_spare_leaves_it_asleep():
    """And so no thread of the scheduler is started for a job now and then."""

    class Now(Job):
        workers = 2

        def perform(self) -> None: ...

    Now.perform_async().result(SOON)
    assert current().watchdog.asleep
    assert current().scheduler.thread is None


def test_it_looks_by_itself(stuck, caplog, monkeypatch):
    """The timer of the scheduler, in real time."""
    reported = threading.Event()

    class Listening(logging.Handler):
        def emit(self, record):
            if "starved_after" in record.getMessage():
                reported.set()

    monkeypatch.setattr(_watchdog, "SLOT_SECONDS", 0.02)
    counterpunch.configure(starved_after=0.0)
    Stuck.gate.set()
    assert counterpunch.wait_idle(SOON)
    current().watchdog.look()  # asleep: the next timer has the short slot
    Stuck.gate.clear()
    handler = Listening()
    logging.getLogger("counterpunch").addHandler(handler)
    try:
        Stuck.perform_async()
        Stuck.perform_async(False)
        assert reported.wait(SOON)
    finally:
        logging.getLogger("counterpunch").removeHandler(handler)


def test_it_comes_back_when_the_oldest_job_will_have_waited_too_long(stuck, monkeypatch):
    """Not only at the next slot: a job that came just after the first look is seen in time."""
    looks = []
    monkeypatch.setattr(_watchdog.Watchdog, "_look_at", lambda self, due: looks.append(due))
    monkeypatch.setattr(_watchdog, "SLOT_SECONDS", 1e9)
    counterpunch.configure(starved_after=500.0)
    waiting = Stuck.perform_async(False)
    current().watchdog.look()
    assert looks[-1] == pytest.approx(waiting.due + 500.0)


def test_a_starving_async_job_shows_where_the_others_wait(told, caplog):
    """The tasks of the loop have no thread of their own: the chain of awaits is shown."""
    gate, entered = asyncio.Event(), threading.Event()

    class Async(Job):
        workers = 1

        async def perform(self) -> None:
            await self.deep()

        async def deep(self) -> None:
            entered.set()
            await gate.wait()

    counterpunch.configure(starved_after=0.0)
    try:
        first = Async.perform_async()
        assert entered.wait(SOON)
        second = Async.perform_async()
        current().watchdog.look()
        (record,) = records(caplog)
        assert second.id in record.getMessage()
        assert "in deep" in record.getMessage()
        eventually_awake(current().watchdog)
    finally:
        current().loops.event_loop().call(gate.set)
        first.result(SOON)
        second.result(SOON)


def test_the_depth_of_a_queue_over_time(stuck):
    """Noted at the start of each slot; without a note it is as before; the last is now."""
    lane = current().lane(Stuck)
    timings = lane.timings
    start = (lane.monotonic() // 10 + 1) * 10 + 1
    for slot, depth in ((0, 3), (1, 7), (4, 0)):
        timings.note_depth(start + 10 * slot, depth)
    depths = chart.depths(timings, start + 50, 2)
    assert len(depths) == SLOTS
    assert depths[-7:] == [3, 7, 7, 7, 0, 0, 2]
    assert not any(depths[:-7])
    assert chart.depths(timings, start + 10_000, 0) == [0] * SLOTS


def test_a_bad_limit_is_refused():
    """By name."""
    with pytest.raises(InvalidOption, match="configure: starved_after=-1"):
        counterpunch.configure(starved_after=-1)
