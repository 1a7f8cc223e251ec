"""Who waits for jobs that run somewhere else: their done callbacks, and the thread that looks."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from ..core.values.handle import Handle
from ..core.values.hooks import report, safely
from ..core.values.interpreter import start
from ._record import RecordGone

__all__ = ["Watch"]

#: Seconds between two looks.
PAUSE = 0.25


class Watch:
    """One thread that looks for the end of every handle with a done callback."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._watched: deque[tuple[Handle[Any], Callable[[Any], object]]] = deque()
        self._lock = threading.Lock()
        self._running = False

    def add(self, handle: Handle[Any], fn: Callable[[Any], object]) -> None:
        if self._pid != os.getpid():  # forked: its thread is the parent's, and so are its jobs
            self.__init__()  # type: ignore[misc]
        with self._lock:
            self._watched.append((handle, fn))
            if not self._running:
                self._running = True
                thread = threading.Thread(target=self._run, name="counterpunch-watch", daemon=True)
                try:
                    start(thread)
                except BaseException:
                    self._running = False
                    self._watched.pop()  # its own: who adds holds the lock
                    raise

    def remove(self, handle: Handle[Any], fn: Callable[[Any], object]) -> None:
        try:
            self._watched.remove((handle, fn))
        except ValueError:
            pass

    def _run(self) -> None:
        rest, away = threading.Event(), False
        while True:
            failed = False
            for _ in range(len(self._watched)):
                handle, fn = entry = self._watched.popleft()
                try:
                    over = handle.done()
                except RecordGone as exc:
                    report(logging.WARNING, "a done callback is called without an end: %s", exc)
                    over = True
                except Exception as exc:  # whatever a client or a record comes with
                    if not away:  # one warning per outage
                        report(logging.WARNING, "a done callback waits on: %s", exc)
                    away, failed, over = True, True, False
                if over:
                    safely("a done callback", handle, fn, handle)
                else:
                    self._watched.append(entry)
            away = failed
            with self._lock:
                if not self._watched:
                    self._running = False
                    return
            rest.wait(PAUSE)
