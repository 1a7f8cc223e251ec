"""What is remembered of jobs that have ended, by number, by age and by weight.

A job comes into ``ended`` or ``failed`` in the breath in which it ends (see ``record``), and that
is all that is done for it there. Later ``tidy`` puts what has come in order: a job that weighs
something becomes a ``Heavy`` entry, and as soon as all of these together weigh more than
``history_bytes``, the oldest let go of their jobs and keep a description; the failed ones last,
since they can be retried. Who tidies: every ``TIDY_SECONDS`` the one that ends a job; if nobody
does, a worker that has slept so long; whoever ends a job without a worker; who waits for idleness.

What ended too long ago is let go then as well, and in an idle process by a timer. One is set only
while something is remembered that holds more than itself (an argument, a result, an error): so a
process of jobs without any starts no thread for it, and another one has exactly one sleep, until
the oldest of its jobs is too old.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import repeat, starmap
from math import inf
from typing import Any

from ..values.clock import Clock
from ..values.config import config
from ..values.described import describe
from ..values.handle import Call
from ..values.stage import Stage
from ..values.status import FAILED, Status
from ..values.weight import LIGHT, weight_of
from .scheduler import Scheduler, Timer
from .steps import entries

__all__ = ["History"]

#: While jobs end all the time it is tidied this often, and for no more than this share of the
#: time: what has come meanwhile and was pushed out by later ones need not be looked at.
TIDY_SECONDS, TIDY_SHARE = 0.05, 0.005
#: The timer looks so much later than the oldest is too old: many go at once then.
LATE_SECONDS, LATE_SHARE = 1.0, 0.01


class Heavy:
    """A job in the history that weighs something: itself, or its description."""

    __slots__ = ("_call", "_ref", "_twin", "finished", "weight")

    def __init__(self, call: Call, weight: int) -> None:
        self.finished, self.weight = call.finished, weight
        self._call: Call | None = call
        self._ref: weakref.ref[Call] | None = None
        self._twin: Call | None = None

    @property
    def held(self) -> bool:
        """The history holds the job itself."""
        return self._call is not None

    def let_go(self) -> None:
        """Keep a description of it. Begun again, or by two threads at once, it does no harm."""
        call = self._call
        if call is not None:
            self._twin = describe(call)
            self._ref = weakref.ref(call)
            self._call = None  # last: who looks meanwhile finds one of the three

    def face(self) -> Call:
        """The handle to give: the job's own as long as anybody has it, then the description."""
        call = self._call
        if call is None and self._ref is not None:
            call = self._ref()
        if call is None:
            call = self._twin
        assert call is not None
        return call


Entry = Call | Heavy


class Shelf:
    """The jobs that ended one way: as they come, and in order, so many of each at most."""

    __slots__ = ("fresh", "kept", "taker")

    def __init__(self, fresh: Iterable[Call] = (), kept: Iterable[Entry] = ()) -> None:
        self.fresh: deque[Call] = deque(entries(fresh), config.history)
        self.kept: deque[Entry] = deque(entries(kept), config.history)
        self.taker: Iterator[Call] = starmap(self.fresh.popleft, repeat(()))

    def calls(self) -> list[Call]:
        """The latest, as many as are to be remembered."""
        fresh = entries(self.fresh)  # first: they go from here to there
        calls = dict.fromkeys(map(_face, entries(self.kept)))
        calls.update(dict.fromkeys(fresh))
        return list(calls)[-config.history or len(calls) :]


