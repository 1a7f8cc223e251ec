"""Who is called first as the interpreter ends, and what is imported for it in time.

``threading._register_atexit`` (private; looked up with ``getattr``) calls what was registered last
first. ``concurrent.futures.process`` registers as it is imported, often by the first job that needs
it; from that call on it refuses all work, which jobs of the drain may still have for it. So the
drain is registered again whenever somebody else was. It may be called more than once.

And on whichever thread: uWSGI ends the interpreter within its signal handler, and a second signal
that comes before the main thread got round to the first is handled on another one, a job's.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["First", "first", "import_for_the_end", "spare_the_main_thread"]

#: On such a build an import of ctypes takes seconds beside threads that compute: 12 s were seen,
#: and 4 ms without them.
_FREE_THREADED = "t" in getattr(sys, "abiflags", "")


class First:
    """One function that is called first as the interpreter ends, whoever registers after it."""

    def __init__(self, threads: Any = threading) -> None:
        self._threads = threads
        self._function: Callable[[], object] | None = None
        self._known = -1

    def register(self, function: Callable[[], object]) -> None:
        self._function = function
        self.again()

    def again(self) -> None:
        """Once more, if somebody came after it; looking costs next to nothing."""
        registered = getattr(self._threads, "_threading_atexits", ())
        if len(registered) == self._known or self._function is None:
            return
        try:
            getattr(self._threads, "_register_atexit", _nowhere)(self._function)
        except RuntimeError:
            pass  # the interpreter ends already
        self._known = len(registered)


def _nowhere(_: object) -> None:
    """Where threading does not offer it."""


first = First()


def spare_the_main_thread() -> None:
    """On another thread that ends the interpreter: before 3.13 ``threading`` would now wait for the
    main one, which nobody has told to end, for ever."""
    main = threading.main_thread()
    if main.ident != threading.get_ident():
        ended: Any = getattr(main, "_tstate_lock", None)
        getattr(threading, "_shutdown_locks", set()).discard(ended)


def import_for_the_end() -> None:
    """As the first worker begins: what the drain needs to stop one that never ends, if it is to be
    had at all."""
    if _FREE_THREADED:
        with contextlib.suppress(ImportError):
            import ctypes  # noqa: F401
