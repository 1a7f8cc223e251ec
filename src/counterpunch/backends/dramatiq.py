"""Dramatiq: ``DramatiqBackend(broker)``. The worker is Dramatiq's own::

    dramatiq shop.jobs:broker

where ``shop.jobs`` makes the broker and the backend (``DramatiqBackend(broker)`` declares the
actors that run every job). With ``pip install 'dramatiq[redis]'``::

    broker = RedisBroker(url="redis://localhost/0")
    results = dramatiq.results.backends.RedisBackend(url="redis://localhost/0")
    backend = DramatiqBackend(broker, results=results)

**Results**: in ``results``, or that of a ``Results`` middleware of the broker, kept for
``keep`` seconds; without either, jobs run but nothing is known of them. **Priority**: 0 to 9,
what is beyond counts as these, among the messages that a worker process has fetched
(``dramatiq_queue_prefetch``); the broker's queue itself is in order of arrival. **Delays**:
in milliseconds; a worker holds delayed messages in its memory and in the broker's.

**Delivery**: at least once. When a process of the worker is killed, Dramatiq's command stops
the others and leaves, so run it under a supervisor; on Redis the messages go back to the
queue ``heartbeat_timeout`` after the last sign of life, 60 s by default; on RabbitMQ at once.
There ``RabbitmqBroker(..., confirm_delivery=True)`` makes an enqueue wait until it has the job on
its disk: without it what it had just accepted was lost when it was killed.

**Time limit**: none; Dramatiq's default of 10 minutes, which raises in the middle of a job,
is switched off. Its 20 retries are, too, and ``max_age`` and ``notify_shutdown`` of the broker's
middleware: what each of them says counts for your own actors.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

from ..core.values.backend import engines
from ..core.values.errors import InvalidOption
from ..core.values.status import Status
from ._delivery import end_unrun, failed
from ._drained import drain_threads
from ._engine import RemoteEngine, load, positive
from ._message import Message
from ._record import Record, closed

__all__ = ["DramatiqBackend"]

dramatiq: Any = load("dramatiq", "dramatiq[redis]")
results_module: Any = load("dramatiq.results", "dramatiq[redis]")

LEVELS = 10
#: Seconds. The Redis broker refuses delays of a week and more.
LONGEST = 6 * 86_400.0
#: RabbitMQ takes away what a worker holds unacknowledged for 30 minutes, and a worker holds what
#: is delayed.
LONGEST_RABBITMQ = 900.0


#: The option of a Dramatiq message that holds the job's: Dramatiq logs the arguments of what
#: fails, and no options.
TEXT = "counterpunch"

_delivered = threading.local()


class _Ours(dramatiq.Middleware):  # type: ignore[misc]  # Any: it may not be installed
    def before_process_message(self, broker: Any, message: Any) -> None:
        _delivered.text = message.options.get(TEXT)

    def after_skip_message(self, broker: Any, message: Any) -> None:
        """Somebody's middleware has dropped it."""
        reason = "a middleware of dramatiq's broker skipped it"
        _end(message, lambda record: closed(record, Status.DISCARDED, reason))

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: Any = None
    ) -> None:
        """Nothing is left to do but for what a middleware raised before the job."""
        if exception is not None:
            _end(message, lambda record: failed(record, exception))

    def after_worker_shutdown(self, broker: Any, worker: Any) -> None:
        drain_threads()


def _end(message: Any, end: Callable[[Record], Record]) -> None:
    if message.options.get(TEXT) is not None:
        for engine in list(engines):
            if isinstance(engine, DramatiqBackend) and engine.queue == message.queue_name:
                end_unrun(engine, message.message_id, end)


