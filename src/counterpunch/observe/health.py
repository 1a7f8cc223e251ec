"""``health()``: is anything wrong with the jobs of this process, and what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..core.port import Lane, Runtime, current, entries
from ..core.values.checks import seconds, whole
from ..core.values.errors import InvalidOption
from ..core.values.hooks import logger
from ..core.values.short import clean
from ..core.values.stage import DRAINING, OPEN
from ..recurring.classes import unarmed
from .chart import recent

__all__ = ["Health", "health", "live"]


class Health(NamedTuple):
    """What ``health()`` returns: true in a condition when ``ok``; ``reasons`` are sentences."""

    ok: bool
    reasons: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.ok


def health(*, max_fill: float = 0.9, max_wait: float = 60.0, max_failures: int = 10) -> Health:
    """Whether this process keeps up with its jobs, and the reasons if not.

    It is not ok while the process stops or is quiet; when a queue is nearly full; when a
    queued job has waited too long, unless its class is paused; when a job runs longer than
    its ``timeout``; when a class has failed again and again without one success; when jobs
    wait and no worker thread could be started; when the thread of the scheduler or of the event
    loop has died; when nothing has armed the periodic classes, or no lock can be kept for one;
    when the logger ``counterpunch`` was disabled, so that no failure and no loss is told.
    None of this says that a restart would help.

    Args:
        max_fill: The part of ``max_jobs`` that may wait, from 0 to 1. Default 0.9.
        max_wait: Seconds a queued job may wait. Default 60.
        max_failures: So many failed attempts of a class within ten minutes, without one job
            that succeeded, are reported. Default 10.

    Raises:
        InvalidOption: For a threshold that is negative or no number, or a fraction above 1.
    """
    max_fill = seconds(0.0, none=False)("health", "max_fill", max_fill) or 0.0
    if max_fill > 1:
        raise InvalidOption("health", "max_fill", max_fill, "a fraction from 0 to 1")
    max_wait = seconds(0.0, none=False)("health", "max_wait", max_wait) or 0.0
    max_failures = whole(1)("health", "max_failures", max_failures)
    runtime = current()
    reasons = [*_of_the_process(runtime)]
    now = runtime.clock.monotonic()
    for lane in runtime.registry.all():
        name = clean(lane.job.__qualname__)
        for text in _of_a_class(lane, now, max_fill, max_wait, max_failures):
            reasons.append(f"{name}: {text}")
    return Health(not reasons, tuple(reasons))


def live() -> Health:
    """Whether this process can still run jobs, and if not, what a restart would cure.

    For a platform's probe, which kills the process that says no, and its waiting jobs with it. So
    it is ok while a provider is down, a queue is full or a job runs too long, and while the process
    is quiet or stops; those are ``health()``'s. It is not once the scheduler's thread or that of
    the event loop has died, or while jobs wait and no worker thread can be had.
    """
    runtime = current()
    reasons: list[str] = []
    if runtime.stage.serving:
        reasons += _dead_threads(runtime)
        for lane in runtime.registry.all():
            reasons += [f"{clean(lane.job.__qualname__)}: {text}" for text in _no_worker(lane)]
    return Health(not reasons, tuple(reasons))


def _of_the_process(runtime: Runtime) -> Iterator[str]:
    if runtime.stage.phase is not OPEN:
        word = "is stopping" if runtime.stage.phase is DRAINING else f"is {runtime.stage.phase}"
        yield f"the process {word} and accepts no new jobs"
    if logger.disabled:  # as logging.config does with what it is not told of
        yield (
            f"the logger {logger.name!r} is disabled, and no failure is told: give dictConfig() or "
            f"fileConfig() disable_existing_loggers=False; to be silent, set its level"
        )
    if runtime.stage.serving:
        yield from _dead_threads(runtime)
    if runtime.clockwork is not None:
        yield from runtime.clockwork.problems()
    elif (text := unarmed(runtime)) is not None:
        yield text


def _dead_threads(runtime: Runtime) -> Iterator[str]:
    thread = runtime.scheduler.thread
    if thread is not None and not thread.is_alive():
        yield "the scheduler's thread has died; delayed jobs and retries do not run"
    if not all(thread.is_alive() for thread in runtime.loops.threads()):
        yield "the event loop's thread has died; async jobs do not run"


def _no_worker(lane: Lane) -> Iterator[str]:
    queued = lane.queued()
    if queued and not lane.paused and lane.stage.threads and lane.pool.hired() == 0:
        yield f"no worker could be started, and {queued} wait for one"


def _of_a_class(
    lane: Lane, now: float, max_fill: float, max_wait: float, max_failures: int
) -> Iterator[str]:
    waiting = lane.waiting()
    if lane.options.max_jobs is not None and waiting >= max(1, max_fill * lane.max_jobs):
        yield f"the queue is nearly full: {waiting} of max_jobs={lane.max_jobs} wait"
    if waiting and not lane.paused:
        wait = lane.oldest_wait(now)
        if wait > max_wait:
            yield f"the oldest queued job has waited {wait:.3g} s, more than {max_wait:g} s"
    yield from _no_worker(lane)
    overrun = 0
    for call in entries(lane.running):
        timeout, started = call.option("timeout"), call.started
        if timeout is not None and started is not None and call.running():
            overrun += now - started > timeout
    if overrun:
        yield f"{overrun} running longer than their timeout"
    _, ended = recent(lane.timings, now)
    failures = ended.failed + ended.retries
    if failures >= max_failures and not ended.succeeded:
        yield f"everything fails: {failures} attempts failed in ten minutes and none succeeded"
