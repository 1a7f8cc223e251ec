"""Taking a job out and what follows: all of it, though an exception comes out of nowhere."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from threading import Event, Thread, get_ident
from typing import Any

import pytest
from making import Parts, call, job, put, where

from counterpunch.core.moves import taking
from counterpunch.core.places.backlog import Worker
from counterpunch.core.values.handle import Call
from counterpunch.core.values.status import DISCARDED, QUEUED, RETRYING, RUNNING, SUCCEEDED


class Interruption(BaseException):
    """What a signal handler raises."""


class Looked(deque[Call]):
    """A container; somebody else acts, once, when it is looked for a job in there."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self._acts = [act]

    def __contains__(self, one: object) -> bool:
        if self._acts:
            self._acts.pop()()
        return super().__contains__(one)


class Table(Parts):
    """The moves, and one class; ``follow`` is broken off as often as the test says."""

    def __init__(self, breaks: int = 0) -> None:
        super().__init__()
        self.of = self.lane(job())
        self.breaks = breaks
        self.followed: list[Call] = []

    def deferred(self) -> Call:
        made = call(self.of)
        put(made, "deferred")
        return made

    def follow(self, made: Call) -> None:
        """Queue the job, unless it is broken off before."""
        self.followed.append(made)
        if self.breaks:
            self.breaks -= 1
            raise Interruption
        self.queueing.push(made)

    def take(self, made: Call) -> bool:
        return self.taking.out_of(made, self.of.scheduled, self.of.deferred, follow=self.follow)


def test_whoever_takes_a_job_out_does_what_follows() -> None:
    """Out of whichever table it is in; nobody else does it again."""
    one = Table()
    made = one.deferred()
    assert one.take(made)
    assert not one.take(made)
    assert (where(made), one.followed) == (["queue"], [made])


def test_what_was_broken_off_is_carried_out_before_the_exception_goes_on() -> None:
    """The one who was interrupted has the exception, and the job is where it belongs."""
    one = Table(breaks=1)
    made = one.deferred()
    with pytest.raises(Interruption):
        one.take(made)
    assert (where(made), one.followed) == (["queue"], [made, made])
    assert not one.site.left


def test_what_is_broken_off_twice_is_left_to_the_next_that_comes() -> None:
    """An enqueue, a worker, the drain: here the long way of an enqueue."""
    one = Table(breaks=2)
    made = one.deferred()
    with pytest.raises(Interruption):
        one.take(made)
    assert where(made) == []
    other = one.admission().enqueue(one.of.job, (), {})
    assert where(made) == where(other) == ["queue"]
    assert not one.site.left


def test_what_is_broken_off_twice_is_carried_out_on_a_thread_of_its_own(monkeypatch: Any) -> None:
    """Where there are threads: nobody else may come."""
    one, apart, ended = Table(breaks=2), list[int](), Event()
    one.site.stage.threads = True
    made = one.deferred()
    follow, repair = one.follow, one.taking.repair

    def noted(made: Call) -> None:
        apart.append(get_ident())
        follow(made)

    def repair_and_say() -> None:
        repair()
        ended.set()

    monkeypatch.setattr(one.taking, "repair", repair_and_say)
    with pytest.raises(Interruption):
        one.taking.out_of(made, one.of.deferred, follow=noted)
    assert ended.wait(10)
    assert where(made) == ["queue"]
    assert len(set(apart)) == 2
    assert not one.site.left


