"""``start()`` arms what comes again. Most processes never call it, and import no clockwork."""

from __future__ import annotations

from ..core.port import Runtime, on_start

__all__: list[str] = []


def _arm(runtime: Runtime) -> None:
    from .periodic import arm  # late: with all that it needs a fifteenth of the import time

    arm(runtime)


on_start.append(_arm)
