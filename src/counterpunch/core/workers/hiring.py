"""The ``ThreadPoolExecutor`` of one pool, kept so that the process can leave with a job stuck.

The executor gets one work item per *worker*, not per job: a loop that takes jobs until it has
been idle for a minute. That makes an enqueue an append and, if a worker sleeps, a wake-up; and it
lets the process leave with a job stuck, which a plain executor cannot (its threads are joined
without limit when the interpreter ends):

* a thread inherits ``daemon`` from the thread that starts it, so the executor's ``submit``
  is called on a short-lived daemon thread and the new thread is a daemon too;
* ``concurrent.futures`` joins the threads in its private ``_threads_queues`` at exit, so
  they are taken out of it; where that name is missing nothing is taken.
"""

from __future__ import annotations

import concurrent.futures.thread
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

__all__ = ["Hiring", "not_joined_at_exit"]


class Hiring:
    """Starts threads for a pool, one at a time, and lets them go again."""

    __slots__ = ("_closed", "_executor", "_lock", "_name", "_size")

    def __init__(self, name: str) -> None:
        self._name = name
        self._executor: ThreadPoolExecutor | None = None
        self._size = 0
        self._closed = False
        # Held while the executor is made, used or dropped, on starter and worker threads
        # only: never on a caller's, which may be inside a signal handler.
        self._lock = threading.Lock()

    def hire(self, size: int, work: Callable[[], object]) -> None:
        """Run ``work`` on one more thread, of ``size`` at most. On a daemon thread only.

        Raises:
            RuntimeError: If no thread can be had.
        """
        with self._lock:
            if self._executor is not None and self._size < size:
                self._executor.shutdown(wait=False)  # its loops run on until they return
                self._executor = None
            if self._executor is None:
                self._executor = ThreadPoolExecutor(size, thread_name_prefix=self._name)
                self._size = size
            executor = self._executor
            executor.submit(work)
            not_joined_at_exit(executor)
        if self._closed:  # it may have looked before there was an executor to shut down
            executor.shutdown(wait=False)

    def drop(self) -> None:
        """Let the threads of workers that have left end; the next worker gets a new executor.

        The loops of workers that are still busy run on in the old one until they return.
        """
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)

    def close(self) -> None:
        """No more threads. Takes no lock: it is called on a caller's thread."""
        self._closed = True
        executor = self._executor
        if executor is not None:
            executor.shutdown(wait=False)


def not_joined_at_exit(executor: object) -> None:
    """The interpreter is not to wait for the threads of this executor."""
    joined = getattr(concurrent.futures.thread, "_threads_queues", {})
    for thread in list(getattr(executor, "_threads", ())):
        joined.pop(thread, None)
