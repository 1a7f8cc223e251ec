"""One attempt, step by step: the test is the driver, so nothing runs but what it lets run."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any

import pytest
from making import Asked, call, job, lane, meanwhile, running, where

from counterpunch import Cancelled, Discard, Retry
from counterpunch.core.values.current import current
from counterpunch.core.values.handle import Call
from counterpunch.core.values.hooks import process
from counterpunch.core.values.status import (
    CANCELLED,
    DISCARDED,
    FAILED,
    QUEUED,
    RETRYING,
    RUNNING,
    SUCCEEDED,
)
from counterpunch.core.workers.attempt import (
    admitted,
    execute,
    execute_plain,
    run,
    run_async,
    steps,
)


def begun(*args: Any, **body: Any) -> Call:
    """A running job of a class of its own."""
    return running(lane(of=job(**body)), *args)


def driven(made: Call, *answers: Any, final: bool = False) -> Any:
    """What its steps gave, each answered by the next of the answers (an exception is thrown in),
    and the status at the end."""
    attempt, gave = steps(made, made.lane, final), []

    def drive() -> Any:
        try:
            gave.append(next(attempt))
            for answer in answers:
                if isinstance(answer, BaseException):
                    gave.append(attempt.throw(answer))
                else:
                    gave.append(attempt.send(answer))
        except StopIteration as end:
            return end.value
        return None

    status = Context().run(drive)
    return gave, status


def raiser(exc: BaseException) -> Callable[..., Any]:
    def perform(self: Any, *args: Any) -> Any:
        raise exc

    return perform


# The steps


def test_a_job_gives_its_value_and_what_is_sent_back_is_its_result() -> None:
    """The driver may await it in between."""
    made = begun(1, 2)
    assert driven(made, "awaited") == ([(1, 2)], SUCCEEDED)
    assert made.outcome == "awaited"


def test_before_comes_first_and_the_hooks_last() -> None:
    """Each piece of the user's code is a step of its own."""
    made = begun(
        before=lambda self: "before",
        perform=lambda self: "perform",
        on_success=lambda self, value: f"success {value}",
        after=lambda self: "after",
    )
    gave, status = driven(made, None, "result", None, None)
    assert (gave, status) == (["before", "perform", "success result", "after"], SUCCEEDED)


def test_what_is_thrown_in_is_the_failure() -> None:
    """As if ``perform`` had raised it: an awaited one does so."""
    made, seen = begun(on_failure=lambda self, exc: seen.append(exc)), []
    failure = LookupError("in vain")
    _, status = driven(made, failure, None)
    assert (status, made.outcome, seen) == (FAILED, failure, [failure])
    assert "in vain" in made.error


def test_a_failure_before_perform_is_one_of_the_attempt() -> None:
    """``perform`` is not called, the hooks are."""
    made, seen = begun(before=raiser(LookupError()), after=lambda self: seen.append("after")), []
    _, status = driven(made, None)
    assert (status, seen) == (FAILED, ["after"])


def test_a_class_that_cannot_be_made_still_hears_of_it() -> None:
    """Its hooks are called on an instance without ``__init__``."""
    seen: list[str] = []
    made = begun(__init__=raiser(LookupError()), after=lambda self: seen.append(self.handle.id))
    _, status = driven(made, None)
    assert (status, seen) == (FAILED, [made.id])


