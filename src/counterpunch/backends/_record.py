"""What the engine's result store knows of a job: one record, written by whoever has the job.

The caller writes it before the job is sent, the worker at every step; a job that ended with
``retrying`` has been sent again. A record is plain JSON values, see ``FIELDS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.values.clock import epoch
from ..core.values.errors import BackendError, RemoteError, shorten
from ..core.values.status import TERMINAL, Status
from ._encoding import Unencodable, decode, encode, unpack
from ._message import Message, instant
from ._paths import find_exception

__all__ = [
    "Record", "RecordGone", "RecordUnreadable", "closed", "ended", "failure_in", "failure_out",
    "opening", "record_in", "value_in", "value_out",
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


class RecordUnreadable(RecordGone):
    """What the result store has of the job is nothing that this package has written."""


def record_in(text: str, id: str) -> Record:
    """The record that was stored for a job.

    Raises:
        RecordUnreadable: If it is not one, or that of another job.
    """
    try:
        record: Record = unpack(text)
        fits = record["id"] == id and _fits(record)
    except Exception as exc:  # of whatever type it is
        raise RecordUnreadable(f"the record of {id} cannot be read: {type(exc).__name__}") from exc
    if not fits:
        raise RecordUnreadable(f"the record of {id} cannot be read: a field has a strange value")
    return record


def _fits(record: Record) -> bool:
    exception, progress = record["exception"], record["progress"]
    return (
        record.keys() >= set(FIELDS)
        and record["status"] in Status.__members__.values()
        and type(record["attempt"]) is int
        and (type(record["args"]), type(record["kwargs"]), type(record["options"]))
        == (list, dict, dict)
        and all(instant(record[name]) for name in ("enqueued", "due"))
        and all(record[name] is None or instant(record[name]) for name in ("started", "finished"))
        and isinstance(record["job"], str)
        and all(isinstance(record[name], str | None) for name in ("error", "reason", "unstorable"))
        and (progress is None or (type(progress) is list and len(progress) == 3))
        and (
            exception is None
            or (isinstance(exception["path"], str) and isinstance(exception["text"], str))
        )
    )


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
    return {**record, "status": status.value, "reason": reason, "finished": epoch()}


def ended(record: Mapping[str, Any] | None) -> bool:
    return record is not None and Status(record["status"]) in TERMINAL


def value_out(value: Any, hidden: bool = False) -> Record:
    """The fields for what ``perform`` returned."""
    try:
        return {"value": encode(value, "result")}
    except Unencodable as exc:
        return {"unstorable": exc.hidden if hidden else str(exc)}


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
        except Exception:  # its constructor wants other arguments than it keeps, or raises
            made = None
        if isinstance(made, kind):
            return made
    return RemoteError(f"{record['job']} {record['id']} failed: {kept['text']}")
