"""The instrument of the sweep: an exception from the n-th place where CPython delivers a signal.

CPython runs a Python signal handler on entering a function, at a loop's jump back and after
most calls into C, never between two bytecodes at large. The handler here puts its signal back
before it returns, so it is run again at the very next place, and counts the places that lie in
the package under test. Nothing is traced and nothing is patched: what is interrupted runs the
bytecode that it always runs.
"""

from __future__ import annotations

import _thread
import dis
import gc
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from functools import cache
from types import CodeType, FrameType
from typing import Any

__all__ = ["Instrument", "at_rest", "until"]

#: The code of the sweep itself, and of the jobs and callbacks that it stands in a user for.
USER = os.path.dirname(os.path.abspath(__file__)) + os.sep
#: Seconds between two real signals, which break off a wait as a Ctrl-C does; one that is only
#: pending, as those of the instrument are, would come after it.
POKE = 0.01
#: Seconds. Nothing moves for so long: what has not happened by now never will.
REST = 0.12
#: Seconds until that is given up; reached only if a thread of ours turns in circles.
CAP = 4.0


class Instrument:
    """Within the ``with`` block, counts places and raises from some of them.

    Args:
        ours: The directory of the package under test.
        numbers: At which places to raise, from 1, in ascending order; none only counts.
        kind: What to raise.
        waits: The call blocks, so break its waits off.
        deep: Count the places in the standard library below the package too; else only the
            entries of such functions.
    """

    def __init__(
        self,
        ours: str,
        numbers: Iterable[int] = (),
        kind: type[BaseException] = KeyboardInterrupt,
        *,
        waits: bool = False,
        deep: bool = False,
    ) -> None:
        self.ours, self.kind, self.waits, self.deep = ours, kind, waits, deep
        self.numbers = list(numbers)
        self.count = 0
        #: What was raised, and from where; ``entry`` if it was before any code of ours had run.
        self.raised: list[BaseException] = []
        self.places: list[str] = []
        self.entry = False
        #: Every place in turn, when nothing is to be raised.
        self.seen: list[str] = []
        self._last: tuple[CodeType, int] | None = None
        self._armed = False
        # Not a call, which would end with a look for signals, but an operator: the signal is
        # pending once the handler has returned, and not before.
        self._trip = map(_thread.interrupt_main, itertools.repeat(signal.SIGINT))

    def __enter__(self) -> Instrument:
        gc.disable()
        sys.setswitchinterval(1.0)  # other threads run when this one waits, and only then
        signal.signal(signal.SIGINT, self._arrive)
        if self.waits:
            signal.signal(signal.SIGALRM, _nothing)
            signal.setitimer(signal.ITIMER_REAL, POKE, POKE)
        self._armed = True
        None in self._trip  # noqa: B015
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """No more signals; what was raised, and how many places there were, stays."""
        self._armed = False
        if self.waits:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        sys.setswitchinterval(0.005)
        gc.enable()

    def _arrive(self, number: int, frame: FrameType | None) -> None:
        if not self._armed or frame is None:
            return
        here = (frame.f_code, frame.f_lasti)
        if here != self._last and self._counts(frame):
            self._last = here
            self.count += 1
            if not self.numbers:
                self.seen.append(self._name(frame))
            elif self.count == self.numbers[0]:
                del self.numbers[0]
                self.places.append(self._name(frame))
                self.entry = self.entry or self._is_entry(frame)
                exc = self.kind(f"at place {self.count}")
                self.raised.append(exc)
                if self.numbers:
                    None in self._trip  # noqa: B015
                else:
                    self._armed = False
                raise exc
        None in self._trip  # noqa: B015

    def _counts(self, frame: FrameType) -> bool:
        file = frame.f_code.co_filename
        if file.startswith(self.ours):
            return True
        back = frame.f_back
        if not self.deep:
            if back is None or not back.f_code.co_filename.startswith(self.ours):
                return False
            return not file.startswith(USER) and frame.f_lasti <= _first(frame.f_code)
        while not file.startswith(USER):
            if file.startswith(self.ours):
                return True
            if back is None:
                return False
            file, back = back.f_code.co_filename, back.f_back
        return False

    def _is_entry(self, frame: FrameType) -> bool:
        """Whether this is where our code is entered from outside, and has done nothing yet."""
        back = frame.f_back
        outside = back is None or not back.f_code.co_filename.startswith(self.ours)
        ours = frame.f_code.co_filename.startswith(self.ours)
        return ours and outside and frame.f_lasti <= _first(frame.f_code)

    def _name(self, frame: FrameType) -> str:
        code = frame.f_code
        name = f"{code.co_qualname}+{frame.f_lasti}"
        if code.co_filename.startswith(self.ours):
            return f"{code.co_filename[len(self.ours) :]}:{frame.f_lineno} {name}"
        back = frame.f_back
        return f"{self._name(back)} > {name}" if back is not None else name


@cache
def _first(code: CodeType) -> int:
    """The offset at which a function looks for signals as it is entered."""
    found = (one.offset for one in dis.get_instructions(code) if one.opname.startswith("RESUME"))
    return next(found, 0)


def _nothing(number: int, frame: FrameType | None) -> None:
    pass


def at_rest() -> None:
    """Wait until every other thread sleeps."""
    until(lambda: False, 0.003)


def until(condition: Callable[[], object], rest: float = REST) -> bool:
    """True once it holds; False when all other threads have slept ``rest`` seconds through.

    So a slow machine is not taken for a lost wake-up, nor is a long time waited for one.
    """
    start = moved = time.monotonic()
    before: Any = None
    while not condition():
        now, after = time.monotonic(), _motion()
        if after is None or after != before:
            before, moved = after, now
        if now - moved > rest or now - start > CAP:
            return bool(condition())
        time.sleep(0.0005 if now - start < 0.02 else 0.004)
    return True


def _motion() -> Any:
    """What changes whenever another thread does anything; None while one is about to."""
    tasks = "/proc/self/task"
    if not os.path.isdir(tasks):
        me = _thread.get_ident()
        frames = sys._current_frames().items()
        return [(one, id(frame), frame.f_lasti) for one, frame in frames if one != me]
    seen = []
    for task in os.listdir(tasks):
        if int(task) == _thread.get_native_id():
            continue
        try:
            with open(f"{tasks}/{task}/stat") as stat, open(f"{tasks}/{task}/schedstat") as runs:
                if stat.read().rpartition(")")[2].split()[0] in ("R", "D"):
                    return None
                seen.append((task, runs.read().split()[2]))
        except OSError:
            return None  # it has just ended
    return seen
