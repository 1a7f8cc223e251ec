"""Background jobs in threads inside a Python web process.

``HelloEmailJob.perform_async(user_id)`` returns at once; a thread of the class's own pool
runs ``perform``. Without an engine nothing is stored outside the process: see the README for
what a restart loses, and for what is kept.
"""

from typing import TYPE_CHECKING

from .core.port import quiet, shutdown, start, wait_idle
from .core.values.counts import Stats
from .core.values.current import current_job
from .core.values.errors import (
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
)
from .core.values.handle import Handle
from .core.values.hooks import around_enqueue, around_perform, on_error
from .core.values.rate import Rate
from .core.values.retry import Retry
from .core.values.stage import ShutdownReport
from .core.values.status import Status
from .define.configure import configure
from .define.job_class import Job
from .define.job_function import job
from .integrations import unsaved as _unsaved  # noqa: F401  (gives its hints)
from .observe import watchdog as _watchdog  # noqa: F401  (looks after the queues)
from .observe.queries import find, jobs, stats
from .recurring import arming as _arming  # noqa: F401  (start() arms what comes again)

if TYPE_CHECKING:
    from . import dashboard as dashboard
    from . import testing as testing
    from .batch import Batch
    from .define.delayed import delay
    from .observe.dump import dump
    from .observe.health import Health, health
    from .observe.log_filter import JobLogFilter
    from .observe.metrics import metrics
    from .recurring.periodic import periodic

__version__ = "0.1.0"

__all__ = [
    "BackendError", "Batch", "Cancelled", "CounterpunchError", "Discard", "Discarded",
    "Duplicate", "Handle", "Health", "InvalidOption", "Job", "JobLogFilter", "Lost",
    "NotKept", "NotSupported", "QueueFull", "Rate", "RemoteError", "Retry", "ShutdownReport",
    "ShuttingDown", "Stats", "Status", "around_enqueue", "around_perform", "configure",
    "current_job", "delay", "dump", "find", "health", "job", "jobs", "metrics", "on_error",
    "periodic", "quiet", "shutdown", "start", "stats", "wait_idle",
]  # fmt: skip

#: What many processes never ask for is imported when it is: a sixth of the import time.
_ON_REQUEST = {
    "Batch": "batch",
    "Health": "observe.health",
    "JobLogFilter": "observe.log_filter",
    "delay": "define.delayed",
    "dashboard": "dashboard",
    "dump": "observe.dump",
    "health": "observe.health",
    "metrics": "observe.metrics",
    "periodic": "recurring.periodic",
    "testing": "testing",
}


def __getattr__(name: str) -> object:
    if name not in _ON_REQUEST:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module(f".{_ON_REQUEST[name]}", __name__)
    value: object = getattr(module, name, module)
    globals()[name] = value  # the next look finds it at once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
