"""The checked options of a job class; ``define`` reads and checks them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from .rate import Rate
from .retry import Retry

__all__ = ["Options"]


class Options(SimpleNamespace):
    """The checked options of one class; see the table in the README for what they mean."""

    workers: int
    max_jobs: int | None
    overflow: str
    block_timeout: float | None
    pool: str | None
    priority: int
    retry: Retry | None
    discard_on: tuple[type[BaseException], ...]
    timeout: float | None
    expires_in: float | None
    on_shutdown: str
    delayed_on_shutdown: str
    identity: Callable[..., Any] | None
    unique: str | None
    on_duplicate: str
    rate: Rate | None
    context: str
    loop: str
    every: float | None
    cron: Any  # text until ``define`` has made it a ``Cron``
    timezone: str
    jitter: float
    once_per: str
    tags: frozenset[str]
    log_args: bool
    redact: frozenset[str] | Callable[[str, Any], object] | None
    backend: Any
