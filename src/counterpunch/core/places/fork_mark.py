"""How to notice that this process is a fork of the one that made an object."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["fork_mark"]


def fork_mark() -> Any:
    """Something whose item 0 is true here and false in every process forked from here.

    On Linux it is a byte of memory that the kernel zeroes in a child, whoever forked: a C
    extension's fork (uWSGI's) calls no Python hook. Reading it costs a tenth of getpid().
    """
    try:
        import mmap

        mark = mmap.mmap(-1, 1, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        mark.madvise(getattr(mmap, "MADV_WIPEONFORK", 18))
        mark[0] = 1
        return mark
    except (ImportError, AttributeError, OSError, ValueError):
        return _PidMark()


class _PidMark:
    """The same where the kernel offers no such memory."""

    __slots__ = ("_pid",)

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __getitem__(self, index: int) -> bool:
        return self._pid == os.getpid()
