"""The states of a job, and every move between them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

__all__ = [
    "CANCELLED", "DEFERRED", "DISCARDED", "FAILED", "LOST", "QUEUED", "RETRYING", "RUNNING",
    "SCHEDULED", "SUCCEEDED", "Status", "TERMINAL", "TRANSITIONS",
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

#: Every move a job can make. A new job is deferred, scheduled, queued, running (when the
#: caller runs it) or discarded at once. One that was about to start as its class was paused
#: is queued again.
TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    DEFERRED: frozenset({SCHEDULED, QUEUED, RUNNING, CANCELLED, DISCARDED, LOST}),
    SCHEDULED: frozenset({SCHEDULED, QUEUED, RUNNING, CANCELLED, DISCARDED, LOST}),
    QUEUED: frozenset({SCHEDULED, RUNNING, CANCELLED, DISCARDED, LOST}),
    RUNNING: frozenset({SUCCEEDED, FAILED, RETRYING, QUEUED, CANCELLED, DISCARDED, LOST}),
    RETRYING: frozenset({RETRYING, QUEUED, RUNNING, CANCELLED, DISCARDED, LOST}),
    **{status: frozenset() for status in TERMINAL},
}
