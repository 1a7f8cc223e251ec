"""What can be said of a class and of a single call, for type checkers; at run time ``options`` and
``check_calls`` check it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

from ..core.values.rate import Rate
from ..core.values.retry import Retry

__all__ = [
    "AtStop", "ClassOptions", "Context", "DelayedAtStop", "Loop", "OncePer", "OnDuplicate",
    "Overflow", "PerCall", "Unique",
]  # fmt: skip

# The words of the options that are words.
Overflow = Literal["raise", "discard", "discard_oldest", "caller_runs", "block"]
AtStop = Literal["drain", "drop"]
DelayedAtStop = Literal["drop", "run", "wait"]
Unique = Literal["queued", "active"]
OnDuplicate = Literal["existing", "replace", "discard", "raise"]
Context = Literal["copy", "fresh"]
Loop = Literal["own", "app"]
OncePer = Literal["host", "process"]


class PerCall(TypedDict, total=False):
    """What ``using(...)`` and ``delay(...)`` take."""

    priority: int
    delay: float | timedelta
    at: datetime | float
    pool: str | None
    retry: Retry | None
    expires_in: float | timedelta | None
    timeout: float | timedelta | None
    tags: Collection[str]
    discard_on: type[BaseException] | tuple[type[BaseException], ...]
    delayed_on_shutdown: DelayedAtStop
    log_args: bool
    redact: Collection[str] | Callable[[str, Any], object] | None
    after_commit: Any  # True, a Django alias, or a SQLAlchemy session


class ClassOptions(TypedDict, total=False):
    """What ``@job(...)`` takes: the options of a class."""

    workers: int
    max_jobs: int | None
    overflow: Overflow
    block_timeout: float | timedelta | None
    pool: str | None
    priority: int
    retry: Retry | None
    discard_on: type[BaseException] | Collection[type[BaseException]]
    timeout: float | timedelta | None
    expires_in: float | timedelta | None
    on_shutdown: AtStop
    delayed_on_shutdown: DelayedAtStop
    identity: Any
    unique: Unique | None
    on_duplicate: OnDuplicate
    rate: Rate | None
    context: Context
    loop: Loop
    every: float | timedelta | None
    cron: str | None
    timezone: str
    jitter: float | timedelta
    once_per: OncePer
    tags: Collection[str]
    log_args: bool
    redact: Any
    backend: Any
