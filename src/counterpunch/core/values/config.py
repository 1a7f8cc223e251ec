"""What ``configure(...)`` sets for the whole process. Options of classes live in ``options``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .handle import Handle

__all__ = ["Config", "OnLost", "config"]

OnLost = Callable[[list[Handle[Any]]], object]


class Config:
    """The current settings. One object for the process; it survives a fork."""

    def __init__(self) -> None:
        self.shutdown_timeout: float = 8.0
        self.max_threads: int | None = None
        self.pools: Mapping[str, int] = {}
        self.strict_args: str | None = None
        self.history: int = 1000
        self.history_bytes: int = 8 * 1024 * 1024
        self.history_ttl: float | None = 3600.0
        self.log_args: bool = True
        self.starved_after: float | None = 60.0
        self.on_lost: OnLost | None = None
        self.signals: bool = False
        self.backend: Any = None
        self.application: str | None = None
        #: Called with the names that changed; set by the runtime and the lifecycle.
        self.changed: list[Callable[[frozenset[str]], None]] = []


config = Config()
