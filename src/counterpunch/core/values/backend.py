"""Where the jobs of a class go: threads here, or an engine.

The core knows no engine. It asks ``engine_of`` whether a class's jobs go elsewhere, and
hands an enqueue over; everything else of an engine is in ``counterpunch.backends``.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from .errors import InvalidOption

__all__ = ["HERE", "check_backend", "engine_of", "engines"]

#: The value of ``backend`` that keeps a class in threads, whatever ``configure`` says.
HERE = "threads"
#: What an engine has; ``counterpunch.backends.protocol`` says what each is.
_ENGINE = ("name", "capabilities", "enqueue", "find", "knows")

#: Every engine of this process; ``counterpunch.find`` asks those that know an id.
engines: WeakSet[Any] = WeakSet()


def check_backend(owner: str, option: str, value: Any) -> Any:
    """The value of ``backend``.

    Raises:
        InvalidOption: If it is no backend.
    """
    if value is None or value == HERE:
        return value
    if not isinstance(value, type) and all(hasattr(value, name) for name in _ENGINE):
        return value
    allowed = (
        f"None: jobs run in threads, or where configure(backend=...) says; {HERE!r}; or an "
        f"engine such as counterpunch.backends.celery.CeleryBackend(app)"
    )
    raise InvalidOption(owner, option, value, allowed)


def engine_of(options: Any, configured: Any) -> Any:
    """The engine that the jobs of a class go to; None if they run in threads here.

    Under ``configure(backend=...)`` a periodic class stays: its runs belong to the process
    that ``start()`` armed them in.
    """
    chosen = options.backend
    if chosen is None and options.every is None and options.cron is None:
        chosen = configured
    return None if chosen is None or chosen == HERE else chosen
