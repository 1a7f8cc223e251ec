"""How a job is accepted, the long way: checked, bounded, unique, numbered and placed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from making import Asked, Parts, interrupted, job, meanwhile, where

from counterpunch import Discard, Duplicate, InvalidOption, QueueFull, ShuttingDown
from counterpunch.core.values.config import config
from counterpunch.core.values.hooks import process
from counterpunch.core.values.stage import DRAINING, QUIET
from counterpunch.core.values.status import (
    CANCELLED,
    DEFERRED,
    DISCARDED,
    LOST,
    QUEUED,
    SCHEDULED,
    SUCCEEDED,
)


class Desk(Parts):
    """The long way for one class."""

    def __init__(self, **body: Any) -> None:
        super().__init__()
        self.mode = Asked()
        self.door = self.admission(self.mode)
        self.of = self.lane(job(**body))

    def enqueue(self, *args: Any, **options: Any) -> Any:
        return self.door.enqueue(self.of.job, args, {}, options or None)

    @property
    def accepted(self) -> int:
        return self.of.counts(self.clock.monotonic()).accepted


def unique(**body: Any) -> Desk:
    """Jobs with the same first argument are the same."""
    return Desk(unique="active", identity=staticmethod(lambda key: key), **body)


class Transaction:
    """One that the test ends."""

    def __init__(self, is_open: bool = True) -> None:
        self.is_open = is_open
        self.commit: Callable[[], object]
        self.rollback: Callable[[], object]

    def defer(self, commit: Callable[[], object], rollback: Callable[[], object]) -> bool:
        self.commit, self.rollback = commit, rollback
        return self.is_open


def test_a_job_is_numbered_queued_and_said() -> None:
    """The mode hears of it, and the next enqueue may take the short path."""
    desk = Desk()
    first, second = desk.enqueue("a"), desk.enqueue("b")
    assert (first.args, first.state, where(first)) == (("a",), QUEUED, ["queue"])
    assert first.id != second.id
    assert desk.mode.asked == [("placed", first), ("placed", second)]
    assert desk.opened[0] is desk.of


@pytest.mark.parametrize("options", [{"delay": -1.0}, {"at": float("nan")}])
def test_who_is_refused_was_never_accepted(options: Any) -> None:
    """No number, no place, no count."""
    desk = Desk()
    with pytest.raises(InvalidOption):
        desk.enqueue("a", **options)
    assert desk.accepted == 0
    assert desk.mode.asked == []


def test_arguments_that_do_not_fit_are_refused() -> None:
    """As ``perform`` itself would."""
    desk = Desk(perform=lambda self: None)
    with pytest.raises(TypeError):
        desk.enqueue("one too many")
    assert desk.accepted == 0


@pytest.mark.parametrize("phase", [QUIET, DRAINING])
def test_a_process_that_stops_refuses_from_outside(phase: str) -> None:
    """Nothing was accepted."""
    desk = Desk()
    desk.site.stage.enter(phase)
    with pytest.raises(ShuttingDown):
        desk.enqueue("a")
    assert desk.accepted == 0


def test_a_delay_waits_and_a_time_past_does_not() -> None:
    """Delays are of the monotonic clock, times of the wall."""
    desk = Desk()
    assert desk.enqueue("a", delay=5.0).state is SCHEDULED
    assert desk.enqueue("a", delay=0).state is QUEUED
    assert desk.enqueue("a", at=desk.clock.time() - 60.0).state is QUEUED
    later = desk.enqueue("a", at=desk.clock.time() + 60.0)
    assert later.state is SCHEDULED
    desk.passes(60.0)
    assert later.state is QUEUED


def test_arguments_are_sent_through_an_encoding_if_told_to(monkeypatch: Any) -> None:
    """``strict_args``: what the job gets are not the caller's own objects."""
    monkeypatch.setattr(config, "strict_args", "copy")
    desk, given = Desk(), [1]
    made = desk.enqueue(given)
    assert made.args == ([1],)
    assert made.args[0] is not given


# A full queue


def test_a_full_queue_refuses() -> None:
    """``overflow = "raise"``, the default: nothing was accepted."""
    desk = Desk(max_jobs=1)
    desk.enqueue("a")
    with pytest.raises(QueueFull):
        desk.enqueue("b")
    assert desk.accepted == 1


def test_a_full_queue_does_not_keep_a_delay_away() -> None:
    """It needs room when it is due."""
    desk = Desk(max_jobs=1)
    desk.enqueue("a")
    assert desk.enqueue("b", delay=1.0).state is SCHEDULED


