"""The caller's side of every engine: one job on its way out of this process.

It is refused or encoded, announced to the middleware, held back while its transaction is open,
recorded, and sent.
"""

from __future__ import annotations

import logging
import uuid
from typing import Any

from ..core.port import current
from ..core.values import commit
from ..core.values.clock import epoch
from ..core.values.config import config
from ..core.values.current import current_batch
from ..core.values.errors import CounterpunchError, NotSupported
from ..core.values.hiding import hides
from ..core.values.hooks import process, report, safely
from ..core.values.per_call import misfit
from ..core.values.record import NO_KWARGS
from ..core.values.status import TERMINAL, Status
from ..core.values.times import due_at, due_in
from ._asked import Asked
from ._encoding import Unencodable, encode, pack
from ._message import Message, options_out
from ._paths import path_of
from ._record import closed, opening
from ._remote import RemoteHandle

__all__ = ["submit"]


def submit(
    engine: Asked, job: type, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]
) -> RemoteHandle[Any]:
    """See ``RemoteEngine.enqueue``; ``options`` is the function's own to change."""
    owner, lane = job.__qualname__, current().lane(job)
    if lane.plan.check is None:
        raise TypeError(f"{owner} cannot be enqueued: {lane.plan.lacks}")
    try:
        lane.plan.check(*args, **kwargs)
    except TypeError as exc:
        raise misfit(exc, owner) from None
    after_commit = options.pop("after_commit", None)
    engine.refuse(owner, {**vars(lane.options), **options})
    batch = current_batch.get()
    if batch is not None and not batch.closed:
        raise NotSupported(
            f"{owner} was not enqueued: {batch!r} counts jobs of this process, and the "
            f"class runs on {engine.name}; keep it here with backend='threads'"
        )
    now = due = epoch()
    if "delay" in options:
        due = now + due_in(owner, options.pop("delay"))
    if "at" in options:
        due = max(now, due_at(owner, options.pop("at")))
    try:
        sent = [encode(value, f"args[{n}]") for n, value in enumerate(args)]
        named = {name: encode(value, name) for name, value in kwargs.items()}
    except Unencodable as exc:
        why = exc.hidden if hides(lane.options, options) else exc
        raise TypeError(f"{owner} was not enqueued on {engine.name}: {why}") from None
    id = f"{engine.name}-{uuid.uuid4().hex}"
    record = opening(Message(id, path_of(job), sent, named, {}, now, due), _waits(due))
    handle: RemoteHandle[Any] = RemoteHandle(engine, lane, args, kwargs or NO_KWARGS, record)
    handle.pinned = True  # hooks may ask before anybody else knows of it
    handle.extra().options = options or None
    deferral = commit.defer(_undefer, owner, after_commit)
    if deferral is not None:
        handle.unsent.give()
        handle.learn({**record, "status": Status.DEFERRED.value})
    handle.known["options"] = options_out(owner, options)  # raises before anybody is told
    if process.around_enqueue or lane.plan.on_enqueue:
        if not _announced(handle):
            return handle
        changed = handle.extra().options or {}
        engine.refuse(owner, {**vars(lane.options), **changed})
        handle.known["options"] = options_out(owner, changed)
    if deferral is None:
        _send(handle)
    else:
        deferral.hold(handle, None)
    return handle


def _waits(due: float) -> Status:
    return Status.SCHEDULED if due > epoch() else Status.QUEUED


def _announced(handle: RemoteHandle[Any]) -> bool:
    """Middleware and hook, as for any job; False if one of them has ended it. It is then
    a job of this process: it never went anywhere else."""
    lane = handle.lane
    try:
        lane.keeper.admission.announce(handle, lane)
    finally:
        if handle.state in TERMINAL:
            lane.ledger.accepted.add()
            handle.unsent.take()
            handle.known = closed(handle.known, handle.state, handle.extra().reason)
    return handle.state not in TERMINAL


def _send(handle: RemoteHandle[Any]) -> None:
    """Record a new job, then send it: a worker may have it before this call returns."""
    engine, known = handle.engine, handle.known
    names = ("id", "job", "args", "kwargs", "options", "enqueued", "due")
    message = Message(**{name: known[name] for name in names}, priority=handle.option("priority"))
    record = opening(message, _waits(message.due))

    def send() -> None:
        if engine.keeps_results:
            engine.write(message.id, pack(record))
        engine.send(message)

    owner, done = handle.job.__qualname__, f"enqueued (id {message.id})"
    overdue = f"{owner} may not have been {done}"
    if engine.in_place:
        send()  # the job itself: it takes as long as it takes, and raises what it raises
    else:
        engine.bounded.call(f"{owner} was not {done}", send, overdue)
    handle.learn(record)
    handle.pinned = False


def _undefer(handle: RemoteHandle[Any], due: float | None, dropped: str | None) -> None:
    """The transaction of a job has ended: send it, or drop it."""
    if not handle.unsent.take():
        return  # cancelled meanwhile
    if dropped is not None:
        handle.learn(closed(handle.known, Status.DISCARDED, dropped))
        return
    try:
        _send(handle)
    except CounterpunchError as exc:
        # The transaction has been committed: nobody is left to raise this to.
        handle.learn(closed(handle.known, Status.LOST, str(exc)))
        report(logging.ERROR, "%r was lost: %s", handle, exc, exc_info=exc)
        if config.on_lost is not None:
            safely("on_lost", handle, config.on_lost, [handle])
