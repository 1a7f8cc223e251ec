"""Where threads sleep until there is something to do, and how they are woken.

The protocol that excludes a lost wake-up, for one side that offers work and one that
takes it:

* who offers: append the work, *then* look for a sleeper (``nudge``);
* who takes: publish itself as a sleeper, *then* look for work once more (``park``).

Whatever the interleaving, at least one of the two sees the other. Nothing here is a
Python lock: ``nudge`` may be re-entered by a signal handler or a ``__del__`` at any point.
"""

from __future__ import annotations

import _thread
from collections import deque
from collections.abc import Callable
from operator import call

from .permits import Permits

__all__ = ["Parking", "Sleeper"]


class Sleeper:
    """One thread's bed: a raw lock that is always held, except for the instant of waking.

    ``allocate_lock`` is looked up late, through the module: gevent replaces it when it
    patches, and a lock made before that would stop the whole process.
    """

    __slots__ = ("lock", "wake")

    def __init__(self) -> None:
        self.lock = _thread.allocate_lock()
        self.lock.acquire()
        self.wake = self.lock.release


class Parking:
    """The sleepers of one pool, of the scheduler, or of those who wait for idleness."""

    __slots__ = ("parked", "sleepers", "wake_one")

    def __init__(self) -> None:
        #: One entry for each thread inside ``park``, from before it is published until it runs.
        self.parked = Permits()
        #: The ``wake`` of each thread that may be woken; taking one out is the right to call it.
        self.sleepers: deque[Callable[[], None]] = deque()
        # Takes the youngest sleeper and wakes it, in one call into C: an exception out of a
        # signal handler cannot come between the two and leave a thread asleep for ever.
        # IndexError if nobody sleeps.
        self.wake_one: Callable[[], None] = map(call, iter(self.sleepers.pop, None)).__next__

    def nudge(self) -> None:
        """Wake one sleeper, unless one is already on its way up.

        ``parked`` counts a thread longer than ``sleepers`` does, by the time it needs to
        get up. So more parked than sleeping means: somebody is awake and about to look.
        """
        if self.sleepers and len(self.parked) <= len(self.sleepers):
            try:
                self.wake_one()
            except IndexError:
                pass  # another thread was faster, and woke it

    def wake_all(self) -> None:
        """Wake every sleeper there is by now: so many, and the oldest first, for who lies down
        meanwhile looks by himself, and would be woken in place of another, without end.
        """
        wake_oldest = map(call, iter(self.sleepers.popleft, None))  # as ``wake_one``
        try:
            for _ in range(len(self.sleepers)):
                next(wake_oldest)
        except IndexError:
            pass

    def park(
        self, sleeper: Sleeper, ready: Callable[[], object], timeout: float | None = None
    ) -> bool:
        """Sleep until woken, until ``ready()`` is true, or for ``timeout`` seconds.

        Whoever returns from here owes the others a look: while it was getting up, ``nudge``
        relied on it. If it finds more work than it takes, it calls ``nudge`` itself.

        Returns:
            False if the time ran out, True otherwise.
        """
        self.parked.give()
        try:
            self.sleepers.append(sleeper.wake)
            if ready():  # the second look; see the module docstring
                self._withdraw(sleeper)
                return True
            # A negative timeout is one that has run out (-1 would wait for ever).
            seconds = -1 if timeout is None else max(0.0, min(timeout, _LONGEST))
            if sleeper.lock.acquire(True, seconds):
                return True
            return not self._withdraw(sleeper)
        except BaseException:  # Ctrl-C in a waiting main thread: nobody may wake what left
            # It may have come after the wake-up was taken: then there is no other to wait for.
            self._withdraw(sleeper, wait=False)
            raise
        finally:
            self.parked.take()

    def _withdraw(self, sleeper: Sleeper, wait: bool = True) -> bool:
        """Take the sleeper back; False if somebody had already woken it."""
        try:
            self.sleepers.remove(sleeper.wake)
        except ValueError:
            # The wake-up is in the air; left there it would end the next park.
            sleeper.lock.acquire(wait)
            return False
        return True


# Longer waits overflow the C type on some platforms (threading.TIMEOUT_MAX is their limit).
_LONGEST = 1_000_000.0
