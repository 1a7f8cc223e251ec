"""The caller's side of every engine: refuse, encode, record, send; and the table of options.

An adapter gives three small methods (``publish``, ``read``, ``write``) and says what its
engine can do. What is done with them is written here and in ``_delivery`` once.
"""

from __future__ import annotations

import logging
import math
import re
import time
import uuid
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple, TypeVar, cast

from ..core.port import (
    CANCELLED,
    DEFERRED,
    DISCARDED,
    LOST,
    NO_KWARGS,
    QUEUED,
    RUNNING,
    SCHEDULED,
    TERMINAL,
    CounterpunchError,
    InvalidOption,
    NotSupported,
    Status,
    commit,
    config,
    current,
    current_batch,
    due_at,
    due_in,
    process,
    report,
    safely,
    seconds,
)
from ._bounded import Bounded
from ._delivery import deliver
from ._encoding import Unencodable, decode, encode, pack, unpack
from ._message import Message, find_class, options_in, options_out, path_of
from ._record import Record, ended, opening
from ._remote import RemoteHandle
from .protocol import Capabilities

__all__ = ["OPTIONS", "RemoteEngine", "Rule", "load", "results_kept"]


T = TypeVar("T")


class Rule(NamedTuple):
    """What becomes of an option of a class on an engine.

    ``where``: ``"worker"``, it is kept, by the worker; ``"caller"``, by the process that
    enqueues; ``"idle"``, there is nothing left for it to do; ``"refused"``, any value but
    those of ``allowed``, unless the engine has ``flag``.
    """

    where: str
    flag: str = ""
    way_out: str = ""


_PROCESS = "{0} is kept within one process: drop it, or keep the class here with backend='threads'"

OPTIONS: Mapping[str, Rule] = {
    "workers": Rule(
        "refused",
        "supports_serial",
        "2 or more: 1 promises one job at a time, which many machines cannot keep; give the "
        "class a queue of its own with a single worker, and set workers to 2",
    ),
    "max_jobs": Rule("refused", "supports_bounds", "the default: the broker's queue has no bound"),
    "overflow": Rule(
        "refused", "supports_bounds", "'raise': the broker's queue has no bound to answer for"
    ),
    "block_timeout": Rule("idle"),
    "pool": Rule(
        "refused", "supports_pool", "None: name a queue instead, queue=... of the backend"
    ),
    "priority": Rule(
        "refused", "supports_priority", "0: the engine, or this queue of it, has no priorities"
    ),
    "retry": Rule("worker"),
    "discard_on": Rule("worker"),
    "timeout": Rule("worker"),
    "expires_in": Rule("worker"),
    "on_shutdown": Rule("idle"),
    "delayed_on_shutdown": Rule("idle"),
    "identity": Rule("idle"),
    "unique": Rule("refused", "supports_unique", _PROCESS.format("None: uniqueness")),
    "on_duplicate": Rule("idle"),
    "rate": Rule("refused", "supports_rate", _PROCESS.format("None: a rate")),
    "context": Rule("idle"),
    "every": Rule("refused", "supports_periodic", _PROCESS.format("None: a period")),
    "cron": Rule("refused", "supports_periodic", _PROCESS.format("None: a crontab")),
    "timezone": Rule("idle"),
    "jitter": Rule("idle"),
    "once_per": Rule("idle"),
    "tags": Rule("worker"),
    "log_args": Rule("worker"),
    "redact": Rule("worker"),
    "backend": Rule("caller"),
}

#: What a refused option may be all the same.
_HARMLESS: Mapping[str, Any] = {"priority": 0, "overflow": "raise", "max_jobs": 100_000}


def load(module: str, package: str) -> Any:
    """An engine's module.

    Raises:
        ImportError: Naming what to install; the real error is chained.
    """
    try:
        return import_module(module)
    except ImportError as exc:
        raise ImportError(
            f"counterpunch.backends.{module.partition('.')[0]} needs {module}, which cannot be "
            f"imported ({exc}): pip install '{package}'"
        ) from exc


def results_kept(owner: str, keep: Any) -> float:
    """``keep`` of a backend, checked.

    Raises:
        InvalidOption: If it is no number of seconds above 0.
    """
    return cast("float", seconds(0.0, none=False, exclusive=True)(owner, "keep", keep))


