"""What must hold after an exception has come out of a call, whichever place it came from.

Each check that fails gives a short word:

=============  =====================================================================
swallowed      the exception did not reach the caller; "changed": another one did
ledger         ``accepted`` is not the sum over the statuses
stuck STATUS   a job does not end by itself although it could
late STATUS    the same, and the next enqueues of its class set it going again
cancel STATUS  a job that is not due yet cannot be cancelled
phantom        the counters have a job that is nowhere
twice          a job ran more often than once
threads        the class does not run as many jobs at once as it has workers
room, bound    its queue takes fewer jobs than ``max_jobs``, or more
later          a job that was enqueued afterwards did not run
key            an identity is not free although all its jobs have ended
rate           a place of the rate is lost
batch          it does not complete; "callback": not called back once; "leak": it takes jobs in
               after its block
unarmed        a later ``start()`` does not arm the periodic jobs
idle           ``wait_idle`` does not see that all is over
slow stop      ``shutdown()`` takes its whole timeout with nothing to do, or more than it
unstopped      after the stop a job has not ended
unreported     a lost job is not in the report, once; "untold": not given to ``on_lost``, once
no report      ``shutdown()`` returns none, an empty one, or another when it is called again
dead           after the stop the next enqueue does not start afresh
raised         at the exit the exception got out of the drain
hang, died     the process had to be killed, or ended by itself
=============  =====================================================================
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from interrupt_instrument import REST, Instrument, at_rest, until
from interrupt_stage import CHECKS, PERIOD, Gate, Plain, Rated, Stage, called, ran, ticks

import counterpunch
from counterpunch import (
    CounterpunchError,
    Handle,
    QueueFull,
    ShutdownReport,
    ShuttingDown,
    Status,
)

__all__ = ["checked", "checked_stop", "reached", "safely", "working"]

DELAYED = (Status.SCHEDULED, Status.RETRYING, Status.DEFERRED)
#: Seconds. A job due later than that is not waited for.
NEAR = 5.0
#: The timeout of a stop that should take none, and what counts as none.
TIMEOUT, AT_ONCE = 1.0, 0.8


def reached(instrument: Instrument, caught: BaseException | None, stage: Stage) -> Iterator[str]:
    """Whether what was raised came out of the call."""
    if not instrument.raised:
        if caught is not None and not isinstance(caught, stage.refusals):
            yield f"changed: {type(caught).__name__}"
        return
    raised = [(type(exc), exc.args) for exc in instrument.raised]
    if caught is None:
        yield "swallowed"
    elif (type(caught), caught.args) not in raised:  # perform_now() raises a copy
        yield f"changed: {type(caught).__name__}"


def checked(stage: Stage) -> Iterator[str]:
    """Everything promised of a call that is not the stop, and a stop."""
    yield from working(stage)
    known = _known(stage)
    yield from _stop(known, stage, left=not all(handle.done() for handle in known))


def working(stage: Stage) -> Iterator[str]:
    """All jobs end, whatever they held is free, and every class works as before."""
    yield from _balance()
    for make_up in stage.first:
        make_up()
    for cls in stage.classes:
        cls.resume()
    for gate in stage.gates:
        gate.open()
    at_rest()
    known = _known(stage)
    yield from _cancel_far(known)
    due = {handle: handle.run_at.timestamp() - time.time() for handle in known}
    near = [handle for handle in known if due[handle] < NEAR]
    _ended(near, REST + max([0.0, *(due[handle] for handle in near if not handle.done())]))
    left = [(handle, str(handle.status)) for handle in known if not handle.done()]
    yield from _phantoms(known)
    for batch in stage.batches:
        if not until(batch.done):
            yield "batch"
        elif not _once(called, batch.id):
            yield "callback"
    if left and not all(handle.done() for handle, _ in left):
        _ended([*known, *_more(stage.classes)])
    for cls in stage.classes:
        yield from _rate() if cls is Rated else _capacity(cls)
        if cls.identity is not None:
            yield from _keys(cls, known)
    members = [handle for batch in stage.blocks for handle in batch.handles]
    if any(handle.args and handle.args[0] >= CHECKS for handle in members):
        yield "leak"
    for handle, status in left:
        yield f"{'late' if handle.done() else 'stuck'} {status}"
    yield from _twice()
    if stage.periodic:
        yield from _periodic(stage)
    if not counterpunch.wait_idle(0.25, scheduled=not left):
        yield "idle"
    yield from _balance()


def checked_stop(stage: Stage, took: float, leaving: bool) -> Iterator[str]:
    """Everything promised of a stop; ``took`` is how long the interrupted call was at it."""
    for gate in stage.gates:
        gate.open()  # so that one that was interrupted before it began can be made up for
    if took > TIMEOUT:
        yield "slow stop"
    known = _known(stage)
    yield from _stop(known, stage, left=False, leaving=leaving)
    yield from _twice()
    if leaving:
        return
    try:
        again = Plain.perform_async()
    except ShuttingDown:
        yield "dead"
        return
    if not until(again.done) or again.status is not Status.SUCCEEDED:
        yield "dead"
    yield from _stop([again], stage, left=False)


def _known(stage: Stage) -> list[Handle[Any]]:
    return list(dict.fromkeys([*stage.handles, *counterpunch.jobs()]))


def _balance() -> Iterator[str]:
    for counts in counterpunch.stats().jobs.values():
        parts = [getattr(counts, status) for status in Status]
        if sum(parts) != counts.accepted or min(parts) < 0:
            yield "ledger"


def _cancel_far(known: list[Handle[Any]]) -> Iterator[str]:
    """What is not to be waited for must be where it belongs: there it can be cancelled."""
    for handle in known:
        status = handle.status
        far = handle.run_at.timestamp() - time.time() > NEAR or status is Status.DEFERRED
        if (
            status in DELAYED
            and far
            and not (handle.cancel() and handle.status is Status.CANCELLED)
        ):
            yield f"cancel {status}"


def _phantoms(known: list[Handle[Any]]) -> Iterator[str]:
    at_rest()
    if _open() > sum(1 for handle in known if not handle.done()):
        yield "phantom"


def _open() -> int:
    """How many jobs have not ended, says the ledger."""
    total = counterpunch.stats().total
    return sum(getattr(total, status) for status in (*DELAYED, Status.QUEUED, Status.RUNNING))


def _more(classes: list[Any]) -> Iterator[Handle[Any]]:
    """What wakes whoever can be woken: one more job of each class now, and one soon."""
    for cls in classes:
        try:
            yield cls.perform_in(0.001, 2 * CHECKS)
            yield cls.perform_async(CHECKS)
        except QueueFull:
            pass


def _capacity(cls: Any) -> Iterator[str]:
    """All its threads at work at once, and as many jobs in its queue as it allows."""
    workers = 2 if cls.pool is not None else cls.workers
    key, gate = iter(range(CHECKS + 1, 2 * CHECKS)), Gate()
    held: list[Handle[Any]] = []
    try:
        for _ in range(workers):
            held.append(cls.perform_async(next(key), gate))
            until(held[0].running)
    except QueueFull:
        yield "room"
    full = len(held) == workers and until(lambda: all(one.running() for one in held))
    if not full:
        yield "threads"
    if full and cls.overflow == "raise":
        try:
            held += [cls.perform_async(next(key), gate) for _ in range(cls.max_jobs)]
        except QueueFull:
            yield "room"
        try:
            held.append(cls.perform_async(next(key), gate))
            yield "bound"
        except QueueFull:
            pass
        at_rest()
        if any(handle.running() for handle in held[workers:]):
            yield "threads"
    gate.open()
    if not _ended(held):
        yield "later"


def _keys(cls: Any, known: list[Handle[Any]]) -> Iterator[str]:
    try:
        again = cls.perform_async(7)
    except CounterpunchError:
        yield "key"
        return
    if again in known or not until(again.done) or again.status is not Status.SUCCEEDED:
        yield "key"


def _rate() -> Iterator[str]:
    """After a quiet period as many jobs start at once as it allows. Tried twice: a place that
    is lost is lost for good, a slow machine is not."""
    for _ in range(2):
        time.sleep(PERIOD * 1.1)
        start = time.monotonic()
        ended = _ended([Rated.perform_async(key) for key in (CHECKS, CHECKS + 1)], REST + PERIOD)
        if ended and time.monotonic() - start < PERIOD * 0.6:
            return
    yield "rate" if ended else "later"


def _ended(handles: list[Handle[Any]], rest: float = REST) -> bool:
    """Whether all of them end. They have as long as it takes, while they do: a rate lets few
    start at a time. Given up is what sees none end until the next is due and had its turn."""
    left = len(handles)
    while not until(lambda: all(handle.done() for handle in handles), rest):
        open_ = [handle for handle in handles if not handle.done()]
        if left == len(open_) and rest > PERIOD:
            return False
        left = len(open_)
        soonest = min((handle.run_at.timestamp() for handle in open_), default=0.0) - time.time()
        rest = max(rest, soonest + REST, PERIOD + REST)
    return True


def _once(ids: list[str], one: str) -> bool:
    return until(lambda: ids.count(one) == 1)


def _twice() -> Iterator[str]:
    if any(times > 1 for times in Counter(ran).values()):
        yield "twice"


def _periodic(stage: Stage) -> Iterator[str]:
    counterpunch.start()
    armed = {entry.job for entry in counterpunch.periodic()}
    names = {cls.__name__ for cls in stage.periodic}
    ticks.clear()
    if not armed.issuperset(stage.periodic) or not until(lambda: names <= {*ticks}, 0.4):
        yield "unarmed"


def _stop(
    known: list[Handle[Any]], stage: Stage, left: bool, leaving: bool = False
) -> Iterator[str]:
    """Stop now, with nothing to wait for, unless jobs are ``left`` that never end.

    If the process is ``leaving`` nobody is there to take a report, only ``on_lost``.
    """
    start = time.monotonic()
    report = counterpunch.shutdown(TIMEOUT)
    if time.monotonic() - start > AT_ONCE:
        yield "slow stop"
    start = time.monotonic()
    again = counterpunch.shutdown(TIMEOUT)
    if time.monotonic() - start > AT_ONCE:
        yield "slow stop"
    whole = isinstance(report, ShutdownReport) and report.counts and again == report
    if not whole and not leaving:
        yield "no report"
    if _open() or (not left and not all(handle.done() for handle in known)):
        yield "unstopped"
    reported, told = Counter(_ids(again.lost)), Counter(_ids(stage.lost))
    for handle in known:
        if handle.status is Status.LOST and reported[handle.id] != 1 and not leaving:
            yield "unreported"
        if handle.status is Status.LOST and told[handle.id] != 1:
            yield "untold"
    if any(times > 1 for times in told.values()):
        yield "untold"


def _ids(handles: list[Handle[Any]]) -> list[str]:
    return [handle.id for handle in handles]


def safely(checks: Callable[[], Iterator[str]]) -> list[str]:
    """The words of these checks; one more if a check itself fails."""
    words = []
    try:
        for word in checks():
            words.append(word)
    except BaseException as exc:
        words.append(f"{type(exc).__name__}: {exc}"[:80])
    return words
