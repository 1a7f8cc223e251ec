"""What is refused replaces nothing: the older job stays where it is."""

from __future__ import annotations

import pytest

from counterpunch import Job, QueueFull, Retry, Status
from counterpunch.testing import fake


def test_a_refused_replacement_leaves_the_old_job_alone() -> None:
    """A full queue refuses the newer job before the older one is given up for it."""

    class Refused(Job):
        max_jobs = 1
        unique = "queued"
        on_duplicate = "replace"

        @staticmethod
        def identity(number: int) -> int:
            return number

        def perform(self, number: int) -> None: ...

    Refused.pause()
    old = Refused.perform_in(100, 1)
    Refused.perform_async(2)
    with pytest.raises(QueueFull):
        Refused.perform_async(1)
    assert old.status is Status.SCHEDULED
    assert old.cancel()


def test_a_replacement_refused_because_of_retries_leaves_the_old_job_alone() -> None:
    """A retry has always room, so a queue may hold more than ``max_jobs``: one job less, and it is
    full all the same."""

    class Beside(Job):
        max_jobs, retry = 1, Retry(2, wait=1, jitter=0)
        unique, on_duplicate = "queued", "replace"
        identity = staticmethod(lambda number: number)

        def perform(self, number: int) -> None:
            if number == 0 and self.attempt == 1:
                raise ValueError

    with fake() as recorder:
        Beside.perform_async(0)
        recorder.advance(0)
        Beside.pause()
        old = Beside.perform_async(1)
        recorder.advance(1)
        with pytest.raises(QueueFull):
            Beside.perform_async(1)
        assert old.status is Status.QUEUED
        Beside.resume()
        recorder.advance(0)
        assert old.status is Status.SUCCEEDED


def test_a_discarded_replacement_leaves_the_old_job_alone() -> None:
    """``overflow="discard"`` is a refusal as well: the newer job is discarded, the older one runs
    when it is due."""

    class Kept(Job):
        max_jobs, overflow = 1, "discard"
        unique, on_duplicate = "active", "replace"
        identity = staticmethod(lambda number: number)

        def perform(self, number: int) -> None: ...

    with fake() as recorder:
        old = Kept.perform_in(100, 1)
        Kept.perform_async(2)
        assert Kept.perform_async(1).status is Status.DISCARDED
        assert Kept.in_progress(1)
        recorder.advance(100)
        assert old.status is Status.SUCCEEDED
