"""The states of a job, and every move between them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

__all__ = [
    "CANCELLED", "DEFERRED", "DISCARDED", "FAILED", "LOST", "QUEUED", "RETRYING", "RUNNING",
    "SCHEDULED", "SUCCEEDED", "Status", "TERMINAL", "TRANSITIONS",
    "checked_move",
]  # fmt: skip


class Status(StrEnum):
    """Where a job is. The last five are terminal: one of them is reached, once."""

    DEFERRED = "deferred"  # waits for a transaction to commit
    SCHEDULED = "scheduled"  # waits for its time, or for a rate to allow it
    QUEUED = "queued"  # waits for a worker
    RUNNING = "running"
    RETRYING = "retrying"  # failed, waits for its next attempt
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DISCARDED = "discarded"
    LOST = "lost"  # the process stopped before it ran, or before it ended


DEFERRED = Status.DEFERRED
SCHEDULED = Status.SCHEDULED
QUEUED = Status.QUEUED
RUNNING = Status.RUNNING
RETRYING = Status.RETRYING
SUCCEEDED = Status.SUCCEEDED
FAILED = Status.FAILED
CANCELLED = Status.CANCELLED
DISCARDED = Status.DISCARDED
LOST = Status.LOST

TERMINAL = frozenset({SUCCEEDED, FAILED, CANCELLED, DISCARDED, LOST})

#: Every move a job can make; ``checked_move`` asks it. A new job is marked as queued until it is
#: placed: deferred, scheduled, queued, running (when the caller runs it), or discarded at once. One
#: that was about to start as its class was paused is queued again; one fails in the queue if the
#: runtime itself breaks as it takes it.
TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    DEFERRED: frozenset({SCHEDULED, QUEUED, RUNNING, CANCELLED, DISCARDED, LOST}),
    SCHEDULED: frozenset({SCHEDULED, QUEUED, RUNNING, CANCELLED, DISCARDED, LOST}),
    QUEUED: frozenset({DEFERRED, SCHEDULED, RUNNING, FAILED, CANCELLED, DISCARDED, LOST}),
    RUNNING: frozenset({SUCCEEDED, FAILED, RETRYING, QUEUED, CANCELLED, DISCARDED, LOST}),
    RETRYING: frozenset({RETRYING, QUEUED, RUNNING, CANCELLED, DISCARDED, LOST}),
    **{status: frozenset() for status in TERMINAL},
}


def checked_move(old: Status, new: Status) -> Status:
    """The new state of a job.

    Raises:
        RuntimeError: If the table has no such move: a defect, of which nothing is to follow.
    """
    if new not in TRANSITIONS[old] and new is not old:
        raise RuntimeError(f"a job cannot go from {old.value} to {new.value}")
    return new
