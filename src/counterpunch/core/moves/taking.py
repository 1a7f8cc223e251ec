"""Taking a job out of its container, and what follows: all of it, whatever interrupts.

An exception out of nowhere (see ``record``) may come right after a job was taken out. So who takes
one says at once what is to follow; and if that is broken off, it is left in a list from which
whoever comes next carries it out: the one who was interrupted himself, before the exception goes on
to his caller. Where that is broken off as well, as at the end of a stack it is, a thread of its own
does it; and so does an enqueue on the long way, who steers a job, a worker before it sleeps, who
waits for idleness, the drain. What follows may be begun again: it is a function that puts the job
somewhere or ends it, and it is not called again once the job is somewhere.
"""

from __future__ import annotations

import _thread
import logging
from collections.abc import Callable, Iterator
from itertools import repeat, starmap
from threading import get_ident
from typing import Any

from ..places.lane import Lane
from ..places.site import Site
from ..values.handle import Call
from ..values.hooks import report
from ..values.status import QUEUED, RETRYING, SCHEDULED, TERMINAL, Status
from ..workers.whereabouts import Whereabouts

__all__ = ["Follow", "Taking"]

#: What is to become of a job that was taken out.
Follow = Callable[[Any], object]

#: What was broken off so often has a defect, and is given up.
TRIES = 100
#: So many calls within one another are enough to move a job.
FRAMES = 40


def _room(frames: int) -> None:
    if frames:
        _room(frames - 1)


class Taking:
    """Takes jobs out, and carries out what follows."""

    def __init__(self, site: Site, whereabouts: Whereabouts) -> None:
        self._left, self._resting, self._stage = site.left, site.resting, site.stage
        self._scheduler, self._watchers = site.scheduler, site.watchers
        self._whereabouts = whereabouts
        self._next: Iterator[tuple[Callable[..., object], tuple[Any, ...], int]]
        self._next = starmap(self._left.popleft, repeat(()))
        #: The jobs for which something is just being carried out, each with the thread that does.
        self._busy: dict[Call, int] = {}

    def out_of(self, call: Call, *tables: dict[Call, None], follow: Follow) -> bool:
        """Take a job out of the table that it is in; False if it is in none of them."""
        was = None
        try:
            for table in tables:
                try:
                    del table[call]
                    was = call.state
                except KeyError:
                    continue
                break
            if was is not None:
                follow(call)
        except BaseException:
            if was is not None:
                left = self._left
                left += ((self.go_on, (call, follow, was), 0),)
                self.repair()
            raise
        return was is not None

    def out_of_queue(self, call: Call, follow: Follow) -> bool:
        """Take a job out of the queue of its pool, or from those that are held; False if a worker
        was faster."""
        lane: Lane = call.lane
        one, hand = (call,), list[None]()
        try:
            for queue in (lane.hold, *lane.home(call).levels):
                try:
                    hand.extend(map(queue.remove, one))  # one call into C: it is out, and in hand
                except ValueError:
                    continue
                break
            if hand:
                lane.left_queue(call)
                follow(call)
        except BaseException:
            if hand:
                left = self._left
                left += ((self.go_on, (call, follow, QUEUED), 0),)
                self.repair()
            raise
        return bool(hand)

    def new(self, call: Call, follow: Follow) -> None:
        """Count a job as accepted, and have ``follow`` done with it."""
        numbers = call.lane.numbers
        try:
            for _ in numbers:
                break
            follow(call)
        except BaseException:
            left = self._left
            left += ((self.go_on, (call, follow, QUEUED), 0),)
            self.repair()
            raise

    def surely(self, step: Callable[[], object]) -> None:
        """Do what may be begun again, to its end; what interrupts it is raised all the same."""
        try:
            step()
        except BaseException:
            left = self._left
            left += ((step, (), 0),)
            self.repair()
            raise

    def go_on(self, call: Call, follow: Follow, was: Status) -> None:
        """What was to follow, after the job was taken out in the state ``was``, was broken off
        somewhere."""
        lane: Lane = call.lane
        if self._whereabouts.nowhere(call, was):
            lane.left_queue(call)
            follow(call)
        self.shake(call)

    def shake(self, call: Call) -> None:
        """A job is where it belongs, and somebody may not have heard of it: say so again."""
        lane: Lane = call.lane
        lane.gate.lane = None  # the next enqueue takes the long way, and looks
        if call.state in TERMINAL:
            self._watchers.tell(call)
        lane.home(call).rouse()
        if call.state is SCHEDULED or call.state is RETRYING:
            when = None if call.more is None else call.more.when  # twice in a heap does no harm
            self._scheduler.add(call, call.due if when is None else when, wall=when is not None)
        self._resting.wake_all()

    def repair(self) -> None:
        """Carry out what an interruption has left."""
        while self._left:
            entry = None
            try:
                try:
                    for entry in self._next:
                        break
                except IndexError:
                    return  # somebody else is at it
                if entry is not None and not self._carry_out(*entry[:2]):
                    left = self._left
                    left += (entry,)
                    if entry[1][0] in self._busy:
                        return  # who is at it looks again
            except BaseException as exc:
                if entry is not None and entry[2] < TRIES:
                    left = self._left
                    left += ((entry[0], entry[1], entry[2] + 1),)
                elif entry is not None:
                    report(logging.CRITICAL, "%r fails, and is given up", entry[0], exc_info=exc)
                if self._stage.threads and (entry is None or not entry[2]):
                    try:  # one call into C: there may be no room on the stack for more
                        _thread.start_new_thread(self._repair_apart, ())
                    except RuntimeError:
                        pass  # no thread to be had: it is left to who comes next
                raise

    def _repair_apart(self) -> None:
        """On a thread of its own."""
        for _ in range(TRIES):
            try:
                self.repair()
            except BaseException:  # counted there, and said at last
                continue
            break

    def ready(self) -> None:
        """Before a job is steered: carry out what is left, and be sure that there is room on the
        stack, so that a job is not taken out to be put nowhere.

        Raises:
            RecursionError: If there is not; nothing was done.
        """
        _room(FRAMES)
        if self._left:
            self.repair()

    def _carry_out(self, act: Callable[..., object], args: tuple[Any, ...]) -> bool:
        """Do it; False if another thread is just carrying out something for the same job: two
        interruptions of one call leave two entries, and each asks where the job is."""
        if not args:
            act()
            return True
        call, me, busy = args[0], get_ident(), self._busy
        if busy.get(call) == me:
            act(*args)  # interrupted in the midst of it
            return True
        try:
            if busy.setdefault(call, me) != me:
                return False
            act(*args)
        finally:
            try:
                if busy[call] == me:
                    del busy[call]
            except KeyError:
                pass
        return True