@pytest.mark.parametrize(
    ("overflow", "first", "second"),
    [
        ("discard", QUEUED, DISCARDED),
        ("discard_oldest", DISCARDED, QUEUED),
        ("caller_runs", QUEUED, SUCCEEDED),
    ],
)
def test_the_policy_says_what_becomes_of_one_too_many(
    overflow: str, first: Any, second: Any
) -> None:
    """Both are accepted, and one of them waits."""
    desk = Desk(max_jobs=1, overflow=overflow)
    made = [desk.enqueue("a"), desk.enqueue("b")]
    assert [each.state for each in made] == [first, second]
    assert (desk.accepted, desk.of.waiting()) == (2, 1)


def test_a_producer_that_was_woken_and_refused_wakes_the_next() -> None:
    """It was woken for room that it does not take."""
    desk, woken = Desk(perform=lambda self: None), []
    desk.of.blocked.append(lambda: woken.append("next"))
    with pytest.raises(TypeError):
        desk.enqueue("one too many")
    assert woken == ["next"]


# One job per identity


def test_a_duplicate_gets_the_one_that_is_there() -> None:
    """``on_duplicate = "existing"``, the default."""
    desk = unique()
    first = desk.enqueue("a")
    assert desk.enqueue("a") is first
    assert desk.enqueue("b") is not first
    assert desk.accepted == 2


def test_a_duplicate_may_be_an_error() -> None:
    """Nothing was accepted."""
    desk = unique(on_duplicate="raise")
    desk.enqueue("a")
    with pytest.raises(Duplicate, match="same identity"):
        desk.enqueue("a")
    assert desk.accepted == 1


def test_a_duplicate_may_be_discarded() -> None:
    """It is accepted and has ended."""
    desk = unique(on_duplicate="discard")
    first = desk.enqueue("a")
    second = desk.enqueue("a")
    assert (first.state, second.state) == (QUEUED, DISCARDED)
    assert first.id in second.error
    assert desk.accepted == 2


def test_a_duplicate_may_replace_the_one_that_waits() -> None:
    """The first is cancelled, and no room is needed for the second."""
    desk = unique(on_duplicate="replace", max_jobs=1)
    first = desk.enqueue("a")
    second = desk.enqueue("a")
    assert (first.state, second.state) == (CANCELLED, QUEUED)
    assert desk.of.queued_calls() == [second]


def test_of_two_at_once_the_faster_has_the_key() -> None:
    """The other one looked before it was taken, and comes too late to claim it: it gets the
    first one's handle, and was not accepted."""
    desk = unique()
    desk.site.keys.table = interrupted(dict, "setdefault", lambda: made.append(desk.enqueue("a")))
    made: list[Any] = []
    made.append(desk.enqueue("a"))
    assert made[0] is made[1]
    assert (desk.accepted, desk.of.waiting()) == (1, 1)


# Middleware


def test_a_middleware_that_discards_ends_the_job(monkeypatch: Any) -> None:
    """It was accepted; who enqueues gets the handle."""

    @contextmanager
    def refuse(made: Any) -> Iterator[None]:
        raise Discard("not today")
        yield

    monkeypatch.setattr(process, "around_enqueue", (refuse,))
    desk = Desk()
    made = desk.enqueue("a")
    assert (made.state, made.error, where(made)) == (DISCARDED, "not today", ["history"])
    assert desk.of.counts(0.0).discards.refused == 1


def test_a_middleware_that_raises_refuses_the_job(monkeypatch: Any) -> None:
    """The caller has the exception, and the job has ended."""

    @contextmanager
    def fail(made: Any) -> Iterator[None]:
        raise LookupError
        yield

    monkeypatch.setattr(process, "around_enqueue", (fail,))
    desk = Desk()
    with pytest.raises(LookupError):
        desk.enqueue("a")
    assert (desk.accepted, desk.of.waiting()) == (1, 0)
    assert desk.of.counts(0.0).discarded == 1


def test_a_middleware_changes_options_while_it_is_around(monkeypatch: Any) -> None:
    """And no longer afterwards."""

    @contextmanager
    def urgent(made: Any) -> Iterator[None]:
        made.options["priority"] = 9
        yield

    monkeypatch.setattr(process, "around_enqueue", (urgent,))
    desk = Desk()
    made = desk.enqueue("a")
    assert made.options["priority"] == 9
    assert desk.of.pool.calls() == [made]
    with pytest.raises(Exception, match="has its place"):
        made.options["priority"] = 1


def test_a_hook_that_raises_keeps_no_job_away(caplog: pytest.LogCaptureFixture) -> None:
    """``on_enqueue`` is told, and is logged."""

    def on_enqueue(self: Any) -> None:
        raise LookupError

    desk = Desk(on_enqueue=on_enqueue)
    with caplog.at_level(logging.ERROR, "counterpunch"):
        assert desk.enqueue("a").state is QUEUED
    assert "on_enqueue" in caplog.text


