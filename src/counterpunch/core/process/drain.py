"""How a runtime stops: what becomes of each job, the wait, and the report.

``fate`` decides; ``drain`` carries it out. It never needs a new thread (3.12.0-3.12.2 can
start none once the interpreter ends), never waits for the calling thread's own job, and
never waits at all when nothing runs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from ..places.backlog import Worker
from ..places.parking import Sleeper
from ..places.steps import entries
from ..values.current import current_job
from ..values.hooks import report
from ..values.stage import DRAINING, STOPPED, Drainer, ShutdownReport
from ..values.status import TERMINAL, Status
from ..workers.outcome import Abandon
from .idleness import SIGNAL_SECONDS
from .installed import installed
from .last_words import publish, say, tell
from .runtime import Runtime

__all__ = ["drain"]

#: At the deadline the threads of stuck jobs get this long to react; measured: 0.2 s is
#: enough for every job that runs Python code.
GRACE_SECONDS = 0.2
#: The cancel token of running jobs is set this long before the deadline (at most a quarter
#: of the time there is), so that a job that looks at it can still end in order.
WARNING_SECONDS = 1.0
LATE = "queued when the time for the stop was up"


def drain(runtime: Runtime, timeout: float, leaving: bool) -> ShutdownReport:
    """Stop a runtime within ``timeout`` seconds; at once if it is idle.

    An exception out of nowhere shortens it, and nothing more; it is raised once everything is
    stopped and reported. What comes in the midst of the very last steps leaves a drain that the
    next call goes on with.

    Args:
        runtime: The one to stop. If it has stopped already its report is returned again.
        timeout: Seconds.
        leaving: The interpreter is ending: stuck threads are told to end as well.

    Raises:
        BaseException: What a signal handler raised in the meantime; never when ``leaving``.
    """
    stage = runtime.stage
    me, interruption = Drainer(threading.get_ident()), None
    drains, mine = stage.drains, (me,)
    try:
        drains += mine
        while not stage.told:
            first = drains[0]
            if first is me:
                break
            if not first.at_it:  # it was interrupted, and has left: its drain is adopted
                drains.remove(first)
            elif not _await_other(runtime, first, timeout):
                lost = entries(runtime.endings.lost)
                return stage.report or ShutdownReport({}, lost, 0.0, not lost)
        try:
            _until_idle(runtime, timeout)
            _finish(runtime, leaving)
        except BaseException as exc:
            # A second Ctrl-C, gunicorn's SIGABRT. Each further one begins the rest anew.
            interruption = exc
            try:
                _cut_short(exc)
                _finish(runtime, leaving)
            except BaseException:
                _finish(runtime, leaving)
    finally:
        me.at_it = False
        runtime.resting.wake_all()  # another call may wait for this one
    if interruption is not None and not leaving:
        raise interruption  # an explicit shutdown() does not swallow a Ctrl-C
    return stage.report  # type: ignore[return-value]  # _finish has made it


def _until_idle(runtime: Runtime, timeout: float) -> None:
    """Refuse new jobs, and wait for the accepted ones until the deadline."""
    stage = runtime.stage
    if stage.report is not None or not stage.serving:
        return
    stage.before = _ended(runtime)
    stage.began = start = runtime.clock.monotonic()
    stage.deadline = start + timeout
    installed.drain = (start, stage.deadline)
    stage.enter(DRAINING)
    runtime.registry.close_gates()
    _decide(runtime)
    _wait(runtime, timeout, start)


def _finish(runtime: Runtime, leaving: bool) -> None:
    """Stop what still runs, and report it. Each step may be begun again."""
    stage, found = runtime.stage, runtime.stage.found
    if stage.report is None:
        stuck = _sweep(runtime, leaving)
        if leaving and stuck:
            _abandon(runtime, stuck)
        after, before = _ended(runtime), stage.before
        for call in entries(runtime.endings.lost):
            del runtime.endings.lost[call]
            found[call] = None
        installed.drain = (stage.began, end := runtime.clock.monotonic())
        counts = {status: after[status] - before.get(status, 0) for status in after}
        stage.report = ShutdownReport(counts, list(found), end - stage.began, not found)
    runtime.resting.wake_all()
    if not stage.published:
        publish(stage.report, runtime.scheduler.log)
        stage.published = True
    if not stage.told:
        tell(stage)
    runtime.endings.report_late()


def _await_other(runtime: Runtime, first: Drainer, timeout: float) -> bool:
    """Another call drains already: wait until it is through, or has left. False if that is not
    to be waited for: what is known so far is the answer then."""
    own = current_job()
    if first.ident == threading.get_ident() or (own and own.lane.keeper is runtime):
        # A signal handler in the midst of the drain, or a job: the drain waits for them, so
        # they cannot wait for it.
        return False
    clock, stage, sleeper = runtime.clock, runtime.stage, Sleeper()
    end = clock.monotonic() + timeout + 1.0

    def over() -> bool:
        return stage.told or not first.at_it

    while not over():
        left = end - clock.monotonic()
        if left <= 0:
            return False
        runtime.resting.park(sleeper, over, min(left, SIGNAL_SECONDS))
    return True


def _ended(runtime: Runtime) -> dict[Status, int]:
    totals = dict.fromkeys(sorted(TERMINAL), 0)
    for lane in runtime.registry.all():
        for status, count in lane.ledger.ended.items():
            totals[status] += count.value
    return totals


def _decide(runtime: Runtime) -> None:
    """Settle what is not to be waited for, by each class's policies."""
    dropped = "queued when the process stopped (on_shutdown='drop')"
    for lane in runtime.registry.all():
        if lane.options.on_shutdown == "drop":
            for call in lane.queued_calls():
                runtime.withdraw(call, partial(runtime.endings.lose, reason=dropped))
        runtime.queueing.lose_held(lane)
        runtime.waiting.made_room(lane)
        runtime.waiting.settle(lane)
    for pool in entries(runtime.pools.values()):
        if pool.queued():
            pool.offer()
            if pool.hired() == 0:  # no thread can be had, so nobody will ever take these
                runtime.queueing.lose_queue(pool, "no thread could be started to run it")


