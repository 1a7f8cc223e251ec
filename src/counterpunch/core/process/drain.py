"""How a runtime stops: what becomes of each job, the wait, and the report.

``fate`` decides; ``drain`` carries it out. It never needs a new thread (3.12.0-3.12.2 can
start none once the interpreter ends), never waits for the calling thread's own job, and
never waits at all when nothing runs.
"""

from __future__ import annotations

import logging
import threading

from ..places.backlog import Worker
from ..places.parking import Sleeper
from ..values.arguments import shown_arguments
from ..values.config import config
from ..values.current import current_job
from ..values.hooks import report, safely
from ..values.stage import DRAINING, STOPPED, ShutdownReport
from ..values.status import TERMINAL, Status
from ..workers.outcome import Abandon
from .installed import installed
from .runtime import Runtime

__all__ = ["drain"]

#: At the deadline the threads of stuck jobs get this long to react; measured: 0.2 s is
#: enough for every job that runs Python code.
GRACE_SECONDS = 0.2
#: The cancel token of running jobs is set this long before the deadline (at most a quarter
#: of the time there is), so that a job that looks at it can still end in order.
WARNING_SECONDS = 1.0
#: The log names this many lost jobs one by one.
LOGGED = 50


def drain(runtime: Runtime, timeout: float, leaving: bool) -> ShutdownReport:
    """Stop a runtime within ``timeout`` seconds; at once if it is idle.

    Args:
        runtime: The one to stop. If it has stopped already its report is returned again.
        timeout: Seconds.
        leaving: The interpreter is ending: stuck threads are told to end as well.

    Raises:
        BaseException: What a signal handler raised in the meantime, once everything is
            stopped and reported; never when ``leaving``.
    """
    if runtime.stage.report is not None:
        return runtime.stage.report
    start = runtime.clock.monotonic()
    before = _ended(runtime)
    interruption: BaseException | None = None
    mine = (threading.get_ident(),)
    runtime.stage.drains.append(mine)
    if runtime.stage.drains[0] is not mine:
        return _await_other(runtime, timeout, start)
    try:  # at once: an exception in between would leave the drain to nobody
        runtime.stage.deadline = start + timeout
        installed.drain = (start, runtime.stage.deadline)
        runtime.stage.enter(DRAINING)
        runtime.registry.close_gates()
        _decide(runtime)
        _wait(runtime, timeout, start)
    except BaseException as exc:
        # A second Ctrl-C, gunicorn's SIGABRT: it shortens the drain and nothing more.
        interruption = exc
        report(logging.WARNING, "the drain was cut short by %s", type(exc).__name__)
    stuck = _sweep(runtime, leaving)
    if leaving and stuck:
        _abandon(runtime, stuck)
    after = _ended(runtime)
    lost = runtime.endings.take_lost()
    installed.drain = (start, end := runtime.clock.monotonic())
    seconds = end - start
    counts = {status: after[status] - before[status] for status in after}
    runtime.stage.report = ShutdownReport(counts, lost, seconds, not lost)
    runtime.resting.wake_all()
    _publish(runtime.stage.report)
    runtime.endings.report_late()
    if interruption is not None and not leaving:
        raise interruption  # an explicit shutdown() does not swallow a Ctrl-C
    return runtime.stage.report


def _await_other(runtime: Runtime, timeout: float, start: float) -> ShutdownReport:
    """Another call drains already: wait for its report."""
    own = current_job()
    if runtime.stage.drains[0][0] == threading.get_ident() or (own and own.lane.keeper is runtime):
        # A signal handler in the midst of the drain, or a job: the drain waits for them, so
        # they cannot wait for it. They get what is known so far.
        return ShutdownReport({}, list(runtime.endings.lost.copy()), 0.0, not runtime.endings.lost)
    sleeper = Sleeper()
    while runtime.stage.report is None:
        left = start + timeout + 1.0 - runtime.clock.monotonic()
        if left <= 0:
            return ShutdownReport({}, list(runtime.endings.lost.copy()), timeout, False)
        runtime.resting.park(sleeper, lambda: runtime.stage.report is not None, left)
    return runtime.stage.report