class History:
    """The finished jobs of one runtime. Failed ones have a store of their own: however many
    succeed, they stay findable."""

    __slots__ = (
        "_clock", "_heavy", "_scheduler", "_stage", "_timer", "_worth",
        "done", "ended", "failed", "failures", "look_back",
    )  # fmt: skip

    def __init__(self, clock: Clock, scheduler: Scheduler, stage: Stage) -> None:
        self._clock, self._scheduler, self._stage = clock, scheduler, stage
        self.done, self.failures = Shelf(), Shelf()
        #: Where jobs come in, in one breath with their end.
        self.ended, self.failed = self.done.fresh, self.failures.fresh
        #: Bytes that the heavy ones hold together; too much where some were forgotten since.
        self._heavy = 0
        #: The instant at which whoever ends a job is to tidy.
        self.look_back = 0.0
        self._timer: Timer | None = None
        #: Something was remembered that is worth a timer.
        self._worth = False

    def store(self, status: Status) -> deque[Call]:
        """Where jobs come in that ended so."""
        return self.failed if status is FAILED else self.ended

    # Reading

    def each(self) -> Iterator[Call]:
        """Finished jobs, as far as count and age allow, in no order."""
        ttl = config.history_ttl
        before = -inf if ttl is None else self._clock.monotonic() - ttl
        for shelf in (self.done, self.failures):
            yield from (call for call in shelf.calls() if _ending(call) >= before)

    def remembered(self) -> list[Call]:
        """The same, oldest first."""
        return sorted(self.each(), key=_ending)

    # Tidying; any number of threads may be at it

    def tend(self, now: float) -> None:
        """A job has ended: tidy, if it is time to."""
        if now < self.look_back:
            return
        self.look_back = now + TIDY_SECONDS  # first: the others need not come along
        self.tidy()
        after = self._clock.monotonic()
        self.look_back = after + max(TIDY_SECONDS, (after - now) / TIDY_SHARE)

    def tidy(self) -> None:
        """Weigh what has come, and let go of what is too much or too old."""
        self.weigh()
        ttl = config.history_ttl
        if ttl is not None:
            before = self._clock.monotonic() - ttl
            _forget_older(self.done.kept, before)
            _forget_older(self.failures.kept, before)

    def untidy(self) -> float:
        """Seconds after which a worker that sleeps is to get up and weigh what has come; none."""
        return TIDY_SECONDS if self.ended or self.failed else 0.0

    def weigh(self) -> None:
        """Let go of what is too much."""
        if self.ended:
            self._put_in_order(self.done)
        if self.failed:
            self._put_in_order(self.failures)
        if self._heavy > config.history_bytes:
            self._lighten()
        if self._worth and self._timer is None:
            self._set_timer()

    def _put_in_order(self, shelf: Shelf) -> None:
        fresh, kept = shelf.fresh, shelf.kept
        for _ in range(len(fresh)):  # no end of them may come meanwhile
            try:
                call = fresh[0]
            except IndexError:
                return
            entry: Entry = call
            if call.args or call.named or call.outcome is not None or call.more is not None:
                weight = weight_of(call)
                if weight:
                    self._worth = True
                if weight > LIGHT:
                    entry = Heavy(call, weight)
                    self._heavy += weight
            one, taken = (entry,), None
            try:
                for taken in shelf.taker:  # in one breath, see ``record``
                    break
            except IndexError:
                return  # another thread has put it in order
            if taken is call:
                kept += one
            elif taken is not None:  # that one was pushed out, or put in order by another thread
                fresh += (taken,)

    def _lighten(self) -> None:
        """Let the oldest of the heavy ones go, those that succeeded first, until a quarter of what
        there may be is free: so this is not done for each job."""
        limit = config.history_bytes
        heavy = [
            entry
            for shelf in (self.done, self.failures)
            for entry in entries(shelf.kept)
            if type(entry) is Heavy and entry.held
        ]
        total = sum(entry.weight for entry in heavy)
        goal = limit - limit // 4 if total > limit else total
        for entry in heavy:
            if total <= goal:
                break
            entry.let_go()
            total -= entry.weight
        self._heavy = total

    def _set_timer(self) -> None:
        """In an idle process nobody ends a job who would look for what is too old."""
        ttl = config.history_ttl
        if ttl is None:
            self._worth = False  # until the next job; a change sets it again
            return
        oldest = [shelf.kept[0] for shelf in (self.done, self.failures) if shelf.kept]
        if not oldest or not self._stage.serving:
            return
        timer = Timer(_nothing, vital=False)
        timer.action = partial(self._due, timer)
        late = min(LATE_SECONDS, ttl * LATE_SHARE) + 0.001
        self._scheduler.add(timer, min(map(_ending, oldest)) + ttl + late)
        self._timer = timer  # last: one that was not entered, or twice, is not waited for

    def _due(self, timer: Timer) -> None:
        """On the scheduler's thread."""
        if timer is self._timer:
            self._timer = None  # before it looks: who finds none sets one
            self.tidy()

    # From outside

    def forget(self, *calls: Call) -> None:
        """Remember some jobs no longer."""
        gone = set(calls)
        for shelf in (self.failures, self.done):
            for call in gone.intersection(entries(shelf.fresh)):
                _remove(shelf.fresh, call)  # first: it goes from here to there
            for entry in entries(shelf.kept):
                if _face(entry) in gone:
                    _remove(shelf.kept, entry)

    def reconfigured(self, names: frozenset[str]) -> None:
        """``configure`` has changed something."""
        if "history" in names:
            self.done = Shelf(self.done.fresh, self.done.kept)
            self.failures = Shelf(self.failures.fresh, self.failures.kept)
            self.ended, self.failed = self.done.fresh, self.failures.fresh
        if "history_ttl" in names:
            timer, self._timer, self._worth = self._timer, None, True
            if timer is not None:
                timer.cancel()
                self._scheduler.forget()
        self.tidy()


def _face(entry: Entry) -> Call:
    return entry.face() if isinstance(entry, Heavy) else entry


def _ending(entry: Entry) -> float:
    return entry.finished or 0.0


def _forget_older(kept: deque[Entry], before: float) -> None:
    try:
        while _ending(oldest := kept[0]) < before:
            kept.remove(oldest)
    except (IndexError, ValueError):
        pass  # there is none, or another thread has removed it


def _remove(store: deque[Any], one: object) -> None:
    for _ in range(100):
        try:
            store.remove(one)
        except IndexError:
            continue  # another job ended during the search
        except ValueError:
            pass  # not in this one, or forgotten meanwhile
        return


def _nothing() -> None:
    pass
