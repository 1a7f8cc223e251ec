"""Context variables: each attempt starts from those of the caller, as they were at the enqueue."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import counterpunch
from counterpunch import Handle, Job, Retry, around_perform
from counterpunch.testing import fake, inline

WAIT = 10.0
tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")
TWICE = Retry(max_attempts=2, wait=0)
Seen = list[tuple[int, str, str]]


@pytest.fixture(autouse=True)
def caller() -> Iterator[None]:
    token = tenant.set("caller")
    yield
    tenant.reset(token)


def leaving(seen: Seen, **body: Any) -> Any:
    """A class whose first attempt sets the variable and fails."""

    def look(self: Any, where: str) -> None:
        seen.append((self.attempt, where, tenant.get()))

    def perform(self: Any) -> None:
        self.look("perform")
        tenant.set("left over")
        if self.attempt == 1:
            raise OSError

    return type("Leaving", (Job,), {"retry": TWICE, "look": look, "perform": perform, **body})


async def perform_async(self: Any) -> None:
    await asyncio.sleep(0)
    self.look("perform")
    tenant.set("left over")
    await asyncio.sleep(0)
    if self.attempt == 1:
        raise OSError


def hook(name: str) -> Callable[..., None]:
    def said(self: Any, *_: object) -> None:
        self.look(name)

    return said


PLAIN: Seen = [(1, "perform", "caller"), (2, "perform", "caller")]


@pytest.mark.parametrize(
    "body",
    [{}, {"timeout": 60.0}, {"perform": perform_async}, {"before": lambda self: None}],
    ids=["plain", "watched", "async", "hooked"],
)
def test_an_attempt_does_not_see_what_the_one_before_has_set(body: dict[str, Any]) -> None:
    """In threads, on the event loop and in the test modes."""
    seen: Seen = []
    job = leaving(seen, **body)
    handle = job.perform_async()
    tenant.set("what the caller has set since")
    handle.result(WAIT)
    assert seen == PLAIN
    tenant.set("caller")
    del seen[:]
    with inline():
        job.perform_async()
    assert seen == PLAIN
    del seen[:]
    with fake() as recorder:
        job.perform_async()
        recorder.advance(1)
    assert seen == PLAIN


def test_neither_with_a_retry_of_the_call_alone() -> None:
    """``using(retry=...)`` over a class that has none."""
    seen: Seen = []
    leaving(seen, retry=None).using(retry=TWICE).perform_async().result(WAIT)
    assert seen == PLAIN


def test_the_hooks_of_an_attempt_see_what_it_has_set() -> None:
    """``before``, ``perform`` and what follows share one context; a middleware is in it too."""
    seen: Seen = []
    around: list[str] = []

    @contextmanager
    def watched(handle: Handle[Any]) -> Iterator[None]:
        around.append(tenant.get())
        try:
            yield
        finally:
            around.append(tenant.get())

    def before(self: Any) -> None:
        self.look("before")
        tenant.set(f"of attempt {self.attempt}")

    hooks = {name: hook(name) for name in ("on_error", "on_success", "after")}
    remove = around_perform(watched)
    try:
        leaving(seen, before=before, **hooks).perform_async().result(WAIT)
    finally:
        remove()
    assert seen == [
        *((1, "before", "caller"), (1, "perform", "of attempt 1")),
        *((1, "on_error", "left over"), (1, "after", "left over")),
        *((2, "before", "caller"), (2, "perform", "of attempt 2")),
        *((2, "on_success", "left over"), (2, "after", "left over")),
    ]
    assert around == ["caller", "left over"] * 2


def test_a_fresh_context_is_empty_at_each_attempt() -> None:
    """``context = "fresh"``, in a thread and on the loop."""
    for body in ({}, {"perform": perform_async}):
        seen: Seen = []
        leaving(seen, context="fresh", **body).perform_async().result(WAIT)
        assert seen == [(1, "perform", "nobody"), (2, "perform", "nobody")]


def test_perform_now_leaves_the_caller_alone() -> None:
    """What it sets stays in its attempt."""
    seen: Seen = []
    job = leaving(seen)
    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011
            job.perform_now()
    assert seen == [(1, "perform", "caller")] * 2
    assert tenant.get() == "caller"


def test_the_runs_of_a_periodic_class_do_not_see_each_other() -> None:
    """Nobody has called them: each begins with nothing, and so does its retry."""
    seen: Seen = []
    with fake() as recorder:
        leaving(seen, every=60.0)
        counterpunch.start()
        recorder.advance(130)
    assert [value for _, _, value in seen] == ["nobody"] * 4


def test_a_retry_of_a_job_that_has_ended_starts_from_its_caller() -> None:
    """``handle.retry()`` is an enqueue: what counts is who asks for it."""
    seen: Seen = []
    job = leaving(seen, retry=None)
    handle = job.perform_async()
    handle.exception(WAIT)
    tenant.set("who asks")
    handle.retry().exception(WAIT)
    assert [value for _, _, value in seen] == ["caller", "who asks"]
