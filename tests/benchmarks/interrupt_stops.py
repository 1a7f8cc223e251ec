"""What the sweep interrupts, continued: calls that concern the process, above all its stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interrupt_instrument import at_rest
from interrupt_scenes import scene
from interrupt_stage import (
    FAR,
    SOON,
    STOP,
    Async,
    Hurried,
    Other,
    Plain,
    Stage,
    Stubborn,
    Transaction,
    Waited,
    clocks,
)

import counterpunch
from counterpunch import Rate

__all__: list[str] = []


# The process


@scene("start(), periodic")
def _(stage: Stage) -> Callable[[], object]:
    stage.warm(Plain)
    stage.periodic = list(clocks())
    return counterpunch.start


@scene("quiet()")
def _(stage: Stage) -> Callable[[], object]:
    stage.warm(Plain)
    stage.first.append(counterpunch.start)
    return counterpunch.quiet


for _workers in (1, 4):

    @scene(f"workers = {_workers}")
    def _(stage: Stage, workers: int = _workers) -> Callable[[], object]:
        stage.warm(Other)
        return lambda: setattr(Other, "workers", workers)


@scene("workers = 4, jobs wait")
def _(stage: Stage) -> Callable[[], object]:
    stage.busy(Other)
    stage.add(Other.perform_async())
    return lambda: setattr(Other, "workers", 4)


for _option, _value in {"rate": Rate(9, per=0.01), "priority": 3, "max_jobs": 4}.items():

    @scene(f"{_option} = ..., jobs wait")
    def _(stage: Stage, option: str = _option, value: Any = _value) -> Callable[[], object]:
        stage.busy(Other)
        stage.add(Other.perform_async())
        return lambda: setattr(Other, option, value)


@scene("configure(max_threads)")
def _(stage: Stage) -> Callable[[], object]:
    stage.warm(Other)
    return lambda: counterpunch.configure(max_threads=20)


@scene("readings: stats(), jobs(), find(), result()")
def _(stage: Stage) -> Callable[[], object]:
    stage.warm(Plain)
    one = stage.handles[-1]
    return lambda: (counterpunch.stats(), counterpunch.jobs(), counterpunch.find(one.id),
                    one.result(), one.exception(), counterpunch.wait_idle(1.0))  # fmt: skip


# The stop


def unused(stage: Stage) -> Callable[[], object]:
    return lambda: None


def idle(stage: Stage) -> Callable[[], object]:
    stage.warm(Plain)
    return lambda: None


def waiting(stage: Stage) -> Callable[[], object]:
    """Jobs that run, wait and are to come; all can end in time."""
    gate = stage.busy(Plain)
    for key in range(3):
        stage.add(Plain.perform_async(key))
    for cls in (Plain, Waited, Hurried):
        stage.add(stage.use(cls).perform_in(SOON if cls is Waited else FAR))
    at_rest()
    return stage.opening(gate)


def stuck(stage: Stage) -> Callable[[], object]:
    """Jobs in every place, and none of them can end."""
    stage.busy(Plain)
    stage.add(Plain.perform_async())
    stage.add(Plain.perform_in(FAR))
    stage.add(Plain.using(after_commit=Transaction()).perform_async())
    stage.warm(Other).pause()
    stage.add(Other.perform_async())
    at_rest()
    return lambda: None


def stuck_loop(stage: Stage) -> Callable[[], object]:
    """Jobs on the event loop, one of which ignores that it is cancelled."""
    stage.busy(Async)
    stage.add(Async.perform_async())
    stage.busy(Stubborn, 1)
    return lambda: None


def _stops() -> None:
    for how in (unused, idle, waiting, stuck, stuck_loop):
        name, seconds = how.__name__.replace("_", " "), 2.0 if how is waiting else STOP

        def shut(stage: Stage, how: Any = how, seconds: float = seconds) -> Callable[[], object]:
            begin = how(stage)
            return lambda: (begin(), counterpunch.shutdown(seconds))

        def leave(stage: Stage, how: Any = how, seconds: float = seconds) -> Callable[[], object]:
            counterpunch.configure(shutdown_timeout=seconds)
            return how(stage)  # type: ignore[no-any-return]

        scene(f"shutdown(), {name}", waits=True, stop="shutdown")(shut)
        scene(f"exit, {name}", waits=True, stop="exit")(leave)


_stops()
