"""What a mount of the dashboard may be told, checked once."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypedDict

from ..core.values.checks import flag, seconds
from ..core.values.errors import InvalidOption
from ..observe.health import Health, health
from .beacon import Beacon
from .message import Request
from .snapshot import beacon_for
from .sockets import ROOM, too_long

__all__ = ["Options", "Settings", "settings_of"]

Allows = Callable[[Request], bool]

_DIRECTORY = (
    "True, False, or the absolute path of a directory that only this user may enter, of at most "
    f"{ROOM} bytes"
)


class Options(TypedDict, total=False):
    """The options of a mount by name, as type checkers see them; see ``Settings``."""

    authorize: Allows | None
    can_view: Allows | None
    arguments: bool
    refresh: float
    health: Callable[[], Health]
    processes: bool | str


@dataclass(frozen=True)
class Settings:
    """Options of one mount; ``wsgi`` and ``asgi`` take the same by name.

    Attributes:
        authorize: Called with the request before anything is changed, and to decide whether
            to show buttons. Default None: nobody may change anything.
        can_view: Called with every request; False answers 403. Default None: whoever reaches
            the mount may look.
        arguments: False hides arguments and results of all jobs. Those of a class with
            ``log_args = False``, and all after ``configure(log_args=False)``, never show.
            Default True.
        refresh: Seconds between two looks of an open page, where scripts are allowed; 0 never
            looks again. Default 5.
        health: What decides on the banner and on ``/health``; for other thresholds
            ``functools.partial(counterpunch.health, max_wait=300)``.
        processes: True adds a page over all processes of this user on this host that were
            told so. Each of them, from its first page or job on, serves its numbers on a Unix
            socket that only this user can open, in a private directory:
            ``$XDG_RUNTIME_DIR/counterpunch``, or ``counterpunch-<uid>`` in the temporary
            directory. An absolute path is another directory: one for each app keeps apps
            apart. Default False: nothing listens.

    Raises:
        InvalidOption: For an option that is not allowed.
    """

    authorize: Allows | None = None
    can_view: Allows | None = None
    arguments: bool = True
    refresh: float = 5.0
    health: Callable[[], Health] = health
    processes: bool | str = False
    beacon: Beacon | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("authorize", "can_view"):
            value: Any = getattr(self, name)
            if value is not None and not callable(value):
                raise InvalidOption("dashboard", name, value, "a function of the request, or None")
        if not callable(self.health):
            raise InvalidOption("dashboard", "health", self.health, "a function like health()")
        flag("dashboard", "arguments", self.arguments)
        seconds(0.0, none=False)("dashboard", "refresh", self.refresh)
        if self.processes is not False:
            where = self.processes
            path = isinstance(where, str) and os.path.isabs(where) and not too_long(where)
            if where is not True and not path:
                raise InvalidOption("dashboard", "processes", where, _DIRECTORY)
            if not hasattr(socket, "AF_UNIX"):
                raise InvalidOption("dashboard", "processes", where, "False: no Unix sockets here")
            beacon = beacon_for(self.directory, self.health)
            object.__setattr__(self, "beacon", beacon)  # frozen, and this is its making

    @property
    def directory(self) -> str | None:
        """That of the sockets; None is the default one."""
        return self.processes if isinstance(self.processes, str) else None


def settings_of(options: Options) -> Settings:
    """The settings of a mount.

    Raises:
        InvalidOption: For an option that is not allowed.
        TypeError: For one that does not exist.
    """
    known = Options.__annotations__
    for name in options:
        if name not in known:
            raise TypeError(f"dashboard: there is no option {name!r}; there are {', '.join(known)}")
    return Settings(**options)
