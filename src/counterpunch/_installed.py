"""Which runtime is in force: the one of this process, and the test modes in front of it."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._runtime import Runtime

__all__ = ["installed"]


class _Installed:
    """The runtime of this process, and the test modes in front of it, innermost last."""

    __slots__ = ("drain", "ending", "heirs", "modes", "runtime")

    def __init__(self) -> None:
        self.runtime: Runtime | None = None
        #: See ``_replace``; in use while there is no runtime.
        self.heirs: dict[int, Runtime] = {}
        self.modes: tuple[Runtime, ...] = ()
        #: The interpreter has begun to end: what is stopped stays stopped.
        self.ending = False
        #: When the last drain began and ended (monotonic); of one that goes on, its deadline.
        self.drain = (-inf, -inf)


installed = _Installed()
