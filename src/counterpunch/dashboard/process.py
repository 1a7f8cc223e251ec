"""Which process this is: what every page says."""

from __future__ import annotations

import os
import socket
import sys
from datetime import datetime, timezone
from typing import Any

from ..core.port import current
from ..core.values.clock import SystemClock
from .plain import clip

__all__ = ["birth", "process"]


def process() -> dict[str, Any]:
    """Host, pid and start time of the process that answers, and what it is."""
    runtime = current()
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started_at": _iso(_started()),
        "program": clip(os.path.basename(sys.argv[0]) if sys.argv else "", 60),
        "python": sys.version.split()[0],
        "phase": runtime.stage.phase,
        "threads": runtime.registry.thread_count(),
        "role": _role(),
        "memory": _memory(),
    }


_ENGINES = ("celery", "dramatiq", "rq")


def _role() -> str:
    """Whose process this is: an engine's worker, a server that has said ``start()``, or any."""
    program = os.path.basename(sys.argv[0]) if sys.argv else ""
    if program in _ENGINES:
        return f"{program} worker"
    return "process" if current().clockwork is None else "server"


def _memory() -> int:
    """Bytes that this process has in memory; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def birth() -> int:
    """Clock ticks from the boot to the start of this process: with the pid, a name that no
    other process of this host has had. 0 where the system does not tell."""
    try:
        with open("/proc/self/stat") as file:
            return int(file.read().rpartition(")")[2].split()[19])  # field 22: starttime
    except (OSError, ValueError, IndexError):
        return 0


def _started() -> float:
    """When this process started, in epoch seconds; when the module was imported, at worst."""
    ticks = birth()
    try:
        with open("/proc/uptime") as file:
            age = float(file.read().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return _IMPORTED
    # In some containers the two files count from different boots.
    return SystemClock.time() - age if ticks and age >= 0 else _IMPORTED


_IMPORTED = SystemClock.time()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
