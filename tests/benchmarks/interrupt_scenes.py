"""What the sweep interrupts: the calls of the public API, each in its situation.

A scene is a function that is given a ``Stage``, makes jobs on it and returns the call to
interrupt. It runs in a process of its own, which has used the library for nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

from interrupt_instrument import at_rest, until
from interrupt_stage import (
    FAR,
    PERIOD,
    SOON,
    Active,
    Async,
    Blocking,
    Called,
    Discarding,
    Full,
    Here,
    Oldest,
    Other,
    Plain,
    Prior,
    Queued,
    Raising,
    Rated,
    Replacing,
    Retried,
    Shared,
    Stage,
    Transaction,
)

from counterpunch import Batch, Duplicate, QueueFull, Status, around_enqueue

__all__ = ["SCENES", "Scene", "scene"]


class Scene(NamedTuple):
    """``cold``: before any import on demand. ``waits``: the call blocks. ``stop``: it is a
    ``"shutdown"``, or the ``"exit"`` of the interpreter."""

    name: str
    prepare: Callable[[Stage], Callable[[], object]]
    cold: bool = False
    waits: bool = False
    stop: str = ""


SCENES: list[Scene] = []


def scene(name: str, **kind: Any) -> Callable[[Any], Any]:
    """Add the decorated function to ``SCENES``."""

    def add(prepare: Any) -> Any:
        SCENES.append(Scene(name, prepare, **kind))
        return prepare

    return add


def enqueue(stage: Stage, cls: Any, key: int = 7) -> Callable[[], object]:
    """The call that enqueues one more job."""
    return lambda: stage.add(stage.use(cls).perform_async(key))


# The first use of anything, before all others


scene("perform_async, first use", cold=True)(lambda stage: enqueue(stage, Plain))
scene("perform_async, first use, async", cold=True)(lambda stage: enqueue(stage, Async))


@scene("perform_in, first use", cold=True)
def _(stage: Stage) -> Callable[[], object]:
    return lambda: stage.add(stage.use(Plain).perform_in(SOON))


# Enqueues


for _name, _cls in {
    "idle": Plain, "idle, async": Async, "idle, all options": Full, "idle, priority": Prior,
    "idle, shared pool": Shared,
}.items():  # fmt: skip
    scene(f"perform_async, {_name}")(lambda stage, cls=_cls: enqueue(stage, stage.warm(cls)))


@scene("perform_async, busy")
def _(stage: Stage) -> Callable[[], object]:
    stage.busy(Plain)
    return enqueue(stage, Plain)


@scene("perform_async, busy, async")
def _(stage: Stage) -> Callable[[], object]:
    stage.busy(Async)
    return enqueue(stage, Async)


@scene("perform_async, busy, shared pool")
def _(stage: Stage) -> Callable[[], object]:
    stage.busy(Shared)
    return enqueue(stage, Shared)


@scene("perform_async, a thread to hire")
def _(stage: Stage) -> Callable[[], object]:
    stage.warm(Other)
    stage.busy(Plain, 1)
    return enqueue(stage, Plain)


@scene("perform_async, full: discard_oldest")
def _(stage: Stage) -> Callable[[], object]:
    stage.busy(Oldest)
    stage.add(Oldest.perform_async())
    return enqueue(stage, Oldest)


@scene("perform_async, full: caller_runs")
def _(stage: Stage) -> Callable[[], object]:
    stage.busy(Here)
    stage.add(Here.perform_async())
    return enqueue(stage, Here)


@scene("perform_async, full: block", waits=True)
def _(stage: Stage) -> Callable[[], object]:
    stage.busy(Blocking)
    stage.add(Blocking.perform_async())
    stage.refusals = (QueueFull,)
    return enqueue(stage, Blocking)


@scene("perform_async, middleware")
def _(stage: Stage) -> Callable[[], object]:
    stage.warm(Full)
    around_enqueue(lambda handle: nullcontext())
    return enqueue(stage, Full)


for _name, _options in {
    "using(priority)": {"priority": 5}, "using(pool)": {"pool": "mail"},
    "using(delay)": {"delay": SOON}, "using(expires_in)": {"expires_in": 30.0},
}.items():  # fmt: skip

    @scene(f"{_name}.perform_async")
    def _(stage: Stage, options: Any = _options) -> Callable[[], object]:
        stage.warm(Plain)
        return lambda: stage.add(Plain.using(**options).perform_async())


@scene("perform_in")
def _(stage: Stage) -> Callable[[], object]:
    stage.warm(Plain)
    stage.add(Plain.perform_in(FAR))
    at_rest()
    return lambda: stage.add(Plain.perform_in(SOON))


@scene("perform_at")
def _(stage: Stage) -> Callable[[], object]:
    stage.warm(Plain)
    stage.add(Plain.perform_in(FAR))
    at_rest()
    return lambda: stage.add(Plain.perform_at(time.time() + SOON))


@scene("perform_bulk")
def _(stage: Stage) -> Callable[[], object]:
    stage.busy(Plain)
    return lambda: stage.handles.extend(Plain.perform_bulk([(1,), (2,), (3,)]))


# Identities and rates


for _cls in (Queued, Active):
    scene(f"unique={_cls.unique!r}: perform_async")(
        lambda stage, cls=_cls: enqueue(stage, stage.warm(cls))
    )


for _cls in (Active, Replacing, Discarding, Raising):

    @scene(f"unique: perform_async, {_cls.on_duplicate}")
    def _(stage: Stage, cls: Any = _cls) -> Callable[[], object]:
        stage.busy(cls)
        stage.add(cls.perform_async(7))
        stage.refusals = (Duplicate,)
        return enqueue(stage, cls)


@scene("rate: perform_async, a place is free")
def _(stage: Stage) -> Callable[[], object]:
    stage.warm(Rated, 1)
    time.sleep(PERIOD)
    return enqueue(stage, Rated)


@scene("rate: perform_async, none is free")
def _(stage: Stage) -> Callable[[], object]:
    stage.warm(Rated)
    return enqueue(stage, Rated)


@scene("rate: cancel()")
def _(stage: Stage) -> Callable[[], object]:
    stage.warm(Rated)
    handle = stage.add(Rated.perform_async())
    at_rest()
    return lambda: handle.cancel()


# On the caller's thread


for _name, _cls in {"": Plain, ", all options": Full, ", unique": Active, ", async": Async}.items():
    scene(f"perform_now{_name}")(
        lambda stage, cls=_cls: stage.warm(cls) and (lambda: cls.perform_now(7))
    )


# Steering


@scene("cancel(), queued")
def _(stage: Stage) -> Callable[[], object]:
    stage.busy(Plain)
    handle = stage.add(Plain.perform_async())
    return lambda: handle.cancel()


@scene("cancel(), scheduled")
def _(stage: Stage) -> Callable[[], object]:
    handle = stage.add(stage.warm(Plain).perform_in(FAR))
    at_rest()
    return lambda: handle.cancel()


@scene("cancel(), scheduled, first end of its class")
def _(stage: Stage) -> Callable[[], object]:
    handle = stage.add(stage.use(Plain).perform_in(FAR))
    at_rest()
    return lambda: handle.cancel()


@scene("cancel(), unique")
def _(stage: Stage) -> Callable[[], object]:
    stage.busy(Active)
    handle = stage.add(Active.perform_async(7))
    return lambda: handle.cancel()


@scene("cancel(), running")
def _(stage: Stage) -> Callable[[], object]:
    stage.busy(Plain)
    handle = stage.handles[-1]
    return lambda: handle.cancel()


@scene("cancel(), deferred")
def _(stage: Stage) -> Callable[[], object]:
    stage.warm(Plain)
    handle = stage.add(Plain.using(after_commit=Transaction()).perform_async())
    return lambda: handle.cancel()


@scene("cancel(), with a done-callback")
def _(stage: Stage) -> Callable[[], object]:
    handle = stage.add(stage.warm(Plain).perform_in(FAR))
    handle.add_done_callback(lambda handle: None)
    at_rest()
    return lambda: handle.cancel()


for _cls in (Plain, Active):
    for _seconds in (0.0, SOON, FAR / 2):

        @scene(f"reschedule({_seconds:g}), scheduled{', unique' if _cls is Active else ''}")
        def _(stage: Stage, cls: Any = _cls, seconds: float = _seconds) -> Callable[[], object]:
            handle = stage.add(stage.warm(cls).perform_in(FAR, 7))
            at_rest()
            return lambda: handle.reschedule(seconds)


@scene("reschedule(), queued")
def _(stage: Stage) -> Callable[[], object]:
    stage.busy(Plain)
    handle = stage.add(Plain.perform_async())
    return lambda: handle.reschedule(SOON)


for _cls in (Plain, Active):

    @scene(f"run_now(){', unique' if _cls is Active else ''}")
    def _(stage: Stage, cls: Any = _cls) -> Callable[[], object]:
        handle = stage.add(stage.warm(cls).perform_in(FAR, 7))
        at_rest()
        return lambda: handle.run_now()


def retrying(stage: Stage) -> Any:
    """A job that waits for its second attempt."""
    handle = stage.add(stage.warm(Retried).perform_async(7))
    until(lambda: handle.status is Status.RETRYING)
    at_rest()
    return handle


for _name, _steer in {
    "cancel()": lambda handle: handle.cancel(),
    "run_now()": lambda handle: handle.run_now(),
    f"reschedule({FAR / 2:g})": lambda handle: handle.reschedule(FAR / 2),
}.items():

    @scene(f"{_name}, retrying")
    def _(stage: Stage, steer: Any = _steer) -> Callable[[], object]:
        handle = retrying(stage)
        return lambda: steer(handle)


@scene("retry()")
def _(stage: Stage) -> Callable[[], object]:
    stage.warm(Full)
    handle = stage.handles[-1]
    return lambda: stage.add(handle.retry())


for _cls in (Plain, Shared):
    _kind = "shared" if _cls is Shared else "own"

    @scene(f"pause(), {_kind} pool")
    def _(stage: Stage, cls: Any = _cls) -> Callable[[], object]:
        stage.busy(cls)
        for key in range(2):
            stage.add(cls.perform_async(key))
        return lambda: cls.pause()

    @scene(f"resume(), {_kind} pool")
    def _(stage: Stage, cls: Any = _cls) -> Callable[[], object]:
        stage.warm(cls).pause()
        for key in range(2):
            stage.add(cls.perform_async(key))
        at_rest()
        return lambda: cls.resume()


@scene("cancel_all()")
def _(stage: Stage) -> Callable[[], object]:
    stage.busy(Plain)
    stage.add(Plain.perform_async())
    stage.add(Plain.perform_in(FAR))
    at_rest()
    return lambda: Plain.cancel_all()


# Transactions


@scene("after_commit: perform_async")
def _(stage: Stage) -> Callable[[], object]:
    stage.warm(Plain)
    return lambda: stage.add(Plain.using(after_commit=Transaction()).perform_async())


for _name, _cls, _options in (
    ("", Plain, {}), (", delay", Plain, {"delay": SOON}), (", unique", Active, {}),
):  # fmt: skip

    @scene(f"after_commit: commit{_name}")
    def _(stage: Stage, cls: Any = _cls, options: Any = _options) -> Callable[[], object]:
        transaction = Transaction()
        stage.add(stage.warm(cls).using(after_commit=transaction, **options).perform_async(7))
        return lambda: transaction.commit()


@scene("after_commit: rollback")
def _(stage: Stage) -> Callable[[], object]:
    transaction = Transaction()
    stage.add(stage.warm(Plain).using(after_commit=transaction).perform_async())
    return lambda: transaction.rollback()


# Batches


def batch(stage: Stage) -> Batch:
    one = Batch(on_complete=Called)
    stage.batches.append(one)
    stage.blocks.append(one)
    return one


@scene("Batch: enter")
def _(stage: Stage) -> Callable[[], object]:
    stage.warm(Plain)
    one = Batch(on_complete=Called)
    stage.blocks.append(one)
    entered: list[Batch] = []

    def leave_it() -> None:
        if entered:
            one.__exit__(None, None, None)

    stage.first.append(leave_it)
    return lambda: entered.append(one.__enter__())


def leave(stage: Stage, one: Batch) -> Callable[[], object]:
    stage.again = lambda: one.__exit__(None, None, None)
    return stage.again


@scene("Batch: exit, empty")
def _(stage: Stage) -> Callable[[], object]:
    stage.warm(Plain)
    return leave(stage, batch(stage).__enter__())


@scene("Batch: exit, members ended")
def _(stage: Stage) -> Callable[[], object]:
    stage.warm(Plain)
    Called.perform_async("").result(5)
    one = batch(stage).__enter__()
    stage.add(Plain.perform_async()).result(5)
    at_rest()
    return leave(stage, one)


@scene("Batch: exit, members wait")
def _(stage: Stage) -> Callable[[], object]:
    stage.busy(Plain)
    one = batch(stage).__enter__()
    stage.add(Plain.perform_async())
    return leave(stage, one)


@scene("Batch: a member enqueued")
def _(stage: Stage) -> Callable[[], object]:
    stage.warm(Plain)
    one = batch(stage).__enter__()
    stage.first.append(lambda: one.__exit__(None, None, None))
    return enqueue(stage, Plain)


@scene("Batch: a member cancelled")
def _(stage: Stage) -> Callable[[], object]:
    stage.warm(Plain)
    Called.perform_async("").result(5)
    with batch(stage):
        handle = stage.add(Plain.perform_in(FAR))
    at_rest()
    return lambda: handle.cancel()
