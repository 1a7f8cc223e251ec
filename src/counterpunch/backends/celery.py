"""Celery: ``CeleryBackend(app)``. The worker is Celery's own::

    celery -A shop.jobs worker

where ``shop.jobs`` makes the app and the backend (``CeleryBackend(app)`` registers the one
task that runs every job). With ``pip install 'celery[redis]'`` and Redis for both::

    app = Celery("shop", broker="redis://localhost/0", backend="redis://localhost/1")

**Results**: any result backend that all processes share (Redis, a database); without one, or
with ``rpc://``, jobs run but nothing is known of them. Kept for ``result_expires``, a day.

**Priority**: 0 to 9, what is beyond counts as these. On Redis Celery has four steps by
default, so 1 to 3, 4 to 6 and 7 to 9 are each one; give these jobs a queue of their own,
since Celery's plain tasks have the highest step there. On RabbitMQ the queue must be declared
with ``x-max-priority``. Other brokers have none. A worker's prefetched messages come first:
``worker_prefetch_multiplier = 1``.

**Delivery**: a message is acknowledged after the attempt. A killed pool process (also by the
kernel for want of memory) has its job started again by the worker, which takes some seconds
to notice; if all of a worker is killed, on Redis, another one gets its jobs after
``visibility_timeout``, 1 hour by default, and up to two minutes more. **A job that runs longer
than that is started a second time beside itself**: set ``broker_transport_options =
{"visibility_timeout": ...}`` well above your longest job. Longer delays are sent in pieces and
are not affected. Tried on Redis only; RabbitMQ should do the same by Celery's documentation.

**Time limit**: none, unless you set Celery's ``task_time_limit``; it kills the pool process.
``self.cancelled`` works as in threads; Celery's ``revoke`` is not needed.
"""

from __future__ import annotations

import math
from datetime import timedelta
from functools import cached_property
from typing import Any

from .._backend import engines
from ..errors import InvalidOption
from ._drained import drain_threads
from ._engine import RemoteEngine, load
from ._message import Message

__all__ = ["CeleryBackend"]

celery: Any = load("celery", "celery[redis]")

TASK = "counterpunch.perform"
#: The state a record has in Celery's result store. No state of Celery's own: those are
#: cached, never written over, or taken for an exception.
STATE = "COUNTERPUNCH"


class CeleryBackend(RemoteEngine):
    """Jobs as messages of a Celery app; see the module for what Celery does with them.

    Args:
        app: The ``celery.Celery`` app. Nothing of its configuration is changed.
        queue: Name of the queue, for ``celery worker -Q``; None is the app's default, which
            a worker reads without it.
        timeout: Seconds that a call to the broker or the result backend may take in a
            process that enqueues or asks. Default 5.

    Raises:
        InvalidOption: If ``app`` is no Celery app, or for a bad value.
    """

    name = "celery"

    def __init__(self, app: Any, *, queue: str | None = None, timeout: float = 5.0) -> None:
        super().__init__(timeout)
        if not isinstance(app, celery.Celery):
            raise InvalidOption("CeleryBackend", "app", app, "a celery.Celery app")
        self.app = app
        self.queue = queue

        def perform(text: str) -> None:
            self.perform(text)

        # One task for the app, however many backends: any of them can run any message.
        self._task = app.task(
            perform,
            name=TASK,
            acks_late=True,
            reject_on_worker_lost=True,
            ignore_result=True,  # Celery's own would be written over the job's record
            # A failure of the engine's, too, would be written over it.
            store_errors_even_if_ignored=False,
            acks_on_timeout=False,  # a pool process that is killed for its time, as any other
            max_retries=None,
        )
        signals = load("celery.signals", "celery[redis]")
        for signal in (signals.worker_process_shutdown, signals.worker_shutdown):
            signal.connect(drain_threads, weak=False, dispatch_uid="counterpunch")
        engines.add(self)

    def __repr__(self) -> str:
        return f"CeleryBackend({self.app.main!r}, queue={self.queue!r})"

    @property
    def keeps_results(self) -> bool:
        unshared = {"DisabledBackend", "RPCBackend"}
        kinds = {kind.__name__ for kind in type(self.app.backend).__mro__}
        return not kinds & unshared

    @cached_property
    def _driver(self) -> str:
        """The kind of the broker; connects nowhere."""
        with self.app.connection_for_write() as connection:
            return str(connection.transport.driver_type)

    @property
    def has_priorities(self) -> bool:
        return self._driver in ("redis", "amqp")

    @property
    def longest_delay(self) -> float:
        """A worker holds what is delayed, unacknowledged: on Redis for less than the visibility
        timeout, on RabbitMQ than its ``consumer_timeout``, 30 minutes by default. And a record,
        and a cancel mark, must outlive the wait."""
        options = self.app.conf.broker_transport_options or {}
        held = float(options.get("visibility_timeout", 3600)) if self._driver == "redis" else 1800.0
        expires = self.app.conf.result_expires or math.inf
        kept = expires.total_seconds() if isinstance(expires, timedelta) else float(expires)
        return min(held, kept) / 2

    def publish(self, message: Message, delay: float) -> None:
        options: dict[str, Any] = {"task_id": message.id, "retry": False, "shadow": message.job}
        options["argsrepr"] = message.id  # Celery logs it, and its events carry it
        if delay > 0:
            options["countdown"] = delay
        if self.queue is not None:
            options["queue"] = self.queue
        if self.has_priorities:
            level = min(9, max(0, message.priority))
            options["priority"] = 9 - level if self._driver == "redis" else level
        self._task.apply_async((message.dumps(),), **options)

    def read(self, key: str) -> str | None:
        meta = self.app.backend.get_task_meta(key, cache=False)
        return meta["result"] if meta["status"] == STATE else None

    def write(self, key: str, text: str) -> None:
        self.app.backend.store_result(key, text, STATE)
