"""Jobs that an engine's job has enqueued into the threads of its worker process."""

from __future__ import annotations

from typing import Any

from ..core.port import current, shutdown

__all__ = ["drain_threads"]


def drain_threads(*_: Any, **__: Any) -> None:
    """Let them end before the process leaves, within ``shutdown_timeout``, and report what
    could not run: the engines' processes leave without the exit hooks of Python."""
    if not current().idle(delayed=True):
        shutdown()
