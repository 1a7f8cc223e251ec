"""What a mount of the dashboard may be told, checked once."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypedDict

from ..core.values.callables import receives
from ..core.values.checks import flag, function, seconds
from ..core.values.errors import InvalidOption
from ..observe.health import Health, health
from .beacon import Beacon
from .beacons import beacon_for
from .guards import Guard, host_of, local
from .message import Request
from .sockets import ROOM, too_long

__all__ = ["Options", "Settings", "settings_of"]

_OF_THE_REQUEST = "a function of the request, or None"
_DIRECTORY = (
    "True, False, or the absolute path of a directory that only this user may enter, of at most "
    f"{ROOM} bytes"
)


class Options(TypedDict, total=False):
    """The options of a mount by name, as type checkers see them; see ``Settings``."""

    authorize: Guard | None
    can_view: Guard | None
    probes: Guard | None
    actor: Callable[[Request], str] | None
    hosts: Iterable[str] | None
    arguments: bool
    refresh: float
    health: Callable[[], Health]
    processes: bool | str


@dataclass(frozen=True)
class Settings:
    """Options of one mount; ``wsgi`` and ``asgi`` take the same by name.

    Attributes:
        authorize: Asked before anything is changed, and to decide whether to show buttons.
            Default None: nobody may change anything.
        can_view: Asked before anything is shown. Default None: only a browser on this machine
            may look, see ``local``; ``dashboard.anyone`` opens the page on purpose.
        probes: Asked instead of ``can_view`` for ``/live``, ``/health`` and ``/metrics``; for a
            platform's probe ``dashboard.anyone``. Default None: as ``can_view``.
        actor: Who acts, for the log's record of each action: a short text. Default None: the
            address that the request came from.
        hosts: The names under which the page answers, as a browser sends them in ``Host`` and
            without the port. Default None: any; a guard looks at the rest of the request.
        arguments: False hides arguments and results of all jobs. Those of a class with
            ``log_args = False``, and all after ``configure(log_args=False)``, never show.
            Default True.
        refresh: Seconds between two looks of an open page, where scripts are allowed; 0 never
            looks again. Default 5.
        health: What decides on the banner and on ``/health``; for other thresholds
            ``functools.partial(counterpunch.health, max_wait=300)``.
        processes: True lets every page show, and every action reach, all processes of this user
            on this host that were told so, whichever answers. Each of them, from its first page or
            job on, answers the others on a Unix socket that only this user can open, in a private
            directory: ``$XDG_RUNTIME_DIR/counterpunch``, or ``counterpunch-<uid>`` in the
            temporary directory. An absolute path is another directory: one for each app keeps
            apps apart. Who may look and act is decided by the process that the browser reaches.
            Default False: nothing listens, and pages show the process that answers.

    The three guards are plain functions of the request. ``True`` opens, ``False`` is a 403, and
    ``dashboard.redirect(url)`` sends the visitor to a login page; whatever else one gives or
    raises is a 403, and said in the log once. They run on the thread that answers.

    Raises:
        InvalidOption: For an option that is not allowed.
    """

    authorize: Guard | None = None
    can_view: Guard | None = None
    probes: Guard | None = None
    actor: Callable[[Request], str] | None = None
    hosts: Iterable[str] | None = None
    arguments: bool = True
    refresh: float = 5.0
    health: Callable[[], Health] = health
    processes: bool | str = False
    beacon: Beacon | None = field(init=False, default=None, repr=False)
    #: Until when a complaint about a guard is not repeated, see ``guards.ask``.
    said: dict[str, float] = field(init=False, default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("authorize", "can_view", "probes"):
            value: Any = getattr(self, name)  # a coroutine of one is answered with 403, see ``ask``
            if value is not None and not (callable(value) and receives(value, 1)):
                raise InvalidOption("dashboard", name, value, _OF_THE_REQUEST)
        function(_OF_THE_REQUEST, 1)("dashboard", "actor", self.actor)
        if self.hosts is not None:
            object.__setattr__(self, "hosts", _names(self.hosts))
        if not callable(self.health):
            raise InvalidOption("dashboard", "health", self.health, "a function like health()")
        flag("dashboard", "arguments", self.arguments)
        seconds(0.0, none=False)("dashboard", "refresh", self.refresh)
        if self.processes is not False:
            where = self.processes
            path = isinstance(where, str) and os.path.isabs(where) and not too_long(where)
            path = path and "\0" not in str(where)
            if where is not True and not path:
                raise InvalidOption("dashboard", "processes", where, _DIRECTORY)
            if not hasattr(socket, "AF_UNIX"):
                raise InvalidOption("dashboard", "processes", where, "False: no Unix sockets here")
            beacon = beacon_for(self.directory, self.health, self.arguments)
            object.__setattr__(self, "beacon", beacon)  # frozen, and this is its making

    def guard(self, probe: bool) -> Guard:
        """What decides who may look; at ``/live``, ``/health`` and ``/metrics``, if ``probe``."""
        return (self.probes if probe else None) or self.can_view or local

    @property
    def directory(self) -> str | None:
        """That of the sockets; None is the default one."""
        return self.processes if isinstance(self.processes, str) else None


def _names(hosts: Any) -> frozenset[str]:
    many = isinstance(hosts, (tuple, list, set, frozenset))
    if not many or not all(isinstance(one, str) and host_of(one) for one in hosts):
        allowed = "names such as ('jobs.example.com',), or None"
        raise InvalidOption("dashboard", "hosts", hosts, allowed)
    return frozenset(host_of(one) for one in hosts)


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
