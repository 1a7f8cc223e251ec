"""The scenes of the simulation: who does what at the same time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from simulation_stage import Scene

from counterpunch.core.process.drain import drain
from counterpunch.core.process.installed import installed
from counterpunch.core.values.status import CANCELLED, LOST, RUNNING, SUCCEEDED, TERMINAL

__all__ = ["SCENES"]

#: Seconds that a drain has.
TIMEOUT = 2.0


class HandOver(Scene):
    """Enqueues against workers that fall asleep."""

    name = "hand-over"

    def prepare(self) -> None:
        stage = self.stage
        classes: Any = self.random.choice(
            ((stage.one,), (stage.two,), (stage.shared, stage.sharing), (stage.unique,),
             (stage.bounded,), (stage.replaced,), (stage.one, stage.two))
        )  # fmt: skip
        if self.chance(0.5):
            self.warm(*classes)
        for number in range(self.random.randint(1, 2)):
            self.act(f"producer{number}", *self.produce(classes))
        if self.chance(0.3):
            self.rest()


class Pause(Scene):
    """Pauses and resumes against enqueues, and against workers that take a job."""

    name = "pause"

    def prepare(self) -> None:
        stage = self.stage
        self.cls = cls = self.random.choice((stage.one, stage.two, stage.shared, stage.replaced))
        #: While the class is paused for certain: the jobs that had begun by then.
        self.begun: set[Any] | None = None
        self.controls = self.random.randint(1, 2)
        if self.chance(0.5):
            self.warm(cls)
        for number in range(self.controls):
            steps = [self._pause, self._resume] if self.chance(0.6) else [self._pause]
            if self.controls > 1 and self.chance(0.3):
                steps = [self._resume]
            self.act(f"control{number}", *steps)
        for number in range(self.random.randint(1, 2)):
            self.act(f"producer{number}", *self.produce((cls,)))
        if self.chance(0.3):
            self.rest()

    def _pause(self) -> None:
        self.cls.pause()
        if self.controls == 1:  # else somebody may have resumed it meanwhile
            self.begun = {one for one in self.handles if one.state in TERMINAL | {RUNNING}}
            # One that is not told of yet may have begun as well.
            self.begun.update(self.runtime.lane(self.cls).running)

    def _resume(self) -> None:
        self.begun = None
        self.cls.resume()

    def performed(self, handle: Any) -> None:
        if self.begun is not None and handle in self.handles and handle not in self.begun:
            self.words.append("it was started after pause() had returned")
        super().performed(handle)

    def played(self) -> Iterator[str]:
        self.world.run()
        yield from self.checked()
        if self.runtime.lane(self.cls).paused:
            self.act("resumer", self._resume)
            self.world.run()
            yield from self.checked()
        if self.world.endless:
            return
        if any(handle.state not in TERMINAL for handle in self.handles):
            yield "it has not ended, and its class goes on"
        yield from self.later()


class Cancel(Scene):
    """Cancels against workers that take a job, and against its enqueue."""

    name = "cancel"

    def prepare(self) -> None:
        stage = self.stage
        classes: Any = self.random.choice(
            ((stage.one,), (stage.two,), (stage.shared, stage.sharing), (stage.unique,),
             (stage.replaced,), (stage.bounded,))
        )  # fmt: skip
        #: What ``cancel()`` said of each.
        self.answers: dict[Any, list[bool]] = {}
        if self.chance(0.4):
            self.warm(*classes)
        for step in self.produce(classes):
            step()
        for number in range(self.random.randint(1, 2)):
            self.act(f"canceller{number}", self._cancel)
        self.act("producer", *self.produce(classes))
        if self.chance(0.3):
            self.rest()

    def _cancel(self) -> None:
        for handle in list(self.handles):
            self.answers.setdefault(handle, []).append(handle.cancel())

    def checked(self) -> Iterator[str]:
        yield from super().checked()
        for handle, answers in self.answers.items():
            if any(answers) and (handle.state is not CANCELLED or self.ran[handle]):
                yield f"cancelled, said cancel(), and {handle.state.value}"
            if not any(answers) and handle.state is CANCELLED and not self.replaced(handle):
                yield "cancelled, and cancel() did not say so"
            if handle in self.runtime.tokens.cancels:
                yield "a cancel token is kept"

    def replaced(self, handle: Any) -> bool:
        """It went for a newer one of its identity."""
        return handle.error is not None and handle.error.startswith("replaced")


class Retire(Scene):
    """Enqueues against workers that leave, as they had nothing to do for long."""

    name = "retire"

    def prepare(self) -> None:
        stage = self.stage
        classes: Any = self.random.choice(
            ((stage.one,), (stage.two,), (stage.shared, stage.sharing), (stage.unique,))
        )
        self.warm(*classes)
        self.world.late, self.world.lates = 0.3, self.random.randint(1, 3)
        for number in range(self.random.randint(1, 2)):
            self.act(f"producer{number}", *self.produce(classes))
        if self.chance(0.3):
            self.rest()


class Resize(Scene):
    """Enqueues against pools that become larger and smaller, and workers that leave."""

    name = "resize"

    def prepare(self) -> None:
        stage = self.stage
        self.cls = cls = self.random.choice((stage.one, stage.two, stage.shared))
        if self.chance(0.7):
            self.warm(cls)
        pool: Any = self.runtime.lane(cls).pool
        sizes = [self.random.randint(1, 3) for _ in range(self.random.randint(1, 2))]
        self.act("resizer", *(lambda size=size: pool.resize(size) for size in sizes))
        self.world.late, self.world.lates = 0.2, self.random.randint(0, 2)
        for number in range(self.random.randint(1, 2)):
            self.act(f"producer{number}", *self.produce((cls,)))
        if self.chance(0.3):
            self.rest()


class Drain(Scene):
    """The drain against enqueues, and a deadline that may pass at any time."""

    name = "drain"

    def prepare(self) -> None:
        stage = self.stage
        classes: Any = self.random.choice(
            ((stage.one,), (stage.two,), (stage.shared, stage.sharing), (stage.dropped,),
             (stage.replaced,), (stage.bounded,))
        )  # fmt: skip
        self.reports: list[Any] = []
        #: When the drain began, and what had been enqueued by then.
        self.began: float | None = None
        self.before: list[Any] = []
        self.paused = classes[0] if self.chance(0.2) else None
        # What is stopped stays so; else who comes later starts another process, as it were.
        installed.ending = self.chance(0.7)
        if self.chance(0.5):
            self.warm(*classes)
        if self.chance(0.5):
            for step in self.produce(classes, 1):
                step()
        if self.paused is not None:
            self.paused.pause()
        if self.chance(0.4):
            self.world.late, self.world.lates = 0.1, self.random.randint(1, 4)
        for number in range(self.random.randint(1, 2)):
            self.act(f"producer{number}", *self.produce(classes))
        for number in range(2 if self.chance(0.2) else 1):
            self.act(f"drainer{number}", self._drain)

    def _drain(self) -> None:
        if self.began is None:
            self.began, self.before = self.world.clock.now, list(self.handles)
        self.reports.append(drain(self.runtime, TIMEOUT, False))

    def played(self) -> Iterator[str]:
        world, stage = self.world, self.stage
        world.run()
        while any(
            thread.is_alive() and thread.name.startswith("drainer") for thread in world.threads
        ):
            # It looks again every half second. Up to then nobody else is to be kept waiting.
            if world.endless:
                break
            if self.runtime.idle(delayed=True):
                yield "who waits for idleness is not woken"
            if not world.time_passes():
                yield "the drain waits for ever"
                break
            world.run()
        if self.paused is not None:  # which outlives the stop
            self.paused.resume()
            world.run()
        yield from self.checked()
        if world.endless:
            return
        if any(handle.state not in TERMINAL for handle in self.handles):
            yield "it has not ended, and the process has stopped"
        told = Counter(self.told)
        if told != Counter(self.lost()):
            yield f"{len(self.lost())} lost, {sum(told.values())} told"
        report = self.runtime.stage.report
        if report is None:
            yield "no report"
        elif len(set(report.lost)) != len(report.lost) or not set(report.lost) <= set(self.lost()):
            yield "the report is wrong"
        if world.clock.now < (self.began or 0.0) + TIMEOUT and not self.paused:
            for handle in self.before:
                # The handle of a duplicate may be one that another thread has not placed yet.
                if handle.state is LOST and handle.job not in (stage.dropped, stage.replaced):
                    yield "it was lost, with time left"
        for handle in self.handles:
            if handle.state is SUCCEEDED and handle in told:
                yield "told as lost, and succeeded"


SCENES: tuple[type[Scene], ...] = (HandOver, Pause, Cancel, Retire, Drain, Resize)
