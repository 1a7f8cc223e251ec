"""Where the jobs of a class go: threads here, or an engine.

The core knows no engine. It asks ``engine_of`` whether a class's jobs go elsewhere, and
hands an enqueue over; everything else of an engine is in ``counterpunch.backends``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from .errors import InvalidOption

if TYPE_CHECKING:
    from ._protocol import Engine
    from .options import Options

__all__ = ["HERE", "check_backend", "engine_of", "engines"]

#: The value of ``backend`` that keeps a class in threads, whatever ``configure`` says.
HERE = "threads"


#: Every engine of this process; ``counterpunch.find`` asks those that know an id.
engines: WeakSet[Engine] = WeakSet()


def check_backend(owner: str, option: str, value: Any) -> Any:
    """The value of ``backend``.

    Raises:
        InvalidOption: If it is no backend.
    """
    if value is None or value == HERE:
        return value
    # Here: the class statements of a protocol are a tenth of what the package takes to import.
    from ._protocol import Backend

    if isinstance(value, Backend) and not isinstance(value, type) and hasattr(value, "knows"):
        return value
    allowed = (
        f"None: jobs run in threads, or where configure(backend=...) says; {HERE!r}; or an "
        f"engine such as counterpunch.backends.celery.CeleryBackend(app)"
    )
    raise InvalidOption(owner, option, value, allowed)


def engine_of(options: Options, configured: Any) -> Engine | None:
    """The engine that the jobs of a class go to; None if they run in threads here.

    Under ``configure(backend=...)`` a periodic class stays: its runs belong to the process
    that ``start()`` armed them in.
    """
    chosen = options.backend
    if chosen is None and options.every is None and options.cron is None:
        chosen = configured
    return None if chosen is None or chosen == HERE else chosen
