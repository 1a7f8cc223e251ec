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
with ``x-max-priority``, by ``task_queues`` or ``task_queue_max_priority`` of the app; without it,
and on other brokers, there are none. A worker's prefetched messages come first:
``worker_prefetch_multiplier = 1``.

**Delivery**: a message is acknowledged after the attempt. A killed pool process (also by the
kernel for want of memory) has its job started again by the worker, which takes some seconds
to notice; if all of a worker is killed, on Redis, another one gets its jobs after
``visibility_timeout``, 1 hour by default, and up to two minutes more. **A job that runs longer
than that is started a second time beside itself**: set ``broker_transport_options =
{"visibility_timeout": ...}`` well above your longest job. Longer delays are sent in pieces and
are not affected. On RabbitMQ another worker gets the jobs of one that was killed at once, and
``broker_transport_options = {"confirm_publish": True}`` makes an enqueue wait until RabbitMQ has
the job on its disk: without it what it had just accepted was lost when it was killed.

**Pools**: prefork, threads, gevent and solo. Prefork forks after the module is imported, so that
must leave no database connection open.

**Time limit**: none, unless you set Celery's ``task_time_limit``: the job fails with the
``SystemExit`` that Celery raises in it, and one that is deaf to that is lost when its process was
killed three times. ``self.cancelled`` works as in threads; a job that is revoked with Celery's own
tools before it runs counts as cancelled.

**Your own settings**: a base class (``task_cls``), serializers, compression, routes and annotations
count for our task as for any other, but what would repeat it, drop it or keep its result is ours:
``autoretry_for``, ``expires``, ``rate_limit`` and the limits of a base class do not reach it. An
annotation that takes late acknowledgement away is refused at the enqueue.

**Eager mode** (``task_always_eager``): a job runs within the call that enqueues it, as Celery's
own tasks do: delays and retry waits are left out, and ``task_eager_propagates`` raises the job's
own exception there. Records stay in the process, so neither broker nor result backend need be
there. For tests ``counterpunch.testing.inline()`` needs no engine at all.
"""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any

from ..core.values.backend import engines
from ..core.values.errors import InvalidOption
from ..core.values.status import Status
from ._delivery import end_unrun, failed
from ._drained import drain_threads
from ._engine import RemoteEngine, load
from ._message import Message
from ._record import closed

__all__ = ["CeleryBackend"]

celery: Any = load("celery", "celery[redis]")

TASK = "counterpunch.perform"
#: What our task has to have: a message that is acknowledged before the attempt, or not given back
#: when its process is killed, leaves a job that runs for ever; a result of Celery's own would be
#: written over the job's record, and so would be a failure of the engine's.
KEPT = {
    "acks_late": True,
    "reject_on_worker_lost": True,
    "acks_on_timeout": False,  # a pool process that is killed for its time, as any other
    "ignore_result": True,
    "store_errors_even_if_ignored": False,
    "expires": None,
}
#: What a base class of the app's tasks may say, and is not for ours.
OURS = {"autoretry_for": (), "max_retries": None, "rate_limit": None}
LIMITS = {"time_limit": None, "soft_time_limit": None}
#: Records that an app in eager mode has of its jobs.
EAGER = 1000
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
        self._pid = os.getpid()

        def perform(text: str) -> None:
            self.perform(text)

        #: In eager mode nothing else has the records: no result backend need be there.
        self._eager: OrderedDict[str, str] = OrderedDict()
        # One task for the app, however many backends: any of them can run any message. And for no
        # other app of the process, which a shared one would be.
        self._task = vars(app).get(TASK)
        if self._task is None:
            self._task = app.task(perform, name=TASK, shared=False, **KEPT, **OURS, **LIMITS)
            vars(app)[TASK] = self._task
        signals = load("celery.signals", "celery[redis]")
        for signal in (signals.worker_process_shutdown, signals.worker_shutdown):
            signal.connect(drain_threads, weak=False, dispatch_uid="counterpunch")
        signals.task_failure.connect(self._failed)
        signals.task_revoked.connect(self._revoked)
        engines.add(self)

    def __repr__(self) -> str:
        return f"CeleryBackend({self.app.main!r}, queue={self.queue!r})"

    @property
    def keeps_results(self) -> bool:
        if self.in_place:
            return True
        unshared = {"DisabledBackend", "RPCBackend"}
        kinds = {kind.__name__ for kind in type(self.app.backend).__mro__}
        return not kinds & unshared

    @property
    def in_place(self) -> bool:
        return bool(self.app.conf.task_always_eager)

    def refuse(self, owner: str, options: Mapping[str, Any]) -> None:
        super().refuse(owner, options)
        for name, value in KEPT.items():
            found = getattr(self._task, name)
            if found != value:  # by task_annotations
                allowed = f"an app that leaves {name}={value} to the task {TASK}, not {found!r}"
                raise InvalidOption(owner, "backend", self, allowed)

    # What Celery makes of a message without asking us. Of several backends of an app each hears of
    # it; the first one ends the job.

    def _failed(self, sender: Any, task_id: str, exception: Exception, **_: Any) -> None:
        """Nothing is left to do for a job of ours that failed; but a base class may have raised
        before it, and a soft time limit anywhere."""
        kind = type(exception).__name__
        gone = kind in ("WorkerLostError", "TimeLimitExceeded", "Terminated")  # it comes again
        if sender is not None and sender.name == TASK and not gone:
            end_unrun(self, task_id, lambda record: failed(record, exception))

    def _revoked(self, sender: Any, request: Any, expired: bool = False, **_: Any) -> None:
        if sender is not None and sender.name == TASK:
            how = "it had expired on celery" if expired else "it was revoked on celery"
            end_unrun(self, request.id, lambda record: closed(record, Status.CANCELLED, how))

    @cached_property
    def _driver(self) -> str:
        """The kind of the broker; connects nowhere."""
        with self.app.connection_for_write() as connection:
            return str(connection.transport.driver_type)

    @property
    def has_priorities(self) -> bool:
        if self._driver != "amqp":
            return self._driver == "redis"
        # Without a look by index: that would declare a queue that is missing.
        queue = self.app.amqp.queues.get(self.queue or self.app.conf.task_default_queue)
        if queue is None:
            return bool(self.app.conf.task_queue_max_priority)
        return bool(queue.max_priority or (queue.queue_arguments or {}).get("x-max-priority"))

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

    def _forget_connections_of_parent(self) -> None:
        """In a forked child: two processes that write to one socket garble both. They are left
        alone, since to close them would end them for the parent as well. Celery does this for
        the processes that it forks itself."""
        if self._pid == os.getpid():
            return
        pools = load("kombu.pools", "celery[redis]")
        pools.producers.clear()
        pools.connections.clear()
        self.app._pool = self.app.amqp._producer_pool = None
        self._pid = os.getpid()  # last: another thread may ask meanwhile

    def publish(self, message: Message, delay: float) -> None:
        self._forget_connections_of_parent()
        options: dict[str, Any] = {"task_id": message.id, "shadow": message.job}
        # RabbitMQ's client sees only by a failure that a connection it kept has been closed.
        options["retry"] = self._driver == "amqp"
        options["retry_policy"] = {"max_retries": 1, "interval_start": 0}
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
        if self.in_place:
            return self._eager.get(key)
        meta = self.app.backend.get_task_meta(key, cache=False)
        return meta["result"] if meta["status"] == STATE else None

    def write(self, key: str, text: str) -> None:
        if self.in_place:
            self._eager[key] = text
            if len(self._eager) > EAGER:
                self._eager.popitem(last=False)
        else:
            self.app.backend.store_result(key, text, STATE)