def _wait(runtime: Runtime, timeout: float, start: float) -> None:
    warning = min(WARNING_SECONDS, timeout / 4)
    if runtime.wait_idle(timeout - warning, delayed=True):
        return
    own = runtime.whereabouts.own_calls()
    for lane in runtime.registry.all():
        runtime.tokens.cancels.update(call for call in entries(lane.running) if call not in own)
    runtime.wait_idle(max(0.0, start + timeout - runtime.clock.monotonic()), delayed=True)


def _sweep(runtime: Runtime, leaving: bool) -> list[Worker]:
    """The end of the drain: whatever is left anywhere is lost. Returns workers with a job."""
    runtime.stage.enter(STOPPED)
    own = set() if leaving else runtime.whereabouts.own_calls()
    lanes = runtime.registry.all()
    for lane in lanes:
        # From here on, who queues or starts a job looks at this afterwards and takes it
        # back; so nothing slips in behind the sweep.
        lane.halt(paused=False)
    runtime.scheduler.close()

    def losing(reason: str) -> Callable[[Any], None]:
        return partial(runtime.endings.lose, reason=reason)

    for pool in entries(runtime.pools.values()):
        pool.close()
        runtime.queueing.lose_queue(pool, LATE)
    for lane in lanes:
        while lane.hold:
            for call in entries(lane.hold):
                runtime.taking.out_of_queue(call, losing(LATE))
        runtime.rating.settle(lane)
        while lane.blocked:
            runtime.waiting.wake_blocked(lane)  # a producer that waits for room is refused now
        for reason, tables in (
            ("not yet due when the process stopped", (lane.scheduled, lane.retrying)),
            ("its transaction had not ended when the process stopped", (lane.deferred,)),
            ("it was still running when the time for the stop was up", (lane.running,)),
        ):
            for table in tables:
                for call in entries(table):
                    if call not in own:
                        runtime.taking.out_of(call, table, follow=losing(reason))
    runtime.taking.repair()
    if runtime.clockwork is not None:
        runtime.clockwork.hand_over()
    loops = runtime.loops.stop()
    return [
        worker
        for worker in runtime.whereabouts.workers()
        if (busy := worker.call) is not None
        and worker.ident != threading.get_ident()
        and (worker.ident in loops or not busy.lane.plan.is_async)
    ]


def _abandon(runtime: Runtime, stuck: list[Worker]) -> None:
    """Ask the threads of stuck jobs to end, because the process is leaving.

    A daemon thread that is writing to a buffered stream when the interpreter ends makes
    CPython abort ("could not acquire lock ... possibly due to daemon threads"); measured
    6 of 6 runs, 0 of 72 with this. The queues are empty by now, so a freed worker ends.
    """
    try:
        import ctypes

        interrupt = ctypes.pythonapi.PyThreadState_SetAsyncExc
    except (ImportError, AttributeError):  # other interpreters: nothing to be done
        return
    for ident in {worker.ident for worker in stuck if worker.call is not None}:
        if ident is not None:  # once for the thread of a loop, whose tasks share it
            interrupt(ctypes.c_ulong(ident), ctypes.py_object(Abandon))
    deadline = runtime.clock.monotonic() + GRACE_SECONDS
    sleeper = Sleeper()
    try:
        while any(worker.call is not None for worker in stuck):
            left = deadline - runtime.clock.monotonic()
            if left <= 0:
                return
            runtime.resting.park(
                sleeper, lambda: all(worker.call is None for worker in stuck), left
            )
    except BaseException as exc:
        _cut_short(exc)


def _cut_short(exc: BaseException) -> None:
    say(report, logging.WARNING, "the drain was cut short by %s", type(exc).__name__)
