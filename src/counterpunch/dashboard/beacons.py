"""The sockets on which this process answers its peers: one per directory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..observe.health import Health
from .beacon import Beacon, register
from .local import Ground, answer_to

__all__ = ["beacon_for", "beacons"]

#: However many mounts ask for it.
beacons: dict[str | None, Beacon] = {}
_grounds: dict[str | None, Ground] = {}


def beacon_for(where: str | None, health: Callable[[], Health], arguments: bool) -> Beacon:
    """The beacon of a directory, made and registered with the first mount that asks for it.

    What one of the mounts hides, no peer is shown.
    """
    ground = _grounds.setdefault(where, Ground(health, arguments))
    _grounds[where] = ground._replace(arguments=ground.arguments and arguments)
    beacon = beacons.get(where)
    if beacon is None:
        beacon = beacons.setdefault(where, Beacon(where, partial(_answer, where)))
        register(beacon)
    return beacon


def _answer(where: str | None, question: bytes) -> bytes | None:
    return answer_to(_grounds[where], question)
