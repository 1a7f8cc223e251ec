"""What is remembered of jobs that have ended, by number and by age."""

from __future__ import annotations

from collections import deque

from ..values.clock import Clock
from ..values.config import config
from ..values.handle import Call
from ..values.status import FAILED, Status

__all__ = ["History"]

_NEVER = float("inf")


class History:
    """The finished jobs of one runtime. Failed ones have a store of their own: however many
    succeed, they stay findable."""

    __slots__ = ("_clock", "ended", "failed", "look_back")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.ended: deque[Call] = deque(maxlen=config.history)
        self.failed: deque[Call] = deque(maxlen=config.history)
        #: The instant at which the oldest job becomes too old to be remembered.
        self.look_back = 0.0

    def store(self, status: Status) -> deque[Call]:
        """Where jobs are remembered that ended so."""
        return self.failed if status is FAILED else self.ended

    def forget(self, call: Call) -> None:
        """Remember one job no longer."""
        for store in (self.failed, self.ended):
            for _ in range(100):
                try:
                    store.remove(call)
                except IndexError:
                    continue  # another job ended during the search
                except ValueError:
                    pass  # not in this one, or forgotten meanwhile
                break

    def resize(self) -> None:
        """``configure(history=...)`` has changed."""
        self.ended = deque(self.ended, maxlen=config.history)
        self.failed = deque(self.failed, maxlen=config.history)

    def forget_old(self, now: float) -> None:
        """Let go of what is too old, if it is time to look."""
        if now < self.look_back:
            return
        ttl = config.history_ttl
        if ttl is None:
            self.look_back = _NEVER
            return
        self.look_back = now + ttl
        for store in (self.ended, self.failed):
            try:
                while True:
                    oldest = store[0]
                    if oldest.finished is None or oldest.finished >= now - ttl:
                        self.look_back = min(self.look_back, (oldest.finished or now) + ttl)
                        break
                    store.remove(oldest)
            except (IndexError, ValueError):
                pass  # another thread has removed it

    def remembered(self) -> list[Call]:
        """Finished jobs, oldest first, as far as count and age allow."""
        ttl = config.history_ttl
        calls = sorted([*self.ended.copy(), *self.failed.copy()], key=_ending)
        if ttl is None:
            return calls
        before = self._clock.monotonic() - ttl
        return [call for call in calls if call.finished is None or call.finished >= before]


def _ending(call: Call) -> float:
    return call.finished or 0.0
