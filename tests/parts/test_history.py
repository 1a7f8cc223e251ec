"""What is remembered of jobs that have ended: so many, and for so long."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import pytest
from making import call, lane, meanwhile, site

from counterpunch.core.places.history import TIDY_SECONDS
from counterpunch.core.places.scheduler import Scheduler, Timer
from counterpunch.core.values import weight
from counterpunch.core.values.clock import VirtualClock
from counterpunch.core.values.config import config
from counterpunch.core.values.handle import Call
from counterpunch.core.values.stage import STOPPED
from counterpunch.core.values.status import FAILED, SUCCEEDED, Status

KB = 1024


class Past:
    """A history, and jobs that end as the test says."""

    def __init__(self) -> None:
        self.site = site()
        self.lane = lane(self.site)
        self.clock: Any = self.site.clock
        self.history = self.site.history

    def ends(self, status: Status = SUCCEEDED, after: float = 1.0, given: Any = None) -> Call:
        """One more has ended, so many seconds after the one before."""
        self.clock.move_to(self.clock.monotonic() + after)
        made = call(self.lane) if given is None else call(self.lane, given)
        made.state, made.finished = status, self.clock.monotonic()
        self.history.store(status).append(made)
        self.history.tend(made.finished)
        return made

    def timers(self) -> list[float]:
        """When the scheduler is to look at the history."""
        scheduler = self.site.scheduler
        scheduler.next_in()
        return sorted(
            due
            for due, entry in scheduler._heap
            if isinstance(entry, Timer) and not entry.cancelled
        )

    def passes(self, seconds: float) -> None:
        """Time passes in an idle process: nobody comes by but the scheduler."""
        end = self.clock.monotonic() + seconds
        while (wait := self.site.scheduler.next_in()) is not None:
            if self.clock.monotonic() + wait > end:
                break
            self.clock.move_to(self.clock.monotonic() + wait)
            self.site.scheduler.run_due()
        self.clock.move_to(end)


def gone(past: Past, *arguments: Any) -> list[weakref.ref[Call]]:
    """Jobs that nobody but the history holds."""
    return [weakref.ref(past.ends(given=given)) for given in arguments]


def test_the_last_ones_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as ``history``, oldest first."""
    monkeypatch.setattr(config, "history", 3)
    past = Past()
    ended = [past.ends() for _ in range(5)]
    assert past.history.remembered() == ended[2:]


