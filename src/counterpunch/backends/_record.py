"""What the engine's result store knows of a job: one record, written by whoever has the job.

The caller writes it before the job is sent, the worker at every step; a job that ended with
``retrying`` has been sent again. A record is plain JSON values, see ``FIELDS``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..core.values.errors import BackendError, RemoteError, shorten
from ..core.values.status import TERMINAL, Status
from ._encoding import Unencodable, decode, encode
from ._message import Message, find_exception

__all__ = [
    "Record", "RecordGone", "closed", "ended", "failure_in", "failure_out", "opening", "value_in",
    "value_out",
]  # fmt: skip

Record = dict[str, Any]

#: id, job, args, kwargs, options: as in the message. Instants are epoch seconds.
#: status, attempt, enqueued, due, started, finished, progress, data (encoded),
#: value (encoded; only after success), unstorable (why there is no value), error (text with
#: the traceback), reason (why discarded, cancelled or lost), exception (path, args, text).
FIELDS = (
    "id", "job", "args", "kwargs", "options", "status", "attempt", "enqueued", "due", "started",
    "finished", "progress", "data", "value", "unstorable", "error", "reason", "exception",
)  # fmt: skip


class RecordGone(BackendError):
    """The result store has forgotten the job; it will not come back."""


def opening(message: Message, status: Status) -> Record:
    """The record of a job that waits."""
    record: Record = dict.fromkeys(FIELDS)
    for name in ("id", "job", "args", "kwargs", "options", "enqueued", "due"):
        record[name] = getattr(message, name)
    record["status"] = status.value
    record["attempt"] = message.attempt - 1
    return record


def closed(record: Record, status: Status, reason: str | None) -> Record:
    """The record of a job that has ended now, without having run to an end."""
    return {**record, "status": status.value, "reason": reason, "finished": time.time()}


def ended(record: Mapping[str, Any] | None) -> bool:
    return record is not None and Status(record["status"]) in TERMINAL


def value_out(value: Any) -> Record:
    """The fields for what ``perform`` returned."""
    try:
        return {"value": encode(value, "result")}
    except Unencodable as exc:
        return {"unstorable": str(exc)}


def value_in(record: Record) -> Any:
    return decode(record["value"])


def failure_out(exc: BaseException | None) -> Record:
    """The field for the exception a job failed with."""
    if exc is None:
        return {"exception": None}
    kind = type(exc)
    try:
        args = encode(list(exc.args), "args")
    except Unencodable:
        args = None
    path = f"{kind.__module__}:{kind.__qualname__}"
    text = shorten(exc, 1000)
    return {"exception": {"path": path, "args": args, "text": text}}


def failure_in(record: Record) -> BaseException:
    """The job's own exception made again, or a ``RemoteError`` that names it.

    Nothing but an exception class is ever called, whatever the record says.
    """
    kept = record["exception"] or {"path": "", "args": None, "text": record["error"]}
    kind = find_exception(kept["path"]) if kept["args"] is not None else None
    if kind is not None:
        try:
            made = kind(*decode(kept["args"]))
        except Exception:  # its constructor wants other arguments than it keeps
            made = None
        if isinstance(made, kind):
            return made
    return RemoteError(f"{record['job']} {record['id']} failed: {kept['text']}")
