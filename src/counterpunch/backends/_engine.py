"""What the engines share: ``RemoteEngine``, of which each adapter is one.

An adapter gives three small methods (``publish``, ``read``, ``write``) and says what its
engine can do. What is done with them is written in ``_submission`` (the caller's side) and
``_delivery`` (the worker's) once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from ..core.port import current
from ..core.values.checks import seconds
from ..core.values.clock import epoch
from ..core.values.errors import NotSupported, shorten
from ..core.values.status import Status
from ._bounded import Bounded
from ._delivery import Delivery, end_unrun, failed
from ._encoding import pack
from ._message import Message, Unreadable, arguments_in, options_in
from ._paths import find_class
from ._record import Record, closed, ended, record_in
from ._remote import RemoteHandle
from ._rules import refuse
from ._submission import submit
from .protocol import Capabilities

__all__ = ["RemoteEngine", "load", "positive"]

#: What needs one process around all jobs, or one queue that can be looked into.
_HERE_ONLY = dict.fromkeys(
    (
        "supports_reschedule", "supports_pause", "supports_identity", "supports_unique",
        "supports_rate", "supports_pool", "supports_serial", "supports_bounds",
        "supports_periodic", "supports_batch", "any_argument",
    ),
    False,
)  # fmt: skip


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


def positive(owner: str, name: str, value: Any) -> float:
    """Seconds that a backend was given, checked.

    Raises:
        InvalidOption: If it is no number of seconds above 0.
    """
    return cast("float", seconds(0.0, none=False, exclusive=True)(owner, name, value))


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
        limit = positive(type(self).__name__, "timeout", timeout)
        #: Makes the calls into the engine that must not hold up who asks.
        self.bounded = Bounded(self.name, limit)

    # For an adapter to say

    @property
    def keeps_results(self) -> bool:
        """False if there is no result store: then there is no status, result or cancel."""
        return True

    @property
    def has_priorities(self) -> bool:
        return False

    @property
    def in_place(self) -> bool:
        """True if the engine is told to run a job at once, within the call that sends it."""
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
            survives_exit=True,
            **_HERE_ONLY,
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
        return submit(self, job, args, kwargs, dict(options or {}))

    def refuse(self, owner: str, options: Mapping[str, Any]) -> None:
        """
        Raises:
            InvalidOption: For the first option that this engine cannot keep.
        """
        refuse(self.name, self.capabilities, owner, options)

    def send(self, message: Message) -> None:
        """Publish a message so that it arrives at its due time, or earlier to be sent on."""
        delay = max(0.0, message.due - epoch())
        self.publish(message, min(delay, self.longest_delay))

    def find(self, id: str) -> RemoteHandle[Any] | None:
        """The handle of the job with this id, from whatever process; None if it is unknown.

        Raises:
            BackendError: If the result store does not answer, or holds something strange.
            NotSupported: If there is none.
            ImportError, AttributeError, TypeError: If the job's class cannot be imported here.
        """
        record = self.record_of(id, f"find({id!r})") if self.knows(id) else None
        if record is None:
            return None
        lane = current().lane(find_class(record["job"]))
        args, kwargs = arguments_in(record["args"], record["kwargs"])
        handle: RemoteHandle[Any] = RemoteHandle(self, lane, args, kwargs, record)
        handle.extra().options = options_in(lane.job.__qualname__, record["options"]) or None
        return handle

    def record_of(self, id: str, what: str) -> Record | None:
        """The record of a job, in bounded time; None if there is none."""
        if not self.keeps_results:
            raise NotSupported(
                f"{what}: this {self.name} backend has no result store, so nothing is known of "
                f"a job once it is sent; configure one, see the backend's docstring"
            )
        return self.bounded.call(what, lambda: self.fetch(id))

    def fetch(self, id: str) -> Record | None:
        text = self.read(id)
        return None if text is None else record_in(text, id)

    def cancel(self, handle: RemoteHandle[Any]) -> bool:
        """Set the mark, then look. A worker does the reverse: it records that it starts, then
        looks for the mark. So of the two at least one sees the other."""
        if not handle.done():
            what = f"cancel() of {handle!r}"
            self.bounded.call(what, lambda: self.write(_mark(handle.id), "1"))
            record = handle.look()
            if not ended(record) and record["status"] != Status.RUNNING:
                record = closed(record, Status.CANCELLED, "cancelled before it ran")
                self.bounded.call(what, lambda: self.write(handle.id, pack(record)))
                handle.learn(record)
        return handle.state is Status.CANCELLED

    # For the worker

    def marked(self, id: str) -> bool:
        """True if somebody has cancelled the job."""
        return self.keeps_results and self.read(_mark(id)) is not None

    def perform(self, text: str) -> None:
        """What the engine's worker calls with a message. Raises to tell it of a failure."""
        try:
            following: Message | None = Message.loads(text)
        except Unreadable as exc:
            unreadable = exc
            if exc.id is not None:
                end_unrun(self, exc.id, lambda record: failed(record, unreadable))
            raise
        while following is not None:
            if not self.knows(following.id):  # it is a key of the result store
                raise Unreadable(f"a message whose id is {shorten(following.id)}")
            following = Delivery(self, following).carry_out()


def _mark(id: str) -> str:
    return f"{id}-cancelled"