# An exception out of nowhere


class Interruption(BaseException):
    """What a signal handler raises."""


def test_an_enqueue_broken_off_before_its_number_leaves_nothing() -> None:
    """Not even its key: the next of its identity is accepted."""

    def interrupt() -> None:
        raise Interruption

    desk = unique()
    desk.site.keys.table = interrupted(dict, "setdefault", interrupt, late=True)
    with pytest.raises(Interruption):
        desk.enqueue("a")
    assert (desk.accepted, desk.site.keys.table) == (0, {})
    assert desk.enqueue("a").state is QUEUED


def test_an_enqueue_broken_off_before_its_place_is_discarded() -> None:
    """It was counted, and so it ends: the caller has no handle, and nothing waits."""

    def interrupt() -> None:
        raise Interruption

    desk = Desk()
    meanwhile(desk.of, "scheduled", "enters", interrupt)
    with pytest.raises(Interruption):
        desk.enqueue("a", delay=5.0)
    (made,) = desk.site.history.remembered()
    assert (made.state, made.error) == (DISCARDED, "its enqueue was interrupted")
    assert desk.of.counts(0.0).discards.refused == desk.accepted == 1


def test_an_enqueue_broken_off_after_its_place_goes_on() -> None:
    """The job waits where it was put; the next enqueue takes the long way, and looks."""
    desk = Desk()

    class Hasty(Asked):
        def placed(self, made: Any) -> None:
            raise Interruption

    door = desk.admission(Hasty())
    with pytest.raises(Interruption):
        door.enqueue(desk.of.job, ("a",), {})
    assert (desk.accepted, len(desk.of.queued_calls())) == (1, 1)


# A transaction


def test_a_job_waits_for_its_transaction() -> None:
    """Until it is committed; then it is queued, or waits for its time."""
    desk = Desk()
    now, later = Transaction(), Transaction()
    first = desk.enqueue("a", after_commit=now)
    second = desk.enqueue("a", after_commit=later, delay=5.0)
    assert [where(each) for each in (first, second)] == [["deferred"], ["deferred"]]
    assert first.state is DEFERRED
    now.commit()
    later.commit()
    assert [where(each) for each in (first, second)] == [["queue"], ["scheduled"]]
    assert len(desk.mode.asked) == 4  # each as it was accepted, and as it was placed


def test_a_rollback_drops_the_job() -> None:
    """Whatever comes after it does nothing."""
    desk, one = Desk(), Transaction()
    made = desk.enqueue("a", after_commit=one)
    one.rollback()
    one.commit()
    assert (made.state, where(made)) == (DISCARDED, ["history"])
    assert desk.of.counts(0.0).discards.rolled_back == 1


def test_without_an_open_transaction_nothing_waits() -> None:
    """It is as without ``after_commit``."""
    assert Desk().enqueue("a", after_commit=Transaction(is_open=False)).state is QUEUED


def test_a_transaction_that_ends_before_the_job_is_there_counts() -> None:
    """It is committed by another thread while the job is built."""
    desk = Desk()

    class Hasty(Transaction):
        def defer(self, commit: Any, rollback: Any) -> bool:
            commit()
            return True

    assert desk.enqueue("a", after_commit=Hasty()).state is QUEUED


def test_a_job_deferred_as_the_process_stopped_is_lost() -> None:
    """The sweep was over before it was among those that wait."""
    desk = Desk()
    meanwhile(desk.of, "deferred", "enters", lambda: desk.of.halt(paused=False))
    made = desk.enqueue("a", after_commit=Transaction())
    assert made.state is LOST
    assert desk.lost() == [made]


def test_a_job_cancelled_as_its_transaction_ends_is_not_queued() -> None:
    """Whoever takes it out of the deferred ones has it."""
    desk, one = Desk(), Transaction()
    made = desk.enqueue("a", after_commit=one)
    meanwhile(desk.of, "deferred", "leaves", lambda: desk.steering.cancel(made))
    one.commit()
    assert (made.state, where(made)) == (CANCELLED, ["history"])


def test_a_duplicate_of_one_that_is_on_its_way_is_not_accepted_again() -> None:
    """Another thread asks for the same as soon as the key is taken, before the job has counted as
    accepted: it gets that job, which is accepted and queued once."""
    desk, others = unique(), []
    table = interrupted(dict, "setdefault", lambda: others.append(desk.enqueue(7)), late=True)
    desk.site.keys.table = table
    made = desk.enqueue(7)
    assert others == [made]
    assert (desk.accepted, where(made)) == (1, ["queue"])
