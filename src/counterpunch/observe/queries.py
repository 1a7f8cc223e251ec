"""Looking at jobs: ``stats()``, ``find(id)``, ``jobs(...)``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from operator import add
from types import MappingProxyType
from typing import Any, Literal

from ..core.port import Runtime, current, entries
from ..core.values.backend import engines
from ..core.values.checks import function, hashable
from ..core.values.counts import NO_COUNTS, Counts, Discards, Stats, WorkerCounts
from ..core.values.errors import BackendError, InvalidOption, NotKept
from ..core.values.handle import Handle
from ..core.values.plan import plan_of
from ..core.values.short import clean
from ..core.values.status import Status
from ..define.job_function import job_class

__all__ = ["class_names", "find", "jobs", "long_names", "stats", "total_of"]


StatusName = Literal[
    "deferred", "scheduled", "queued", "running", "retrying",
    "succeeded", "failed", "cancelled", "discarded", "lost",
]  # fmt: skip


def stats() -> Stats:
    """A frozen snapshot of this process: per class and in total.

    In each ``Counts`` ``accepted`` equals the sum over all statuses, at every instant.
    """
    runtime = current()
    now = runtime.clock.monotonic()
    lanes = runtime.registry.all()
    names = class_names([lane.job for lane in lanes])
    classes = {name: lane.counts(now) for name, lane in zip(names, lanes, strict=True)}
    return Stats(total_of(runtime, list(classes.values())), MappingProxyType(classes))


def class_names(classes: Iterable[Any]) -> dict[str, Any]:
    """Job classes, each once, by a name that no other of them has: the qualified name, and of
    those that share one, with its module in front. Which came first does not matter."""
    named = long_names(classes)
    often = Counter(cls.__qualname__ for cls in named.values())
    return {
        cls.__qualname__ if often[cls.__qualname__] == 1 else name: cls
        for name, cls in named.items()
    }


def long_names(classes: Iterable[Any]) -> dict[str, Any]:
    """Job classes, each once, by module and qualified name; of several of one name, such as an
    app factory makes, those after the first have a number behind: ``#2``, ``#3``. Without control
    characters: a name travels in addresses and forms."""
    named: dict[str, Any] = {}
    for cls in classes:
        name = first = clean(plan_of(cls).name)
        number = 2
        while name in named:
            name, number = f"{first}#{number}", number + 1
        named[name] = cls
    return named


def total_of(runtime: Runtime, classes: list[Counts]) -> Counts:
    """The sums over the counts of all classes of a process."""
    threads = sum(pool.hired() for pool in entries(runtime.pools.values()))
    busy = min(threads, sum(counts.workers.busy for counts in classes))
    total = NO_COUNTS._replace(
        workers=WorkerCounts(threads, busy, threads - busy),
        oldest_wait=max((counts.oldest_wait for counts in classes), default=0.0),
    )
    sums = {
        name: sum(getattr(counts, name) for counts in classes)
        for name in ("accepted", "attempts", "retries", *Status)
    }
    for counts in classes:
        total = total._replace(
            discards=Discards(*map(add, total.discards, counts.discards)),
            wait_times=total.wait_times.plus(counts.wait_times),
            run_times=total.run_times.plus(counts.run_times),
        )
    return total._replace(**sums, threads=runtime.registry.thread_count())


def find(id: str) -> Handle[Any] | None:
    """The handle of the job with this id, or None.

    Live jobs are always found, finished ones while ``configure(history=..., history_bytes=...,
    history_ttl=...)`` remembers them; in the process that accepted them, only. A finished one whose
    arguments or result were large may be ``described``, unless somebody keeps its handle: what it
    no longer has raises ``NotKept``. A job of an engine is found in every process that has made the
    engine's backend, if that keeps results.

    Raises:
        BackendError: If the id is an engine's, and it does not answer in time.
    """
    if not isinstance(id, str):
        return None
    runtime = current()
    found = runtime.whereabouts.find(id)
    if not runtime.stage.threads:
        return found
    # On an engine's worker the local handle is that of one attempt, which may have failed
    # while the job goes on.
    if found is None or (found.foreign and found.done()):
        return _find_outside(id) or found
    return found


def _find_outside(id: str) -> Handle[Any] | None:
    failure: BackendError | None = None
    for engine in entries(engines):
        if engine.knows(id) and engine.capabilities.supports_status:
            try:
                found: Handle[Any] | None = engine.find(id)
            except BackendError as exc:
                failure = exc  # another broker of the same engine may know the job
            else:
                if found is not None:
                    return found
    if failure is not None:
        raise failure
    return None


def jobs(
    job: Any = None,
    status: Status | StatusName | None = None,
    *,
    identity: Hashable = None,
    tag: str | None = None,
    where: Callable[[Handle[Any]], object] | None = None,
) -> list[Handle[Any]]:
    """The jobs of this process that fit all conditions given: live ones, then finished.

    Args:
        job: A job class or a decorated function.
        status: One status.
        identity: What ``identity`` of the class gave for it.
        tag: A label of the class or of ``using(tags=...)``.
        where: A function of the handle. A job of which it wants what is no longer there
            (``NotKept``) does not fit.

    Raises:
        InvalidOption: For a status that does not exist, and for a ``where`` that is no function of
            one argument, or an ``async def``, which nobody awaits.
        TypeError: If ``job`` is not a job class.
    """
    runtime = current()
    function("a function of the handle, or None", 1)("jobs", "where", where)
    if status is not None:
        try:
            status = Status(status)
        except ValueError:
            allowed = ", ".join(one.value for one in Status)
            raise InvalidOption("jobs", "status", status, allowed) from None
    key = identity if identity is None or isinstance(identity, tuple) else (identity,)
    if key is not None:
        hashable("jobs", key)
    cls = None if job is None else job_class(job)
    lanes = [lane for lane in runtime.registry.all() if cls is None or lane.job is cls]
    found: dict[Handle[Any], None] = {}
    for lane in lanes:
        found.update(dict.fromkeys(runtime.whereabouts.live(lane)))
    found.update(dict.fromkeys(reversed(runtime.history.remembered())))
    return [
        call
        for call in found
        if (cls is None or call.job is cls)
        and (status is None or call.status is status)
        and (key is None or (call.more is not None and call.more.key == key))
        and (tag is None or tag in call.tags)
        and (where is None or _fits(where, call))
    ]


def _fits(where: Callable[[Handle[Any]], object], call: Handle[Any]) -> object:
    try:
        return where(call)
    except NotKept:
        if not call.described:
            raise
        return False
