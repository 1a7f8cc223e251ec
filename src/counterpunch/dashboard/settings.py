"""What a mount of the dashboard may be told, checked once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._health import Health, health
from ..errors import InvalidOption
from ..options import _flag, _seconds
from .message import Request

__all__ = ["Settings"]

Allows = Callable[[Request], bool]


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

    Raises:
        InvalidOption: For an option that is not allowed.
    """

    authorize: Allows | None = None
    can_view: Allows | None = None
    arguments: bool = True
    refresh: float = 5.0
    health: Callable[[], Health] = health

    def __post_init__(self) -> None:
        for name in ("authorize", "can_view"):
            value: Any = getattr(self, name)
            if value is not None and not callable(value):
                raise InvalidOption("dashboard", name, value, "a function of the request, or None")
        if not callable(self.health):
            raise InvalidOption("dashboard", "health", self.health, "a function like health()")
        _flag("dashboard", "arguments", self.arguments)
        _seconds(0.0, none=False)("dashboard", "refresh", self.refresh)
