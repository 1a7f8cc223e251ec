"""Background jobs in threads inside a Python web process.

``HelloEmailJob.perform_async(user_id)`` returns at once; a thread of the class's own pool
runs ``perform``. Without an engine nothing is stored outside the process: see the README for
what a restart loses, and for what is kept.
"""

from typing import TYPE_CHECKING

from ._config import configure
from ._counts import Stats
from ._current import current_job
from ._drain import ShutdownReport
from ._function import job
from ._hooks import around_enqueue, around_perform, on_error
from ._job import Job
from ._lifecycle import quiet, shutdown, start, wait_idle
from ._periodic import periodic
from ._queries import find, jobs, stats
from ._status import Status
from .errors import (
    BackendError,
    Cancelled,
    CounterpunchError,
    Discard,
    Discarded,
    Duplicate,
    InvalidOption,
    Lost,
    NotSupported,
    QueueFull,
    RemoteError,
    ShuttingDown,
)
from .handle import Handle
from .rate import Rate
from .retry import Retry

if TYPE_CHECKING:
    from ._delay import delay
    from ._dump import dump
    from ._health import Health, health
    from ._logging import JobLogFilter
    from ._metrics import metrics
    from .batch import Batch

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "Batch",
    "Cancelled",
    "CounterpunchError",
    "Discard",
    "Discarded",
    "Duplicate",
    "Handle",
    "Health",
    "InvalidOption",
    "Job",
    "JobLogFilter",
    "Lost",
    "NotSupported",
    "QueueFull",
    "Rate",
    "RemoteError",
    "Retry",
    "ShutdownReport",
    "ShuttingDown",
    "Stats",
    "Status",
    "around_enqueue",
    "around_perform",
    "configure",
    "current_job",
    "delay",
    "dump",
    "find",
    "health",
    "job",
    "jobs",
    "metrics",
    "on_error",
    "periodic",
    "quiet",
    "shutdown",
    "start",
    "stats",
    "wait_idle",
]

#: What many processes never ask for is imported when it is: a sixth of the import time.
_ON_REQUEST = {
    "Batch": "batch",
    "Health": "_health",
    "JobLogFilter": "_logging",
    "delay": "_delay",
    "dump": "_dump",
    "health": "_health",
    "metrics": "_metrics",
}


def __getattr__(name: str) -> object:
    if name not in _ON_REQUEST:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f".{_ON_REQUEST[name]}", __name__), name)
    globals()[name] = value  # the next look finds it at once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
