"""The port: what the rings around the core may ask of it, and the words they share with it.

``define``, ``observe``, ``recurring``, ``testing``, ``batch``, ``dashboard``, ``integrations`` and
``backends`` import this module and no other of the core, and touch no private name. Whoever needs
more adds a line here.

*Ask*: ``accepting()`` gives the runtime to who enqueues, ``current()`` to who looks. Of it:
``enqueue``, ``perform_now``; ``registry`` (lanes and pools), ``whereabouts`` (live, find, workers),
``history`` (remembered), ``steering`` (cancel, pause), ``endings`` (end, lose), ``stage``,
``scheduler``, ``idle``. An engine's worker: ``admitted``, ``runtime.here.attempt``, ``broken``,
``runtime.settle``. ``start`` calls what is in ``on_start``; ``redefined`` after a class was changed.

*Words*: everything else, plain values that say what a job, a class and a moment are.
"""

from __future__ import annotations

from .moves.admission import INTERRUPTED
from .places.backlog import Worker
from .places.lane import Gate, Lane
from .places.parking import Parking, Sleeper
from .places.permits import Permits
from .places.scheduler import Timer
from .places.timings import SLOT_SECONDS
from .places.watchers import again
from .process.changes import redefined
from .process.express import express_async, express_in
from .process.in_force import accepting, current
from .process.installed import installed
from .process.lifecycle import on_start, quiet, shutdown, start, wait_idle
from .process.runtime import Clockwork, Runtime
from .values import commit
from .values.arguments import shown_arguments
from .values.backend import HERE, engines
from .values.checks import flag, hashable, seconds, whole
from .values.clock import SystemClock, VirtualClock, moment, monotonic
from .values.config import config
from .values.counts import BOUNDS, NO_COUNTS, Counts, Discards, Stats, Times, WorkerCounts
from .values.current import OpenBatch, current_batch, current_job, open_batches
from .values.current import current as current_call
from .values.errors import (
    BackendError,
    Cancelled,
    CounterpunchError,
    Discard,
    Discarded,
    Duplicate,
    InvalidOption,
    Lost,
    NotKept,
    NotSupported,
    QueueFull,
    RemoteError,
    ShuttingDown,
    interrupts,
    shorten,
)
from .values.handle import Handle
from .values.hooks import around_enqueue, around_perform, on_error, process, report, safely
from .values.mode import Mode
from .values.more import More
from .values.per_call import PER_CALL
from .values.plan import Plan, plan_of
from .values.rate import Rate
from .values.record import NO_KWARGS, fill
from .values.retry import Retry
from .values.stage import DRAINING, OPEN, ShutdownReport
from .values.status import (
    CANCELLED,
    DEFERRED,
    DISCARDED,
    FAILED,
    LOST,
    QUEUED,
    RETRYING,
    RUNNING,
    SCHEDULED,
    SUCCEEDED,
    TERMINAL,
    Status,
)
from .values.times import due_at, due_in, time_limit
from .workers.attempt import admitted
from .workers.outcome import broken
from .workers.stacks import text_of

__all__ = [
    "BOUNDS", "BackendError", "CANCELLED", "Cancelled", "Clockwork", "CounterpunchError", "Counts",
    "DEFERRED", "DISCARDED", "DRAINING", "Discard", "Discarded", "Discards", "Duplicate", "FAILED",
    "Gate", "HERE", "Handle", "INTERRUPTED", "InvalidOption", "LOST", "Lane", "Lost", "Mode",
    "More", "NO_COUNTS", "NO_KWARGS", "NotKept", "NotSupported", "OPEN", "OpenBatch", "PER_CALL",
    "Parking", "Permits", "Plan", "QUEUED", "QueueFull", "RETRYING", "RUNNING", "Rate",
    "RemoteError", "Retry", "Runtime", "SCHEDULED", "SLOT_SECONDS", "SUCCEEDED", "ShutdownReport",
    "ShuttingDown", "Sleeper", "Stats", "Status", "SystemClock", "TERMINAL", "Timer", "Times",
    "VirtualClock", "Worker", "WorkerCounts", "accepting", "admitted", "again", "around_enqueue",
    "around_perform", "broken", "commit", "config", "current", "current_batch", "current_call",
    "current_job", "due_at", "due_in", "engines", "express_async", "express_in", "fill", "flag",
    "hashable", "installed", "interrupts", "moment", "monotonic", "on_error", "on_start",
    "open_batches", "plan_of", "process", "quiet", "redefined", "report", "safely", "seconds",
    "shorten", "shown_arguments", "shutdown", "start", "text_of", "time_limit", "wait_idle",
    "whole",
]  # fmt: skip