class RemoteEngine:
    """What the three adapters share.

    Args:
        timeout: Seconds that any call to the engine may take in a process that enqueues or
            asks. Default 5.

    Raises:
        InvalidOption: For a timeout that is not above 0.
    """

    name = "engine"

    def __init__(self, timeout: float) -> None:
        check = seconds(0.0, none=False, exclusive=True)
        limit = check(type(self).__name__, "timeout", timeout)
        self._bounded = Bounded(self.name, cast("float", limit))

    # For an adapter to say

    @property
    def keeps_results(self) -> bool:
        """False if there is no result store: then there is no status, result or cancel."""
        return True

    @property
    def has_priorities(self) -> bool:
        return False

    @property
    def longest_delay(self) -> float:
        """Seconds. A longer one is sent in pieces: who gets a message early sends it on."""
        return math.inf

    def publish(self, message: Message, delay: float) -> None:
        """Give a message to the broker, to be delivered in ``delay`` seconds, never earlier."""
        raise NotImplementedError

    def read(self, key: str) -> str | None:
        """What ``write`` stored under a key."""
        raise NotImplementedError

    def write(self, key: str, text: str) -> None:
        raise NotImplementedError

    # The protocol

    @property
    def capabilities(self) -> Capabilities:
        """What this engine can do. Asks nobody."""
        kept = self.keeps_results
        return Capabilities(
            supports_priority=self.has_priorities,
            supports_status=kept,
            supports_get_result=kept,
            supports_cancel=kept,
            supports_reschedule=False,
            supports_pause=False,
            supports_identity=False,
            supports_unique=False,
            supports_rate=False,
            supports_pool=False,
            supports_serial=False,
            supports_bounds=False,
            supports_periodic=False,
            supports_batch=False,
            any_argument=False,
            survives_exit=True,
        )

    def knows(self, id: str) -> bool:
        # The exact shape: an id often comes from a URL, and the store has keys of others.
        return re.fullmatch(rf"{self.name}-[0-9a-f]{{32}}", id) is not None

    def enqueue(
        self,
        job: type,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: dict[str, Any] | None = None,
    ) -> RemoteHandle[Any]:
        """Record and send one job. Nothing of it stays in this process.

        Raises:
            TypeError: If the arguments do not fit ``perform`` or cannot be encoded.
            InvalidOption: For an option that the engine cannot keep.
            NotSupported: Inside an open ``Batch``.
            CounterpunchError: If a worker could not import the class.
            BackendError: If the broker or the result store failed or did not answer.
        """
        owner, runtime = job.__qualname__, current()
        lane = runtime.lane(job)
        if lane.plan.check is None:
            raise TypeError(f"{owner} cannot be enqueued: {lane.plan.lacks}")
        lane.plan.check(*args, **kwargs)
        rest = dict(options or {})
        after_commit = rest.pop("after_commit", None)
        self.refuse(owner, {**vars(lane.options), **rest})
        batch = current_batch.get()
        if batch is not None and not batch.closed:
            raise NotSupported(
                f"{owner} was not enqueued: {batch!r} counts jobs of this process, and the "
                f"class runs on {self.name}; keep it here with backend='threads'"
            )
        now = time.time()
        due = now
        if "delay" in rest:
            due = now + due_in(owner, rest.pop("delay"))
        if "at" in rest:
            due = max(now, due_at(owner, rest.pop("at")))
        try:
            sent = [encode(value, f"args[{n}]") for n, value in enumerate(args)]
            named = {name: encode(value, name) for name, value in kwargs.items()}
        except Unencodable as exc:
            raise TypeError(f"{owner} was not enqueued on {self.name}: {exc}") from None
        id = f"{self.name}-{uuid.uuid4().hex}"
        message = Message(id, path_of(job), sent, named, {}, now, due)
        state = SCHEDULED if due > now else QUEUED
        handle: RemoteHandle[Any] = RemoteHandle(
            self, lane, args, kwargs or NO_KWARGS, opening(message, state)
        )
        handle.pinned = True  # hooks may ask before anybody else knows of it
        handle.extra().options = rest or None
        deferral = commit.defer(self._undefer, owner, after_commit)
        if deferral is not None:
            handle.unsent.give()
            handle.learn({**handle.known, "status": DEFERRED.value})
        handle.known["options"] = options_out(owner, rest)  # raises before anybody is told
        if process.around_enqueue or lane.plan.on_enqueue:
            if not self._announced(handle):
                return handle
            self.refuse(owner, {**vars(lane.options), **(handle.extra().options or {})})
        handle.known["options"] = options_out(owner, handle.extra().options or {})
        if deferral is None:
            self.send_first(handle)
        else:
            deferral.hold(handle, None)
        return handle

    def _announced(self, handle: RemoteHandle[Any]) -> bool:
        """Middleware and hook, as for any job; False if one of them has ended it. It is then
        a job of this process: it never went anywhere else."""
        lane = handle.lane
        try:
            lane.keeper.admission.announce(handle, lane)
        finally:
            if handle.state in TERMINAL:
                lane.ledger.accepted.add()
                handle.unsent.take()
                reason = handle.extra().reason
                record = {**handle.known, "status": handle.state.value, "reason": reason}
                handle.known = {**record, "finished": time.time()}
        return handle.state not in TERMINAL

    def refuse(self, owner: str, options: Mapping[str, Any]) -> None:
        """
        Raises:
            InvalidOption: For the first option that this engine cannot keep.
        """
        can = self.capabilities
        for name, rule in OPTIONS.items():
            value = options.get(name)
            if rule.where != "refused" or getattr(can, rule.flag):
                continue
            harmless = value != 1 if name == "workers" else value in (None, _HARMLESS.get(name))
            if not harmless:
                raise InvalidOption(owner, name, value, f"on {self.name}: {rule.way_out}")

    def send_first(self, handle: RemoteHandle[Any]) -> None:
        """Record a new job, then send it: a worker may have it before this call returns."""
        record = handle.known
        now = time.time()
        status = SCHEDULED if record["due"] > now else QUEUED
        names = ("id", "job", "args", "kwargs", "options", "enqueued", "due")
        priority = handle.option("priority")
        message = Message(**{name: record[name] for name in names}, priority=priority)
        record = opening(message, status)

        def send() -> None:
            if self.keeps_results:
                self.write(message.id, pack(record))
            self.send(message)

        owner, known = handle.job.__qualname__, f"enqueued (id {message.id})"
        self._bounded.call(
            f"{owner} was not {known}", send, overdue=f"{owner} may not have been {known}"
        )
        handle.learn(record)
        handle.pinned = False

    def _undefer(self, handle: RemoteHandle[Any], due: float | None, dropped: str | None) -> None:
        """The transaction of a job has ended: send it, or drop it."""
        if not handle.unsent.take():
            return  # cancelled meanwhile
        if dropped is not None:
            _end(handle, DISCARDED, dropped)
            return
        try:
            self.send_first(handle)
        except CounterpunchError as exc:
            # The transaction has been committed: nobody is left to raise this to.
            _end(handle, LOST, str(exc))
            report(logging.ERROR, "%r was lost: %s", handle, exc, exc_info=exc)
            if config.on_lost is not None:
                safely("on_lost", handle, config.on_lost, [handle])

    def send(self, message: Message) -> None:
        """Publish a message so that it arrives at its due time, or earlier to be sent on."""
        delay = max(0.0, message.due - time.time())
        self.publish(message, min(delay, self.longest_delay))

    def find(self, id: str) -> RemoteHandle[Any] | None:
        """The handle of the job with this id, from whatever process; None if it is unknown.

        Raises:
            BackendError: If the result store does not answer.
            NotSupported: If there is none.
            ImportError, AttributeError: If the job's class cannot be imported here.
        """
        record = self.record_of(id, f"find({id!r})") if self.knows(id) else None
        if record is None:
            return None
        lane = current().lane(find_class(record["job"]))
        kwargs = {name: decode(value) for name, value in record["kwargs"].items()}
        args = tuple(decode(value) for value in record["args"])
        handle: RemoteHandle[Any] = RemoteHandle(self, lane, args, kwargs, record)
        handle.extra().options = options_in(record["options"]) or None
        return handle

    def record_of(self, id: str, what: str) -> Record | None:
        """The record of a job, in bounded time; None if there is none."""
        if not self.keeps_results:
            raise NotSupported(
                f"{what}: this {self.name} backend has no result store, so nothing is known of "
                f"a job once it is sent; configure one, see the backend's docstring"
            )
        return self._bounded.call(what, lambda: self.fetch(id))

    def fetch(self, id: str) -> Record | None:
        text = self.read(id)
        return None if text is None else cast("Record", unpack(text))

    def cancel(self, handle: RemoteHandle[Any]) -> bool:
        """Set the mark, then look. A worker does the reverse: it records that it starts, then
        looks for the mark. So of the two at least one sees the other."""
        if handle.done():
            return handle.state is CANCELLED
        what = f"cancel() of {handle!r}"
        self._bounded.call(what, lambda: self.write(_mark(handle.id), "1"))
        record = handle.look()
        if ended(record) or record["status"] == RUNNING.value:
            return handle.state is CANCELLED
        reason = "cancelled before it ran"
        over = {"status": CANCELLED.value, "reason": reason, "finished": time.time()}

        self._bounded.call(what, lambda: self.write(handle.id, pack({**record, **over})))
        handle.learn({**record, **over})
        return True

    # For the worker

    def marked(self, id: str) -> bool:
        """True if somebody has cancelled the job."""
        return self.keeps_results and self.read(_mark(id)) is not None

    def perform(self, text: str) -> None:
        """What the engine's worker calls with a message. Raises to tell it of a failure."""
        deliver(self, Message.loads(text))

    def bounded(self, what: str, fn: Callable[[], T]) -> T:
        """What ``fn()`` returns within the backend's ``timeout``; see ``Bounded.call``."""
        return self._bounded.call(what, fn)


def _mark(id: str) -> str:
    return f"{id}-cancelled"


def _end(handle: RemoteHandle[Any], status: Status, reason: str) -> None:
    over = {"status": status.value, "reason": reason, "finished": time.time()}
    handle.learn({**handle.known, **over})
