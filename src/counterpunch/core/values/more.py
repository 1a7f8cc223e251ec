"""What only some jobs have, kept out of the handle that every job is."""

from __future__ import annotations

from typing import Any

__all__ = ["More"]


class More:
    """Made when the first of its fields is needed."""

    __slots__ = (
        "data", "error", "exception", "first_started", "in_batch", "kept", "key", "name", "options",
        "progress", "reason", "retried_as", "scope", "spent", "timer", "when",
    )  # fmt: skip

    def __init__(self) -> None:
        self.when: float | None = None  # epoch seconds, for perform_at
        self.options: dict[str, Any] | None = None  # of using(...)
        self.error: str | None = None
        self.exception: BaseException | None = None  # of the last failed attempt
        self.reason: str | None = None  # why discarded or lost
        self.progress: tuple[float, float | None, str] | None = None
        self.data: dict[str, Any] | None = None
        self.key: tuple[Any, ...] | None = None  # of a class with an identity
        self.name: Any = None  # the same as a ``Key``, of a unique class
        self.scope: tuple[Any, ...] | None = None  # the transaction, while deferred and unique
        self.in_batch = False  # not which: a remembered job would keep all its members
        self.kept: Any = None  # of an integration, for retry(); see _hooks
        self.first_started: float | None = None
        self.spent = False  # the time for its attempts is over; it is only to be told so
        self.retried_as: Any = None  # the newer job, see ``Handle.retry``
        self.timer: Any = None  # of the overrun watch while it runs, of its wait for room before
