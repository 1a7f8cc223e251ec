"""What is one step on a container that other threads change, and how to read one whole.

The core takes no lock around a container. It rests on steps: calls into C that no other thread
comes in between. This is all it needs to know of them, for a Python with the interpreter lock and
for one without (measured on 3.13; there each container has a lock of its own, held by its methods):

* One step on both. ``deque``: ``append``, ``+= (one,)``, ``pop``, ``popleft``, ``[0]``, ``len``,
  ``in``, ``count``, ``insert``, ``remove``. ``dict`` and ``set``: get, set, ``setdefault``, ``in``,
  ``del``, ``pop``, ``add``, ``discard``, ``update``, ``len``, ``copy``, ``list(...)``. ``list``:
  ``+= (one, two)``, slices. ``itertools.count``, and what ``starmap`` and ``map`` make of a step.
* One step with the interpreter lock only: whatever goes through a ``deque``: ``list(...)``,
  ``deque.copy()`` (and that takes 13 microseconds for each entry, where ``list`` takes 0.05),
  ``deque(...)``; and ``tuple(...)`` of a dict or a set.
* None on both: a ``for`` statement over what others change.

So who wants to see more than one entry asks ``entries``, and nobody else iterates or copies; a test
of the architecture holds that.

Without the lock an object belongs to the thread that made it, and who drops the last reference
elsewhere leaves it to that thread, which frees it when it runs Python code next; the collector does
it for all. So what one thread makes is not put into what another one has made, where that costs
nothing: a thread may sleep for hours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, TypeVar

__all__ = ["entries"]

T = TypeVar("T")


def entries(container: Iterable[T]) -> list[T]:
    """What was in it at one instant, in its order, while other threads change it."""
    while True:
        try:
            return list(container)
        except RuntimeError:  # a deque, in a process without the interpreter lock
            if isinstance(container, deque):
                return _seen_by_count(container)


class _Seen(list[Any]):
    """What it was compared with."""

    __eq__ = list.append  # type: ignore[assignment]  # in C: no other thread gets a turn


def _seen_by_count(queue: deque[T]) -> list[T]:
    """``count`` holds the lock of a deque throughout, and compares each entry with what it looks
    for. Four times as slow as ``list``, but nobody comes in between, however busy it is."""
    while True:
        seen: Any = _Seen()
        try:
            queue.count(seen)
            return [*seen]
        except RuntimeError:  # never yet seen
            pass
