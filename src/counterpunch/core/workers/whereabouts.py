"""Where jobs are just now: among threads, in their containers, or remembered."""

from __future__ import annotations

from collections.abc import Iterator
from threading import get_ident

from ..places.backlog import Backlog, Worker
from ..places.lane import Lane, waits_since
from ..places.site import Site
from ..places.steps import entries
from ..values.current import current_job
from ..values.handle import Call
from ..values.status import QUEUED, RUNNING, TERMINAL, Status
from .here import Here
from .registry import Registry

__all__ = ["Whereabouts"]


class Whereabouts:
    """Looks through the workers of all pools, and what threads run for themselves."""

    def __init__(self, site: Site, registry: Registry, here: Here) -> None:
        self._registry, self._here = registry, here
        self._history, self._pools = site.history, site.pools

    def workers(self) -> list[Worker]:
        """All of them."""
        return [
            worker for pool in entries(self._pools.values()) for worker in entries(pool.workers)
        ]

    def on_a_worker(self) -> bool:
        """True on a worker's thread."""
        me = get_ident()
        return any(worker.ident == me for worker in self.workers())

    def works_for(self, pool: Backlog) -> bool:
        """True on the thread of a worker of that pool."""
        me = get_ident()
        return any(worker.ident == me for worker in entries(pool.workers))

    def own_calls(self) -> set[Call]:
        """The jobs that the calling thread is in the midst of, each inside the one before: to
        wait for one of them would never end."""
        me, current = get_ident(), current_job()
        own: set[Call] = set(self._here.of_thread(me))
        for pool in entries(self._pools.values()):
            for worker in entries(pool.workers) if pool.threaded else ():
                if worker.ident == me and worker.call is not None:
                    own.add(worker.call)
        if current is not None:
            own.add(current)
        return own

    def in_hand(self, lane: Lane) -> Iterator[Call]:
        """What a thread has taken out of the queue and is not yet done with."""
        for pool in lane.pools():
            for worker in entries(pool.workers):
                call = worker.call
                if call is not None and call.lane is lane:
                    yield call
        yield from self._here.of_lane(lane)

    def nowhere(self, call: Call, was: Status) -> bool:
        """True if a job that was taken out in the state ``was`` has not been put anywhere since.

        Who has put it somewhere may have seen it go on at once: it is looked for in the order in
        which a job moves, and once more if it has moved meanwhile.
        """
        while True:
            state, attempt = call.state, call.attempt
            if state in TERMINAL or (state is RUNNING and was is not RUNNING):
                return False
            if self._holds(call):
                return False
            if call.state is state and call.attempt == attempt:
                return True

    def _holds(self, call: Call) -> bool:
        """True if the job is in a container of its lane, or in the hand of a thread that is about
        to start it. A thread that has started it may have been left behind."""
        lane: Lane = call.lane
        if lane.keeps(call):
            return True
        starts = call.state is QUEUED and any(one is call for one in self.in_hand(lane))
        return starts or call in lane.running

    def live(self, lane: Lane) -> list[Call]:
        """The jobs of a class that have not ended or are just about to: running, queued,
        delayed, deferred. One that moves meanwhile may be there twice."""
        # Looked at in the order in which a job moves, so that one on its way is not missed; a
        # retry or reschedule() goes back to where the look began.
        deferred = entries(lane.deferred)
        delayed = {*entries(lane.scheduled), *entries(lane.retrying)}
        queued = lane.queued_calls()
        running = dict.fromkeys([*self.in_hand(lane), *entries(lane.running)])
        delayed.update(entries(lane.scheduled), entries(lane.retrying))
        return [*running, *queued, *sorted(delayed, key=waits_since), *deferred]

    def each(self, lane: Lane) -> Iterator[Call]:
        """The same for who looks for one: a container at a time, and in no order."""
        yield from entries(lane.deferred)
        yield from entries(lane.scheduled)
        yield from entries(lane.retrying)
        yield from lane.pooled()
        yield from entries(lane.hold)
        yield from self.in_hand(lane)
        yield from entries(lane.running)
        yield from entries(lane.scheduled)
        yield from entries(lane.retrying)

    def find(self, id: str) -> Call | None:
        """The job of that id, if it is alive or remembered."""
        prefix, _, digits = id.rpartition("-")[0].rpartition("-")
        lanes = self._registry.of_prefix(f"{prefix}-")
        try:
            number = int(digits, 16)
        except ValueError:
            number = -1
        if lanes and (lanes[0].id_of(number) != id or not lanes[0].ledger.issued(number)):
            return None  # not as ``Handle.id`` writes it, or nobody's yet
        for calls in (
            self._history.each(),
            *map(self.each, lanes),
            self._history.each() if lanes else (),  # it may have ended between the two looks
        ):
            for call in calls:
                if (call.number == number or call.foreign) and call.id == id:
                    return call
        return None
