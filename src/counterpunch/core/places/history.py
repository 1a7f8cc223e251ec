"""What is remembered of jobs that have ended, by number and by age."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

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

    def each(self) -> Iterator[Call]:
        """Finished jobs, as far as count and age allow, in no order."""
        ttl = config.history_ttl
        before = -_NEVER if ttl is None else self._clock.monotonic() - ttl
        for store in (self.ended, self.failed):
            yield from (call for call in store.copy() if (call.finished or before) >= before)

    def remembered(self) -> list[Call]:
        """The same, oldest first."""
        return sorted(self.each(), key=_ending)


def _ending(call: Call) -> float:
    return call.finished or 0.0
