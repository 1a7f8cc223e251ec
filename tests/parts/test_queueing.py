"""Into a queue and out of it: whoever pauses or stops a class comes in between, and no job is
queued twice, held twice or lost without a word."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from making import Parts, call, job, meanwhile, running, where

from counterpunch.core.places.backlog import Backlog, Worker
from counterpunch.core.values.handle import Call
from counterpunch.core.values.stage import DRAINING
from counterpunch.core.values.status import LOST, QUEUED, RUNNING


class Meeting(Backlog):
    """A pool in which somebody else acts as soon as a job is in its queue."""

    def __init__(self, act: Any) -> None:
        super().__init__("meeting", 1, False, False, lambda pool: None)
        self._act = act

    def offer(self) -> None:
        self._act()


def queued(parts: Parts, *args: Any, **options: Any) -> Call:
    """A job of a class of its own, pushed."""
    made = call(parts.lane(job(**options)), *args)
    parts.queueing.push(made)
    return made


def test_a_job_is_queued() -> None:
    """It waits in the pool of its class, and counts."""
    made = queued(Parts())
    assert where(made) == ["queue"]
    assert (made.state, made.lane.waiting()) == (QUEUED, 1)


def test_a_job_goes_where_its_own_options_say() -> None:
    """Into another pool, or another level; it still counts as waiting for its class, and the
    short path is closed."""
    parts = Parts()
    one = parts.lane(job(max_jobs=1))
    one.gate.lane = one
    other = parts.site.pools["other"] = Backlog("other", 1, True, False, lambda pool: None)
    made = call(one)
    made.extra().options = {"pool": "other", "priority": 7}
    parts.queueing.push(made)
    assert other.calls() == [made] == one.queued_calls()
    assert one.full()
    assert one.gate.lane is None


def test_while_its_class_is_paused_a_job_is_held() -> None:
    """In the order of the queue; the end of the pause lets them go on in it."""
    parts = Parts()
    one = parts.lane(job())
    parts.steering.pause(one.job)
    late, early = call(one), call(one)
    early.due -= 5.0
    for made in (late, early):
        parts.queueing.push(made)
    assert where(late) == where(early) == ["hold"]
    assert (late.state, one.waiting()) == (QUEUED, 2)
    parts.steering.resume(one.job)
    assert one.pool.calls() == [early, late]


def test_a_pause_takes_back_what_is_queued() -> None:
    """No worker shall find it."""
    parts = Parts()
    made = queued(parts)
    parts.steering.pause(made.job)
    assert where(made) == ["hold"]


def test_a_pause_as_a_job_is_queued_holds_it() -> None:
    """It came after the look at the class and before the job was in the queue: whoever queues
    looks again."""
    parts = Parts()
    one = parts.lane(job())
    made = call(one)
    one.pool = Meeting(lambda: one.halt(paused=True))
    parts.queueing.push(made)
    assert where(made) == ["hold"]


def test_a_stop_as_a_job_is_queued_loses_it_once() -> None:
    """The sweep may not have seen it."""
    parts = Parts()
    one = parts.lane(job())
    made = call(one)
    one.pool = Meeting(lambda: one.halt(paused=False))
    parts.queueing.push(made)
    assert (made.state, where(made)) == (LOST, ["history"])
    assert parts.lost() == [made]


def test_the_end_of_a_pause_as_a_job_is_held_lets_it_go() -> None:
    """It had looked through those that are held before this one was there."""
    parts = Parts()
    one = parts.lane(job())
    parts.steering.pause(one.job)
    meanwhile(one, "hold", "enters", lambda: parts.steering.resume(one.job))
    made = call(one)
    parts.queueing.push(made)
    assert where(made) == ["queue"]


def test_a_job_held_as_the_process_stops_is_lost() -> None:
    """Nobody will resume its class; the drain had looked before."""
    parts = Parts()
    one = parts.lane(job())
    parts.steering.pause(one.job)
    parts.site.stage.deadline = 100.0
    made = call(one)
    parts.queueing.push(made)
    assert made.state is LOST
    assert "paused" in made.error


def test_a_job_cancelled_as_its_class_is_resumed_is_not_queued() -> None:
    """It was still among those that were to be let go."""
    parts = Parts()
    one = parts.lane(job())
    parts.steering.pause(one.job)
    first, second = call(one), call(one)
    for made in (first, second):
        parts.queueing.push(made)
    meanwhile(one, "hold", "leaves", lambda: parts.steering.cancel(second))
    parts.steering.resume(one.job)
    assert where(first) == ["queue"]
    assert where(second) == ["history"]


def test_a_job_that_a_worker_took_as_its_class_was_paused_is_held() -> None:
    """Its attempt has not begun: it has no start and no number."""
    parts = Parts()
    made = running(parts.lane(job()))
    worker = Worker()
    worker.call = made
    made.lane.pool.workers.add(worker)
    made.lane.halt(paused=True)
    assert parts.queueing.turned_away(made, True)
    assert where(made) == ["hold"]
    assert (made.state, made.attempt, made.started) == (QUEUED, 0, None)


def test_a_job_that_its_caller_runs_goes_on_in_a_pause() -> None:
    """``perform_now``: no worker has it."""
    parts = Parts()
    made = running(parts.lane(job()))
    made.lane.halt(paused=True)
    assert not parts.queueing.turned_away(made, True)
    assert (made.state, where(made)) == (RUNNING, ["running"])


def test_a_job_that_a_worker_took_as_the_process_stopped_is_lost_once() -> None:
    """Whoever takes it out of those that run has it: the worker here, the drain there."""
    parts = Parts()
    made, swept = running(parts.lane(job())), running(parts.lane(job()))
    for each in (made, swept):
        each.lane.halt(paused=False)
    meanwhile(swept.lane, "running", "leaves", lambda: swept.lane.running.clear())
    assert parts.queueing.turned_away(made, True)
    assert parts.queueing.turned_away(swept, True)
    assert parts.lost() == [made]
    assert swept.state is RUNNING  # the drain is about to end it


def test_a_queue_that_nobody_will_work_at_is_lost() -> None:
    """Of all levels, and the class has its room back."""
    parts = Parts()
    one = parts.lane(job())
    made = [call(one) for _ in range(3)]
    for number, each in enumerate(made):
        each.extra().options = {"priority": number}
        parts.queueing.push(each)
    parts.queueing.lose_queue(one.pool, "for the test")
    assert sorted(parts.lost()) == made
    assert {each.error for each in made} == {"for the test"}
    assert one.waiting() == 0


@pytest.mark.parametrize("draining", [False, True])
def test_jobs_without_a_thread_wait_but_for_a_drain(
    draining: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The next enqueue tries again to start one, and a drain has no time for that."""
    parts = Parts()
    made = queued(parts)
    if draining:
        parts.site.stage.enter(DRAINING)
    with caplog.at_level(logging.ERROR, "counterpunch"):
        parts.queueing.no_thread(made.lane.pool, RuntimeError("no thread"))
    assert made.state is (LOST if draining else QUEUED)
    assert ("1 jobs wait for one" in caplog.text) is not draining