class DramatiqBackend(RemoteEngine):
    """Jobs as messages of a Dramatiq broker; see the module for what Dramatiq does with them.

    Args:
        broker: The ``dramatiq.Broker``. It gets a few actors and a middleware. One backend
            for each queue of it.
        queue: Name of the queue. Default ``"default"``.
        results: A ``dramatiq.results.ResultBackend``; None takes the broker's, if it has one.
        keep: Seconds for which a record is kept after it was last written. Default a day; a
            job that is queued behind others for longer than that still runs, but is not known
            meanwhile.
        timeout: Seconds that a call to the broker or the results may take in a process that
            enqueues or asks. Default 5.

    Raises:
        InvalidOption: For a bad value.
    """

    name = "dramatiq"

    def __init__(
        self,
        broker: Any,
        *,
        queue: str = "default",
        results: Any = None,
        keep: float = 86_400.0,
        timeout: float = 5.0,
    ) -> None:
        super().__init__(timeout)
        if not isinstance(broker, dramatiq.Broker):
            raise InvalidOption("DramatiqBackend", "broker", broker, "a dramatiq.Broker")
        if results is None:
            kind = results_module.Results
            found = (one.backend for one in broker.middleware if isinstance(one, kind))
            results = next(found, None)
        elif not isinstance(results, results_module.ResultBackend):
            allowed = "a dramatiq.results.ResultBackend, or None"
            raise InvalidOption("DramatiqBackend", "results", results, allowed)
        self.broker = broker
        self.queue = queue
        self.results = results
        self.keep = positive("DramatiqBackend", "keep", keep)
        if not any(isinstance(one, _Ours) for one in broker.middleware):
            broker.add_middleware(_Ours())
        for level in range(LEVELS):
            self._declare(level)
        engines.add(self)

    def _declare(self, level: int) -> None:
        """An actor: to Dramatiq a priority belongs to the actor, the lower the sooner."""
        actor = self._actor(level)
        if actor in self.broker.actors:
            return

        def perform() -> None:
            self.perform(_delivered.text)

        # Whatever the broker's middleware does by default: repeat a message, stop a job or drop
        # an old message, and keep what the actor returns.
        off = {
            "max_retries": 0,
            "retry_when": None,  # it would count instead of the former
            "time_limit": float("inf"),
            "max_age": None,
            "notify_shutdown": False,
            "store_results": False,
        }
        dramatiq.actor(
            perform,
            actor_name=actor,
            queue_name=self.queue,
            priority=LEVELS - 1 - level,
            broker=self.broker,
            # A broker without the middleware for one of them would refuse the option.
            **{name: off[name] for name in off if name in self.broker.actor_options},
        )

    def _actor(self, level: int) -> str:
        return f"counterpunch.{self.queue}.{level}"

    def __repr__(self) -> str:
        return f"DramatiqBackend(queue={self.queue!r})"

    @property
    def keeps_results(self) -> bool:
        return self.results is not None

    @property
    def has_priorities(self) -> bool:
        return True

    @property
    def longest_delay(self) -> float:
        """So that a record, and a cancel mark, outlive the wait."""
        kinds = {kind.__name__ for kind in type(self.broker).__mro__}
        held = LONGEST_RABBITMQ if "RabbitmqBroker" in kinds else LONGEST
        return min(held, self.keep / 2)

    def publish(self, message: Message, delay: float) -> None:
        level = min(LEVELS - 1, max(0, message.priority))
        sent = self._message(self._actor(level), message.id, {TEXT: message.dumps()})
        self.broker.enqueue(sent, delay=math.ceil(delay * 1000) + 1 if delay > 0 else None)

    def _message(self, actor: str, id: str, options: dict[str, str] | None = None) -> Any:
        return dramatiq.Message(
            queue_name=self.queue,
            actor_name=actor,
            args=(),
            kwargs={},
            options=options or {},
            message_id=id,
        )

    # Dramatiq finds a result by a message; one that was never sent will do.

    def read(self, key: str) -> str | None:
        try:
            found = self.results.get_result(self._message("counterpunch", key))
        except results_module.ResultMissing:
            return None
        return str(found)

    def write(self, key: str, text: str) -> None:
        milliseconds = max(1, int(self.keep * 1000))
        self.results.store_result(self._message("counterpunch", key), text, milliseconds)
