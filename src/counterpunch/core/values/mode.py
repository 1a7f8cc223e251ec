"""What is different in a test mode: a strategy that is handed to a runtime."""

from __future__ import annotations

from typing import Any

from .backend import HERE

__all__ = ["Mode"]


class Mode:
    """Jobs run in threads. A test mode overrides what it does another way."""

    name = HERE

    def before_wait(self, call: Any) -> None:
        """Somebody is about to block on the job; a test mode refuses what cannot end."""

    def placed(self, call: Any) -> None:
        """The caller's job is where it waits, after its enqueue or its transaction."""
