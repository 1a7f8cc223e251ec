"""How a job ends: once, counted, remembered, and told to whoever waits."""

from __future__ import annotations

import logging
import weakref
from contextvars import Context
from typing import Any

import pytest
from making import Bed, call, job, lane, running, site

from counterpunch import Rate
from counterpunch.core.moves.endings import Endings
from counterpunch.core.places.keys import Key
from counterpunch.core.places.lane import Lane
from counterpunch.core.places.scheduler import Timer
from counterpunch.core.values.config import config
from counterpunch.core.values.hooks import process
from counterpunch.core.values.stage import ShutdownReport
from counterpunch.core.values.status import CANCELLED, DISCARDED, FAILED, LOST, SUCCEEDED, TERMINAL


class End:
    """Endings over a site, and a lane of it."""

    def __init__(self, **options: Any) -> None:
        self.site = site()
        self.lane: Lane = lane(self.site, job(**options))
        self.endings = Endings(self.site)

    def counted(self, status: Any) -> int:
        return self.lane.ledger.ended[status].value


def test_a_watcher_hears_of_the_end_and_the_history_has_the_job() -> None:
    """With the reason as its error."""
    one, heard = End(), []
    made = call(one.lane)
    one.site.watchers.watch(made, heard.append)
    one.endings.end(made, CANCELLED, "for the test")
    assert heard == [made] == one.site.history.remembered()
    assert (made.state, made.error, one.counted(CANCELLED)) == (CANCELLED, "for the test", 1)
    assert made.finished == one.lane.monotonic()


def test_whoever_hears_of_it_sees_the_whole_end() -> None:
    """State, count and history are there before the first watcher is called."""
    one, seen = End(), []
    made = running(one.lane)
    made.outcome = 42
    one.lane.running.clear()
    one.site.watchers.watch(
        made,
        lambda ended: seen.append(
            (ended.state, ended.outcome, one.counted(SUCCEEDED), one.site.history.remembered())
        ),
    )
    one.endings.end(made, SUCCEEDED)
    assert seen == [(SUCCEEDED, 42, 1, [made])]


def test_what_a_job_kept_alive_is_let_go() -> None:
    """Its context, the exception of its last attempt, and its tokens."""
    one = End()
    made = running(one.lane)
    made.context = Context()
    made.extra().exception = ValueError()
    one.site.tokens.cancels.add(made)
    one.site.tokens.overruns.add(made)
    one.endings.end(made, FAILED)
    assert (made.context, made.more.exception) == (None, None)
    assert not made.cancel_requested()


def test_the_key_is_free_before_the_job_has_ended() -> None:
    """Nobody is to be given a job that has ended in place of a new one."""
    one, seen = End(), []

    class Table(dict[Any, Any]):
        def pop(self, *args: Any) -> Any:
            seen.append(made.state in TERMINAL)
            return super().pop(*args)

    one.site.keys.table = Table()
    made = call(one.lane)
    made.extra().key, made.extra().name = ("a",), Key(made.job, ("a",))
    one.site.keys.claim(made)
    one.endings.end(made, CANCELLED, "for the test")
    assert seen == [False]
    assert one.site.keys.table == {}


@pytest.mark.parametrize("cause", ["expired", "queue_full", "duplicate", "refused", "rolled_back"])
def test_a_discarded_job_is_counted_by_its_cause(cause: str) -> None:
    """The causes add up to ``discarded``."""
    one = End()
    one.endings.end(call(one.lane), DISCARDED, "for the test", cause)
    counts = one.lane.counts(one.lane.monotonic())
    assert (getattr(counts.discards, cause), sum(counts.discards), counts.discarded) == (1, 1, 1)


def test_times_are_noted_of_an_attempt_only() -> None:
    """One that never ran has no times; one with a reason was not ended by its attempt."""
    one = End()
    one.endings.end(call(one.lane), CANCELLED, "for the test")
    made = running(one.lane)
    made.due, made.started = made.due - 3.0, made.due - 2.0
    one.endings.end(made, SUCCEEDED)
    waits, runs = one.lane.timings.durations.read()
    assert (waits.total, waits.sum) == (1, 1.0)
    assert (runs.total, runs.sum) == (1, 2.0)


def test_the_place_of_a_job_in_its_rate_is_given_back() -> None:
    """And it is said, so that the next one has it."""
    one = End(rate=Rate(1, per=10.0))
    bucket, now = one.lane.bucket, one.lane.monotonic()
    assert bucket is not None
    made = call(one.lane)
    assert bucket.take(made, now)
    assert bucket.next(now) == float("inf")
    one.endings.end(made, CANCELLED, "for the test")
    assert bucket.next(now) == now
    assert ("advance", one.lane) in one.lane.moves.asked


def test_a_timer_of_a_job_is_cancelled_once() -> None:
    """And the scheduler forgets it."""
    one = End()
    made = call(one.lane)
    timer = made.extra().timer = Timer(lambda: None)
    one.endings.no_timer(made)
    one.endings.no_timer(made)
    one.endings.no_timer(call(one.lane))
    assert (timer.cancelled, made.more.timer) == (True, None)


def test_who_waits_for_idleness_hears_of_a_job_that_never_ran() -> None:
    """No worker falls asleep after it. After an attempt one does."""
    one, bed = End(), Bed()
    one.site.resting.sleepers.append(bed.wake)
    one.endings.end(running(one.lane), SUCCEEDED)
    assert bed.woken == 0
    one.endings.end(call(one.lane), CANCELLED, "for the test")
    assert bed.woken == 1


def test_an_integration_keeps_what_a_retry_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked with the context of the job, before that is dropped."""
    context, asked = Context(), []
    monkeypatch.setattr(process, "keep", lambda given: asked.append(given) or str)
    one = End()
    made = call(one.lane)
    made.context = context
    one.endings.end(made, CANCELLED, "for the test")
    one.endings.end(call(one.lane), CANCELLED, "without a context")
    assert asked == [context]
    assert made.more.kept is str


def test_lost_jobs_are_on_the_list_until_the_drain_takes_them() -> None:
    """In the order in which they were lost."""
    one = End()
    made = [call(one.lane), call(one.lane)]
    for each in made:
        one.endings.lose(each)
    assert {each.state for each in made} == {LOST}
    assert list(one.endings.lost) == made


def test_one_that_is_lost_after_the_report_is_reported_by_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log, and to ``on_lost``."""
    one, told = End(), []
    monkeypatch.setattr(config, "on_lost", told.append)
    one.site.stage.report = ShutdownReport({}, [], 0.0, True)
    made = call(one.lane)
    with caplog.at_level(logging.ERROR, "counterpunch"):
        one.endings.lose(made)
    assert told == [[made]]
    assert "was lost" in caplog.text
    assert list(one.endings.lost) == []


def test_what_is_too_old_is_let_go_as_a_job_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else would look."""
    monkeypatch.setattr(config, "history_ttl", 60.0)
    one = End()
    old = call(one.lane)
    one.endings.end(old, CANCELLED, "for the test")
    gone = weakref.ref(old)
    del old
    clock: Any = one.site.clock
    clock.move_to(clock.monotonic() + 100.0)
    made = call(one.lane)
    one.endings.end(made, CANCELLED, "for the test")
    assert one.site.history.remembered() == [made]
    assert gone() is None