def _ended(runtime: Runtime) -> dict[Status, int]:
    totals = dict.fromkeys(sorted(TERMINAL), 0)
    for lane in runtime.registry.all():
        for status, count in lane.ledger.ended.items():
            totals[status] += count.value
    return totals


def _decide(runtime: Runtime) -> None:
    """Settle what is not to be waited for, by each class's policies."""
    for lane in runtime.registry.all():
        if lane.options.on_shutdown == "drop":
            for call in lane.queued_calls():
                if runtime.withdraw(call):
                    runtime.endings.lose(
                        call, "queued when the process stopped (on_shutdown='drop')"
                    )
        runtime.queueing.lose_held(lane)
        runtime.waiting.made_room(lane)
        for call in [*lane.scheduled, *lane.retrying]:
            runtime.settle_delayed(call)
    for pool in list(runtime.pools.values()):
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
        runtime.tokens.cancels.update(call for call in list(lane.running) if call not in own)
    runtime.wait_idle(max(0.0, start + timeout - runtime.clock.monotonic()), delayed=True)


def _sweep(runtime: Runtime, leaving: bool) -> list[Worker]:
    """The end of the drain: whatever is left anywhere is lost. Returns workers with a job."""
    runtime.stage.enter(STOPPED)
    own = set() if leaving else runtime.whereabouts.own_calls()
    me = threading.get_ident()
    lanes = runtime.registry.all()
    for lane in lanes:
        # From here on, who queues or starts a job looks at this afterwards and takes it
        # back; so nothing slips in behind the sweep.
        lane.halt(paused=False)
    runtime.scheduler.close()
    unended = "it was still running when the time for the stop was up"
    for pool in list(runtime.pools.values()):
        pool.close()
        runtime.queueing.lose_queue(pool, "queued when the time for the stop was up")
    for lane in lanes:
        while lane.hold:
            try:
                runtime.endings.lose(
                    lane.hold.popleft(), "queued when the time for the stop was up"
                )
            except IndexError:
                break
        while lane.blocked:
            runtime.waiting.wake_blocked(lane)  # a producer that waits for room is refused now
        for call in [*lane.scheduled, *lane.retrying]:
            if lane.claim_delayed(call):
                runtime.endings.lose(call, "not yet due when the process stopped")
        for call in list(lane.deferred):
            if call in lane.deferred:
                lane.deferred.discard(call)
                runtime.endings.lose(call, "its transaction had not ended when the process stopped")
        for call in list(lane.running):
            if call in own:
                continue
            try:
                lane.running.remove(call)
            except KeyError:
                continue  # it has just ended by itself
            runtime.endings.lose(call, unended)
    if runtime.clockwork is not None:
        runtime.clockwork.stop()
    loops = runtime.loops.stop()
    return [
        worker
        for worker in runtime.whereabouts.workers()
        if (busy := worker.call) is not None
        and worker.ident != me
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
        report(logging.WARNING, "the drain was cut short by %s", type(exc).__name__)


def _publish(result: ShutdownReport) -> None:
    """One record in the log and one call of ``on_lost`` for everything that was lost."""
    if not result.lost:
        return
    lines = []
    for call in result.lost[:LOGGED]:
        arguments = shown_arguments(call) or ""
        lines.append(f"  {call.job.__qualname__}({arguments}) {call.id}: {call.error}")
    if len(result.lost) > LOGGED:
        lines.append(f"  and {len(result.lost) - LOGGED} more")
    message = "the process stopped after %.2f s; jobs lost: %d\n%s"
    report(logging.ERROR, message, result.seconds, len(result.lost), "\n".join(lines))
    if config.on_lost is not None:
        safely("on_lost", None, config.on_lost, list(result.lost))
