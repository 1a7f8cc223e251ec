"""What one process has armed: the timers of its periodic classes, and what a tick does.

A class's next run follows from its last one. In the process that holds the lock of the host that
is what this process remembers; who has just got the lock, and who has not, looks it up in the lock
file. So a run is neither lost nor done twice as processes come, stop and go.

The timer fires on the scheduler's thread. The tick itself may run code of the user, for it is an
enqueue like any other, and has a short thread of its own.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import ExitStack
from contextvars import Context
from typing import Any

from ..core.port import Clockwork, Runtime, Timer, entries
from ..core.values.clock import Offset
from ..core.values.errors import Duplicate, ShuttingDown, interrupts
from ..core.values.handle import Handle
from ..core.values.hooks import process, report
from ..core.values.short import clean
from ..core.values.stage import OPEN
from ..core.values.status import RETRYING, TERMINAL
from ..define.ways import tick
from .classes import comes_again
from .host_lock import HostLock
from .host_locks import HostLocks, lock_name
from .schedule import Last, Schedule, schedule_of

__all__ = ["Armed", "Clocks"]

#: The name of a tick's thread.
TICK = "counterpunch-tick"
#: A wall clock that is set forward by so many seconds or more is believed once it has shown that
#: for a while: until then it may have been a wrong reading, and nothing was missed. Less is what
#: people, NTP and summer time do to it.
LEAP, DOUBT = 3 * 3600.0, 120.0
#: Seconds after which ``health()`` says that a run is late.
LATE = DOUBT + 60.0
#: Who finds a run that is due in the hands of another process looks again after so many seconds,
#: and then twice as many; that one may have stopped.
AGAIN, SELDOM = 1.0, 30.0


class Armed:
    """One class, and its next run."""

    __slots__ = ("due", "last", "offset", "pause", "schedule", "timer", "turn")

    def __init__(
        self, schedule: Schedule, last: Last, due: float, offset: Offset, turn: object | None
    ) -> None:
        self.schedule = schedule
        #: The last run, and when the next one is due, in epoch seconds.
        self.last, self.due = last, due
        #: As it was then.
        self.offset = offset
        #: The hold of the lock in which it was armed; None if it was not held.
        self.turn = turn
        #: Seconds until the next look while another process has the run in hand.
        self.pause = AGAIN
        #: Set last: one that an interruption has left without is no good.
        self.timer: Timer | None = None

    def due_now(self) -> float:
        """``due`` by a clock that may have been set since: a period does not follow it."""
        return self.due if self.schedule.every is None else self.due + self.offset.step()


class Clocks(Clockwork):
    """The clockwork of one runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.clock = runtime, runtime.clock
        self.armed: dict[type[Any], Armed] = {}
        self.latest: dict[type[Any], Handle[Any]] = {}
        #: The jobs of each class's ticks that had not ended at the last one.
        self.alive: dict[type[Any], list[Handle[Any]]] = {}
        #: The classes that a tick is at.
        self.ticking: dict[type[Any], object] = {}
        #: What each class was armed in: under Flask the app that was current.
        self.contexts: dict[type[Any], Context] = {}
        self.locks = HostLocks(runtime.stage.threads)
        runtime.scheduler.clock_set = self._clock_set

    # For any thread

    def arm(self, job: type[Any]) -> None:
        """Arm a class, unless it is; anew if its schedule was changed."""
        schedule = schedule_of(job)
        if schedule is None or not comes_again(job):
            return
        armed = self.armed.get(job)
        if armed is not None and armed.timer is None:
            armed = None
        if armed is not None and armed.schedule == schedule:
            return
        if job not in self.contexts:
            self.contexts[job] = process.fresh_context() or Context()
        self._set_next(job, schedule, self._begin(job, schedule, changed=armed is not None))

    def next_run(self, job: type[Any]) -> float | None:
        """When the class comes next, in epoch seconds; None if it is not armed."""
        armed = self.armed.get(job) if comes_again(job) else None
        return None if armed is None else armed.due_now()

    def enqueue(self, job: type[Any]) -> Handle[Any] | None:
        """One job of an armed class, on this thread; raises as any enqueue. None if the class's own
        ``perform_async`` has left it out."""
        call = self.contexts[job].copy().run(self._inside, job)
        if call is None:
            return None
        self.latest[job] = call
        calls, one = self.alive.setdefault(job, []), (call,)
        if call not in calls:  # a unique class answers with the job that is there
            calls += one
        return call

    def hand_over(self) -> None:
        """Let other processes of the host have what this one has held: each class as soon as no
        run of it is at work here, for it is not to overlap itself."""
        for name, lock in entries(self.locks.table.items()):
            self._hand_over(name, lock)

    def _hand_over(self, name: str, lock: HostLock) -> None:
        if self.runtime.stage.phase is OPEN:
            return  # started again meanwhile
        for job, calls in entries(self.alive.items()):
            for call in entries(calls) if lock_name(job) == name else ():
                if _at_work(call):
                    call.add_done_callback(lambda _: self._hand_over(name, lock))
                    return
        lock.release()

    def after_fork(self) -> None:
        """In a forked child, which has nothing to do with the parent's classes."""
        for lock in entries(self.locks.table.values()):
            lock.after_fork()

    def problems(self) -> list[str]:
        """Sentences for ``health()``."""
        found = []
        for job, armed in entries(self.armed.items()):
            lock = self.locks.of(job)
            if lock is not None and lock.problem is not None:
                found.append(f"{job.__qualname__}: {lock.problem}")
            late = self.clock.time() - armed.due_now() - armed.schedule.jitter
            if late > LATE and comes_again(job):
                record = None if lock is None or lock.turn is not None else lock.read()
                who = "" if record is None else f"; process {record.pid} has the lock"
                found.append(f"{job.__qualname__}: its run is {late:.3g} s late{who}")
        return found

    # The next run

    def _begin(self, job: type[Any], schedule: Schedule, changed: bool) -> Last:
        """The last run, as the lock file says; if it does not, time begins now."""
        lock, now = self.locks.of(job), Last(self.clock.time(), False)
        if lock is None:
            return now
        held, record = lock.hold(), lock.read()
        if lock.problem is not None or changed:
            record = None
        if record is not None and record.schedule == str(schedule):
            return record.last
        if held:
            lock.write(now, str(schedule))
        return now

    def _set_next(self, job: type[Any], schedule: Schedule, last: Last, doubt: float = 0.0) -> None:
        lock, now = self.locks.of(job), self.clock.time()
        due, turn = schedule.due(last, now), None if lock is None else lock.turn
        armed = Armed(schedule, last, due, Offset(self.clock), turn)
        later = due + (schedule.jitter * self.runtime.chance() if schedule.jitter else 0.0)
        timer = Timer(lambda: self._fire(job, armed))
        self.armed[job] = armed  # any other is void from here on
        if schedule.cron is not None and (later > now or not doubt):
            self.runtime.scheduler.add(timer, later, wall=True)
        else:
            self.runtime.scheduler.add(timer, self.clock.monotonic() + max(doubt, later - now))
        armed.timer = timer

    def _look_again(self, job: type[Any], armed: Armed) -> None:
        timer = Timer(lambda: self._fire(job, armed))
        self.runtime.scheduler.add(timer, self.clock.monotonic() + armed.pause)
        armed.timer, armed.pause = timer, min(SELDOM, armed.pause * 2)

    def _clock_set(self, step: float) -> None:
        """On the scheduler's thread: the wall clock was set, by so many seconds."""
        for job, armed in entries(self.armed.items()):
            if armed.schedule.cron is not None:
                last = armed.schedule.moved(armed.last, step, self.clock.time())
                self._set_next(job, armed.schedule, last, DOUBT if step >= LEAP else 0.0)

    # A tick

    def _fire(self, job: type[Any], armed: Armed) -> None:
        """On the scheduler's thread: a run is due."""
        if self.armed.get(job) is not armed:
            return  # armed anew
        if self.runtime.stage.phase is not OPEN or not comes_again(job):
            self.armed.pop(job, None)
        elif not self.runtime.stage.threads:
            self._tick(job, armed)
        else:
            try:
                threading.Thread(
                    target=self._tick, args=(job, armed), name=TICK, daemon=True
                ).start()
            except RuntimeError as exc:
                message = "no thread could be started for a run of %s (%s); it is tried again"
                report(logging.ERROR, message, job.__qualname__, exc)
                self._look_again(job, armed)

    def _tick(self, job: type[Any], armed: Armed) -> None:
        """On a thread of its own: enqueue the job, if that is due and for this process to do."""
        token = object()
        if self.ticking.setdefault(job, token) is not token:
            self._look_again(job, armed)  # the last tick is still at it
            return
        last = None
        try:
            last = self._run(job, armed)
        finally:
            self.ticking.pop(job, None)
            now = self.armed.get(job)  # another, if the clock or the schedule was set meanwhile
            if last is not None and now is not None:
                self._set_next(job, now.schedule, last)
            elif now is armed:
                self._look_again(job, armed)

    def _run(self, job: type[Any], armed: Armed) -> Last | None:
        """Returns the last run; None if there is to be another look at the next one."""
        schedule, last, due = armed.schedule, armed.last, armed.due_now()
        lock, now = self.locks.of(job), self.clock.time()
        if lock is not None:
            held = lock.hold()
            if lock.problem is None and (lock.turn is None or lock.turn is not armed.turn):
                record = lock.read()
                if record is not None and record.schedule != str(schedule):
                    if not held:
                        return Last(now, False)  # another release has it, by its own
                elif record is not None and record.last != last:  # another process was faster
                    last, due = record.last, schedule.due(record.last, now)
                    if due > now:
                        return last
            if not held:
                self.locks.say_who(job, lock)
                return None if last == armed.last else last
        done = schedule.done(due, now)
        if lock is not None:
            lock.write(done, str(schedule))
        try:
            self._enqueue(job)
        except ShuttingDown:
            self.armed.pop(job, None)
            if lock is not None:
                self._take_back(job, lock, done, last)
        except BaseException as exc:
            if interrupts(exc):
                raise
            message = "the periodic job %s could not be enqueued"
            report(logging.ERROR, message, clean(job.__qualname__), exc_info=exc)
        return done

    def _enqueue(self, job: type[Any]) -> None:
        self.alive[job] = [call for call in self.alive.get(job, ()) if call.state not in TERMINAL]
        if any(map(_at_work, self.alive[job])):
            return  # it does not overlap itself
        try:
            self.enqueue(job)
        except Duplicate as exc:
            report(logging.INFO, "no run of a periodic job: %s", exc)

    def _inside(self, job: type[Any]) -> Handle[Any] | None:
        """In a copy of the context that the class was armed in."""
        own_thread = threading.current_thread().name == TICK
        stack: ExitStack[None] = ExitStack()
        with stack:
            for around in process.around_ticks:
                stack.enter_context(around(own_thread))
            return tick(job, self.runtime)

    def _take_back(self, job: type[Any], lock: HostLock, done: Last, last: Last) -> None:
        """The process stops, and has refused a run: whoever has the lock next does it."""
        record = lock.read() if lock.hold() else None
        if record is not None and (record.last, record.pid) == (done, os.getpid()):
            lock.write(last, record.schedule)
        self._hand_over(lock_name(job), lock)


def _at_work(call: Handle[Any]) -> bool:
    """True for one that is to run before the next: a retry may come beside or after it."""
    return call.state not in TERMINAL and call.state is not RETRYING
