"""RQ: ``RQBackend(queue)`` or ``RQBackend("redis://localhost/0")``. The worker is RQ's own::

    rq worker --with-scheduler -c shop.jobs --url redis://localhost/0

``-c shop.jobs`` imports that module once, before the worker forks; without it each job's
process imports the module of its class. **Without** ``--with-scheduler`` **on at least one
worker, delayed jobs and retries never start.** ``pip install rq``.

**Results**: in the same Redis, kept for ``keep`` seconds. **Priority**: none, RQ has only the
order of the queues on a worker's command line. **Delays**: to the second, rounded up.

**Delivery**: RQ forks a process for each job. If that is killed, the job goes back to the
queue at once; if the whole worker is killed, another one finds its job some minutes later
and puts it back. RQ keeps the job itself in Redis for as long as it waits or runs.

A ``SimpleWorker`` forks for none, and is killed with its job; jobs in its threads go on
after the job that has enqueued them, and are drained as it leaves. A process for one job drains
them before it ends, within ``shutdown_timeout``; delayed ones are dropped and reported.

RQ pickles what it puts into Redis, and unpickles what it finds there. The message is a string,
so a queue and a worker with RQ's JSON serializer (``-S``) do as well.

**Time limit**: none. RQ's default of 180 s, which kills, is switched off; ``timeout`` of the
class is the soft one. A queue's ``default_timeout`` and RQ's ``Retry`` are for your own jobs.

**In place**: a queue with ``is_async=False`` runs a job within the call that enqueues it; retries
follow at once. What is enqueued for later waits for a worker with ``--with-scheduler``, as RQ has
it. For tests ``counterpunch.testing.inline()`` needs no Redis.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import partial
from typing import Any
from uuid import uuid4

from ..core.port import current
from ..core.values.backend import engines
from ..core.values.clock import epoch
from ..core.values.errors import InvalidOption
from ..core.values.status import Status
from ._delivery import end_unrun, starts
from ._drained import drain_threads
from ._engine import RemoteEngine, load, positive
from ._message import Message, options_in
from ._paths import find_class
from ._record import closed

__all__ = ["RQBackend", "perform"]

rq: Any = load("rq", "rq")
redis: Any = load("redis", "rq")

#: Seconds for which a failed job stays in RQ's own registry, for its tools: a week.
FAILED_SECONDS = 7 * 86_400
ALLOWED = "an rq.Queue, or the URL of a Redis server"
#: What RQ calls the worker of a queue that is not ``is_async``.
IN_THE_CALLER = "sync"


class RQBackend(RemoteEngine):
    """Jobs in a queue of RQ; see the module for what RQ does with them.

    Args:
        queue: An ``rq.Queue``, or the URL of a Redis server for the queue ``"default"``.
        keep: Seconds for which a record is kept after it was last written. Default a day; a
            job that is queued behind others for longer than that still runs, but is not known
            meanwhile.
        timeout: Seconds that a call to Redis may take in a process that enqueues or asks.
            Default 5.

    Raises:
        InvalidOption: For a bad value.
    """

    name = "rq"

    def __init__(self, queue: Any, *, keep: float = 86_400.0, timeout: float = 5.0) -> None:
        super().__init__(timeout)
        if isinstance(queue, str):
            seconds = self.bounded.seconds
            limits = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
            try:
                connection = redis.Redis.from_url(queue, **limits)
            except ValueError as exc:
                allowed = f"{ALLOWED} ({exc}); a queue by its name: rq.Queue(name, connection=...)"
                # Without the value: a URL may hold a password.
                raise InvalidOption("RQBackend", "queue", "...", allowed) from exc
            queue = rq.Queue(connection=connection)
        if not isinstance(queue, rq.Queue):
            raise InvalidOption("RQBackend", "queue", queue, ALLOWED)
        if queue.connection.connection_pool.connection_kwargs.get("decode_responses"):
            allowed = "an rq.Queue whose connection has no decode_responses: RQ stores bytes"
            raise InvalidOption("RQBackend", "queue", queue, allowed)
        self.queue = queue
        self.keep = positive("RQBackend", "keep", keep)
        engines.add(self)

    def __repr__(self) -> str:
        return f"RQBackend(queue={self.queue.name!r})"

    @property
    def in_place(self) -> bool:
        return not self.queue.is_async

    @property
    def longest_delay(self) -> float:
        """So that a record, and a cancel mark, outlive the wait."""
        return self.keep / 2

    def refuse(self, owner: str, options: Mapping[str, Any]) -> None:
        super().refuse(owner, options)
        retry = options.get("retry")
        if retry is not None and retry.budget is not None:
            allowed = (
                "on rq: a Retry without a budget, which is counted within one process, and here "
                "each job has a process of its own"
            )
            raise InvalidOption(owner, "retry", retry, allowed)

    def publish(self, message: Message, delay: float) -> None:
        options = {
            # Each delivery is a job of its own to RQ: one that runs cannot be enqueued again.
            "job_id": f"{message.id}-{uuid4().hex[:8]}",
            "job_timeout": -1,
            "result_ttl": int(self.keep) or 1,
            "failure_ttl": FAILED_SECONDS,
            # Used up by killed workers only: a failure of the job is final for RQ.
            "retry": rq.Retry(max=_starts(message)),
            "description": message.job,
            "on_stopped": rq.Callback(STOPPED),
        }
        args = (message.dumps(), self.keep)
        if delay > 0:
            # RQ keeps whole seconds, and would start it up to one too early.
            when = datetime.fromtimestamp(math.ceil(epoch() + delay), timezone.utc)
            self.queue.enqueue_at(when, PERFORM, *args, **options)
        else:
            self.queue.enqueue(PERFORM, *args, **options)

    def read(self, key: str) -> str | None:
        raw = self.queue.connection.get(_key(key))
        return raw.decode(errors="replace") if isinstance(raw, bytes) else raw

    def write(self, key: str, text: str) -> None:
        self.queue.connection.set(_key(key), text, px=max(1, int(self.keep * 1000)))


PERFORM, STOPPED = f"{__name__}.perform", f"{__name__}.stopped"


def _starts(message: Message) -> int:
    """As often as ``deliver`` lets it start, and once more to be told that it is lost."""
    lane = current().lane(find_class(message.job))
    options = options_in(message.job, message.options)
    return starts(options.get("retry", lane.options.retry))


def _key(name: str) -> str:
    return f"counterpunch:{name}"


def perform(text: str, keep: float) -> None:
    """What an RQ worker imports and calls."""
    job = rq.get_current_job()
    worker = _backend(job, keep)
    try:
        worker.perform(text)
    except BaseException:
        job.retries_left = 0  # a failure, not a killed worker
        raise
    finally:
        if _leaves(job):
            drain_threads()  # a process for one job of RQ's leaves without any exit hook


def stopped(job: Any, connection: Any) -> None:
    """What an RQ worker calls when somebody has it stop a job, whose process it has killed."""
    text, keep = job.args
    reason = "it was stopped on rq"
    end = partial(closed, status=Status.CANCELLED, reason=reason)
    end_unrun(_backend(job, keep), Message.loads(text).id, end)


#: A ``SimpleWorker`` runs all jobs in its own process, with the same few backends.
_backends: dict[tuple[str, float, bool], RQBackend] = {}


def _backend(job: Any, keep: float) -> RQBackend:
    key = (job.origin, keep, job.worker_name != IN_THE_CALLER)
    found = _backends.get(key)
    if found is None or found.queue.connection is not job.connection:
        options = {"serializer": job.serializer, "job_class": type(job), "is_async": key[2]}
        queue = rq.Queue(job.origin, connection=job.connection, **options)
        found = _backends[key] = RQBackend(queue, keep=keep)
    return found


def _leaves(job: Any) -> bool:
    """False in a process that goes on after this job: that of the worker itself, or of the
    caller, with a queue that is not ``is_async``."""
    if current().idle(delayed=True):
        return False
    name = job.worker_name
    try:
        found = job.connection.hget(f"{rq.SimpleWorker.redis_worker_namespace_prefix}{name}", "pid")
    except redis.RedisError:
        return True
    if found is None:
        return bool(name != IN_THE_CALLER)
    return int(found) != os.getpid()
