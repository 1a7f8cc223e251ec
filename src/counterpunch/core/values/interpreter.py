"""Which kind of interpreter runs this process."""

from __future__ import annotations

import sys

__all__ = ["LOCKED"]

#: One thread at a time runs Python code. Without the interpreter lock this is False, and stays so
#: if an extension module brings the lock back while the process runs: what is right without the
#: lock is right with it. ``places.steps`` has what it means for containers, and for what is freed.
LOCKED: bool = getattr(sys, "_is_gil_enabled", lambda: True)()
