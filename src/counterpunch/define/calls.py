"""What can be said of a single call, for type checkers; ``check_calls`` checks it at run time."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

from ..core.values.retry import Retry

__all__ = ["PerCall"]


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
    delayed_on_shutdown: Literal["drop", "run", "wait"]
    log_args: bool
    redact: Collection[str] | Callable[[str, Any], object] | None
    after_commit: Any  # True, a Django alias, or a SQLAlchemy session