def test_failed_ones_stay_however_many_succeed(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have a store of their own; both together are in the order in which they ended."""
    monkeypatch.setattr(config, "history", 2)
    past = Past()
    failed = past.ends(FAILED)
    ended = [past.ends() for _ in range(5)]
    last = past.ends(FAILED)
    assert past.history.remembered() == [failed, *ended[3:], last]


def test_old_ones_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the instant on at which they are older than ``history_ttl``, though none ended since."""
    monkeypatch.setattr(config, "history_ttl", 60.0)
    past = Past()
    made = past.ends()
    past.clock.move_to(made.finished + 60.0)
    assert past.history.remembered() == [made]
    past.clock.move_to(made.finished + 60.5)
    assert past.history.remembered() == []


def test_old_ones_are_let_go_as_others_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """From both stores."""
    monkeypatch.setattr(config, "history_ttl", 60.0)
    past = Past()
    past.ends()
    past.ends(FAILED)
    kept = past.ends(after=50.0)
    last = past.ends(after=30.0)
    config.history_ttl = None  # nothing is left out for its age
    assert past.history.remembered() == [kept, last]


def test_without_an_age_nothing_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """``history_ttl=None`` keeps by number alone."""
    monkeypatch.setattr(config, "history_ttl", None)
    past = Past()
    made = past.ends()
    past.clock.move_to(made.finished + 1e9)
    assert past.history.remembered() == [made]


def test_one_that_others_take_away_meanwhile_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads look back at once: the other one has removed the oldest."""
    monkeypatch.setattr(config, "history_ttl", 60.0)
    past = Past()
    shelf = past.history.done
    meanwhile(shelf, "kept", "leaves", lambda: shelf.kept.clear())
    past.ends()
    past.ends(after=100.0)
    assert past.history.remembered() == []


def test_one_is_forgotten_wherever_it_is() -> None:
    """Of both stores; the others stay."""
    past = Past()
    good, bad, other = past.ends(), past.ends(FAILED), past.ends()
    past.history.forget(good)
    past.history.forget(bad)
    past.history.forget(bad)
    assert past.history.remembered() == [other]


def test_one_is_forgotten_although_others_end_during_the_search() -> None:
    """A deque that changes while it is searched says so: then it is searched again."""

    def another_ended() -> None:
        raise IndexError("deque mutated during remove().")

    past = Past()
    meanwhile(past.history.done, "kept", "leaves", another_ended)
    made = past.ends()
    past.history.forget(made)
    assert past.history.remembered() == []


def test_a_smaller_history_keeps_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    """And grows again without them."""
    past = Past()
    ended = [past.ends() for _ in range(4)]
    monkeypatch.setattr(config, "history", 2)
    past.history.reconfigured(frozenset({"history"}))
    assert past.history.remembered() == ended[2:]
    monkeypatch.setattr(config, "history", 3)
    past.history.reconfigured(frozenset({"history"}))
    assert past.history.remembered() == ended[2:]


# By weight


def test_the_oldest_are_described_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Down to three quarters of what there may be; a small one stays."""
    monkeypatch.setattr(config, "history_bytes", 100 * KB)
    past = Past()
    small = past.ends(given=1).id
    refs = gone(past, *(bytes(30 * KB) for _ in range(5)))
    assert [ref() is not None for ref in refs] == [False, False, True, True, True]
    found = past.history.remembered()
    assert [call.described for call in found] == [False, True, True, False, False, False]
    assert found[0].id == small
    assert found == past.history.remembered()


def test_failed_ones_are_described_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only they can be retried."""
    monkeypatch.setattr(config, "history_bytes", 100 * KB)
    past = Past()
    past.ends(FAILED, given=bytes(30 * KB))
    gone(past, *(bytes(30 * KB) for _ in range(10)))
    failed, *_, last = past.history.remembered()
    assert not failed.described
    assert not last.described
    del failed, last
    for _ in range(3):
        past.ends(FAILED, given=bytes(30 * KB))
    assert past.history.remembered()[0].described


def test_one_that_is_too_heavy_alone_is_described_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And with 0 every one that weighs something."""
    monkeypatch.setattr(config, "history_bytes", 0)
    past = Past()
    (ref,) = gone(past, bytes(2 * KB))
    assert ref() is None


def test_the_handle_that_somebody_holds_is_the_one_that_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With all that it has; then the description, always the same."""
    monkeypatch.setattr(config, "history_bytes", 0)
    past = Past()
    held = past.ends(given=bytes(2 * KB))
    number = held.number
    assert past.history.remembered() == [held]
    assert len(held.args[0]) == 2 * KB
    del held
    (twin,) = past.history.remembered()
    assert (twin.described, twin.number) == (True, number)
    assert past.history.remembered() == [twin]
    past.history.forget(twin)
    assert past.history.remembered() == []


def test_more_can_be_held_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was pushed out by number no longer counts."""
    monkeypatch.setattr(config, "history_bytes", 100 * KB)
    monkeypatch.setattr(config, "history", 2)
    past = Past()
    for _ in range(20):
        past.ends(given=bytes(30 * KB))
    assert [call.described for call in past.history.remembered()] == [False, False]


def test_jobs_without_anything_are_not_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No arguments and no result: most jobs that do nothing but work."""

    def weighed(call: Call) -> int:
        raise AssertionError(call)

    monkeypatch.setattr("counterpunch.core.places.history.weight_of", weighed)
    past = Past()
    made = past.ends()
    assert past.history.remembered() == [made]
    assert past.timers() == []


def test_while_jobs_end_all_the_time_it_is_tidied_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those in between wait; what is pushed out meanwhile is never weighed."""
    monkeypatch.setattr(config, "history", 5)
    weighed: list[Call] = []

    def weigh(call: Call) -> int:
        weighed.append(call)
        return weight.weight_of(call)

    monkeypatch.setattr("counterpunch.core.places.history.weight_of", weigh)
    past = Past()
    past.ends(given=bytes(KB))
    calls = [past.ends(after=TIDY_SECONDS / 100, given=bytes(KB)) for _ in range(50)]
    assert len(weighed) == 1
    assert past.history.remembered() == calls[-5:]
    past.history.tidy()
    assert weighed[1:] == calls[-5:]
    assert past.history.remembered() == calls[-5:]


@pytest.mark.parametrize("before", [0, 2_000], ids=["at first", "after light ones"])
def test_in_a_burst_heavy_ones_do_not_pile_up(monkeypatch: pytest.MonkeyPatch, before: int) -> None:
    """What nobody has weighed yet is bounded as well, a moment after light ones at the latest."""
    monkeypatch.setattr(config, "history_bytes", 64 * KB)
    past, burst, most = Past(), list[weakref.ref[Call]](), 0
    for number in range(before):
        past.ends(after=0.0, given=number)
    past.clock.move_to(past.clock.monotonic() + TIDY_SECONDS)
    for _ in range(100):
        burst.append(weakref.ref(past.ends(after=TIDY_SECONDS / 10, given=bytes(8 * KB))))
        most = max(most, sum(one() is not None for one in burst))
    assert most <= 24


@pytest.mark.parametrize("step", ["enters", "leaves"])
def test_two_that_tidy_at_once_lose_nothing(step: str) -> None:
    """The other one comes by before a job is taken, or put down."""
    past = Past()
    past.ends()
    calls = past.history.remembered()
    calls += [past.ends(after=TIDY_SECONDS / 100, given=bytes(4 * KB)) for _ in range(3)]
    shelf = past.history.done
    if step == "enters":
        meanwhile(shelf, "kept", step, past.history.tidy)
    else:
        meanwhile(shelf, "fresh", step, past.history.tidy)
        shelf.taker = iter(lambda: shelf.fresh.popleft(), None)  # type: ignore[assignment]
    past.history.tidy()
    assert past.history.remembered() == calls


# By age, in an idle process


def test_an_idle_process_lets_go_of_what_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler has one entry: the instant at which the oldest is too old."""
    monkeypatch.setattr(config, "history_ttl", 60.0)
    past = Past()
    refs = gone(past, "a secret", "another")
    start = past.clock.monotonic()
    assert past.timers() == [pytest.approx(start - 1.0 + 60.0 + 0.6, abs=0.01)]
    past.passes(59.7)
    assert [ref() is not None for ref in refs] == [False, True]
    past.passes(1.0)
    assert [ref() is not None for ref in refs] == [False, False]
    past.passes(600.0)
    assert past.timers() == []


def test_jobs_that_are_worth_nothing_start_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those without an argument, a result or an error go with the next one that ends."""
    monkeypatch.setattr(config, "history_ttl", 60.0)
    past = Past()
    past.ends()
    assert past.timers() == []
    past.ends(given="something")
    assert len(past.timers()) == 1


def test_a_process_that_stops_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody will be there to look."""
    past = Past()
    past.site.stage.enter(STOPPED)
    past.ends(given="something")
    assert past.timers() == []


def test_a_changed_age_counts_from_now_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry in the scheduler moves; without an age there is none."""
    monkeypatch.setattr(config, "history_ttl", None)
    past = Past()
    made = past.ends(given="something")
    assert past.timers() == []
    for ttl in (3600.0, 60.0):
        monkeypatch.setattr(config, "history_ttl", ttl)
        past.history.reconfigured(frozenset({"history_ttl"}))
        assert past.timers() == [pytest.approx(made.finished + ttl, rel=0.01)]
    monkeypatch.setattr(config, "history_ttl", None)
    past.history.reconfigured(frozenset({"history_ttl"}))
    assert past.timers() == []


@pytest.mark.parametrize("vital", [False, True])
def test_no_thread_for_the_history_is_no_error(
    vital: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """CPython 3.12.0 to 3.12.2 start none as they end; a job's time limit is another matter."""
    scheduler = Scheduler(VirtualClock(0.0), lambda call: None, True)
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    scheduler.add(Timer(lambda: None, vital=vital), 1.0)
    assert [record.levelname for record in caplog.records] == ["ERROR"] * vital


def no_thread(_: object) -> None:
    raise RuntimeError("can't start new thread")
