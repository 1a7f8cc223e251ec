"""Middleware: its order around attempts and enqueues, and what it may raise."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hook_records import MODES, Broken, Plain, Recorded, Thrice, recorded, run_threads
from hook_records import empty_record as empty_record
from hook_records import installed as installed

from counterpunch import (
    Discard,
    Discarded,
    Handle,
    Status,
    around_enqueue,
    around_perform,
    current_job,
    testing,
)

# Middleware


def trace(name: str, calls: list[str]) -> Callable[[Handle[Any]], Any]:
    @contextlib.contextmanager
    def around(handle: Handle[Any]) -> Iterator[None]:
        calls.append(f"{name} in {handle.status.value}")
        try:
            yield
        except BaseException as exc:
            calls.append(f"{name} saw {type(exc).__name__}")
            raise
        finally:
            calls.append(f"{name} out")

    return around


@MODES
def test_around_perform_order(
    run: Callable[..., None], installed: Callable[[Callable[[], None]], None]
) -> None:
    """First added is outermost; before and perform inside, the other hooks after it."""
    installed(around_perform(trace("outer", Recorded.calls)))
    installed(around_perform(trace("inner", Recorded.calls)))
    run(Plain, 1)
    assert recorded() == [
        *("outer in running", "inner in running", "before", "perform"),
        *("inner saw OSError", "inner out", "outer saw OSError", "outer out"),
        *("on_error attempt 1", "on_failure attempt 1", "after"),
    ]


def test_around_perform_around_each_attempt(
    installed: Callable[[Callable[[], None]], None],
) -> None:
    """Entered anew for a retry, in the job's context and on its thread."""
    seen: list[Any] = []

    @contextlib.contextmanager
    def around(handle: Handle[Any]) -> Iterator[None]:
        on_worker = threading.current_thread().name.startswith("counterpunch-Thrice_")
        seen.append((handle.attempt, current_job() is handle, on_worker))
        yield

    installed(around_perform(around))
    run_threads(Thrice, 1)
    assert seen == [(1, True, True), (2, True, True)]


@MODES
@pytest.mark.parametrize(
    ("raised", "hooks"),
    [
        (OSError("no database"), ["on_error no database", "on_failure no database", "after"]),
        (Discard("not on this host"), ["after"]),
    ],
)
def test_around_perform_that_raises_on_entry(
    run: Callable[..., None],
    raised: Exception,
    hooks: list[str],
    installed: Callable[[Callable[[], None]], None],
) -> None:
    """The attempt has failed, or the job is discarded; the outer one is left in order."""

    @contextlib.contextmanager
    def closed(handle: Handle[Any]) -> Iterator[None]:
        raise raised
        yield

    installed(around_perform(trace("outer", Recorded.calls)))
    installed(around_perform(closed))
    run(Plain)
    kind = type(raised).__name__
    assert recorded() == ["outer in running", f"outer saw {kind}", "outer out", *hooks]


def test_a_removed_middleware_is_not_entered() -> None:
    """Neither kind stays behind, also for a class that was in use before."""
    calls: list[str] = []
    run_threads(Plain)
    removers = [around_perform(trace("p", calls)), around_enqueue(trace("e", calls))]
    run_threads(Plain)
    assert calls == ["e in queued", "e out", "p in running", "p out"]
    for remove in removers:
        remove()
    run_threads(Plain)
    assert len(calls) == 4


def test_around_enqueue_order(installed: Callable[[Callable[[], None]], None]) -> None:
    """On the caller's thread, first added outermost, on_enqueue inside; not for perform_now."""
    installed(around_enqueue(trace("outer", Recorded.calls)))
    installed(around_enqueue(trace("inner", Recorded.calls)))
    with testing.fake():
        Plain.perform_async()
        assert Recorded.calls == [
            *("outer in queued", "inner in queued", "on_enqueue", "inner out", "outer out")
        ]
        for call in (
            lambda: Plain.perform_in(60),
            lambda: Plain.perform_at(0),
            lambda: Plain.using(priority=2).perform_async(),
            lambda: Plain.perform_bulk([()]),
        ):
            Recorded.calls.clear()
            call()
            assert len(Recorded.calls) == 5
    Recorded.calls.clear()
    Plain.perform_now()
    assert not any("in" in call.split() for call in Recorded.calls)


def test_around_enqueue_may_discard(installed: Callable[[Callable[[], None]], None]) -> None:
    """``Discard`` on entry: the handle says so, and nothing is queued."""

    @contextlib.contextmanager
    def limiter(handle: Handle[Any]) -> Iterator[None]:
        if handle.args == (1,):
            raise Discard("over the limit")
        yield

    installed(around_enqueue(limiter))
    with testing.fake() as recorder:
        refused, accepted = Plain.perform_async(1), Plain.perform_async()
        assert recorder.jobs == [accepted]
        assert refused.status is Status.DISCARDED
        with pytest.raises(Discarded, match="over the limit"):
            refused.result()


def test_around_enqueue_that_raises(installed: Callable[[Callable[[], None]], None]) -> None:
    """The caller gets the exception, nothing runs, and the counters still add up."""

    @contextlib.contextmanager
    def down(handle: Handle[Any]) -> Iterator[None]:
        raise Broken("no tracing")
        yield

    installed(around_enqueue(down))
    with testing.fake() as recorder:
        with pytest.raises(Broken, match="no tracing"):
            Plain.perform_async()
        with pytest.raises(Broken):
            Plain.perform_in(5)
        assert recorder.jobs == []
        stats = Plain.stats()
        assert stats.accepted == stats.discarded == 2