@pytest.mark.parametrize("exc", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_nothing_that_user_code_raises_gets_out(exc: BaseException) -> None:
    """It ends the attempt and no more."""
    assert driven(begun(perform=raiser(exc)))[1] is FAILED


def test_a_failure_is_retried_by_the_policy() -> None:
    """Due after the wait that it says, drawn from the source of chance that is handed in."""
    made = begun(perform=raiser(LookupError()), retry=Retry(3, wait=8.0))
    made.lane.chance.source = lambda: 0.5
    assert driven(made)[1] is RETRYING
    assert made.due == made.lane.monotonic() + 4.0
    made.attempt = 3
    assert driven(made)[1] is FAILED


def test_a_final_attempt_is_not_retried() -> None:
    """Whatever the policy says: ``perform_now``."""
    made = begun(perform=raiser(LookupError()), retry=Retry(3))
    assert driven(made, final=True)[1] is FAILED


def test_a_discard_ends_the_job_quietly() -> None:
    """Raised, or named by ``discard_on``."""
    made = begun(perform=raiser(Discard("not needed")), retry=Retry(3))
    assert driven(made)[1] is DISCARDED
    assert "not needed" in made.error
    made = begun(perform=raiser(LookupError()), retry=Retry(3), discard_on=LookupError)
    assert driven(made)[1] is DISCARDED


def test_cancelled_counts_only_with_a_token() -> None:
    """Without one it is a failure as any other."""
    made = begun(perform=raiser(Cancelled()))
    assert driven(made)[1] is FAILED
    made.lane.tokens.cancels.add(made)
    assert driven(made)[1] is CANCELLED


def test_a_job_sees_itself() -> None:
    """In its own context, and as ``self.handle``."""
    seen: list[Any] = []
    made = begun(perform=lambda self: seen.extend([current.get(), self.handle]))
    driven(made, None)
    assert seen == [made, made]
    assert current.get() is None


def test_middleware_is_around_the_attempt_and_not_around_the_hooks(monkeypatch: Any) -> None:
    """The first added is the outermost, and each sees the failure."""
    order: list[str] = []

    def around(name: str) -> Any:
        @contextmanager
        def manager(made: Call) -> Iterator[None]:
            order.append(f"into {name}")
            try:
                yield
            finally:
                order.append(f"out of {name}")

        return manager

    monkeypatch.setattr(process, "around_perform", (around("a"), around("b")))
    made = begun(
        perform=lambda self: order.append("perform"), after=lambda self: order.append("after")
    )
    assert driven(made, LookupError(), None)[1] is FAILED
    assert order == ["into a", "into b", "perform", "out of b", "out of a", "after"]


def test_middleware_may_refuse_the_attempt(monkeypatch: Any) -> None:
    """``Discard`` on entry: ``perform`` is not called."""

    @contextmanager
    def refuse(made: Call) -> Iterator[None]:
        raise Discard("closed")
        yield

    monkeypatch.setattr(process, "around_perform", (refuse,))
    assert driven(begun()) == ([], DISCARDED)


# The drivers


def test_run_takes_what_is_given_as_it_is() -> None:
    """Whatever a plain job returns is its result, if nobody has to await it."""
    made, value = begun(perform=lambda self: value), object()
    assert Context().run(run, steps(made, made.lane), made) is SUCCEEDED
    assert made.outcome is value


class Later:
    """Something to be awaited: it sleeps once, and then gives a value or raises."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Generator[str, None, Any]:
        yield "asleep"
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


def awaited(made: Call) -> tuple[list[str], Any]:
    """The sleeps of an attempt that is driven as by a loop, and its status."""
    task, sleeps, context = run_async(steps(made, made.lane)), [], Context()
    try:
        while True:
            sleeps.append(context.run(task.send, None))
    except StopIteration as end:
        return sleeps, end.value


def test_run_async_awaits_what_can_be_awaited() -> None:
    """A hook may be plain or not."""
    seen: list[Any] = []
    made = begun(
        before=lambda self: Later(None),
        perform=lambda self: Later("result"),
        on_success=lambda self, value: seen.append(value),
        after=lambda self: Later(None),
    )
    assert awaited(made) == (["asleep"] * 3, SUCCEEDED)
    assert (made.outcome, seen) == ("result", ["result"])


def test_what_is_raised_while_it_is_awaited_is_the_failure() -> None:
    """Of ``perform``; of a hook it is logged, and the others have their turn."""
    seen: list[Any] = []
    failure = LookupError()
    made = begun(
        perform=lambda self: Later(failure),
        on_error=lambda self, exc: Later(ValueError()),
        after=lambda self: seen.append("after"),
    )
    assert awaited(made) == (["asleep"] * 2, FAILED)
    assert (made.outcome, seen) == (failure, ["after"])


# Before and after


def test_a_job_that_may_start_is_running() -> None:
    """From then on the drain may end it."""
    one = lane()
    made = call(one)
    assert admitted(made, one)
    assert (made.state, made.attempt, made.started) == (RUNNING, 1, one.monotonic())
    assert where(made) == ["running"]
    assert one.ledger.attempts.value == 1


def test_a_job_of_its_own_is_asked_for() -> None:
    """One with an option, or of a class with a condition; it is not marked if it may not."""
    above = Asked(may_start=False)
    one = lane(above=above)
    made = call(one)
    made.extra()
    assert not admitted(made, one, forced=True)
    assert above.asked == [("may_start", made, True)]
    assert (made.state, made.attempt, where(made)) == (QUEUED, 0, [])


def test_a_halt_after_it_was_taken_turns_it_away() -> None:
    """It is seen as running first, so that drain and worker cannot both miss it."""
    above = Asked(turned_away=True)
    one = lane(above=above)
    one.halt(paused=True)
    made = call(one)
    assert not admitted(made, one)
    assert above.asked == [("turned_away", made, True)]
    assert where(made) == ["running"]
    assert one.ledger.attempts.value == 0


def test_an_attempt_is_settled_by_its_status() -> None:
    """What follows from it is asked of the moves."""
    above = Asked(may_start=True)
    made = call(lane(of=job(after=lambda self: None), above=above), "a")
    execute(made, worker=True)
    assert made.outcome == ("a",)
    assert above.asked[-1] == ("settle", made, SUCCEEDED)


@pytest.mark.parametrize("runner", [execute, execute_plain])
def test_a_defect_of_the_library_ends_the_job_as_failed(runner: Any, monkeypatch: Any) -> None:
    """The job is not left behind: here the tokens are broken, which only the judge asks."""
    above = Asked()
    one = lane(of=job(perform=raiser(Cancelled())), above=above)
    one.tokens.cancels = 3  # type: ignore[assignment]  # nothing is in a number
    made = call(one)
    runner(made, True) if runner is execute else runner(made, one)
    assert above.asked == [("settle", made, FAILED)]
    assert "not iterable" in made.error or "is not a container" in made.error


# The short way


def test_the_short_way_ends_a_plain_job_itself() -> None:
    """Counted, remembered and told, without a question to anybody."""
    above, heard = Asked(), []
    one = lane(above=above)
    made = call(one, "a")
    one.watchers.watch(made, heard.append)
    execute_plain(made, one)
    assert (made.state, made.outcome, where(made)) == (SUCCEEDED, ("a",), ["history"])
    assert (made.attempt, made.context, heard, above.asked) == (1, None, [made], [])
    counts = one.counts(one.monotonic())
    assert (counts.succeeded, counts.attempts, counts.run_times.total) == (1, 1, 1)


def test_the_short_way_hands_on_what_is_not_plain() -> None:
    """A failure, and a job that has reported progress."""
    above = Asked()
    one = lane(of=job(perform=raiser(LookupError())), above=above)
    failed = call(one)
    execute_plain(failed, one)
    other = lane(of=job(perform=lambda self: self.handle.extra()), above=above)
    told = call(other)
    execute_plain(told, other)
    assert above.asked == [("settle", failed, FAILED), ("settle", told, SUCCEEDED)]


def test_a_job_that_the_drain_gave_up_is_not_ended_twice() -> None:
    """It took it out of those that run just before the worker does: that was its one ending."""
    one = lane()
    made = call(one)
    meanwhile(one, "running", "leaves", lambda: one.running.clear())
    execute_plain(made, one)
    assert (made.state, made.finished, where(made)) == (RUNNING, None, [])
    assert one.ledger.ended[SUCCEEDED].value == 0


def test_a_job_that_is_cancelled_as_it_succeeds_keeps_no_token() -> None:
    """The token comes during ``perform``; nobody else would ever drop it."""
    one = lane(of=job(perform=lambda self: one.tokens.cancels.add(self.handle)))
    made = call(one)
    execute_plain(made, one)
    assert made.state is SUCCEEDED
    assert not made.cancel_requested()


def test_who_watches_as_the_job_ends_is_told_once() -> None:
    """The ending has remembered the job and not yet looked at the table of watchers."""
    one, heard = lane(), []
    made = call(one)
    meanwhile(one.history, "ended", "enters", lambda: one.watchers.watch(made, heard.append))
    execute_plain(made, one)
    one.watchers.tell(made)
    assert heard == [made]


def test_a_token_that_is_set_at_the_very_end_is_dropped() -> None:
    """``cancel()`` has seen the job run, and sets its token as it ends."""
    one = lane(of=job())
    made = call(one)
    one.tokens.cancels.add(running(one))  # so that there is something to look at
    meanwhile(one, "running", "leaves", lambda: one.tokens.cancels.add(made))
    execute_plain(made, one)
    assert made.state is SUCCEEDED
    assert made not in one.tokens.cancels
