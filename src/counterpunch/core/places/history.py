"""What is remembered of jobs that have ended, by number, by age and by weight.

A job comes into ``ended`` or ``failed`` in the breath in which it ends (see ``record``), and that
is all that is done for it there. Later ``tidy`` puts what has come in order: a job that weighs
something becomes a ``Heavy`` entry, and as soon as all of these together weigh more than
``history_bytes``, the oldest let go of their jobs and keep a description; the failed ones last,
since they can be retried. Who tidies: every ``TIDY_SECONDS`` the one that ends a job, and at once
where the last ones were heavy; if nobody does, a worker that has slept so long; whoever ends a job
without a worker; who waits for idleness.

What ended too long ago is let go then as well, and in an idle process by a timer. One is set only
while something is remembered that holds more than itself (an argument, a result, an error): so a
process of jobs without any starts no thread for it, and another one has exactly one sleep, until
the oldest of its jobs is too old.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import partial
from math import inf
from sys import maxsize
from typing import Any

from ..values.clock import Clock
from ..values.config import config
from ..values.handle import Call
from ..values.stage import Stage
from ..values.status import FAILED, Status
from ..values.weight import LIGHT, weight_of
from .scheduler import Scheduler, Timer
from .shelf import Entry, Heavy, Shelf, ending, face_of
from .steps import entries

__all__ = ["History"]

#: While jobs end all the time it is tidied this often, and for no more than this share of the
#: time, if they are light: what was pushed out by later ones need not be looked at.
TIDY_SECONDS, TIDY_SHARE = 0.05, 0.005
#: So many of the newest tell whether they are.
SAMPLE = 3
#: What may come in before it is weighed, by what the last ones weighed: one of so
#: many parts of ``history_bytes``; and so many jobs of which nothing is known yet.
FRESH_SHARE, FRESH = 8, 16
#: The timer looks so much later than the oldest is too old: many go at once then.
LATE_SECONDS, LATE_SHARE = 1.0, 0.01


class History:
    """The finished jobs of one runtime. Failed ones have a store of their own: however many
    succeed, they stay findable."""

    __slots__ = (
        "_clock", "_heavy", "_rested", "_scheduler", "_stage", "_timer", "_worth",
        "done", "ended", "failed", "failures", "few", "look_back",
    )  # fmt: skip

    def __init__(self, clock: Clock, scheduler: Scheduler, stage: Stage) -> None:
        self._clock, self._scheduler, self._stage = clock, scheduler, stage
        self.done, self.failures = Shelf(), Shelf()
        #: Where jobs come in, in one breath with their end.
        self.ended, self.failed = self.done.fresh, self.failures.fresh
        #: Bytes that the heavy ones hold together; too much where some were forgotten since.
        self._heavy = 0
        #: Whoever ends a job is to tidy from this instant on, or if more than so many have come.
        self.look_back, self.few = 0.0, FRESH
        #: From when on light ones may be tidied again.
        self._rested = 0.0
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
            yield from (call for call in shelf.calls() if ending(call) >= before)

    def remembered(self) -> list[Call]:
        """The same, oldest first."""
        return sorted(self.each(), key=ending)

    # Tidying; any number of threads may be at it

    def tend(self, now: float) -> None:
        """A job has ended: tidy, if it is time to."""
        many = max(len(self.ended), len(self.failed)) > self.few
        if now < self.look_back and not many:
            return
        self.look_back = now + TIDY_SECONDS  # first: the others need not come along
        if now >= self._rested or many or self._heavy_ones_come():
            self.tidy()
            after = self._clock.monotonic()
            self._rested = after + (after - now) / TIDY_SHARE

    def _heavy_ones_come(self) -> bool:
        newest = entries(self.ended)[-SAMPLE:] + entries(self.failed)[-SAMPLE:]
        return any(weight_of(call) > LIGHT for call in newest)

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
        weights: list[int] = []
        if self.ended:
            self._put_in_order(self.done, weights)
        if self.failed:
            self._put_in_order(self.failures, weights)
        if weights:  # none, if another thread was at it
            some = config.history_bytes // FRESH_SHARE * len(weights)
            self.few = some // sum(weights) if any(weights) else maxsize
        if self._heavy > config.history_bytes:
            self._lighten()
        if self._worth and self._timer is None:
            self._set_timer()

    def _put_in_order(self, shelf: Shelf, weights: list[int]) -> None:
        """Adds what each job weighs that is put in order."""
        fresh, kept = shelf.fresh, shelf.kept
        for _ in range(len(fresh)):  # no end of them may come meanwhile
            try:
                call = fresh[0]
            except IndexError:
                return
            entry: Entry = call
            weight = 0
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
                weights.append(weight)
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
        self._scheduler.add(timer, min(map(ending, oldest)) + ttl + late)
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
                if face_of(entry) in gone:
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


def _forget_older(kept: deque[Entry], before: float) -> None:
    try:
        while ending(oldest := kept[0]) < before:
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
