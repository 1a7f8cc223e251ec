"""What a scene of the simulation stands on: the core with simulated threads, and what is checked.

The parts are those of a process (``Runtime`` puts them together). Handed in are threads, locks and
clock; what a part imports by name is exchanged where it is imported. Nobody looks after the queues
(``observe.watchdog``), so a lost wake-up stays lost.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from simulation_world import Clock, Thread, Threads, World

from counterpunch import Job
from counterpunch.core.places import backlog, parking, scheduler
from counterpunch.core.process import drain, express
from counterpunch.core.process import runtime as runtimes
from counterpunch.core.process.installed import installed
from counterpunch.core.process.runtime import Runtime
from counterpunch.core.values.config import config
from counterpunch.core.values.errors import QueueFull, ShuttingDown
from counterpunch.core.values.status import LOST, QUEUED, SCHEDULED, SUCCEEDED, TERMINAL, Status
from counterpunch.core.workers import pool as pools

__all__ = ["Scene", "Stage"]

#: Where jobs of a lane wait, besides the queue.
TABLES = ("deferred", "scheduled", "retrying", "hold", "running")


class _Ordered(dict[Any, None]):
    """A set whose members come in the order in which they were added, in every run."""

    def add(self, one: Any) -> None:
        self[one] = None

    def discard(self, one: Any) -> None:
        self.pop(one, None)


class _Hiring:
    """What stands for the executor of a pool: a simulated thread for each worker."""

    def __init__(self, name: str) -> None:
        self.name, self.closed = name, False

    def hire(self, size: int, work: Callable[[], object]) -> None:
        if self.closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        Thread(target=work, name=self.name).start()

    def drop(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class _Nobody:
    """Looks after no queue."""

    asleep = False

    def __init__(self, *_: object) -> None: ...
    def woken_by(self, pool: object) -> None: ...
    def wake(self) -> None: ...


class Stage:
    """The core over simulated threads, within a ``with`` block; scenes are played on it."""

    def __init__(self) -> None:
        self.world = world = World()
        self.scene: Scene
        stage, threads = self, Threads(world)

        def perform(job: Any, *_: object) -> None:
            stage.scene.performed(job.handle)

        def made(name: str, **options: Any) -> Any:
            return type(name, (Job,), {"perform": perform, "log_args": False, **options})

        key = staticmethod(lambda number, *_: number)
        self.one = made("One", workers=1)
        self.two = made("Two", workers=2)
        self.dropped = made("Dropped", workers=1, on_shutdown="drop")
        self.bounded = made("Bounded", workers=1, max_jobs=2, overflow="block")
        self.unique = made("Unique", workers=1, unique="active", identity=key)
        self.replaced = made(
            "Replaced", workers=1, unique="queued", identity=key, on_duplicate="replace"
        )
        self.shared = made("Shared", pool="simulated")
        self.sharing = made("Sharing", pool="simulated", max_jobs=2, overflow="discard_oldest")
        self.classes = (
            self.one, self.two, self.dropped, self.bounded, self.unique, self.replaced,
            self.shared, self.sharing,
        )  # fmt: skip
        #: What is exchanged: where, under which name, and for what.
        self._exchanged: list[tuple[Any, str, Any]] = [
            (backlog, "set", _Ordered),
            (parking, "_thread", threads),
            (pools, "threading", threads),
            (pools, "time", threads),
            (pools, "monotonic", world.clock.monotonic),
            (pools, "Hiring", _Hiring),
            (scheduler, "threading", threads),
            (drain, "threading", threads),
            (express, "monotonic", world.clock.monotonic),
            (runtimes, "SystemClock", self._clock),
            (installed, "watch", _Nobody),
            (installed, "hints", []),
            (installed, "runtime", None),
            (config, "on_lost", None),
            (config, "history_ttl", None),  # a virtual clock goes on to whatever is next
            (config, "pools", {}),
        ]
        self._before: list[tuple[Any, str, Any]] = []

    def _clock(self) -> Clock:
        return self.world.clock

    def __enter__(self) -> Stage:
        missing = object()
        for owner, name, value in self._exchanged:
            self._before.append((owner, name, getattr(owner, name, missing)))
            setattr(owner, name, value)
        self._missing = missing
        logging.disable(logging.CRITICAL)
        self.world.points.watch()
        return self

    def __exit__(self, *exc: object) -> None:
        self.world.points.unwatch()
        self.world.close()
        logging.disable(logging.NOTSET)
        for owner, name, value in reversed(self._before):
            if value is self._missing:
                delattr(owner, name)
            else:
                setattr(owner, name, value)
        installed.ending = False
        installed.heirs = {}

    def play(self, kind: type[Scene], seed: str) -> list[str]:
        """One schedule of a scene; what was found wrong."""
        random = self.world.begin(seed)
        installed.heirs, installed.ending = {}, False
        config.pools = {"simulated": random.choice((1, 2))}
        for cls in self.classes:
            cls._gate.lane, cls._gate.paused = None, False
        installed.runtime = runtime = Runtime(clock=self.world.clock)
        self.scene = scene = kind(self, runtime)
        config.on_lost = scene.told.extend
        scene.prepare()
        try:
            words = list(scene.played())
        except BaseException as exc:
            words = [f"the checks failed: {exc!r}"]
        self.world.end()
        return list(dict.fromkeys([*scene.words, *words]))


class Scene:
    """What threads do to the core, and what is to hold when all of them have come to rest."""

    name = ""

    def __init__(self, stage: Stage, runtime: Runtime) -> None:
        self.stage, self.runtime, self.world = stage, runtime, stage.world
        self.random = stage.world.random
        self.handles: dict[Any, None] = {}
        self.ran: Counter[Any] = Counter()
        #: What ``on_lost`` was told of, and what was found wrong on the way.
        self.told: list[Any] = []
        self.words: list[str] = []
        #: Those who wait until nothing is on its way.
        self.resting: list[Thread] = []

    def prepare(self) -> None:
        """Start the threads."""

    def played(self) -> Iterator[str]:
        """Let them run, and look."""
        self.world.run()
        yield from self.checked()
        yield from self.later()

    # What scenes are made of

    def chance(self, of: float) -> bool:
        return self.random.random() < of

    def act(self, name: str, *steps: Callable[[], object]) -> Thread:
        """A thread that takes these steps."""

        def run() -> None:
            for step in steps:
                step()

        thread = Thread(target=run, name=name)
        thread.start()
        return thread

    def enqueue(self, cls: Any, number: int = 0, priority: int | None = None) -> Any:
        """One job, unless it is too late for it."""
        to = cls if priority is None else cls.using(priority=priority)
        try:
            handle = to.perform_async(number)
        except (QueueFull, ShuttingDown):
            return None
        self.handles[handle] = None
        return handle

    def produce(self, classes: Any, most: int = 2) -> list[Callable[[], object]]:
        """The steps of somebody who enqueues."""
        steps: list[Callable[[], object]] = []
        for _ in range(self.random.randint(1, most)):
            cls, number = self.random.choice(classes), self.random.randint(0, 1)
            priority = 1 if self.chance(0.15) else None
            steps.append(partial(self.enqueue, cls, number, priority))
        return steps

    def warm(self, *classes: Any) -> None:
        """Each class has been used, and a worker of it is asleep."""
        for cls in classes:
            self.act("warm", partial(self.enqueue, cls, 9))
        self.world.quietly()

    def rest(self) -> None:
        """Somebody waits until nothing is on its way."""
        thread = self.act("waiter", lambda: self.runtime.wait_idle(None))
        self.resting.append(thread)

    def performed(self, handle: Any) -> None:
        """On a worker's thread: the job itself."""
        self.ran[handle] += 1
        self.world.step()

    # What is to hold

    def checked(self) -> Iterator[str]:
        """What holds whenever nobody can go on."""
        world = self.world
        if world.endless:
            yield "it turns in circles"
            return  # stopped somewhere in the midst of it, nothing else holds
        for thread, exc in world.crashed:
            yield f"{thread.name} ended by {exc!r}"
        ended: Counter[tuple[Any, Status]] = Counter()
        for handle in self.handles:
            if handle.state in TERMINAL:
                ended[handle.lane, handle.state] += 1
            yield from self._job(handle)
        lanes: dict[int, Any] = {id(lane): lane for lane in self.runtime.registry.all()}
        lanes.update((id(handle.lane), handle.lane) for handle in self.handles)
        for lane in lanes.values():
            yield from self._lane(lane, ended)
        for runtime in {id(lane.keeper): lane.keeper for lane in lanes.values()}.values():
            for pool in list(runtime.pools.values()):
                yield from self._pool(pool)
            if runtime.site.left:
                yield "something is left to be carried out"
                continue
            if any(holder.state in TERMINAL for holder in runtime.keys.table.values()):
                yield "a key is kept"
            if runtime.stage.serving:
                yield from self._rest(runtime)

    def _job(self, handle: Any) -> Iterator[str]:
        lane, ran = handle.lane, self.ran[handle]
        places = [name for name in TABLES if handle in getattr(lane, name)]
        for pool in lane.pools():
            places += ["queue" for queue in pool.levels if handle in queue]
        shelves = (lane.history.done, lane.history.failures)
        entries = [entry for shelf in shelves for entry in (*shelf.fresh, *shelf.kept)]
        ends = sum(getattr(one, "face", lambda one=one: one)() is handle for one in entries)
        if handle.state in TERMINAL:
            if places:
                yield f"{handle.state.value} and in {places}"
            if ends != 1:
                yield f"{handle.state.value} {ends} times"
            if ran > 1 or (ran == 0 and handle.state is SUCCEEDED):
                yield f"{handle.state.value} and ran {ran} times"
            return
        if ends:
            yield f"{handle.state.value}, and has ended"
        if not places:
            yield f"{handle.state.value}, and nowhere"
        elif len(places) > 1:
            yield f"{handle.state.value} in {places}"
        elif places == ["queue"]:
            yield "a lost wake-up: it is queued, and nobody comes"
        elif places == ["hold"] and (not lane.paused or lane.stopped):
            yield "it is held, and its class is not paused"
        elif places == ["running"]:
            yield "it runs, and nobody runs it"
        if (handle.state is QUEUED) != (places in (["queue"], ["hold"])):
            yield f"{handle.state.value}, and in {places}"
        if (handle.state is SCHEDULED) != (places == ["scheduled"]):
            yield f"{handle.state.value}, and in {places}"
        if ran:
            yield f"{handle.state.value}, and ran {ran} times"

    def _lane(self, lane: Any, ended: Counter[tuple[Any, Status]]) -> Iterator[str]:
        mine = [handle for handle in self.handles if handle.lane is lane]
        if lane.ledger.accepted.value != len(mine):
            yield f"accepted {len(mine)}, counted {lane.ledger.accepted.value}"
        for status, count in lane.ledger.ended.items():
            if count.value != ended[lane, status]:
                yield f"{status.value} {ended[lane, status]}, counted {count.value}"
        waiting = [handle for handle in mine if handle.state is QUEUED]
        if lane.waiting() != len(waiting):
            yield f"{len(waiting)} wait, room is taken by {lane.waiting()}"
        if lane.overdue:
            yield "somebody waits for room"
        if any(lane.blocked) and not lane.full():
            yield "a producer waits for room that there is"

    def _pool(self, pool: Any) -> Iterator[str]:
        alive = len(pool.workers)
        if pool.hired() != alive:
            yield f"{alive} workers, {pool.hired()} counted"
        if pool.granted != pool.size or alive > pool.size:
            yield f"{pool.granted} places and {alive} workers of {pool.size}"
        asleep = len(pool.parking.sleepers), len(pool.parking.parked)
        if asleep != (alive, alive):
            yield f"{alive} workers, {asleep} asleep and parked"
        if pool.surplus or pool.owed:
            yield "a worker was to leave"

    def _rest(self, runtime: Runtime) -> Iterator[str]:
        held = any(lane.hold for lane in runtime.registry.all())
        if not held and not runtime.idle(delayed=True):
            yield "it is not idle"
        if runtime.idle() and any(thread.is_alive() for thread in self.resting):
            yield "who waits for idleness is not woken"

    def later(self) -> Iterator[str]:
        """One more job of each class that was used runs as the first one did."""
        if not self.chance(0.2) or self.world.endless:
            return
        more = [lane.job for lane in self.runtime.registry.all()]
        for cls in more:
            self.act("later", partial(self.enqueue, cls, 5))
        self.world.quietly()
        yield from self.checked()
        if any(handle.state not in TERMINAL for handle in self.handles):
            yield "a later job does not end"

    def lost(self) -> list[Any]:
        return [handle for handle in self.handles if handle.state is LOST]