def test_where_no_thread_can_be_had_it_is_left_to_the_next_that_comes(monkeypatch: Any) -> None:
    """The interruption is raised, not that."""

    def none(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    one = Table(breaks=2)
    one.site.stage.threads = True
    made = one.deferred()
    monkeypatch.setattr(taking._thread, "start_new_thread", none)
    with pytest.raises(Interruption):
        one.take(made)
    assert where(made) == []
    one.taking.ready()
    assert where(made) == ["queue"]


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("ask", ["cancel", "reschedule", "cancel_all", "pause", "resume"])
def test_who_steers_a_job_carries_out_what_is_left_before(ask: str, held: bool) -> None:
    """A job that was broken off twice can be cancelled, and moved; of a paused class as well."""
    one = Table()
    steering, lane = one.steering, one.of
    made = call(lane)
    if held:
        lane.halt(paused=True)
        one.queueing.push(made)
    else:
        one.waiting.schedule(made, lane.monotonic() + 60.0)
    one.breaks = 2
    take = partial(one.taking.out_of_queue, follow=one.follow) if held else one.take
    with pytest.raises(Interruption):
        take(made)
    assert where(made) == []
    if ask == "cancel":
        assert steering.cancel(made)
    elif ask == "reschedule":
        assert steering.reschedule(made, 90.0)
    elif ask == "cancel_all":
        assert steering.cancel_all(lane.job) == 1
    else:
        getattr(steering, ask)(lane.job)
    assert not one.site.left
    assert len(where(made)) == 1


def test_a_job_that_is_somewhere_is_left_there() -> None:
    """It was broken off after the job had been put down: nothing follows a second time, but who
    sleeps is woken, for it may not have heard."""
    one, woken = Table(), []
    made = one.deferred()
    one.site.resting.sleepers.append(lambda: woken.append(True))

    def follow(made: Call) -> None:
        one.followed.append(made)
        one.queueing.push(made)
        raise Interruption

    with pytest.raises(Interruption):
        one.taking.out_of(made, one.of.deferred, follow=follow)
    assert (where(made), one.followed, woken) == (["queue"], [made], [True])


@pytest.mark.parametrize("there", ["hand", "running", "retrying", "ended"])
def test_a_job_that_goes_on_while_it_is_looked_for_is_left_to_go_on(there: str) -> None:
    """It was broken off after the job had been queued, and a worker takes it from before the very
    eyes of who repairs."""
    one = Table()
    made, worker = one.deferred(), Worker()

    def moves_on() -> None:
        assert one.of.pool.take(worker) is made
        if there == "hand":
            one.of.pool.workers.add(worker)
            return
        made.state = RUNNING
        if there == "running":
            put(made, "running")
        elif there == "retrying":
            made.attempt, made.state = 1, RETRYING
            put(made, "retrying")
        else:
            one.endings.end(made, SUCCEEDED)

    def follow(made: Call) -> None:
        one.followed.append(made)
        one.queueing.push(made)
        one.of.hold = Looked(moves_on)
        raise Interruption

    with pytest.raises(Interruption):
        one.taking.out_of(made, one.of.deferred, follow=follow)
    places = {"hand": [], "ended": ["history"]}
    assert (where(made), one.followed) == (places.get(there, [there]), [made])


def test_a_job_that_had_ended_is_left_so_and_told_again() -> None:
    """A watcher that was not reached is told by the one who repairs."""
    one, heard = Table(), []
    made = one.deferred()

    def follow(made: Call) -> None:
        one.endings.end(made, DISCARDED, "for the test")
        one.site.watchers.table[made] = watchers
        raise Interruption

    one.site.watchers.watch(made, heard.append)
    watchers = one.site.watchers.table.pop(made)
    with pytest.raises(Interruption):
        one.taking.out_of(made, one.of.deferred, follow=follow)
    assert heard == [made]
    assert where(made) == ["history"]


@pytest.mark.parametrize("held", [False, True])
def test_a_job_is_taken_out_of_its_queue_or_of_those_held(held: bool) -> None:
    """Its class counts one less; whoever comes too late has nothing."""
    one, taken = Table(), []
    if held:
        one.of.halt(paused=True)
    made = call(one.of)
    one.queueing.push(made)
    assert where(made) == ["hold" if held else "queue"]
    assert one.taking.out_of_queue(made, taken.append)
    assert not one.taking.out_of_queue(made, taken.append)
    assert (where(made), taken, one.of.waiting()) == ([], [made], 0)


def test_a_queued_job_goes_on_after_an_interruption() -> None:
    """It was taken out to be moved."""
    one = Table(breaks=1)
    made = call(one.of)
    one.queueing.push(made)
    with pytest.raises(Interruption):
        one.taking.out_of_queue(made, one.follow)
    assert (where(made), made.state, one.of.waiting()) == (["queue"], QUEUED, 1)


def test_a_new_job_is_counted_and_goes_on() -> None:
    """It counts as accepted before anything follows."""
    one = Table(breaks=1)
    made = call(one.of)
    before = one.of.ledger.accepted.value
    with pytest.raises(Interruption):
        one.taking.new(made, one.follow)
    assert one.of.ledger.accepted.value == before + 1
    assert where(made) == ["queue"]


def test_what_may_be_begun_again_is_done_to_its_end() -> None:
    """``resume``: all that are held are let go."""
    one, steps = Table(), []

    def step() -> None:
        steps.append(len(steps))
        if len(steps) < 2:
            raise Interruption

    with pytest.raises(Interruption):
        one.taking.surely(step)
    assert steps == [0, 1]


def test_two_who_repair_do_it_once() -> None:
    """The second finds nothing left while the first is at it."""
    one, done = Table(), []

    def entry() -> None:
        done.append(None)
        one.taking.repair()

    one.site.left.append((entry, (), 0))
    one.taking.repair()
    assert done == [None]


def test_two_entries_of_one_job_are_carried_out_one_after_the_other() -> None:
    """Each asks where the job is; a second thread leaves its entry to the one that is at it."""
    one, seen = Table(), []
    made = one.deferred()

    def second(made: Call) -> None:
        seen.append(("second", get_ident()))

    def first(made: Call) -> None:
        one.site.left.append((second, (made,), 0))
        other = Thread(target=one.taking.repair)
        other.start()
        other.join(10)
        seen.append(("first", get_ident()))

    one.site.left.append((first, (made,), 0))
    one.taking.repair()
    assert seen == [("first", get_ident()), ("second", get_ident())]
    assert not one.site.left


def test_what_fails_again_and_again_is_given_up(
    monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It has a defect; that is said, and the next entry has its turn."""
    monkeypatch.setattr(taking, "TRIES", 3)
    one, tried = Table(), []

    def entry() -> None:
        tried.append(None)
        raise LookupError

    one.site.left.append((entry, (), 0))
    with caplog.at_level(logging.CRITICAL, "counterpunch"):
        for _ in range(4):
            with pytest.raises(LookupError):
                one.taking.repair()
        one.taking.repair()
    assert len(tried) == 4
    assert "given up" in caplog.text
